"""Tasks: computations with their data, which every peer does from the same initial parameters.

A task knows nothing about the peers. Arrays are C-contiguous and have the task's precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from nncodegen import perceptron
from nncodegen.bench.attending import Tokens
from nncodegen.bench.convolving import Windowed
from nncodegen.bench.curves import Curve
from nncodegen.bench.flat import packed, unpacked, with_biases
from nncodegen.bench.moving import Motion, Trajectories
from nncodegen.bench.reactions import Reactions
from nncodegen.bench.recurring import Sequences
from nncodegen.compiler.describe import Dense, Model, Network, Sequential

Array = NDArray[Any]

TOLERANCES = {
    "training": {"float64": 1e-8, "float32": 2e-2},
    "prediction": {"float64": 1e-12, "float32": 1e-5},
    "gradient": {"float64": 1e-9, "float32": 1e-3},
    "fit": {"float64": 1e-3, "float32": 5e-3},
    "motion": {"float64": 1e-3, "float32": 1e-2},
    "trajectories": {"float64": 1e-9, "float32": 1e-3},
}
"""The largest difference of two results; for a training, relative to the largest change of a parameter, and for fits,
relative to the largest change of the same parameter.

Correct peers differ only by rounding, as they add in different orders. One step is off by about ten units in the last
place, 1e-15 in float64 and 1e-6 in float32. Up to a thousand steps add up to 1e-12 and 1e-3. Adam divides by the size
of the gradient, which magnifies the rounding of small ones, to 1e-10 and 1e-2. The bounds are above that, and far below
the effect of different arithmetic: another order of batches, one step too many, or a factor of 2 in the loss change the
parameters by 1e-1 and more. A prediction is one forward pass, with sums of up to a hundred products in two layers.

Fits agree in the solution, not in the steps to it, and each program has a different rule to stop. Most stop when a step
lowers the sum of squares by less than a part of 1e-8, or 1e-5 in float32; then results differ by up to 1e-4 and 2e-3.
They differ by more if samples are changed by a fifth of their noise, or if a fifth of the samples is left out.

Solutions of differential equations agree to their tolerances, times the number by which errors grow: for a tolerance of
1e-6, to 1e-5; derivatives to 1e-4, and so do fits. With the same steps they agree to rounding, which grows as well.
Those of stiff equations, for a tolerance of 1e-4, agree to 3e-4.
"""


@dataclass(frozen=True)
class PerceptronTask:
    """Gradient descent on the shipped perceptron, for each of ``starts``, of shape (models, 7), on one sample.

    The result is (models, 7). ``steps`` is the number of iterations times models. Each iteration changes all
    parameters, one after the other if ``sequential``.
    """

    starts: Array
    x: Array
    y: Array
    learning_rate: float
    iterations: int
    sequential: bool = False

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.starts.dtype)

    @property
    def start(self) -> Array:
        """Return the initial parameters, from which the change of the result is measured."""
        return self.starts

    @property
    def steps(self) -> int:
        """Return the number of iterations, summed over the models."""
        return self.iterations * len(self.starts)

    @property
    def model(self) -> Model:
        """Return the model for nncodegen."""
        return perceptron.model


@dataclass(frozen=True)
class Stack:
    """Dense layers, (units, activation) each, on a number of inputs; the loss is "mse" or a cross-entropy."""

    name: str
    inputs: int
    layers: tuple[tuple[int, str], ...]
    loss: str

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Return the shape of every weight matrix, (units, inputs)."""
        sizes = (self.inputs, *(units for units, _ in self.layers))
        return tuple(zip(sizes[1:], sizes[:-1], strict=True))

    @property
    def hidden(self) -> str:
        """Return the activation of all layers but the last."""
        (name,) = {activation for _, activation in self.layers[:-1]}
        return name

    @property
    def classifies(self) -> bool:
        """Return whether the last layer is a softmax, and the loss its cross-entropy; otherwise it is linear."""
        return self.layers[-1][1] == "softmax"

    @property
    def products(self) -> tuple[int, ...]:
        """Return the multiplications and additions of each layer for one sample."""
        return tuple(2 * units * inputs for units, inputs in self.shapes)

    @property
    def model(self) -> Sequential:
        """Return the model for nncodegen."""
        layers = [Dense(units, activation) for units, activation in self.layers]
        return Sequential(layers, inputs=self.inputs, loss=self.loss, name=self.name)

    def unpack(self, flat: Array) -> list[tuple[Array, ...]]:
        """Return views into flat parameters: (W, b) of every layer, of the shapes (units, inputs) and (units,).

        A leading axis for models is kept.
        """
        return unpacked(flat, with_biases(self.shapes))

    def pack(self, layers: Any) -> Array:
        """Return flat parameters from (W, b) of every layer: the inverse of ``unpack``."""
        return packed(layers)


@dataclass(frozen=True)
class Peaks:
    """Three Gaussian peaks on a level, level + sum(height*exp(-((x - center)/width)**2)); the loss is "mse"."""

    name: str

    classifies = False
    """False, as Y holds numbers, not classes."""

    @property
    def model(self) -> Model:
        """Return the model for nncodegen."""
        x, y, level = sympy.symbols("x y level")
        heights, centers, widths = (sympy.symbols(f"{name}:3") for name in ("height", "center", "width"))
        output = level
        for height, center, width in zip(heights, centers, widths, strict=True):
            output += height * sympy.exp(-(((x - center) / width) ** 2))
        parameters = dict.fromkeys((*heights, *centers, *widths, level), 1.0)
        return Model(self.name, (x,), (y,), parameters, output, (output - y) ** 2)

    def unpack(self, flat: Array) -> list[tuple[Array, ...]]:
        """Return views into flat parameters: (heights, centers, widths, level), the last of shape (1,)."""
        return [tuple(np.split(flat, (3, 6, 9)))]

    def pack(self, parts: Any) -> Array:
        """Return flat parameters from the tuple of ``unpack``."""
        (arrays,) = parts
        return np.concatenate(arrays)


@dataclass(frozen=True)
class Training:
    """Training of layers or a formula on X and Y, in batches of ``batch`` samples, without shuffling.

    If ``start`` has a leading axis, it holds many models with the same layers, all trained on the same data. Y holds
    targets (samples, outputs), one-hot for classes; ``labels`` holds the classes as integers. The last batch of an
    epoch may be smaller. The optimizer is "sgd", or "adam" with 0.9, 0.999 and 1e-8. The result is the flat parameters.
    """

    stack: Stack | Peaks | Windowed | Sequences
    start: Array
    X: Array
    Y: Array
    labels: Array | None
    optimizer: str
    learning_rate: float
    epochs: int
    batch: int

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.start.dtype)

    @property
    def steps(self) -> int:
        """Return the number of updates, summed over the models."""
        return self.epochs * math.ceil(len(self.X) / self.batch) * (self.models or 1)

    @property
    def models(self) -> int | None:
        """Return the number of models; None for one model without an axis for models."""
        return len(self.start) if self.start.ndim > 1 else None

    @property
    def model(self) -> Model | Sequential:
        """Return the model for nncodegen."""
        return self.stack.model

    def batches(self) -> Iterator[slice]:
        """Yield the rows of each batch of an epoch."""
        for begin in range(0, len(self.X), self.batch):
            yield slice(begin, min(begin + self.batch, len(self.X)))


@dataclass(frozen=True)
class Prediction:
    """The outputs of a stack of layers for the rows of X, an array of NumPy."""

    stack: Stack | Sequences
    parameters: Array
    X: Array

    steps = 1
    """The number of calls."""

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.parameters.dtype)

    @property
    def model(self) -> Sequential:
        """Return the model for nncodegen."""
        return self.stack.model


@dataclass(frozen=True)
class Fit:
    """Least squares: a curve fitted to samples, from a start.

    One fit has Y of shape (samples, 1) and start (parameters,); its result, of shape (2, parameters), is the parameters
    and their standard errors. Many fits share X and have Y (fits, samples) and start (fits, parameters); their result
    is the parameters of each.
    """

    curve: Curve
    X: Array
    Y: Array
    start: Array

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.start.dtype)

    @property
    def fits(self) -> int | None:
        """Return the number of fits; None for one fit without an axis for fits."""
        return len(self.start) if self.start.ndim > 1 else None

    @property
    def steps(self) -> int:
        """Return the number of fits."""
        return self.fits or 1

    @property
    def model(self) -> Model:
        """Return the model for nncodegen."""
        return self.curve.model

    def first(self, fits: int) -> Fit:
        """Return a task with the first of many fits."""
        return replace(self, Y=self.Y[:fits], start=self.start[:fits])


@dataclass(frozen=True)
class Equation:
    """One gradient of the mean square of Burgers' equation, u_t + u*u_x - 0.01/pi*u_xx, at the points X = (x, t).

    u is a stack of layers with one output; the gradient by its flat parameters is the result.
    """

    stack: Stack
    parameters: Array
    X: Array

    steps = 1
    """The number of gradients."""

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.parameters.dtype)

    @property
    def model(self) -> Sequential:
        """Return the model for nncodegen."""
        x, t = sympy.symbols("x t")
        u = sympy.Function("u")(x, t)
        layers = [Dense(units, activation) for units, activation in self.stack.layers]
        equation = u.diff(t) + u * u.diff(x) - VISCOSITY * u.diff(x, 2)
        return Sequential(layers, inputs=(x, t), outputs=u, losses={"equation": equation}, name=self.stack.name)

    def by_inputs(self, flat: Array) -> Array:
        """Return flat parameters in the order of the module: in the first layer, weights are sorted by inputs."""
        (W, *_), *_ = self.stack.unpack(flat)
        return np.concatenate([W.T.ravel(), flat[W.size :]])

    def by_units(self, flat: Array) -> Array:
        """Return flat parameters in the order of the stack, from those of the module."""
        units, inputs = self.stack.shapes[0]
        return np.concatenate([flat[: units * inputs].reshape(inputs, units).T.ravel(), flat[units * inputs :]])


@dataclass(frozen=True)
class Gradient:
    """One gradient of a transformer for the tokens X and the next tokens ``labels``, by its flat parameters."""

    stack: Tokens
    parameters: Array
    X: Array
    labels: Array

    steps = 1
    """The number of gradients."""

    @property
    def precision(self) -> str:
        """Return the precision of all arrays."""
        return str(self.parameters.dtype)

    @property
    def model(self) -> Network:
        """Return the model for nncodegen."""
        return self.stack.model


VISCOSITY = 0.01 / math.pi
"""The viscosity, as in the paper of Raissi, Perdikaris and Karniadakis (2019)."""

Task = PerceptronTask | Training | Prediction | Fit | Equation | Gradient | Motion | Trajectories | Reactions


def difference(task: Task, ours: Array, theirs: Array) -> float:
    """Return the difference of two results of a task (see TOLERANCES), infinite if shapes differ or for NaN."""
    if theirs.shape != ours.shape or not np.isfinite(theirs).all():
        return math.inf
    if isinstance(task, Fit):
        change = abs(ours - task.start).max(axis=0) if task.fits else abs(ours)
        return float((abs(ours.astype(float) - theirs) / np.maximum(change, 1e-300)).max())
    way = ours if isinstance(task, Prediction | Equation | Gradient | Motion | Trajectories) else ours - task.start
    return float(abs(ours.astype(float) - theirs).max() / max(float(abs(way).max()), 1e-300))


def tolerance(task: Task) -> float:
    """Return the largest difference of two results that rounding explains."""
    kinds = {
        Prediction: "prediction",
        Fit: "fit",
        Equation: "gradient",
        Gradient: "gradient",
        Motion: "motion",
        Trajectories: "trajectories",
        Reactions: "motion",
    }
    kind = kinds.get(type(task), "training")
    return TOLERANCES[kind][task.precision]
