"""The one printer of loop trees in C, for every plan of ``schedule.kernel``. The tree defines what a kernel does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import prod

from sympy import Expr, S

from nncodegen.compiler.emit.calls import Calls
from nncodegen.compiler.emit.dialects import IN_MODULES, Dialect
from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.lines import Lines, head, wrapped
from nncodegen.compiler.emit.printer import Printer
from nncodegen.compiler.ir import REDUCTIONS, Element, Equation, Solution, Step
from nncodegen.compiler.ir.equations import affine
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.ir.step import only_shifts
from nncodegen.compiler.schedule import Place, When
from nncodegen.compiler.schedule.extents import END, PADDED, Extent
from nncodegen.compiler.schedule.tree import (
    Accumulate,
    Begins,
    Call,
    CallerFlag,
    Carry,
    Combine,
    Compute,
    Cut,
    Fill,
    First,
    Gather,
    Given,
    Group,
    Holds,
    If,
    Let,
    Limits,
    Load,
    Loop,
    Move,
    Solve,
    Statement,
    Store,
    Test,
    Tree,
    Value,
    Variable,
    Way,
    no_such,
)
from nncodegen.compiler.schedule.tree_walks import walk
from nncodegen.errors import ProgramError

CONDITIONS = {
    When.LOSS: "with_loss",
    When.SINGLE: "count == 1",
    When.FEW: "count < FEW",
    When.MANY: "samples >= FEW",
    When.BLAS: "gemm",
    When.NO_BLAS: "!gemm",
    When.ADDED: "scale != 0",
    CallerFlag.NEW: "!add",
    CallerFlag.DESCENT: "descends",
}


FEW_TERMS = 32
"""Sums of fewer terms than this have no partial sums where these must not depend on the CPU: zeroing and adding up the
lanes of the longest vectors would take longer than that."""

MOST_LANES = 16
"""The lanes of the longest vectors in single precision."""


@dataclass(frozen=True)
class _Scope:
    """The context of a statement: the tensors with local values, and the heads of the loops of its group around it."""

    local: frozenset[str] = frozenset()
    heads: tuple[str, ...] = ()
    solved: frozenset[str] = frozenset()
    """The indices that an equation of a tree gives, and that a later statement has as well: each solution has a block,
    so that the index of a later loop hides none."""
    term: str = ""
    """The place for a term of a sum whose terms are written to a row."""
    lane: str = "partial"
    """The lane of a sum that has several partial sums."""


@dataclass
class LoopPrinter:
    """Printer of the trees of a kernel."""

    at: Elements
    calls: Calls | None
    lines: Lines
    dialect: Dialect = IN_MODULES
    used: dict[str, None] = field(default_factory=dict)
    twice: dict[Group, list[str]] = field(default_factory=dict)
    """The calls of groups that have separate functions: with the loss, and without it."""
    breaks: str = ""
    """The text after which lines may break; if empty, they do not break."""
    printer: Printer = field(init=False)
    scope: _Scope = field(init=False, default_factory=_Scope)
    lanes: set[Element] = field(init=False, default_factory=set)
    """The sums that have several partial sums."""
    largest: dict[Element, bool] = field(init=False, default_factory=dict)
    """The largest terms that are found in any order, so that vectors lose NaN; and whether that may be."""
    in_lanes: bool = field(init=False)
    """If true, long sums have as many partial sums as the longest vectors have lanes, whatever the CPU."""

    def __post_init__(self) -> None:
        same = self.at.program.bits == PORTABLE
        self.printer = Printer(self.at.program.precision, self.value_of, self.dialect, self.used, same)
        self.in_lanes = same

    def value_of(self, element: Element) -> str:
        """Return an element: by the name of its local value, or in memory."""
        return self.at.value(element, self.scope.local)

    def print(self, tree: Tree) -> None:
        """Print statements, each group after an empty line and a comment that names its steps."""
        outer = self.scope
        loops = [loop for loop in walk(tree) if isinstance(loop, Loop) and loop.way is Way.SUMMED]
        summed = {each for loop in loops if loop.operator != "sum" for each in loop.sums}
        self.largest |= {each: only_shifts(each, self.at.program.steps) for each in summed}
        if self.in_lanes:
            self.lanes |= {each for loop in loops if _is_in_lanes(loop) for each in loop.sums}
        self.scope = replace(outer, solved=self._hiding(tree))
        for statement in tree:
            self._statement(statement)
        self.scope = outer

    def _hiding(self, tree: Tree) -> frozenset[str]:
        """Return the indices that a statement solves, and that another one after it in the same block has as well."""
        later: set[str] = set()
        hidden: set[str] = set()
        for statement in reversed([*self._of_block(tree)]):
            if isinstance(statement, Solve) and statement.solution.index in later:
                hidden.add(statement.solution.index)
            later.update(_indices(statement))
        return frozenset(hidden)

    def _of_block(self, tree: Tree) -> Iterator[Statement]:
        """Yield the statements of one block of C: a group, unless it has a function, opens none."""
        for statement in tree:
            if not isinstance(statement, Group):
                yield statement
            elif statement not in self.twice:
                yield from self._of_block(statement.body)

    def _add(self, *lines: str) -> None:
        for line in lines:
            self.lines.add(*(wrapped(line, self.breaks) if self.breaks else [line]))

    def _statement(self, statement: Statement) -> None:
        add = self._add
        match statement:
            case Group():
                self._group(statement)
            case Loop(way=Way.SUMMED) if self.in_lanes and _is_in_lanes(statement):
                self._loop_in_lanes(statement)
            case Loop():
                self._row(statement) if statement.way is Way.ROW else self._loop_of(statement)
            case Solve():
                self._solve(statement)
            case If():
                self._if(statement)
            case Limits():
                add(_limits(statement))
            case Gather():
                add(self._gather(statement.solution, statement.size))
            case Load(element, varies):
                add(f"{_kind(varies)}{self.at.variable(element)} = {self.at.stored(element)};")
                if self.at.place(element) is Place.ARRAY:
                    self._known(element)
            case Let(target, value, varies, again):
                text = self._value(value)
                self._known(target)
                add(f"{'' if again else _kind(varies)}{self.at.variable(target)} = {text};")
            case Variable(target, start):
                self._known(target)
                add(self._variable(target, start))
            case Accumulate():
                add(*self._accumulate(statement))
            case Store():
                add(*self._store(statement))
            case First():
                add(self._first(statement))
            case Cut():
                self._cut(statement)
            case Move():
                add(self._move(statement))
            case Call():
                assert self.calls
                add(*self.calls.of(statement))
            case Fill():
                assert self.calls
                add(self.calls.fill(statement))
            case Carry():
                pass  # it shares the array that it reads
            case Compute():
                raise ProgramError(f"the loops of {statement.steps[0].target} are not written out")
            case _:
                no_such(statement)

    def _known(self, target: Element) -> None:
        """Note that a tensor has a local value from here on."""
        self.scope = replace(self.scope, local=self.scope.local | {target.tensor})

    # Statements around others.

    def _group(self, group: Group) -> None:
        self.lines.add("", *([f"/* {group.title} */"] if group.title else self._comment(group)))
        if group in self.twice:
            for head, call in zip(("if (with_loss)", "else"), self.twice[group], strict=True):
                with self.lines.block(head):
                    self.lines.add("\n        ".join(wrapped(call)))
            return
        outer, self.scope = self.scope, replace(self.scope, heads=())
        for statement in group.body:
            self._statement(statement)
        self.scope = outer

    def _comment(self, group: Group) -> list[str]:
        """Return a comment with the steps of a group, in names of C: a user's text could end the comment."""
        name_of = self.at.named
        steps = group.steps
        if len(steps) > 1 and group.plain:
            return [f"/* {name_of(steps[0].target)} to {name_of(steps[-1].target)} */"]
        return told(steps, name_of) if steps else []

    def _loop_of(self, loop: Loop) -> None:
        self._loop(self._loop_head(loop), loop.body)
        for each in loop.sums:
            if self._keeps_nan(each):  # a 0 becomes positive, whose sign depends on the order
                self._add(f"{self.at.variable(each)} += {self._nan(each)};")
            elif each in self.largest and self.in_lanes:
                self._add(f"{self.at.variable(each)} += 0;")

    def _loop_head(self, loop: Loop) -> str:
        """Return the head of a loop, after a hint for the compiler."""
        text = head(loop.index, loop.end, loop.begin, loop.backward)
        match loop.way:
            case Way.IN_ORDER | Way.IN_TURN:
                return text
            case Way.INDEPENDENT | Way.ROW:  # compilers need not check whether its arrays overlap
                return f"INDEPENDENT{'_FEW' if loop.short else ''}\n{text}"
            case Way.SUMMED if loop.operator == "sum":
                return f"SUM_LOOP({', '.join(map(self.at.variable, loop.sums))})\n{text}"
            case Way.SUMMED:
                (each,) = loop.sums
                keeps, name = self._keeps_nan(each), self.at.variable(each)
                hint = f"LARGEST_OR_NAN_LOOP({name}, {self._nan(each)})" if keeps else f"LARGEST_LOOP({name})"
                return f"{hint}\n{text}"
            case Way.LANES:
                return f"{loop.end}_LOOP\n{text}"

    def _keeps_nan(self, target: Element) -> bool:
        """Return whether a largest term that is found in any order must be NaN if a term is."""
        return not self.largest.get(target, True)

    def _nan(self, target: Element) -> str:
        """Return the variable that is NaN if a term is, and otherwise 0."""
        return f"{self.at.variable(target)}_nan"

    def _loop(self, begin: str, body: Tree) -> None:
        self._block(begin, (*self.scope.heads, begin), body)

    def _loop_in_lanes(self, loop: Loop) -> None:
        """Print a loop with sums as a loop over vectors of its terms, of which each has a lane.

        Compilers make whole vectors of the inner loop, without what remains, if they see that its length is constant.
        """
        index, end = loop.index, loop.end
        if self._fills_vectors(loop):
            self._loop_in_vectors(loop)
            return
        whole = isinstance(end, int) and end % MOST_LANES == 0 and loop.begin == 0
        with self.lines.block(f"for (size_t first = {loop.begin}; first < {end}; first += SUM_LANES)"):
            if not whole:
                self._add(f"const size_t lanes = first + SUM_LANES < {end} ? SUM_LANES : {end} - first;")
            test = f"partial < {'SUM_LANES' if whole else 'lanes'}"
            head = f"for (size_t partial = 0, {index} = first; {test}; partial++, {index}++)"
            self._loop(f"INDEPENDENT_FEW\n{head}", loop.body)

    def _loop_in_vectors(self, loop: Loop) -> None:
        """Print a loop with sums over samples that fill vectors, which need not fill all lanes of these sums.

        The terms of each vector of lanes follow each other, so that it can stay in a register.
        """
        index, end = loop.index, loop.end
        outer, self.scope = self.scope, replace(self.scope, lane="lane + partial")
        lanes = "for (size_t lane = 0; lane < SUM_LANES; lane += LANES)"
        vectors = f"for (size_t first = lane; first < {end}; first += SUM_LANES)"
        with self.lines.block(lanes), self.lines.block(vectors):
            self._add(f"const size_t lanes = PAD > 1 || first + LANES < {end} ? LANES : {end} - first;")
            head = f"for (size_t partial = 0, {index} = first; partial < lanes; partial++, {index}++)"
            self._loop(f"INDEPENDENT_FEW\n{head}", loop.body)
        self.scope = outer

    def _fills_vectors(self, loop: Loop) -> bool:
        """Return whether a loop is over samples that are padded to whole vectors, unless PAD is 1."""
        return loop.begin == 0 and loop.end == PADDED and not self.at.kernel.vector

    def _row(self, loop: Loop) -> None:
        """Print a loop over the terms of a sum, which are written to a row, and the sum of this row."""
        (target,) = loop.sums
        name, row = self.at.variable(target), f"{self.at.local(target).removesuffix('_now')}_terms"
        self._add(f"real {row}[{loop.end}];")
        outer, self.scope = self.scope, replace(self.scope, term=f"{row}[{loop.index}]")
        self._loop_of(loop)
        self.scope = outer
        self._add(f"{name} += row_sum({loop.end}, {row});")

    def _block(self, begin: str, heads: tuple[str, ...], body: Tree) -> None:
        """Print a block; values that are local in it are not known after it."""
        outer, self.scope = self.scope, replace(self.scope, heads=heads)
        with self.lines.block(begin):
            self.print(body)
        self.scope = outer

    def _if(self, statement: If) -> None:
        known = statement.condition
        if isinstance(known, Begins):
            text = f"segment == {known.number}"
        elif isinstance(known, Holds):
            text = self._term(known.relation)
        else:
            text = CONDITIONS[known] if isinstance(known, When | CallerFlag) else self._test(known)
        self._block(f"if ({text})", (), statement.body)
        if statement.otherwise:
            self._block("else", (), statement.otherwise)

    def _solve(self, solve: Solve) -> None:
        """Print an index that an equation gives, and a test that it has a value: below 0, it is a very large number."""
        solution, index, end = solve.solution, solve.solution.index, solve.end
        if index in self.scope.solved:
            self._block("", (), (solve,))
            return
        exists = f"{index} - begin < end - begin" if end == END else f"{index} < {end}"
        whole = f" && {solution.divisor}*{index} == {solution.dividend}" if solution.divisor > 1 else ""
        self._add(self._gather(solution, end) if solution.gathers else f"const size_t {index} = {solution};")
        self._block(f"if ({exists}{whole})", (), solve.body)

    def _cut(self, cut: Cut) -> None:
        at = self.at
        self.lines.again(
            "CUT",
            [f"{at.stored(element)} = {at.local(element)};" for element in cut.kept],
            self.scope.heads,
            [f"const real {at.local(element)} = {at.stored(element)};" for element in cut.read],
        )

    # Statements.

    def _variable(self, target: Element, start: Expr) -> str:
        begin = "[SUM_LANES] = {0}" if target in self.lanes else f" = {self._term(start)}"
        nan = f", {self._nan(target)} = 0" if self._keeps_nan(target) else ""
        return f"real {self.at.variable(target)}{begin}{nan};"

    def _term(self, term: Expr) -> str:
        if term.is_infinite and term.is_number:
            sign = "-" if term is S.NegativeInfinity else ""
            return f"{sign}HUGE_VAL{'F' if self.at.program.precision == 'float32' else ''}"
        return self.printer.print(term)

    def _value(self, value: Value) -> str:
        """Return a value: its only term, or the sum or the largest of its terms, under its conditions."""
        text = self._term(value.terms[0])
        for other in value.terms[1:]:
            chooses = value.operator and REDUCTIONS[value.operator].chooses
            text = self._chosen(value.operator or "", text, self._term(other)) if chooses else self._plus(text, other)
        if not value.where:
            return text
        otherwise = "0" if value.otherwise is None else self._term(value.otherwise)
        return f"{' && '.join(map(self._test, value.where))} ? {text} : {otherwise}"

    def _chosen(self, operator: str, first: str, other: str) -> str:
        """Return the one of two values that an operator chooses, or NaN if either is NaN."""
        function = REDUCTIONS[operator].c
        self.used[function] = None
        return f"{function}({first}, {other})"

    def _plus(self, text: str, term: Expr) -> str:
        """Return the sum of a text and a term."""
        return self.printer.added(text, term) if self.in_lanes else f"{text} + {self._term(term)}"

    def _test(self, test: Test) -> str:
        """Return the text of a test: numbers below 0 are very large ones, which no index is."""
        if not isinstance(test, Equation):
            return str(test)
        if isinstance(test.left, str):
            return f"{test.left} == {test.right}"
        return f"{self.value_of(test.left)} == {_real(test.right)}"

    def _gather(self, solution: Solution, size: Extent) -> str:
        terms = [(self.value_of(e) if isinstance(e, Element) else e, factor) for e, factor in solution.terms]
        self.used["number_in"] = None
        return f"const size_t {solution.index} = number_in({affine(terms, solution.offset)}, {size});"

    def _accumulate(self, statement: Accumulate) -> tuple[str, ...]:
        before, value = self._given(statement.value)
        name = self.at.variable(statement.target)
        if statement.combine is Combine.CHOOSE and self._keeps_nan(statement.target):
            nan = f"{self._nan(statement.target)} += term != term ? term : 0;"
            return (*before, f"const real term = {value};", f"{name} = term > {name} ? term : {name};", nan)
        if statement.combine is Combine.CHOOSE:
            return (*before, f"{name} = {self._chosen(statement.operator, name, value)};")
        if self.scope.term:
            return (*before, f"{self.scope.term} = {value};")
        if self.in_lanes:
            name = f"{name}[{self.scope.lane}]" if statement.target in self.lanes else name
            terms = statement.value.terms
            fuses = len(terms) == 1 and not statement.value.where
            return (*before, f"{name} = {self.printer.added(name, terms[0])};" if fuses else f"{name} += {value};")
        return (*before, f"{name} += {value};")

    def _given(self, value: Value) -> tuple[tuple[str, ...], str]:
        """Return the statements before that of a value, and its text.

        What exists only if an equation has a solution is computed in any case: then the loop has no branch.
        """
        text = self._value(value)
        if not any(isinstance(test, Given) for test in value.where):
            return (), text
        always = self._value(replace(value, where=()))
        return (f"const real value = {always};",), text.replace(f" ? {always} : ", " ? value : ")

    def _store(self, store: Store) -> tuple[str, ...]:
        place = self.at.stored(store.target)
        plain = store.combine in (Combine.SET, Combine.ADD)
        before, value = self._given(store.value) if plain else ((), self._value(store.value))
        if store.value.terms == (store.target,):
            value = self.at.variable(store.target)
            if store.target in self.lanes:
                value = f"sum_of_lanes((const vector *) {value})"
        match store.combine:
            case Combine.SET:
                return (*before, f"{place} = {value};")
            case Combine.ADD:
                double = self.at.sums_are_double and self.at.place(store.target) is Place.SUM
                return (*before, f"{place} += {self._double(value) if double else value};")
            case Combine.ADD_SCALED:
                alone = isinstance(store.value.terms[0], Element) and not store.value.where
                factor = value if alone else f"({value})"
                return (f"{place} += scale*{factor};",)
            case Combine.ADD_OR_SET:
                term = f"({value})" if store.value.where else value
                return (f"{place} = {term} + (add ? {place} : 0);",)
            case Combine.CHOOSE:
                return (f"{place} = {self._chosen(store.operator, place, value)};",)

    def _double(self, value: str) -> str:
        """Return a value of any precision that is added to one in double."""
        cast = value if value.isidentifier() else f"({value})"
        return f"(double) {cast}" if self.at.program.precision == "float32" else value

    def _first(self, first: First) -> str:
        place = self.at.variable(first.target) if first.local else self.at.stored(first.target)
        value = self.printer.print(*first.value.terms)
        tests = [*map(self._test, first.value.where), f"{place} == {first.count}", f"{value} != 0"]
        return f"{place} = {' && '.join(tests)} ? {_real(affine(first.numbers, 0))} : {place};"

    def _move(self, move: Move) -> str:
        values, side_by_side = prod(map(self.at.size, move.rest)), self.at.in_row
        size = f"{values}{f'*{side_by_side}' if side_by_side != '1' else ''}*sizeof(real)"
        call, source = ("memcpy", self.at.row(move.source)) if move.source else ("memset", "0")
        return f"{call}({self.at.row(move.target)}, {source}, {size});"


def _is_in_lanes(loop: Loop) -> bool:
    """Return whether a loop adds up enough terms for partial sums.

    The largest term is the same in any order, and compilers find it faster without lanes.
    """
    few = isinstance(loop.end, int) and loop.end < FEW_TERMS
    return loop.way is Way.SUMMED and loop.operator == "sum" and not few


def _indices(statement: Statement) -> Iterator[str]:
    """Yield the indices that a statement, and those within it, declare in C."""
    for each in walk((statement,)):
        match each:
            case Loop():
                yield each.index
            case Solve():
                yield each.solution.index
            case Call():
                yield from (index for index, _ in each.ends)


def _limits(limits: Limits) -> str:
    rest = limits.size - (limits.count - 1) * limits.length
    last = str(limits.length)
    if rest < limits.length:
        last = f"(segment < {limits.count - 1} ? {limits.length} : {rest})"
    return f"const size_t begin = segment*{limits.length}, end = begin + {last};"


def _kind(varies: bool) -> str:
    """Return the type in the declaration of a local value."""
    return "real " if varies else "const real "


def _real(number: str) -> str:
    """Return a whole number as a real one."""
    return f"(real) {number}" if number.isidentifier() else f"(real) ({number})"


def told(steps: Iterable[Step], name_of: Callable[[Element], str]) -> list[str]:
    """Return a comment with some steps, in names of C: a user's text could end the comment."""
    texts = []
    for step in steps:
        named = {e: Element(name_of(e), e.indices) for e in (step.target, *step.operands)}
        texts.append(str(replace(step.xreplace(named), target=named[step.target])))
    return ("/* " + "\n   ".join(texts) + " */").splitlines()
