"""The work of each stage: steps and operations before and after, applied rules, and values that are computed once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sympy import Expr, Function, Pow, count_ops

from nncodegen.compiler.building.build import Built
from nncodegen.compiler.emit import Sources
from nncodegen.compiler.ir import Program, Step
from nncodegen.compiler.passes.simplify import operations, simplify
from nncodegen.compiler.passes.stabilize import Rewriting, rewritings
from nncodegen.compiler.pipeline import Compiled
from nncodegen.compiler.schedule import Schedule


@dataclass(frozen=True)
class StageLine:
    """A stage in the overview: its name, a description, the sizes before and after it, and the operations."""

    name: str
    about: str
    before: str
    after: str
    operations: str


@dataclass(frozen=True)
class Lowered:
    """A function that ``simplify`` has written in primitives: its steps, and its first form before and after."""

    kind: str
    steps: tuple[Step, ...]
    before: Expr
    after: Expr


@dataclass(frozen=True)
class Shared:
    """A value that several steps use: how often it is read, its operations, and what is saved for one sample."""

    step: Step
    uses: int
    each: int
    saved: int


def overview(compiled: Compiled, about: dict[str, str]) -> list[StageLine]:
    """Return the stages up to the C, in their order."""
    lines: list[StageLine] = []
    before, operations_before = "", ""
    for stage in compiled.stages:
        if isinstance(stage.result, Built):
            continue
        after, count = _size(stage.result)
        lines.append(StageLine(stage.name, about.get(stage.name, ""), before, after, _change(operations_before, count)))
        before, operations_before = after, count or operations_before
    return lines


def _size(result: Any) -> tuple[str, str]:
    """Return the size of a stage's result, and its number of operations for one sample."""
    if isinstance(result, Program):
        return f"{len(result.steps)} steps", f"{operations(result):,}"
    if isinstance(result, Schedule):
        return f"{result.loops} nests of loops in {len(result.kernels)} kernels", ""
    sources: Sources = result
    lines = sum(text.count("\n") for text in sources.files.values())
    return f"{lines:,} lines in {len(sources.files)} files", ""


def _change(before: str, after: str) -> str:
    if not after:
        return ""
    return after if not before or before == after else f"{before} → {after}"


def rules_applied(described: Program) -> tuple[Rewriting, ...]:
    """Return the rules that ``stabilize`` has applied."""
    return rewritings(described)


def lowered(differentiated: Program) -> list[Lowered]:
    """Return the functions that ``simplify`` has written in primitives, by their kinds."""
    by_function: dict[str, list[tuple[Step, Expr, Expr]]] = {}
    simplify(
        differentiated, lambda kind, step, before, after: by_function.setdefault(kind, []).append((step, before, after))
    )
    return [
        Lowered(kind, tuple({step.target: step for step, _, _ in each}.values()), each[0][1], each[0][2])
        for kind, each in by_function.items()
    ]


def shared(program: Program) -> list[Shared]:
    """Return the values that are read more than once and take operations, those that save most first."""
    uses: Counter[str] = Counter()
    for step in program.steps:
        uses.update(_reads(step))
    for element in program.results:
        uses[element.tensor] += 1
    shared_values = []
    for step in program.steps:
        each = program.count(step.indices) * (int(count_ops(step.expression)) + bool(step.over))
        times = uses[step.target.tensor]
        if times > 1 and each:
            shared_values.append(Shared(step, times, each, each * (times - 1)))
    return sorted(shared_values, key=lambda line: -line.saved)


def _reads(step: Step) -> Counter[str]:
    """Return how often an expression reads each tensor."""
    counts: Counter[str] = Counter()

    def count(node: Expr) -> None:
        if not node.args and hasattr(node, "tensor"):
            counts[node.tensor] += 1
        for argument in node.args:
            count(argument)

    count(step.expression)
    return counts


def kinds(program: Program) -> str:
    """Return the functions that a program calls, and how often for one sample: 3 × exp, 2 × log1p."""
    counts: Counter[str] = Counter()
    for step in program.steps:
        times = program.count(step.indices)
        for node in step.expression.atoms(Function, Pow):
            if isinstance(node, Pow):
                if node.exp == -1:
                    counts["division"] += times
                elif not node.exp.is_Integer:
                    counts["root or power"] += times
            elif node.func.__name__ not in ("Abs", "Max", "Min", "Piecewise"):
                counts[node.func.__name__] += times
    return ", ".join(f"{count:,} × {name}" for name, count in counts.most_common())
