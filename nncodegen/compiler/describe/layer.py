"""Layers, and the graphs that users build of them: a node is an input or the result of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

from numpy.typing import NDArray
from sympy import Add as Sum
from sympy import Expr, Mul, Symbol

from nncodegen.compiler.describe.activations import usual_activation
from nncodegen.compiler.describe.call import Call, Part, Shape, checked_name, layer_name
from nncodegen.compiler.describe.unknowns import symbols_of
from nncodegen.compiler.describe.written import layer_text
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.renamed import renamed

Array = NDArray[Any]


class Layer:
    """One stage of a network. To make one, write a class with the method ``describe``.

    A layer takes its place in a list, ``Sequential([...])``, or is called on the result of another: ``Dense(3)(x)``. An
    object that is called twice has the same parameters both times. ``name`` replaces its number in names.
    """

    name: str = ""

    elsewhere: ClassVar[Mapping[str, tuple[str, str | tuple[str, ...]]]] = {}
    """By the letters of a parameter: its name in Keras, and in PyTorch, which may split it into several arrays."""

    def taken_over(self, letters: str, values: Array, origin: str) -> Array:
        """Return the values of a parameter, as "keras" or "torch" has them, with axes in the order that they have here.

        Several arrays are stacked along the first axis.
        """
        return values

    def describe(self, call: Call) -> Part:
        """Write one use of the layer as steps: ``Call`` documents what it is given, and how it writes them.

        Raise ModelError for an input that does not fit.
        """
        raise NotImplementedError

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # so that a dataclass does not replace it

    def __repr__(self) -> str:
        return layer_text(self)

    def __call__(self, *inputs: Node) -> Node:
        """Return the result for one or several inputs, as a node of a graph."""
        return Node.of(self, inputs)


@dataclass(frozen=True)
class Standard(Layer):
    """A layer with a name, the base class of all layers that come with nncodegen."""

    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        """Give activations their usual names, "relu" for "ReLU"."""
        for role in ("activation", "recurrent_activation"):
            if hasattr(self, role):
                object.__setattr__(self, role, usual_activation(getattr(self, role)))


with_old_names = renamed("0.3.0", bias="use_bias", initializer="kernel_initializer")
"""A decorator for layers of which two arguments had other names than Keras's."""


class Node:
    """A value in a graph of layers: an input, or the result of a layer, which may be given to other layers.

    ``a + b``, ``a - b`` and ``a * b`` are nodes as well. ``shape`` is that of an input. A further result of a layer,
    such as a state, is a node without a layer: its only input is the node of the output, and ``place`` is its number,
    from 1 on. ``symbols`` are those that the values of an input stand for in equations, if any. ``arguments`` are the
    names of the arguments of the call, where a layer has several: those of its inputs, in order, then options that are
    True.
    """

    symbols: tuple[Symbol, ...] = ()
    arguments: tuple[str, ...] = ()

    def __init__(
        self, layer: Layer | None, inputs: tuple[Node, ...], name: str = "", shape: Shape = (), place: int = 0
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.name = name
        self.shape = shape
        self.place = place

    @property
    def is_input(self) -> bool:
        """Return whether the node is an input of a network, and not the result of a layer."""
        return self.layer is None and not self.place

    def further(self, place: int, what: str = "") -> Node:
        """Return the node of a further result of the layer: see ``Part.further``. what is appended to its name."""
        return Node(None, (self,), f"{self.name}_{what}" if self.name and what else "", place=place)

    @classmethod
    def of(cls, layer: Layer, inputs: Sequence[Any]) -> Node:
        """Return the result of a layer for inputs, or for a list of them. Raise ModelError unless they are nodes."""
        (first, *rest) = inputs or (None,)
        nodes = tuple(first) if isinstance(first, list | tuple) and not rest else tuple(inputs)
        for node in nodes:
            if not isinstance(node, Node):
                raise ModelError(
                    f"{type(layer).__name__} is called with {node!r}, which is neither an nncodegen.Input nor the "
                    f"result of a layer"
                )
        if not nodes:
            raise ModelError(f"{type(layer).__name__} is called without an input")
        return cls(layer, nodes, layer_name(layer))

    def __add__(self, other: Any) -> Node:
        return _merged(Add(), self, other)

    def __sub__(self, other: Any) -> Node:
        return _merged(Subtract(), self, other)

    def __mul__(self, other: Any) -> Node:
        return _merged(Multiply(), self, other)

    def __repr__(self) -> str:
        if self.place:
            return f"<extra output {self.place} of {self.inputs[0]!r}>"
        shape = f"symbols {', '.join(map(str, self.symbols))}" if self.symbols else f"shape {self.shape}"
        what = f"{type(self.layer).__name__}" if self.layer else f"Input of the {shape}"
        return f"<{what}{f', {self.name!r}' if self.name else ''}>"


def _merged(layer: Merge, node: Node, other: Any) -> Node:
    return layer(node, other) if isinstance(other, Node) else NotImplemented


@dataclass(frozen=True)
class Merge(Standard):
    """A function of the values of several inputs at the same place. An axis of size 1 goes with any size."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return the result for one value of each input."""
        raise NotImplementedError

    def describe(self, call: Call) -> Part:
        """Write the step h = join(inputs)."""
        if len(call.inputs) < 2:
            raise ModelError(f"{call.role}, {type(self).__name__}, needs at least two inputs, not {len(call.inputs)}")
        values, indices = call.aligned()
        joined = self.join(values)
        if joined.is_number:
            raise ModelError(
                f"{call.role}, {type(self).__name__}, gives {joined} for all samples, as its inputs are the same; "
                f"give it two different ones"
            )
        return call.output(joined, indices)


class Add(Merge):
    """The sum of its inputs."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return a + b + ..."""
        return Sum(*values)


class Subtract(Merge):
    """The first of two inputs minus the second."""

    def describe(self, call: Call) -> Part:
        """Write the step h = a - b."""
        if len(call.inputs) != 2:
            raise ModelError(f"{call.role}, Subtract, needs two inputs, not {len(call.inputs)}")
        return super().describe(call)

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return a - b."""
        first, second = values
        return first - second


class Multiply(Merge):
    """The product of its inputs."""

    def join(self, values: Sequence[Expr]) -> Expr:
        """Return a*b*..."""
        return Mul(*values)


def Input(  # noqa: N802 (it is written like the layers)
    shape: int | Iterable[int] | Symbol | Iterable[Symbol], name: str = ""
) -> Node:
    """Return an input of a network. shape is the number of values in a sample, or their shape, such as (28, 28, 1).

    Its name is that of a tensor: by default x, or x1, x2 and so on for several inputs. For equations in the loss, it is
    given by SymPy's symbols, which are its values and name them, in place of a shape: ``Input(x)``, ``Input((x, t))``.
    Raise ModelError for another shape or name.
    """
    several = (shape,) if isinstance(shape, Symbol) else shape
    if isinstance(several, list | tuple) and any(isinstance(symbol, Symbol) for symbol in several):
        if name:
            raise ModelError(f"an input of symbols is named by them: leave out the name {name!r}")
        symbols = symbols_of(several, "the symbols of an input")
        node = Node(None, (), "", (len(symbols),))
        node.symbols = symbols
        return node
    return Node(None, (), checked_name(name, "an input"), shape_of(shape, "the shape of an input"))


def shape_of(shape: Any, role: str) -> Shape:
    """Return a shape, given as one size or several. Raise ModelError, which names the role, for anything else."""
    if not isinstance(shape, list | tuple):
        return (positive_integer(shape, role),)
    if not shape:
        raise ModelError(f"{role} must have at least one size")
    return tuple(positive_integer(size, role) for size in shape)


def positive_integer(value: Any, role: str) -> int:
    """Return an integer above 0. Raise ModelError otherwise."""
    if not is_integer(value) or value < 1:
        raise ModelError(f"{role} must be a positive integer, not {value!r}")
    return int(value)


def is_integer(value: Any) -> bool:
    """Return whether a value is an integer of any type; True and False do not count as integers."""
    return isinstance(value, Integral) and not isinstance(value, bool)
