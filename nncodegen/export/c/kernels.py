"""Prints plain kernels (see ``schedule.plain``) as C99 that knows nothing but its arguments.

What they call besides is a helper, a header of ``runtime/c/nncodegen/plain``: a printer remembers those that it used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import prod

from nncodegen.emit.elements import noise_arguments
from nncodegen.emit.lines import Lines, wrapped
from nncodegen.emit.loops import told
from nncodegen.emit.names import Names
from nncodegen.emit.printer import Printer
from nncodegen.export.c.dialects import exported
from nncodegen.ir import RECURRENCES, Element, Equation, Step, solve
from nncodegen.ir.equations import affine
from nncodegen.schedule.joined import Compute, Finish, Item, Loop, Start, Test
from nncodegen.schedule.nest import Place
from nncodegen.schedule.plain import PlainKernel

ARRAYS = {
    Place.PARAMETER: "parameters", Place.INPUT: "inputs", Place.TARGET: "targets", Place.OUTPUT: "outputs",
    Place.GRADIENT: "gradient",
}  # fmt: skip
"""The arguments of functions that hold tensors one behind the other."""

NEUTRAL = {"sum": ("0", "0"), "max": ("-HUGE_VAL", "-HUGE_VALF")}
"""What a reduction starts from, in float64 and in float32."""

HELPERS: dict[str, tuple[str, ...]] = {
    n: (n,) for n in "maximum minimum half_expm1 tanh_of power root number_in".split()
}
HELPERS |= {n: ("noise", n) for n in ("dropout", "normal")}
"""What printed text may call -> the headers that define it, in this order."""


class PlainEmitter:
    """Writes the bodies of functions for one sample. ``helpers`` collects what they call."""

    def __init__(self, kernel: PlainKernel, libm: bool, helpers: dict[str, None], lines: Lines) -> None:
        self._kernel, self._helpers, self._lines = kernel, helpers, lines
        self._names = Names(kernel.program.sizes)
        self._solved: set[str] = set()  # the indices that are declared in this block
        for tensor in kernel.program.declared:
            self._names[tensor.name]
        self._printer = Printer(kernel.program.precision, self._value, exported(libm), helpers)

    def emit(self) -> None:
        """Declarations, and the loops; each of the outermost follows a comment that names its steps."""
        self._lines.add(*self._declarations())
        for loops, items in groupby(self._kernel.body, lambda item: isinstance(item, Loop)):
            for number, item in enumerate(items):
                if loops or number == 0:
                    self._lines.add("")
                if loops:
                    self._lines.add(*told(_steps([item]), self.name))
                self._item(item)

    @property
    def arguments(self) -> set[str]:
        """The names of the arguments that are read or written."""
        places = {self._place(e) for step in _steps(self._kernel.body) for e in (step.target, *step.operands)}
        return {"work" if place is Place.ARRAY else ARRAYS.get(place, "") for place in places}

    def name(self, element: Element) -> str:
        """The variable of an element that is in no memory."""
        return self._names[element.tensor]

    def _declarations(self) -> Iterator[str]:
        """Names for the parameters, inputs and arrays that are read."""
        steps = _steps(self._kernel.body)
        read = {element.tensor: element for step in steps for element in (step.target, *step.operands)}
        for name, storage in self._kernel.storage.items():
            if name not in read:
                continue
            array, text, offset = ARRAYS.get(storage.place), self._names[name], storage.offset
            if storage.place in (Place.PARAMETER, Place.INPUT, Place.TARGET) and not read[name].indices:
                yield f"const real {text} = {array}[{offset}];"
            elif storage.place is Place.PARAMETER:
                yield f"const real *const {text} = parameters{f' + {offset}' if offset else ''};"
            elif storage.place is Place.ARRAY:
                yield f"real *const {text} = work{f' + {offset}' if offset else ''};"

    def _item(self, item: Item) -> None:
        if isinstance(item, Loop):
            index, size = item.index, item.size
            forward = f"for (size_t {index} = 0; {index} < {size}; {index}++)"
            with self._lines.block(forward if item.forward else f"for (size_t {index} = {size}; {index}-- > 0;)"):
                self._body(item.body)
        elif isinstance(item, Test):
            self._test(item)
        elif isinstance(item, Start):
            neutral = self._neutral(item.step)
            self._lines.add(f"real {self._variable(item.step)} = {neutral};")
        elif isinstance(item, Finish):
            if self._place(item.step.target) is not Place.LOCAL:
                self._lines.add(f"{self._stored(item.step.target)} = {self._variable(item.step)};")
        else:
            self._lines.add(*wrapped(self._statement(item.step), "[-+]"))

    def _test(self, test: Test) -> None:
        """Where an equation holds; what would be below 0 is a very large number, which no index is."""
        solution = test.equation
        if isinstance(solution, Equation):
            condition = self._condition(solution)
        else:
            terms = [(self._value(e) if isinstance(e, Element) else e, factor) for e, factor in solution.terms]
            dividend, size = affine(terms, solution.offset), test.size
            value = dividend if solution.divisor == 1 else f"({dividend})/{solution.divisor}"
            if solution.gathers:
                self._helpers["number_in"] = None
                value = f"number_in({value}, {size})"
            if solution.index in self._solved:  # another value of the same index
                with self._lines.block(""):
                    self._body([test])
                return
            self._solved.add(solution.index)
            self._lines.add(f"const size_t {solution.index} = {value};")
            condition = f"{solution.index} < {size}"
            condition += f" && {solution.divisor}*{solution.index} == {dividend}" if solution.divisor > 1 else ""
        with self._lines.block(f"if ({condition})"):
            self._body(test.body)

    def _body(self, items: Sequence[Item]) -> None:
        """What is in a block, where indices that equations give are variables of its own.

        An index that several equations give there has a block for each, so that none hides another.
        """
        equations = [item.equation for item in items if isinstance(item, Test)]
        given = Counter(one.index for one in equations if not isinstance(one, Equation))
        outer, self._solved = self._solved, {index for index, times in given.items() if times > 1}
        for item in items:
            self._item(item)
        self._solved = outer

    def _condition(self, equation: Equation) -> str:
        """That an equation holds, in C."""
        if isinstance(equation.left, str):
            return f"{equation.left} == {equation.right}"
        return f"{self._value(equation.left)} == {_real(equation.right)}"

    def _neutral(self, step: Step) -> str:
        """What a reduction starts from; the number of terms where the first of them is looked for."""
        if step.operator == "first":
            return str(prod(size for _, size in self._numbers(step)))
        return NEUTRAL[step.operator or ""][self._kernel.program.precision == "float32"]

    def _numbers(self, step: Step) -> list[tuple[str, int]]:
        """The indices that number the terms of a reduction, with their sizes."""
        sizes = self._kernel.program.sizes
        return [(index, sizes[index] or 1) for index in solve(step.where, step.over, sizes).free]

    def _recurred(self, step: Step) -> str:
        """What the iteration before has left; 0 in the first."""
        (index,), (held,) = step.over, step.operands
        if step.operator == "before":
            return f"{index} > 0 ? {self._value(held.renamed({index: f'({index} - 1)'}))} : 0"
        there = f"{index} + 1 < {self._kernel.program.sizes[index]}"
        return f"{there} ? {self._value(held.renamed({index: f'({index} + 1)'}))} : 0"

    def _statement(self, step: Step) -> str:
        value = self._recurred(step) if step.operator in RECURRENCES else self._printer.print(step.expression)
        if step.where and not step.over:
            value = f"{' && '.join(map(self._condition, step.where))} ? {value} : 0"
        if step.operator == "first":
            pairs, name = self._numbers(step), self._variable(step)
            number = affine([(index, prod(size for _, size in pairs[k:])) for k, (index, _) in enumerate(pairs, 1)], 0)
            return f"{name} = {name} == {self._neutral(step)} && {value} != 0 ? {_real(number)} : {name};"
        if step.operator == "sum":
            return f"{self._variable(step)} += {value};"
        if step.operator == "max":
            self._helpers["maximum"] = None
            return f"{self._variable(step)} = maximum({self._variable(step)}, {value});"
        if self._place(step.target) is Place.LOCAL:
            return f"const real {self.name(step.target)} = {value};"
        added = "+" if self._place(step.target) is Place.GRADIENT else ""
        return f"{self._stored(step.target)} {added}= {value};"

    def _variable(self, step: Step) -> str:
        """The variable in which a reduction is computed."""
        name = self.name(step.target)
        return name if self._place(step.target) is Place.LOCAL else self._names.current(name)

    def _place(self, element: Element) -> Place:
        return self._kernel.storage[element.tensor].place

    def _value(self, element: Element) -> str:
        place = self._place(element)
        if place is Place.WEIGHT:
            return "weight"
        if place is Place.LOCAL or (place in ARRAYS and not element.indices):
            return self.name(element)
        return self._stored(element)

    def _stored(self, element: Element) -> str:
        """An element in memory."""
        storage = self._kernel.storage[element.tensor]
        if storage.place is Place.IDENTITY:
            return f"(real) ({' == '.join(element.indices)})"
        pairs = zip(element.indices, storage.strides, strict=True)
        moving = [(index, stride) for index, stride in pairs if stride and not index.isdigit()]
        texts = [index if stride == 1 else f"{stride}*{index}" for index, stride in moving]
        number = sum(stride * int(i) for i, stride in zip(element.indices, storage.strides, strict=True) if i.isdigit())
        if storage.place is Place.NOISE:
            return self._noise(storage.offset, " + ".join(texts) or "0")
        own = storage.place in (Place.PARAMETER, Place.ARRAY)  # they have pointers of their own
        number += 0 if own else storage.offset
        texts += [str(number)] if number or not texts else []
        return f"{self.name(element) if own else ARRAYS[storage.place]}[{' + '.join(texts)}]"

    def _noise(self, number: int, unit: str) -> str:
        """A random number: of a layer, by its number, and of a unit."""
        source = self._kernel.program.noise[number]
        self._helpers[source.distribution] = None
        return f"{source.distribution}_noise(noise, {number + 1}, {unit}, {noise_arguments(source)})"


def _real(number: str) -> str:
    """A whole number as a real one, in C."""
    return f"(real) {number}" if number.isidentifier() else f"(real) ({number})"


def _steps(items: Iterable[Item]) -> list[Step]:
    """The steps in loops."""
    found = []
    for item in items:
        found += (
            _steps(item.body) if isinstance(item, Loop | Test) else [item.step] if isinstance(item, Compute) else []
        )
    return found
