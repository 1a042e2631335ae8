"""How the loops of a nest begin and end, in C."""

from __future__ import annotations

from collections.abc import Iterable

from nncodegen.schedule.nest import Nest, Samples


def end_of(nest: Nest, index: str) -> str:
    """Where the loop of a nest over an index ends, as text in C."""
    end = nest.axis(index).end
    return str(end) if isinstance(end, int) else end.value


def head_of(nest: Nest, index: str) -> str:
    """How the loop of a nest over an index begins, in C."""
    begin = "begin" if nest.axis(index).end is Samples.SEGMENT else "0"
    return f"for (size_t {index} = {begin}; {index} < {end_of(nest, index)}; {index}++)"


def heads_of(indices: Iterable[str], nest: Nest) -> list[str]:
    """How loops begin, in C; an index that an equation gives has none, but a test that there is such a value."""
    solutions = {solution.index: solution for solution in nest.solved.solutions} if nest.solved else {}
    heads = []
    for index in indices:
        solution, end = solutions.get(index), end_of(nest, index)
        if not solution:
            heads.append(head_of(nest, index))
        elif not solution.gathers:  # what would be below 0 is a very large number
            exists = f"{index} - begin < end - begin" if end == "end" else f"{index} < {end}"
            whole = f" && {solution.divisor}*{index} == {solution.dividend}" if solution.divisor > 1 else ""
            heads.append(f"const size_t {index} = {solution};\nif ({exists}{whole})")
    return heads


def most_of(nest: Nest, index: str, size: int) -> int:
    """The most values over which a loop of a nest over an index goes, given all that there are."""
    return nest.segments.length if nest.segments and nest.segments.index == index else size


def first_of(nest: Nest) -> list[str]:
    """The test, in C, that a sum over time begins: in the first segment of its loop over segments, if there is one."""
    adds = nest.segments is not None and nest.segments.index in nest.reduced
    return [f"if (segment == {nest.segments.first})"] if nest.segments and adds else []
