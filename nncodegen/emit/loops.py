"""The one printer of kernels: nests of loops in C, for every plan of ``schedule.kernel``.

What a nest does is already decided (see ``schedule.axes``). The plans differ in two things here: for a group of models,
there is a further loop over the models, which is innermost; and a sum over samples is computed in local variables for a
tile, in memory for a group of models, and is a single term for a single sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from itertools import groupby
from math import prod

from nncodegen.emit.calls import Calls
from nncodegen.emit.elements import Elements
from nncodegen.emit.lines import Lines
from nncodegen.emit.printer import Printer
from nncodegen.ir import SAMPLE, Element, Equation, Step
from nncodegen.ir.equations import affine
from nncodegen.schedule import Filling, Nest, Padding, Place, Role, Shape, Statement, When
from nncodegen.schedule.around import Move
from nncodegen.schedule.heads import first_of, heads_of

CONDITIONS = {
    When.LOSS: "with_loss", When.FEW: "count < FEW", When.MANY: "samples >= FEW", When.BLAS: "gemm",
    When.NO_BLAS: "!gemm", When.ADDED: "scale != 0",
}  # fmt: skip

NEUTRAL = {"sum": "0", "max": "-HUGE_VAL"}
"""What a reduction starts from."""

INDEPENDENT, INDEPENDENT_SHORT = "INDEPENDENT", "INDEPENDENT_FEW"
"""The marks of loops whose arrays compilers need not check for overlap, and of such loops of few iterations."""


class LoopPrinter:
    """Prints the nests of a kernel."""

    def __init__(self, elements: Elements, calls: Calls, lines: Lines) -> None:
        self._at, self._kernel, self._calls, self._lines = elements, elements.kernel, calls, lines
        self._printer = Printer(elements.program.precision, lambda element: elements.value(element, self._local))
        self._exists: list[str] = []  # the conditions under which there is a term of the current sum
        self._local: frozenset[str] = frozenset()  # the tensors that the current loop computes
        self._models = self._kernel.plan.models is Role.VECTOR
        self.take: Callable[[Statement, str], Iterable[str]] | None = None
        """What becomes of the only term of a sum, where it is not added to the sum."""

    def print(self, nests: Iterable[Nest]) -> None:
        """The nests, one after the other, each after a comment that names its steps.

        Neighbours that depend on each other share a loop over time, and those of a sweep one over its segments.
        """
        for segments, sweep in groupby(nests, lambda nest: nest.segments):
            if not segments:
                self._in_time(sweep)
                continue
            self._lines.add("", f"/* {segments.title} */", *map(self._move, segments.before))
            with self._lines.block(segments.head):
                self._lines.add(segments.limits, *map(self._move, segments.begin))
                self._in_time(sweep)
                self._lines.add(*map(self._move, segments.end))

    def _move(self, move: Move) -> str:
        """Makes a row that of another array, or 0."""
        tile = "" if self._kernel.plan.samples is Role.ABSENT else "*TILE"
        size = f"{prod(map(self._at.size, move.rest))}{tile}*sizeof(real)"
        call, source = ("memcpy", f"&{self._at.stored(move.source)}") if move.source else ("memset", "0")
        return f"{call}(&{self._at.stored(move.target)}, {source}, {size});"

    def _in_time(self, nests: Iterable[Nest]) -> None:
        for repeat, group in groupby(nests, lambda nest: nest.repeat):
            with ExitStack() as around:
                self._lines.add(*([""] if repeat else []), *map(self._move, repeat.begins if repeat else ()))
                if repeat:
                    around.enter_context(self._lines.block(repeat.head))
                self._in_blocks(group)

    def _in_blocks(self, nests: Iterable[Nest]) -> None:
        """Neighbours that run on the same condition, with nothing in their place otherwise, share one block."""
        for when, group in groupby(nests, _only_when):
            members = list(group)
            self._lines.add("")
            if when and len(members) > 1:
                with self._lines.block(f"if ({CONDITIONS[when]})"):
                    self._print([nest.branch.then for nest in members if nest.branch])
            else:
                self._print(members)

    def _print(self, nests: Sequence[Nest]) -> None:
        for number, nest in enumerate(nests):
            if number:
                self._lines.add("")
            self._comment(nest)
            self._nest(nest)

    def _comment(self, nest: Nest) -> None:
        """Says which steps a nest came from, in names of C: a user's text could end the comment."""
        names = self._at.names
        sources = self._kernel.sources

        def name_of(element: Element) -> str:
            return names[sources.get(element.tensor, element.tensor)]

        if not nest.outer and not nest.reduced and len(nest.steps) > 1:  # the statements are the steps
            self._lines.add(f"/* {name_of(nest.steps[0].target)} to {name_of(nest.steps[-1].target)} */")
            return
        self._lines.add(*told(nest.steps, name_of))

    def _nest(self, nest: Nest) -> None:
        if nest.branch:
            with self._lines.block(f"if ({CONDITIONS[nest.branch.when]})"):
                self._nest(nest.branch.then)
            if nest.branch.otherwise:
                with self._lines.block("else"):
                    self._nest(nest.branch.otherwise)
        elif nest.shape is not Shape.LOOPS:
            with self._outer(nest.around, nest):
                self._lines.add(*self._calls.of(nest))
        elif nest.sums:
            self._sums(nest)
        elif nest.reduced:
            self._reduction(nest)
        else:
            with self._innermost(nest.loops, nest, INDEPENDENT):
                for number in range(len(nest.statements)):
                    self._part(number, nest)
        for padding in nest.padding:
            self._pad(nest, padding)

    # Statements of one value of each index.

    def _part(self, number: int, nest: Nest) -> None:
        """The statements of one part of a nest.

        Where its loops are cut, values of earlier parts are read from arrays; otherwise they are still in variables.
        """
        *before, own = nest.statements[: number + 1]
        if before:
            read = {element for statement in own for element in statement.operands}
            arrays = [statement.target for part in before for statement in part]
            left = [statement.target for statement in before[-1] if statement.target.tensor in self._kernel.crossing]
            self._lines.again(
                "CUT",
                [f"{self._at.stored(element)} = {self._at.local(element)};" for element in left],
                self._innermost_heads(nest.loops, nest, INDEPENDENT),
                [f"const real {self._at.local(e)} = {self._at.stored(e)};" for e in arrays if e in read],
            )
        self._statements([*before, own], nest)

    def _statements(self, parts: Sequence[Sequence[Statement]], nest: Nest) -> None:
        """The statements of the last of some parts, after the inputs and targets that they read."""
        own, later = parts[-1], nest.statements[len(parts) :]
        self._local = frozenset(s.target.tensor for part in parts for s in part if not s.summed)
        read = sorted({element for statement in own for element in statement.operands}, key=str)
        self._lines.add(*self._at.loads(read))
        used = {element for part in (own, *later) for statement in part for element in statement.operands}
        for statement in own:
            self._lines.add(*self._statement(statement, nest, statement.target in used))
        self._local = frozenset()

    def _statement(self, statement: Statement, nest: Nest, used: bool) -> Iterator[str]:
        """Computes a value and stores it in its place; if used, also in a local variable for other statements."""
        place, name = self._at.place(statement.target), self._at.name(statement.target)
        value = given(self._value(statement), [*self._exists, *map(self._condition, statement.where)])
        if statement.summed:
            yield from self._term(statement, value, nest)
        elif place is Place.LOCAL:
            yield f"const real {name} = {value};"
        elif place is Place.ARRAY and used:
            yield f"const real {self._at.local(statement.target)} = {value};"
            if statement.target.tensor not in self._kernel.crossing:
                yield f"{self._at.stored(statement.target)} = {self._at.local(statement.target)};"
        elif place is Place.SUM:  # of one sample
            yield f"{self._at.stored(statement.target)} += {self._double(value)};"
        elif nest.added:
            factor = value if isinstance(statement.terms[0], Element) else f"({value})"
            yield f"{self._at.stored(statement.target)} += scale*{factor};"
        else:
            yield f"{self._at.stored(statement.target)} = {value};"

    def _double(self, value: str) -> str:
        """A value that is added to one in double, in whatever precision it is."""
        cast = value if value.isidentifier() else f"({value})"
        return f"(double) {cast}" if self._at.program.precision == "float32" else value

    def _value(self, statement: Statement) -> str:
        """The value of a statement: its only term, their sum or the largest of them."""
        first, *others = (self._printer.print(term) for term in statement.terms)
        for value in others:
            first = f"({first} > {value} ? {first} : {value})" if statement.operator == "max" else f"{first} + {value}"
        return first

    def _gathered(self, nest: Nest) -> list[str]:
        """Adds the indices whose values an array has; returns the conditions under which a term exists, in C."""
        texts = []
        for solution in nest.solved.solutions if nest.solved else ():
            if not solution.gathers:
                continue
            terms = [(self._at.value(e, self._local) if isinstance(e, Element) else e, f) for e, f in solution.terms]
            size = self._at.size(solution.index)
            self._lines.add(f"const size_t {solution.index} = number_in({affine(terms, solution.offset)}, {size});")
            texts.append(f"{solution.index} < {size}")
        return [*texts, *map(self._condition, nest.solved.conditions if nest.solved else ())]

    def _condition(self, equation: Equation) -> str:
        """That an equation holds, in C: numbers below 0 are very large ones there, which no index is."""
        if isinstance(equation.left, str):
            return f"{equation.left} == {equation.right}"
        return f"{self._at.value(equation.left, self._local)} == (real) ({equation.right})"

    # Sums over the samples, and other reductions.

    def _term(self, statement: Statement, value: str, nest: Nest) -> Iterator[str]:
        """Adds a term to a sum over the samples."""
        if not self._models:
            yield f"{self._at.name(statement.target)} += {value};"
        elif nest.samples:
            yield f"{self._at.stored(statement.target)} += {value};"
        elif self.take:
            yield from self.take(statement, value)
        else:
            total = self._at.stored(statement.target)
            yield f"{total} = {value} + (add ? {total} : 0);"

    def _sums(self, nest: Nest) -> None:
        sums = [step.target for step in nest.sums]
        if self._models:
            if nest.samples:
                with self._lines.block("if (!add)"), self._innermost(nest.outer, nest):
                    self._lines.add(*(f"{self._at.stored(target)} = 0;" for target in sums))
            with self._innermost((*nest.outer, *nest.reduced, *self._samples(nest)), nest):
                self._statements(nest.statements, nest)
            return
        with self._outer(nest.outer, nest):
            names = [self._at.name(target) for target in sums]
            self._lines.add(*(f"real {name} = 0;" for name in names))
            note = f"SUM_LOOP({', '.join(names)})"
            with self._outer(nest.reduced, nest), self._innermost(self._samples(nest), nest, note):
                self._exists = self._gathered(nest)
                self._statements(nest.statements, nest)
                self._exists = []
            for target, name in zip(sums, names, strict=True):
                self._lines.add(f"sums[{self._at.position(target)}] += {self._double(name)};")

    def _reduction(self, nest: Nest) -> None:
        """A reduction over other indices than the samples: one array element for each sample, summed up in place."""
        (step,) = nest.steps
        target, value = self._at.stored(step.target), self._printer.print(step.expression)
        numbers = self._numbers(nest)
        count = prod(self._at.size(index) for index, _ in numbers)
        start = NEUTRAL.get(step.operator or "", str(count))
        with self._outer(nest.outer, nest):
            with self._blocks(first_of(nest)), self._innermost(self._samples(nest), nest, INDEPENDENT):
                self._lines.add(f"{target} = {start};")
            with self._outer(nest.reduced, nest), self._innermost(self._samples(nest), nest, INDEPENDENT):
                exists = self._gathered(nest)
                if step.operator == "sum":
                    self._lines.add(f"{target} += {given(value, exists)};")
                elif step.operator == "max":
                    value = given(value, exists, start)
                    self._lines.add(f"const real value = {value};", f"{target} = {target} > value ? {target} : value;")
                else:
                    number = affine(numbers, 0)
                    found = " && ".join([*exists, f"{target} == {start}", f"{value} != 0"])
                    self._lines.add(f"{target} = {found} ? (real) ({number}) : {target};")

    def _numbers(self, nest: Nest) -> list[tuple[str, int]]:
        """The indices that number the terms of a reduction, each with what it counts for."""
        free = nest.solved.free if nest.solved else nest.reduced
        sizes = [self._at.size(index) for index in free]
        return [(index, prod(sizes[k + 1 :])) for k, index in enumerate(free)]

    # What pads arrays.

    def _pad(self, nest: Nest, padding: Padding) -> None:
        if nest.shape is not Shape.LOOPS or (padding.filling is not Filling.ZERO_ENDS and nest.innermost != SAMPLE):
            self._lines.add(*(self._calls.pad(nest, element, padding.filling) for element in padding.arrays))
        elif padding.filling is Filling.ZERO_ENDS:
            index, size = nest.innermost, self._at.size(nest.innermost)
            head = f"for (size_t {index} = {size}; {index} < {self._at.layout.padded(size)}; {index}++)"
            with self._outer(self._samples(nest), nest), self._lines.block(head):
                self._lines.add(*(f"{self._at.stored(element)} = 0;" for element in padding.arrays))
        else:
            with self._outer(nest.outer, nest), self._lines.block("for (size_t n = count; n < padded; n++)"):
                for element in padding.arrays:
                    last = Element(element.tensor, ["count - 1" if i == SAMPLE else i for i in element.indices])
                    self._lines.add(f"{self._at.stored(element)} = {self._at.stored(last)};")

    # Loops.

    def _samples(self, nest: Nest) -> tuple[str, ...]:
        return (SAMPLE,) if nest.samples else ()

    @contextmanager
    def _blocks(self, heads: Iterable[str]) -> Iterator[None]:
        with ExitStack() as blocks:
            for head in heads:
                blocks.enter_context(self._lines.block(head))
            yield

    def _outer(self, indices: Sequence[str], nest: Nest) -> AbstractContextManager[None]:
        """Loops over indices, around others."""
        return self._blocks(heads_of(indices, nest))

    def _innermost(self, indices: Sequence[str], nest: Nest, note: str = "") -> AbstractContextManager[None]:
        """Loops over indices, and over models that lie side by side; the innermost after a hint for the compiler."""
        return self._blocks(self._innermost_heads(indices, nest, note))

    def _innermost_heads(self, indices: Sequence[str], nest: Nest, note: str) -> list[str]:
        heads = heads_of(indices, nest)
        if self._models:
            return [*heads, f"{self._at.group}_LOOP\nfor (size_t lane = 0; lane < {self._at.group}; lane++)"]
        if note == INDEPENDENT and indices and nest.axis(indices[-1]).short:
            note = INDEPENDENT_SHORT
        return [*heads[:-1], *(f"{note}\n{head}".lstrip() for head in heads[-1:])]


def told(steps: Iterable[Step], name_of: Callable[[Element], str]) -> list[str]:
    """A comment that says which steps a loop came from, in names of C: a user's text could end the comment."""
    texts = []
    for step in steps:
        named = {e: Element(name_of(e), e.indices) for e in (step.target, *step.operands)}
        texts.append(str(replace(step.xreplace(named), target=named[step.target])))
    return ("/* " + "\n   ".join(texts) + " */").splitlines()


def _only_when(nest: Nest) -> When | None:
    """The condition on which a nest runs, with nothing in its place otherwise; None if it always runs."""
    return nest.branch.when if nest.branch and not nest.branch.otherwise else None


def given(value: str, conditions: Sequence[str], otherwise: str = "0") -> str:
    """A value that counts only where conditions hold, in C."""
    return f"({' && '.join(conditions)} ? {value} : {otherwise})" if conditions else value
