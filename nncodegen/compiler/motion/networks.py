"""Networks in equations of motion: functions of states, inputs and the time whose values are those of layers.

A call in an equation, ``force(u, v)``, is a function of SymPy. Where the equation is computed, at each stage of a step
and at each time of observation, the layers are steps of the program under the index of that place:
``s[n, m, j] = sum(i) W[j, i]*x[n, m, i]``. The weights are the same parameters at all places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Add, Expr, sympify
from sympy.core.function import AppliedUndef, UndefinedFunction

from nncodegen.compiler.describe.assembly import Assembly, Renaming
from nncodegen.compiler.describe.call import Indices, told
from nncodegen.compiler.describe.grammar import NAMES
from nncodegen.compiler.describe.initial_values import with_initial
from nncodegen.compiler.describe.layer import Input, Node
from nncodegen.compiler.describe.layer_uses import Uses, in_order
from nncodegen.compiler.describe.network import Network
from nncodegen.compiler.describe.sequential import Sequential
from nncodegen.compiler.ir import SAMPLE, Element, Equation, Step, Tensor
from nncodegen.compiler.ir.evaluate import FORMULAS
from nncodegen.compiler.ir.systems import DIRECTED, SWEPT
from nncodegen.compiler.motion.equations import FUNCTIONS
from nncodegen.compiler.motion.steps import OBSERVATION, ROWS, STEP, Writer
from nncodegen.errors import ModelError

EXAMPLE = 'networks={"force": nncodegen.Sequential([nncodegen.Dense(50, "tanh"), nncodegen.Dense(1)], inputs=2)}'

IMPLICIT = "methods that read the Jacobian of the rates"

PLACE, PLACES = "place", 3
"""The index of the places where a network is computed, before it is that of steps or times, and any number of them."""


@dataclass(frozen=True)
class Inner:
    """A network whose outputs, of the given names, are functions of as many numbers as it has inputs.

    ``parameters`` are its own with its name: ``force_W1`` is the W1 of force. ``assembly`` has its layers under indices
    that nothing else in the model has; the second index of its input is that of the places where it is computed.
    """

    names: tuple[str, ...]
    inputs: int
    parameters: tuple[Tensor, ...]
    assembly: Assembly

    @property
    def name(self) -> str:
        """Return the name with which those of its tensors begin."""
        return self.names[0]

    def write(self, writer: Writer, index: str, values: Sequence[Expr], name: str) -> list[Element]:
        """Write the layers for values of the arguments, which have an index, and return the outputs.

        The names of all tensors but the parameters begin with ``name``.
        """
        (input_element,) = self.assembly.inputs
        tensors = {element.tensor: writer.name(f"{name}_{element.tensor}") for element in self._defined}
        renaming = Renaming({input_element.indices[1]: index}, tensors)
        x = renaming.element(input_element)
        parts = [
            Element(writer.name(f"{x.tensor}_{k}"), x.indices) if len(values) > 1 else x for k in range(len(values))
        ]
        for k, (part, value) in enumerate(zip(parts, values, strict=True)):
            writer.put(part, value, where=() if part == x else (Equation(x.indices[2], (), k),))
        if x not in parts:
            writer.put(x, Add(*parts))
        for step in map(renaming.step, self.assembly.steps):
            writer.put(step.target, step.expression, step.operator, step.over, step.where)
        result = renaming.element(self.assembly.outputs[0].element)
        over = result.indices[2]
        if len(self.names) == 1:
            return [writer.define(name, index, result, "sum", (over,))]
        return [
            writer.define(f"{name}_{k}", index, result, "sum", (over,), (Equation(over, (), k),))
            for k in range(len(self.names))
        ]

    @property
    def _defined(self) -> list[Element]:
        """Return the elements that each use of the network has of its own."""
        return [*self.assembly.inputs, *(step.target for step in self.assembly.steps)]


class Networks:
    """The networks of a model by the names of their outputs, which equations call. Raises ModelError."""

    def __init__(self, networks: Any, model: str) -> None:
        self._model = model
        if networks is not None and not isinstance(networks, Mapping):
            raise ModelError(f"networks of {model} maps names to networks, as in {EXAMPLE}, not {networks!r}")
        self._of: dict[str, Inner] = {}
        reserved = (SAMPLE, OBSERVATION, STEP, *ROWS, SWEPT, DIRECTED)
        letters = (letter for letter in iter(Indices().next, None) if letter not in reserved)
        self.all = tuple(self._inner(key, network, letters) for key, network in (networks or {}).items())

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all outputs."""
        return tuple(self._of)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """Return the weights of all networks."""
        return tuple(tensor for inner in self.all for tensor in inner.parameters)

    @property
    def extents(self) -> tuple[tuple[str, int], ...]:
        """Return the sizes of the indices of all networks."""
        return tuple(pair for inner in self.all for pair in inner.assembly.sizes)

    @property
    def functions(self) -> dict[str, UndefinedFunction]:
        """Return the functions that a text may call, by name."""
        return {name: UndefinedFunction(name) for name in self._of}

    def check(self, call: AppliedUndef, model: str) -> None:
        """Raise ModelError for a call with a wrong number of arguments."""
        inner = self._of[call.func.__name__]
        if len(call.args) != inner.inputs:
            numbers = f"{inner.inputs} input{'s' * (inner.inputs != 1)}"
            raise ModelError(
                f"{model} has {call}, but {call.func} is a network with {numbers}: give it as many arguments"
            )

    def write(self, formulas: Iterable[Expr], writer: Writer, index: str, at: dict[Expr, Expr], where: str) -> None:
        """Write the networks that formulas call, and add the values of these calls to ``at``.

        ``at`` has the values of all symbols of the formulas, which have an index. ``where`` follows the name of a
        network in those of its tensors.
        """
        written: dict[tuple[str, tuple[Expr, ...]], list[Element]] = {}
        for call in calls_of(formulas):
            inner = self._of[call.func.__name__]
            values = tuple(argument.xreplace(at) for argument in call.args)
            key = inner.name, values
            if key not in written:
                written[key] = inner.write(writer, index, values, f"{inner.name}_{where}")
            at[call] = written[key][inner.names.index(call.func.__name__)]

    @property
    def weights(self) -> tuple[Element, ...]:
        """Return the weights of all networks as elements, under the indices with which layers read them."""
        read: dict[str, Element] = {}
        for inner in self.all:
            for step in inner.assembly.steps:
                for element in step.operands:
                    read.setdefault(element.tensor, element)
        return tuple(read[tensor.name] for tensor in self.parameters)

    def written(self, formulas: Iterable[Expr], taken: Iterable[str], at: dict[Expr, Expr]) -> tuple[Step, ...]:
        """Return the steps of the networks that formulas call, for one sample at one place, and add values to ``at``.

        ``at`` has the values of all symbols of the formulas, which have no index.
        """
        writer, known = Writer(taken), dict(at)
        self.write(formulas, writer, PLACE, at, "rate")
        at |= {call: _at_one_place(value) for call, value in at.items() if call not in known}
        return tuple(
            Step(
                _at_one_place(step.target),
                step.expression.xreplace({element: _at_one_place(element) for element in step.operands}),
                step.operator,
                step.over,
                step.where,
            )
            for step in writer.steps
        )

    def as_formulas(
        self, formulas: Iterable[Expr], taken: Iterable[str], at: dict[Expr, Expr], names: Mapping[str, NDArray[Any]]
    ) -> None:
        """Add the values of the calls of networks in formulas to ``at``, as formulas in which layers are written out.

        ``at`` has the values of all symbols of the formulas, which have no index; ``names`` the element of each value
        of all weights, in their shapes. Raise ModelError for layers with more than sums.
        """
        before = dict(at)
        values: dict[str, NDArray[Any]] = dict(names)
        for value in before.values():
            values[value.tensor] = np.asarray(value, dtype=object)
        sizes = dict(self.extents)
        for step in self.written(formulas, {*taken, *values}, at):
            if step.operator not in (None, "sum"):
                raise ModelError(
                    f"a network of {self._model} has {step.operator}, which {IMPLICIT} do not take: give the method "
                    "tsit5, or a number of steps, such as steps=10"
                )
            values[step.target.tensor] = FORMULAS.compute(step, values, sizes)
        for call, element in at.items():
            if call not in before and isinstance(element, Element):
                at[call] = sympify(values[element.tensor][()])

    def _inner(self, key: Any, network: Any, letters: Iterator[str]) -> Inner:
        """Return one network, under indices of these letters, and add it to those by name."""
        names = _names(key, self._model)
        for name in names:
            if name in NAMES or name in FUNCTIONS:
                raise ModelError(
                    f"{self._model} has a network {name}, but that is a function of all formulas: rename it"
                )
            if name in self._of or names.count(name) > 1:
                raise ModelError(
                    f"{self._model} has two networks, or outputs of them, with the name {name}: rename one"
                )
        role = f"the network {', '.join(names)} of {self._model}"
        graph = network.network if isinstance(network, Sequential) else network
        if not isinstance(graph, Network):
            raise ModelError(f"{role} is a Sequential or a Network, as in {EXAMPLE}, not {network!r}")
        if graph.physics is not None:
            raise ModelError(f"{role} has equations in its losses: give its layers without losses")
        if len(graph.inputs) != 1 or len(graph.inputs[0].shape) != 1 or len(graph.outputs) != 1:
            raise ModelError(f"{role} has one input, with a number for each argument, and one output, as in {EXAMPLE}")
        uses = _uses(graph, role)
        assembly = uses.assembly(apart=False)
        _check(assembly, uses, role)
        if uses.shapes[0] != (PLACES, len(names)):
            shape = told(uses.shapes[0][1:])
            raise ModelError(
                f"{role} has an output of the shape {shape}: give it a name for each number, as in "
                f'networks={{("f", "g"): ...}} for the shape (2,)'
            )
        time = assembly.inputs[0].indices[1]
        indices = {index: next(letters) for index, _ in assembly.sizes if index != time}
        parameters = with_initial(tuple(uses.parameters.values()), graph.initial, role)
        tensors = {tensor.name: f"{names[0]}_{tensor.name}" for tensor in parameters}
        renamed = Renaming({**indices, time: PLACE}, tensors).assembly(assembly)
        inner = Inner(
            names=names,
            inputs=graph.inputs[0].shape[0],
            parameters=tuple(replace(tensor, name=tensors[tensor.name]) for tensor in parameters),
            assembly=renamed._replace(sizes=tuple(pair for pair in renamed.sizes if pair[0] != PLACE)),
        )
        self._of |= dict.fromkeys(names, inner)
        return inner


def _at_one_place(element: Element) -> Element:
    """Return an element without the indices of the samples and of the places."""
    return Element(element.tensor, [index for index in element.indices if index not in (SAMPLE, PLACE)])


def calls_of(formulas: Iterable[Expr]) -> list[AppliedUndef]:
    """Return the calls of networks in formulas, each after those in its arguments."""
    calls = {call for formula in formulas for call in formula.atoms(AppliedUndef)}
    return sorted(calls, key=lambda call: (len(call.atoms(AppliedUndef)), str(call)))


def _names(key: Any, model: str) -> tuple[str, ...]:
    """Return the names of the outputs of a network, which are given as a name or a tuple of them."""
    names = tuple(
        name.__name__ if isinstance(name, UndefinedFunction) else name
        for name in (key if isinstance(key, tuple) else (key,))
    )
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError(f"networks of {model} has names as keys, or tuples of names, as in {EXAMPLE}, not {key!r}")
    return names


def _uses(network: Network, role: str) -> Uses:
    """Return the uses of the layers of a network at several places, which are a further axis before that of numbers."""
    nodes: dict[int, Node] = {id(node): Input((PLACES, *node.shape), "x") for node in network.inputs}
    for node in in_order(network.outputs):
        if id(node) not in nodes:
            inputs = tuple(nodes[id(source)] for source in node.inputs)
            nodes[id(node)] = Node(node.layer, inputs, node.name, node.shape, node.place)
            nodes[id(node)].arguments = node.arguments
    try:
        return Uses([nodes[id(node)] for node in network.inputs], [nodes[id(node)] for node in network.outputs])
    except ModelError as error:
        raise ModelError(f"{role} has a layer that does not go into an equation: {error}") from error


def _check(assembly: Assembly, uses: Uses, role: str) -> None:
    """Raise ModelError for layers that mix values of several times, or that have noise or statistics of a batch."""
    if any(part.noise for part in uses.parts):
        raise ModelError(f"{role} has noise, as that of Dropout, which a solution cannot follow: leave it out")
    if any(part.statistics for part in uses.parts):
        raise ModelError(
            f"{role} has statistics of a batch, which trajectories would share: use LayerNormalization, or frozen=True"
        )
    time = assembly.inputs[0].indices[1]
    for step in assembly.steps:
        mixed = time in step.over or any(time in equation.indices for equation in step.where)
        varying = any(time in element.indices for element in step.operands if element.tensor in uses.parameters)
        if mixed or varying:
            raise ModelError(
                f"{role} has a layer that is not one function of its inputs at each time, as Dense is: {step.target}"
            )
