"""The values of a whole model: each layer by its definition, those of the user as they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import mpmath
import numpy as np

from nncodegen.certificates.definitions.functions import loss_of
from nncodegen.certificates.definitions.kinds import DEFINITIONS, is_defined
from nncodegen.certificates.definitions.use import Use
from nncodegen.certificates.exact import bind, run
from nncodegen.certificates.products import Array, zeros
from nncodegen.compiler.describe import Network, Sequential
from nncodegen.compiler.describe.call import PRESENT, Call, Indices, Part, Shape, described
from nncodegen.compiler.describe.uses import in_order
from nncodegen.compiler.ir import SAMPLE, Element, Program, Statistic, Tensor


@dataclass(frozen=True)
class Made:
    """One use of a layer, its inputs and its results."""

    layer: Any
    use: Use
    inputs: tuple[Array, ...]
    results: tuple[Array, ...]

    @property
    def title(self) -> str:
        """Return the layer in words: the name that the user gave it or its number, and its kind."""
        return f"layer {self.use.name or self.use.number} ({type(self.layer).__name__})"


def values_of(
    model: Sequential | Network,
    parameters: Mapping[str, Array],
    X: Array,
    Y: Array,
    training: bool,
    made: list[Made] | None = None,
) -> tuple[Array, Array]:
    """Return the outputs (N, columns) and the loss of each sample (N,) of a model, with parameters by their names.

    X (N, columns) are inputs, Y (N, columns) targets. In ``training``, statistics are those of the samples. The results
    of each layer are added to ``made``, one after the other.
    """
    walk = _Walk(parameters, training, [] if made is None else made)
    network = model.network if isinstance(model, Sequential) else model
    outputs = walk.graph(network, X)
    columns = [output.reshape(len(X), -1) for output in outputs]
    targets = np.split(Y, np.cumsum([each.shape[1] for each in columns])[:-1], axis=1)
    terms = [
        mpmath.mpf(float(weight)) * loss_of(loss, output, target)
        for weight, loss, output, target in zip(network.loss_weights, network.loss, outputs, targets, strict=True)
    ]
    return np.concatenate(columns, axis=1), np.sum(terms, axis=0)


@dataclass
class _Walk:
    """The layers of a model, one after the other."""

    parameters: Mapping[str, Array]
    training: bool
    made: list[Made]

    def graph(self, model: Network, X: Array) -> list[Array]:
        """Return the outputs of a graph of layers; each layer has one number, however often it is called."""
        numbers = {id(layer): number for number, (_, layer) in enumerate(model.numbered, start=1)}
        ends = np.cumsum([prod(node.shape) for node in model.inputs])[:-1]
        outputs: dict[int, tuple[Array, ...]] = {
            id(node): (columns.reshape(len(X), *node.shape),)
            for node, columns in zip(model.inputs, np.split(X, ends, axis=1), strict=True)
        }
        for node in in_order(model.outputs):
            if node.place:
                outputs[id(node)] = (outputs[id(node.inputs[0])][node.place],)
            elif node.layer is not None:
                inputs = [outputs[id(source)][0] for source in node.inputs]
                outputs[id(node)] = self.layer(node.layer, numbers[id(node.layer)], inputs, node.arguments)
        return [outputs[id(node)][0] for node in model.outputs]

    def layer(self, layer: Any, number: int, inputs: Sequence[Array], arguments: tuple[str, ...]) -> tuple[Array, ...]:
        """Return the results of a layer."""
        use = Use(self.parameters, str(number), getattr(layer, "name", ""), self.training, arguments)
        results = DEFINITIONS[type(layer)](layer, use, *inputs) if is_defined(layer) else as_written(layer, use, inputs)
        self.made.append(Made(layer, use, tuple(inputs), results if isinstance(results, tuple) else (results,)))
        return self.made[-1].results


def as_written(layer: Any, use: Use, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Return the values of the steps of a layer that describes itself: its output, and its further results."""
    part, elements, shapes = described_alone(layer, use, inputs)
    declared = tuple(Tensor(e.tensor, (None, *shape)) for e, shape in zip(elements, shapes, strict=True))
    sizes = {i: n for e, shape in zip(elements, shapes, strict=True) for i, n in zip(e.indices[1:], shape, strict=True)}
    targets = {step.target.tensor: step.target for step in part.steps}
    program = Program(
        "layer",
        declared,
        part.steps,
        (),
        part.parameters,
        noise=part.noise,
        extents=(*sizes.items(), *part.sizes),
        present=Tensor(PRESENT, (None,)) if part.statistics else None,
        statistics=tuple(Statistic(targets[v], Element(p, targets[v].indices)) for v, p in part.statistics),
    )
    results = (part.output, *(element for element, _ in part.further))
    program = program if use.training else replace(program, outputs=results).at_rest
    parameters = [use.parameters[tensor.name].reshape(-1) for tensor in part.parameters]
    columns = np.concatenate([x.reshape(len(x), -1) for x in inputs], axis=1)
    bound = bind(program, np.concatenate([*parameters, zeros([0])]), columns, zeros([len(columns), 0]))
    values = run(program, bound)
    return tuple(values[element.tensor] for element in results)


def described_alone(
    layer: Any, use: Use, inputs: Sequence[Array]
) -> tuple[Part, tuple[Element, ...], tuple[Shape, ...]]:
    """Return the description of a layer for inputs, under its own number, and the inputs' elements and shapes."""
    indices, shapes = Indices(), tuple(x.shape[1:] for x in inputs)
    elements = tuple(
        Element(f"given{k}", (SAMPLE, *(indices.next() for _ in shape))) for k, shape in enumerate(shapes, start=1)
    )
    call = Call(elements, shapes, use.number, indices.next, name=use.name, of_input=True, arguments=use.arguments)
    return described(layer, call), elements, shapes
