"""One use of a layer: what it is given, and methods to write its result as steps in index notation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sympy import Expr

from nncodegen.compiler.describe.initializers import initial
from nncodegen.compiler.ir import SAMPLE, Element, Equation, Initial, Noise, Step, Tensor
from nncodegen.errors import ModelError

Shape = tuple[int, ...]
"""The sizes of the axes of one sample."""

PRESENT = "present"
"""The default name of the sample mask, the tensor that is 1 for each sample."""

Number = int | str
"""The number of a layer; for a layer inside another one, both numbers, such as "2_1"."""


@dataclass(frozen=True)
class Copy:
    """A copy of an element under other indices: those of ``target`` replace those of ``source``, in the same order."""

    target: Element
    source: Element

    @property
    def step(self) -> Step:
        """Return the step that copies the values."""
        pairs = [pair for pair in zip(self.target.indices, self.source.indices, strict=True) if pair[0] != pair[1]]
        where = tuple(Equation(target, ((source, 1),)) for target, source in pairs)
        return Step(self.target, self.source, "sum", tuple(source for _, source in pairs), where)


@dataclass(frozen=True)
class Part:
    """The contribution of one use of a layer to a Program.

    ``output`` is the element that holds its result: its first index is that of the samples, and one follows for each
    axis of ``shape``; ``formula`` is the same result as an expression. The loss is written with the formula of an
    output, so that a logarithm in the loss can cancel an exponential in the formula.
    """

    parameters: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    output: Element
    formula: Expr
    shape: Shape
    noise: tuple[Noise, ...] = ()
    copies: tuple[Copy, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    """The sizes of the indices that the layer has introduced."""
    unflattened: Element | None = None
    """The output before it was flattened, if it was: a sum over the output may be written with these indices."""
    inside: tuple[tuple[str, int], ...] = ()
    """The sizes of the indices of ``unflattened``."""
    further: tuple[tuple[Element, Shape], ...] = ()
    """Further results in addition to the output, such as states, each with its shape."""
    statistics: tuple[tuple[str, str], ...] = ()
    """The tensors that are statistics of a batch, each with the parameter that follows it, under the same indices."""


class Indices:
    """Names of indices that are not used yet: i, j, k, ...; with a prefix: prefix1, prefix2, ...

    n is reserved for the samples.
    """

    def __init__(self, prefix: str = "") -> None:
        self._names = self._letters() if not prefix else self._numbered(prefix)
        self._given = 0

    def next(self) -> str:
        """Return the next unused name."""
        self._given += 1
        return next(self._names)

    def skip_to(self, count: int) -> None:
        """Skip names until at least ``count`` of them have been given out."""
        while self._given < count:
            self.next()

    def _letters(self) -> Iterator[str]:
        yield from "ijklmopqrstuvwz"  # x and y are tensors
        while True:
            yield f"i{self._given - 1}"

    def _numbered(self, prefix: str) -> Iterator[str]:
        yield prefix
        while True:
            yield f"{prefix}_{self._given}"


class Writer(Protocol):
    """The receiver of new steps: a call of a layer, or a graph that is read."""

    def index(self, size: int) -> str:
        """Return an unused index of the given size."""

    def step(
        self,
        letters: str,
        indices: Iterable[str],
        value: Expr,
        operator: str | None = None,
        over: Iterable[str] = (),
        where: Iterable[Equation] = (),
    ) -> Element:
        """Define a tensor: ``letters[indices] = operator(over) value where equations``; return its element."""


class Call:
    """One use of a layer: its inputs, and methods to write its result.

    ``inputs`` are elements: the first index of each is that of the samples, and one follows for each axis of its shape
    in ``shapes``; ``x`` and ``shape`` are those of a layer with one input. ``feeds_loss`` says whether the result is an
    output of the network, ``of_input`` whether the input of the layer is an input of the network. ``number`` is that of
    the layer; ``role`` is its name in errors. ``arguments`` are the names of the arguments, where the layer has names.
    """

    def __init__(
        self,
        inputs: Sequence[Element],
        shapes: Sequence[Shape],
        number: Number,
        fresh: Callable[[], str],
        feeds_loss: bool = False,
        name: str = "",
        use: int = 1,
        source: Part | None = None,
        of_input: bool = False,
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.arguments = arguments
        self.inputs, self.shapes = tuple(inputs), tuple(shapes)
        self.number, self.feeds_loss, self.of_input = number, feeds_loss, of_input
        self.role = f"layer {number} ({name})" if name else f"layer {number}"
        self._name, self._use, self._fresh = name, use, fresh
        self.unflattened = source.unflattened if source else None
        self._sizes = {
            index: size
            for element, shape in zip(self.inputs, self.shapes, strict=True)
            for index, size in zip(element.indices[1:], shape, strict=True)
        }
        self._given = tuple(self._sizes)
        self._sizes |= dict(source.inside if source else ())
        self._parameters: list[Tensor] = []
        self._steps: list[Step] = []
        self._noise: list[Noise] = []
        self._copies: list[Copy] = []
        self._statistics: list[tuple[str, str]] = []

    # --- inputs --------------------------------------------------------------------------------------------------

    @property
    def x(self) -> Element:
        """Return the only input. Raise ModelError where the layer has several."""
        if len(self.inputs) != 1:
            raise ModelError(f"{self.role} takes one input, not {len(self.inputs)}")
        return self.inputs[0]

    @property
    def shape(self) -> Shape:
        """Return the shape of the only input. Raise ModelError where the layer has several."""
        self.x  # noqa: B018 (this raises an error for several inputs)
        return self.shapes[0]

    def axes(self, number: int) -> tuple[str, ...]:
        """Return the indices of the axes of an input, the first of which is that of the samples."""
        return self.inputs[number].indices

    def size(self, index: str) -> int:
        """Return the size of an index of an input, or of one that ``index`` returned."""
        return self._sizes[index]

    def refuse(self, needs: str) -> ModelError:
        """Return the error for an input that does not fit: "needs ..., but its input has the shape (3, 4)"."""
        if len(self.shapes) == 1:
            return ModelError(f"{self.role} needs {needs}, but its input has the shape {told(self.shapes[0])}")
        return ModelError(
            f"{self.role} needs {needs}, but its inputs have the shapes {', '.join(map(told, self.shapes))}"
        )

    # --- results -------------------------------------------------------------------------------------------------

    def index(self, size: int) -> str:
        """Return an unused index of the given size."""
        index = self._fresh()
        self._sizes[index] = size
        return index

    def axis(self, size: int) -> tuple[str, ...]:
        """Return the indices of a new axis of the given size: one here, and none where size 1 has no index."""
        return (self.index(size),)

    def named(self, letters: str) -> str:
        """Return the name of a tensor of this layer: letters, followed by the number or the name of the layer."""
        name = f"{letters}_{self._name}" if self._name else f"{letters}{self.number}"
        return name if self._use == 1 else f"{name}_call{self._use}"

    def parameter(
        self,
        letters: str,
        indices: Iterable[str],
        initializer: str | float | Initial,
        fans: tuple[int, int] | None = None,
        penalized: bool = True,
        trained: bool = True,
    ) -> Element:
        """Return a parameter under indices, such as "W" for W1. All uses of a layer share it.

        fans are the numbers of inputs and outputs from which an initializer derives its scale: by default the sizes of
        the last and the first index. The penalties l1 and l2 apply to parameters that are ``penalized``.
        """
        name = f"{letters}_{self._name}" if self._name else f"{letters}{self.number}"
        element = Element(name, indices)
        shape = tuple(self.size(index) for index in element.indices)
        fan_in, fan_out = fans or ((shape[-1], shape[0]) if shape else (1, 1))
        start = initial(initializer, fan_in, fan_out)
        if start.values and len(start.values) != 8 * math.prod(shape):
            raise ModelError(f"{self.role} cannot start {name} with {initializer!r}: that is for matrices of one layer")
        self._parameters.append(Tensor(name, shape, start, penalized=penalized, trained=trained))
        return element

    @property
    def present(self) -> Element:
        """Return the sample mask: 1 for samples of a batch, 0 for padding; multiply every sum over samples by it."""
        return Element(PRESENT, (SAMPLE,))

    def follow(self, letters: str, statistic: Element, initializer: str | float | Initial, momentum: float) -> Element:
        """Return a parameter that follows a statistic of the batches, and replaces it in predictions: a moving average.

        After each update it is momentum*itself + (1 - momentum)*statistic. The statistic is computed over the samples
        (``present``) and has no index of samples.
        """
        element = self.parameter(letters, statistic.indices, initializer, (1, 1), penalized=False, trained=False)
        self._parameters[-1] = replace(self._parameters[-1], momentum=float(momentum))
        self._statistics.append((statistic.tensor, element.tensor))
        return element

    def noise(self, letters: str, indices: Sequence[str], distribution: str, scale: float) -> Element:
        """Return random numbers under the index of the samples and other indices: see ``ir.Noise``."""
        element = Element(self.named(letters), indices)
        shape = tuple(self.size(index) for index in indices[1:])
        self._noise.append(Noise(Tensor(element.tensor, (None, *shape)), distribution, scale))
        return element

    def step(
        self,
        letters: str,
        indices: Iterable[str],
        value: Expr,
        operator: str | None = None,
        over: Iterable[str] = (),
        where: Iterable[Equation] = (),
    ) -> Element:
        """Define a tensor: ``letters[indices] = operator(over) value where equations``; return its element."""
        element = Element(self.named(letters), indices)
        self._steps.append(Step(element, value, operator, tuple(over), tuple(where)))
        return element

    def output(self, value: Expr, indices: Sequence[str] | None = None, letters: str = "h") -> Part:
        """Return the part whose result is a value, by default under the indices of the only input."""
        return self.part(self.step(letters, self.x.indices if indices is None else indices, value), value)

    def part(self, output: Element, formula: Expr | None = None, further: Iterable[Element] = ()) -> Part:
        """Return the part whose result is an element, which is an input or defined by a step.

        The formula of the result is the element itself, unless it is given. further are additional results.
        """
        return Part(
            tuple(self._parameters),
            tuple(self._steps),
            output,
            output if formula is None else formula,
            self.shape_of(output),
            tuple(self._noise),
            tuple(self._copies),
            tuple((index, size) for index, size in self._sizes.items() if index not in self._given),
            further=tuple((element, self.shape_of(element)) for element in further),
            statistics=tuple(self._statistics),
        )

    def shape_of(self, element: Element) -> Shape:
        """Return the sizes of the indices of an element, without that of the samples."""
        return tuple(self.size(index) for index in element.indices[1:])

    def aligned(self) -> tuple[tuple[Element, ...], tuple[str, ...]]:
        """Return all inputs under the same indices, and these indices.

        Axes have the same sizes, or size 1: such an axis is left out. Raise ModelError for other shapes.
        """
        if len({len(shape) for shape in self.shapes}) != 1:
            raise self.refuse("inputs with the same number of axes")
        indices = [SAMPLE]
        for axis, sizes in enumerate(zip(*self.shapes, strict=True), start=1):
            first = max(range(len(sizes)), key=lambda k: sizes[k])  # the first input of the largest size
            if any(size not in (1, sizes[first]) for size in sizes):
                raise self.refuse("inputs of one shape, or with axes of size 1")
            indices.append(self.inputs[first].indices[axis])
        return tuple(self._under(indices, k) for k in range(len(self.inputs))), tuple(indices)

    def _under(self, indices: Sequence[str], k: int) -> Element:
        """Return an input under given indices, without those of axes that have size 1 only in this input."""
        element = self.inputs[k]
        pairs = list(zip(element.indices, indices, strict=True))
        single = tuple(own_index for own_index, index in pairs[1:] if self.size(own_index) < self.size(index))
        left, wanted = (tuple(pair[side] for pair in pairs if pair[0] not in single) for side in (0, 1))
        if single:
            element = self.step(f"narrow{k + 1}_", left, element, "sum", single)
        return self.under(element, wanted, f"input{k + 1}_")

    def under(self, element: Element, indices: tuple[str, ...], letters: str) -> Element:
        """Return the values of an element under other indices of the same sizes."""
        if element.indices == indices:
            return element
        copy = Copy(Element(self.named(letters), indices), element)
        self._copies.append(copy)
        self._steps.append(copy.step)
        return copy.target

    def inner(self, layer: Any, place: int, prefix: str, x: Element, shape: Shape) -> tuple[Element, Shape]:
        """Return the result of a layer inside this one, and its shape. Its first index has the name ``prefix``."""
        call = Call([x], [shape], f"{self.number}_{place}", Indices(prefix).next, name=layer_name(layer), use=self._use)
        part = alone(described(layer, call), call)
        self._parameters += part.parameters
        self._steps += part.steps
        self._noise += part.noise
        self._copies += part.copies
        self._statistics += part.statistics
        self._sizes |= call._sizes
        return part.output, part.shape


def layer_name(layer: Any) -> str:
    """Return the name that the user gave to a layer, or "". Raise ModelError for a name that is not allowed."""
    return checked_name(getattr(layer, "name", ""), "a layer")


def checked_name(name: Any, role: str) -> str:
    """Return a name, or "" for none. Raise ModelError, which says of what it is the name, for one that is no word."""
    if not isinstance(name, str) or not (name.isidentifier() or not name):
        raise ModelError(f"the name of {role} is a word of letters, digits and underscores, not {name!r}")
    return name


def check_names(layers: Iterable[Any]) -> None:
    """Raise ModelError where two of the layers have the same name."""
    names = [name for name in map(layer_name, layers) if name]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"two layers have the name {name!r}: give them different ones")


def described(layer: Any, call: Call) -> Part:
    """Return the part of one use of a layer. Raise ModelError unless it consists of expressions of the right shape.

    Other objects are refused, because SymPy would execute a text among them.
    """
    if len(inspect.signature(layer.describe).parameters) != 1:
        raise ModelError(
            f"{call.role}, a {type(layer).__name__}, has a method describe{inspect.signature(layer.describe)}: "
            f"it takes one argument, a nncodegen.Call, and returns a nncodegen.Part"
        )
    part = layer.describe(call)
    formulas = (part.formula, *(step.expression for step in part.steps)) if isinstance(part, Part) else (part,)
    for formula in formulas:
        if not isinstance(formula, Expr):
            raise ModelError(
                f"{call.role} describes itself with {formula!r}: return a Part whose formulas are SymPy expressions"
            )
    checked: Part = part
    if len(checked.output.indices) != len(checked.shape) + 1 or checked.output.indices[0] != SAMPLE:
        raise ModelError(
            f"the output of {call.role} is {checked.output}, its shape {told(checked.shape)}: "
            f"its first index is {SAMPLE}, and one follows for each axis"
        )
    return checked


def alone(part: Part, call: Call) -> Part:
    """Return the part of a layer in a stack, which has one result. Raise ModelError where it has more."""
    if part.further:
        raise ModelError(
            f"{call.role} returns its states in addition to its output, but a stack of layers takes the "
            f"output alone: leave out return_state, or make an nncodegen.Network, as in: h, *states = "
            f"nncodegen.GRU(8, return_state=True)(x)"
        )
    return part


def told(shape: Shape) -> str:
    """Return a shape as text."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def count(shape: Shape) -> int:
    """Return the number of values of a shape."""
    return math.prod(shape)
