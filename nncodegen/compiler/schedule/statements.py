"""The statements of loops: one for each written-out value, with all terms of reductions over few values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from sympy import S

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step
from nncodegen.compiler.schedule.storage import Place, Storage
from nncodegen.compiler.schedule.tree import Compute, Value


@dataclass(frozen=True)
class Definition:
    """The definition of one value; ``summed`` says that it is added to a sum over the samples."""

    target: Element
    value: Value
    summed: bool


def numbered(step: Step, numbers: Mapping[str, int]) -> Step:
    """Return a step for certain values of some of its indices."""

    def at(element: Element) -> Element:
        return Element(element.tensor, [str(numbers.get(index, index)) for index in element.indices])

    expression = step.expression.xreplace({element: at(element) for element in step.operands})
    over = tuple(index for index in step.over if index not in numbers)
    where = tuple(
        equation.renamed({index: str(number) for index, number in numbers.items()}) for equation in step.where
    )
    unknown = tuple(equation for equation in where if equation.holds is None)
    value = expression if all(equation.holds is not False for equation in where) else S.Zero
    return Step(at(step.target), value, step.operator if over else None, over, unknown if value else ())


def single_values(step: Step, program: Program) -> dict[str, int]:
    """Return the reduced indices to which an equation gives one value, such as that of a gate, and these values."""
    fixing = (equation for equation in step.where if equation.left in step.over and not equation.terms)
    return {str(each.left): each.offset for each in fixing if each.offset in range(program.sizes[str(each.left)] or 0)}


def written_out(step: Step, few: Container[str], program: Program) -> Iterator[Step]:
    """Yield a step for each value of the short indices of a step."""
    short = [index for index in step.target.indices if index in few]
    if not short:
        yield step
        return
    for numbers in product(*(range(program.sizes[index] or 1) for index in short)):
        yield numbered(step, dict(zip(short, numbers, strict=True)))


def terms(step: Step, program: Program) -> list[Step]:
    """Return a step for each term of a reduction over few values; the step itself if it reduces none."""
    if not step.over or SAMPLE in step.over:
        return [step]
    numbers = product(*(range(program.sizes[index] or 1) for index in step.over))
    return [numbered(step, dict(zip(step.over, values, strict=True))) for values in numbers]


def statements(
    compute: Compute, program: Program, storage: Mapping[str, Storage]
) -> tuple[tuple[Definition, ...], ...]:
    """Return the statements of each part of loops that reduce nothing but samples."""
    if compute.sums and not compute.unrolled:
        return (tuple(_statement(step, terms(step, program)) for step in compute.steps),)
    parts = ([s for step in part for s in written_out(step, compute.unrolled, program)] for part in compute.parts)
    return tuple(_of_part(steps, program, storage) for steps in parts)


def _of_part(steps: Sequence[Step], program: Program, storage: Mapping[str, Storage]) -> tuple[Definition, ...]:
    """Return statements for steps that share a loop.

    A sum of products needs no statement if a single step reads it and only adds something to it, such as a bias. That
    step then starts with what it adds, and each product is added to it as it is computed.
    """
    local_steps = [s for s in steps if SAMPLE in s.target.indices and storage[s.target.tensor].place is Place.LOCAL]
    zeros = {step.target: S.Zero for step in local_steps if step.expression == 0}  # no other loop reads them
    summed = {e.tensor for step in steps for e in step.operands if e not in zeros}  # several of them, as by a sum
    zeros = {element: zero for element, zero in zeros.items() if element.tensor not in summed}
    steps = [step.xreplace(zeros) for step in steps if step.target not in zeros]
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
    return tuple(_statement(step, written[step.target]) for step in steps if step.target not in absorbed)


def _statement(step: Step, terms: Sequence[Step]) -> Definition:
    conditions = () if step.over else step.where  # a reduction has its conditions around its loops
    value = Value(tuple(term.expression for term in terms), step.operator, conditions)
    return Definition(step.target, value, SAMPLE in step.over)
