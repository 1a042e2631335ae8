"""The parts of a graph of layers: each layer has a number, and one part for each of its uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from nncodegen.compiler.describe.assembly import Assembly, assembled
from nncodegen.compiler.describe.call import (
    Call,
    Indices,
    Part,
    Shape,
    alone,
    check_names,
    count,
    described,
    layer_name,
    told,
)
from nncodegen.compiler.describe.layer import Layer, Node
from nncodegen.compiler.describe.loss_steps import Output
from nncodegen.compiler.describe.shapes import Flatten
from nncodegen.compiler.ir import SAMPLE, Element, Step, Tensor
from nncodegen.errors import ModelError


@dataclass
class _Uses:
    """The common data of all uses of a layer: its number, and the inputs, shapes and indices of its first use."""

    number: int
    inputs: list[Element]
    shapes: list[Shape]
    indices: list[str] = field(default_factory=list)
    """The indices that the layer asked for, in this order."""
    count: int = 0


class Uses:
    """The uses of the layers of a graph, in an order in which each comes after those that it reads.

    ``inputs`` are the elements of the inputs, ``input_shapes`` their shapes in the program, ``parts`` what the uses
    add, ``outputs`` and ``shapes`` the outputs of the network. ``parameters`` are those of all layers by name,
    ``layers`` is the number of layers, ``noise`` has the number of the layer of each tensor of noise.

    In a ``stack``, each layer has a letter for an index, whether it needs one or not, and one result.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Node], stack: bool = False) -> None:
        nodes = in_order(outputs)
        _check_inputs(inputs, nodes)
        layers = {id(node.layer): node.layer for node in nodes if node.layer is not None}
        check_names(layers.values())
        self._stack = stack
        self._indices = Indices()
        self._uses: dict[int, _Uses] = {}
        self._ends = {id(node) for node in outputs}
        self._given: list[Element] = []  # elements that are an output already
        self._results: dict[int, Part] = {}
        self.parts: list[Part] = []
        self.parameters: dict[str, Tensor] = {}
        self.noise: dict[str, int] = {}
        self.layers = len(layers)
        self._counts = Counter(id(node.layer) for node in nodes)
        self.inputs = tuple(
            self._input(node, name, _shape_within(node, nodes))
            for node, name in zip(inputs, input_names(inputs), strict=True)
        )
        self.input_shapes = tuple(self._results[id(node)].shape for node in inputs)
        for node in nodes:
            if node.layer is not None:
                self._use(node, node.layer)
            elif node.place:
                element, shape = self._results[id(node.inputs[0])].further[node.place - 1]
                self._results[id(node)] = Part((), (), element, element, shape)
        self.outputs = tuple(self._output(node, k) for k, node in enumerate(outputs, start=1))
        self.shapes = tuple(self._results[id(node)].shape for node in outputs)

    def assembly(self, apart: bool) -> Assembly:
        """Return the parts put together, with the letters that the layers asked for: see ``assembled``."""
        return assembled(self.inputs, self.input_shapes, self.parts, self.outputs, apart)

    def part(self, node: Node) -> Part:
        """Return the part of the use whose result is this node, or the part of an input."""
        return self._results[id(node)]

    def _input(self, node: Node, name: str, shape: Shape) -> Element:
        element = Element(name, (SAMPLE, *(self._indices.next() for _ in shape)))
        self._results[id(node)] = Part((), (), element, element, shape)
        return element

    def _use(self, node: Node, layer: Layer) -> None:
        """Describe one use of a layer, and keep its part."""
        sources = [self._results[id(source_node)] for source_node in node.inputs]
        inputs, shapes = [part.output for part in sources], [part.shape for part in sources]
        uses = self._uses.setdefault(id(layer), _Uses(len(self._uses) + 1, inputs, shapes))
        uses.count += 1
        feeds_loss, name = id(node) in self._ends, layer_name(layer)
        of_input = all(element in self.inputs for element in inputs)
        if self._stack:
            self._indices.skip_to(uses.number)
        if uses.count == 1:
            source = sources[0] if self._counts[id(layer)] == len(sources) == 1 else None
            fresh = lambda: self._recorded(uses)  # noqa: E731 (a def would say no more)
            call = Call(inputs, shapes, uses.number, fresh, feeds_loss, name, 1, source, of_input, node.arguments)
            part = alone(described(layer, call), call) if self._stack else described(layer, call)
            for tensor in part.parameters:
                if tensor.name in self.parameters:
                    raise ModelError(f"{call.role} has a parameter {tensor.name}, as another layer has: rename one")
                self.parameters[tensor.name] = tensor
        else:
            part = self._again(layer, uses, inputs, shapes, feeds_loss, of_input, node.arguments)
        self.noise |= {source.tensor.name: uses.number for source in part.noise}
        self.parts.append(part)
        self._results[id(node)] = part

    def _recorded(self, uses: _Uses) -> str:
        uses.indices.append(self._indices.next())
        return uses.indices[-1]

    def _again(
        self,
        layer: Layer,
        uses: _Uses,
        inputs: Sequence[Element],
        shapes: list[Shape],
        feeds_loss: bool,
        of_input: bool,
        arguments: tuple[str, ...],
    ) -> Part:
        """Describe a further use under the indices of the first, so that its parameters are the same elements."""
        name = layer_name(layer)
        if shapes != uses.shapes:
            both_shapes = " and ".join(", ".join(map(told, each)) for each in (uses.shapes, shapes))
            role = f"layer {uses.number}{f' ({name})' if name else ''}"
            raise ModelError(f"{role} is called with the shapes {both_shapes}: what it shares is for one of them")
        fresh = iter(uses.indices).__next__
        call = Call(uses.inputs, shapes, uses.number, fresh, feeds_loss, name, uses.count, None, of_input, arguments)
        call.inputs = tuple(
            call.under(element, first.indices, f"input{k}_" if len(inputs) > 1 else "input")
            for k, (first, element) in enumerate(zip(uses.inputs, inputs, strict=True), start=1)
        )
        part = described(layer, call)
        if any(self.parameters.get(tensor.name) != tensor for tensor in part.parameters):
            raise ModelError(f"{call.role} has other parameters where it is called again: they shall be the same")
        return part

    def _output(self, node: Node, number: int) -> Output:
        """Return an output that has a separate tensor."""
        part = self._results[id(node)]
        if self._stack:
            return Output(part.output, part.formula)
        defined = {step.target for used_part in (self.parts if node.place else [part]) for step in used_part.steps}
        if part.output in defined and part.output not in self._given:
            self._given.append(part.output)
            return Output(part.output, part.formula)
        element = Element(f"output{number}", part.output.indices)
        self.parts.append(Part((), (Step(element, part.output),), element, part.output, part.shape))
        return Output(element, part.output)


def in_order(outputs: Sequence[Node]) -> list[Node]:
    """Return all nodes that the outputs depend on, each after its inputs; first those of the first output."""
    ordered: dict[int, Node] = {}
    waiting = [(node, False) for node in reversed(outputs)]
    while waiting:  # without recursion: a network may be deep
        node, ready = waiting.pop()
        if id(node) in ordered:
            continue
        if ready or not node.inputs:
            ordered[id(node)] = node
        else:
            waiting += [(node, True), *((source, False) for source in reversed(node.inputs))]
    return list(ordered.values())


def _shape_within(node: Node, nodes: Sequence[Node]) -> Shape:
    """Return the shape that an input has in the program: one axis, if only Flatten reads it."""
    readers = [other.layer for other in nodes if any(source is node for source in other.inputs)]
    return (count(node.shape),) if all(isinstance(layer, Flatten) for layer in readers) else node.shape


def _check_inputs(inputs: Sequence[Node], nodes: Sequence[Node]) -> None:
    """Raise ModelError unless the inputs are those that the nodes need."""
    known, needed = {id(node) for node in inputs}, {id(node) for node in nodes}
    for node in inputs:
        if not node.is_input:
            raise ModelError(f"{node} is given as an input, but is the result of a layer: use nncodegen.Input")
        if id(node) not in needed:
            raise ModelError(f"no output depends on the {node}: leave it out")
    for node in nodes:
        if node.is_input and id(node) not in known:
            raise ModelError(f"the outputs depend on an {node}, which is not among the inputs: give it, too")


def input_titles(inputs: Sequence[Node]) -> list[str]:
    """Return the names of inputs for people: the symbols of an input that has them."""
    named = zip(inputs, input_names(inputs), strict=True)
    return [", ".join(map(str, node.symbols)) or name for node, name in named]


def input_names(inputs: Sequence[Node]) -> list[str]:
    """Return the names of inputs: the given ones, else x, or x1, x2 and so on. Raise ModelError for a duplicate."""
    names = [node.name or ("x" if len(inputs) == 1 else f"x{k}") for k, node in enumerate(inputs, start=1)]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"two inputs have the name {name!r}: give them different ones")
    return names
