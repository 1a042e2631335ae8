"""Steps as statements of C: a reduction over few values is written out, one term after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import product

from nncodegen.ir import SAMPLE, Element, Program, Step
from nncodegen.schedule import Place, Storage

NEUTRAL = {"sum": "0", "max": "-HUGE_VAL"}
"""What a reduction starts from."""

Statement = tuple[Step, list[Step]]
"""What defines a value, and the steps whose expressions are its terms."""


def numbered(step: Step, numbers: Mapping[str, int]) -> Step:
    """A step for certain values of some of its indices."""

    def at(element: Element) -> Element:
        return Element(element.tensor, [str(numbers.get(index, index)) for index in element.indices])

    expression = step.expression.xreplace({element: at(element) for element in step.operands})
    over = tuple(index for index in step.over if index not in numbers)
    return Step(at(step.target), expression, step.operator if over else None, over)


def written_out(step: Step, few: Container[str], program: Program) -> Iterator[Step]:
    """A step for each value of those of its indices that are short."""
    short = [index for index in step.target.indices if index in few]
    for numbers in product(*(range(program.sizes[index] or 1) for index in short)):
        yield numbered(step, dict(zip(short, numbers, strict=True)))


def terms(step: Step, program: Program) -> list[Step]:
    """A step for each term of a reduction over few values; the step itself if it has none."""
    if not step.over or SAMPLE in step.over:
        return [step]
    (inner,) = step.over
    return [numbered(step, {inner: k}) for k in range(program.sizes[inner] or 1)]


def statements(steps: Sequence[Step], program: Program, storage: Mapping[str, Storage]) -> list[Statement]:
    """Statements for steps that share a loop.

    A sum of products to which one step adds something, as a bias, and which no other reads, has none: that step begins
    with what it adds, and each product is added as it is computed.
    """
    written = {step.target: terms(step, program) for step in steps}
    places = {step.target: storage[step.target.tensor].place for step in steps}
    sums = {s.target for s in steps if s.operator == "sum" and s.expression.is_Mul and places[s.target] is Place.LOCAL}
    order = {step.target: number for number, step in enumerate(steps)}
    reads = Counter(element for step in steps for term in written[step.target] for element in set(term.operands))
    absorbed = set()
    for step in steps:
        added = step.expression.args if step.expression.is_Add and not step.over else ()
        alone = (e for e in added if e in sums and reads[e] == 1 and not (step.expression - e).has(e))
        element = next(alone, None)
        if element is None:
            continue
        between = steps[order[element] + 1 : order[step.target]]
        if not any(places[other.target] is Place.ARRAY for other in between):  # it may be where terms lie
            first = Step(step.target, step.expression - element)
            written[step.target] = [first, *written[element]]
            absorbed.add(element)
    return [(step, written[step.target]) for step in steps if step.target not in absorbed]


def accumulated(step: Step, target: str, value: str) -> tuple[str, ...]:
    """The statements that add a term to a reduction in memory, or keep the larger of both."""
    if step.operator == "sum":
        return (f"{target} += {value};",)
    return f"const real value = {value};", f"{target} = {target} > value ? {target} : value;"


def combined(step: Step, values: Sequence[str]) -> str:
    """The value of a step, given the text of each of its terms."""
    first, *others = values
    for value in others:
        first = f"({first} > {value} ? {first} : {value})" if step.operator == "max" else f"{first} + {value}"
    return first
