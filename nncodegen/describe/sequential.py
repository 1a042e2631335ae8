"""Networks that are stacks of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sympy import Symbol

from nncodegen.describe.assembly import assembled, statistics_of
from nncodegen.describe.call import Call, Indices, Part, alone, check_names, count, described, layer_name
from nncodegen.describe.checks import bounded, check_name
from nncodegen.describe.given import Given, copied, with_initial
from nncodegen.describe.layer import Layer, shape_of
from nncodegen.describe.loss_steps import Output, entry_of, loss_steps, targets_of, term_of
from nncodegen.describe.losses import LossFunction, usual_name
from nncodegen.describe.optimizers import Optimizer, check_optimizers
from nncodegen.describe.physics import physics_of
from nncodegen.describe.shapes import Flatten
from nncodegen.describe.summary import layer_row, print_layers
from nncodegen.describe.written import listed, written
from nncodegen.errors import ModelError
from nncodegen.ir import SAMPLE, Element, Program, Tensor
from nncodegen.notebook import model_html, model_latex


class Sequential:
    """Layers one after the other, and a loss: a network.

    inputs is the number of values in one sample, or their shape; loss a name (see ``describe.losses``) or a function
    ``(output, target) -> expression``, whose mean over outputs and samples is minimized. The parameters are W1, b1, W2,
    and so on, numbered by their layers; in a flat array they lie in that order. optimizers are additional update rules.
    initial has initial values of parameters, in place of random ones: arrays by name, such as ``{"W1": ..., "b1":
    ...}``, or one flat array with all values. Raises ModelError, which names the part that is wrong.

    For a network that solves equations, inputs are symbols and outputs functions of them, such as
    ``sympy.Function("u")(x, t)``, one for each unit of the last layer; then losses are expressions by name, which
    contain the functions and their derivatives (see docs/guide/physics.md). The loss has the mean square of each over
    its own samples, or the mean of its values if it is a ``Mean``; a tuple holds the equations of a system. Symbols
    that are no inputs are columns of the samples, in the order of targets, or parameters: unknown coefficients with
    their initial values. A mapping as outputs gives formulas around the outputs of the layers, ``{u: x*(1 - x)*u}``.
    """

    @bounded("the network")
    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: Any,
        loss: str | LossFunction = "mse",
        name: str = "network",
        optimizers: Sequence[Optimizer] = (),
        initial: Given | None = None,
        outputs: Any = None,
        losses: Mapping[str, Any] | None = None,
        parameters: Mapping[Symbol, float] | None = None,
        targets: Sequence[Symbol] | Symbol = (),
    ) -> None:
        if not isinstance(layers, Iterable):
            raise ModelError(f"{name} needs a list of layers, such as [Dense(1)], not {layers!r}")
        layers = tuple(layers)
        if not layers:
            raise ModelError(f"{name} has no layers: give at least one, such as Dense(1)")
        for layer in layers:
            if not hasattr(layer, "describe"):
                raise ModelError(f"{layer!r} is not a layer: use Dense(units, activation)")
        self.name = check_name(name, "the name of a model")
        self.layers = layers
        self.inputs = inputs
        self.physics = physics_of(self.name, inputs, outputs, losses, parameters, targets, loss)
        values = inputs if self.physics is None else len(self.physics.inputs)
        shape = shape_of(values, "inputs, the number of values in a sample,")
        self._shape = (count(shape),) if isinstance(layers[0], Flatten) else shape
        self.loss = usual_name(loss)
        self.optimizers = check_optimizers(optimizers, name)
        self.initial = copied(initial, name)
        self.describe()

    @property
    def numbered(self) -> tuple[tuple[str, Layer], ...]:
        """Return the layers, each with the ending of the names of its parameters: its number, or _ and its name."""
        return tuple(
            (f"_{name}" if (name := layer_name(layer)) else str(number), layer)
            for number, layer in enumerate(self.layers, start=1)
        )

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers with the shapes of their outputs and the numbers of their parameters, as Keras does.

        Each line is handed to ``print_fn``, by default ``print``; ``lines.append`` collects them.
        """
        _, parts = self._parts()
        rows = [layer_row(*of_layer) for of_layer in zip(self.layers, range(1, len(parts) + 1), parts, strict=True)]
        print_layers(self.name, self.describe(), rows, print_fn)

    def describe(self) -> Program:
        """Return the network as a Program."""
        start, parts = self._parts()
        x, shape = parts[-1].output, parts[-1].shape
        found = assembled([start], [self._shape], parts, [Output(x, parts[-1].formula)])
        present, statistics = statistics_of(self.name, parts, found)
        if self.physics is not None:
            if statistics:
                raise ModelError(f"{self.name} has derivatives by its inputs, which a BatchNormalization that trains "
                                 f"cannot have: use LayerNormalization, or frozen=True")  # fmt: skip
            return self.physics.describe(self.layers, parts, found, self.initial)
        loss = entry_of(self.loss)
        terms, targets = [term_of(loss, found.outputs[0], shape)], targets_of(found.outputs)
        parameters = tuple(tensor for part in parts for tensor in part.parameters)
        return Program(
            name=self.name,
            inputs=(Tensor("x", (None, *self._shape)),),
            targets=(Tensor("y", (None, *shape)),),
            parameters=with_initial(parameters, self.initial, self.name),
            weight=Tensor("weight", (None,)),
            steps=(*found.steps, *loss_steps(terms, targets, len(self.layers) + 1)),
            outputs=(found.outputs[0].element,),
            loss=Element("loss"),
            noise=tuple(source for part in parts for source in part.noise),
            labels=loss.labels and len(shape) == 1 and count(shape) > 1,
            label_targets=("y",) if loss.labels and len(shape) > 1 and shape[-1] > 1 else (),
            threshold=loss.threshold,
            least_squares=self.loss == "mse",
            extents=found.extents,
            present=present,
            statistics=statistics,
        )

    def _parts(self) -> tuple[Element, list[Part]]:
        """Return the input, and the part that each layer adds."""
        check_names(self.layers)
        indices = Indices()
        x = start = Element("x", (SAMPLE, *(indices.next() for _ in self._shape)))
        shape, parts = self._shape, list[Part]()
        for number, layer in enumerate(self.layers, start=1):
            indices.skip_to(number)  # each layer has a letter, whether it needs one or not
            last = number == len(self.layers)
            before = parts[-1] if parts else None
            call = Call([x], [shape], number, indices.next, last, layer_name(layer), 1, before, of_input=x == start)
            parts.append(alone(described(layer, call), call))
            x, shape = parts[-1].output, parts[-1].shape
        return start, parts

    def __repr__(self) -> str:
        if self.physics is not None:
            losses = ", ".join(self.physics.terms)
            return f"<Sequential {written(self.name)}: {listed(self.layers)}, with the losses {losses}>"
        settings = f"inputs={self.inputs!r}, loss={written(self.loss)}, name={written(self.name)}"
        return f"Sequential({listed(self.layers)}, {settings})"

    def _repr_html_(self) -> str:
        return model_html(self.describe(), "a network")

    def _repr_latex_(self) -> str | None:
        return model_latex(self.describe())
