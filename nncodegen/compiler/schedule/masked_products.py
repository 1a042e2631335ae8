"""Products of matrices of which data say that some values or terms do not exist, as for padded keys and masks.

``z[n, h, t, s] = sum(k) q[n, t, h, k]*k[n, s, h, k] where within[n, s] = 1`` is a whole product, of which some values
are then set to 0. In ``a[n, t, h, k] = sum(s) p[n, h, t, s]*v[n, s, h, k] where within[n, s] = 1``, values of v are set
to 0 before, so that nothing that they hold, infinity or NaN, gets into a sum. Where a mask tells the terms of each
value apart, the sum stays as it is; it may be a product with a mask (see ``matrices``).

This is worth its memory where pairs of queries and keys take much, so that samples run one by one (see ``pairs``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, Element, Equation, Program, Step
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.schedule.layout import bytes_of

PAIRS = 2**20
"""Bytes of an array of pairs from which on it is computed in blocks: a few such arrays are in use at once, and should
stay in the second-level cache together."""


def with_products(program: Program, choices: Mapping[str, object]) -> Program:
    """Return a program in which whole products replace those of which only some values or terms exist, if it pays."""
    masked = [step for step in program.steps if _mask_equations(step)]
    widest = max((program.count(step.target.indices) for step in masked), default=0)
    if not masked or not (choices.get("block_length") or bytes_of(widest, program) > PAIRS):
        return program
    known: dict[tuple[Element, tuple[Equation, ...]], Element] = {}
    return replace(program, steps=tuple(each for step in program.steps for each in _whole(step, program, known)))


def _mask_equations(step: Step) -> tuple[Equation, ...]:
    """Return the equations by which data tell what exists of a product of two arrays of samples; ``()`` for others."""
    if not step.factors or not all(SAMPLE in each.indices for each in (step.target, *step.factors)):
        return ()
    by_data = tuple(equation for equation in step.where if equation.data is not None)
    return by_data if not any(equation.terms for equation in by_data) else ()


def _whole(step: Step, program: Program, known: dict[tuple[Element, tuple[Equation, ...]], Element]) -> Iterator[Step]:
    """Yield the steps of a product; ``known`` are the values that other products have set to 0 where it is told."""
    equations = _mask_equations(step)
    of_result = tuple(each for each in equations if {*each.indices} <= {*step.target.indices})
    of_terms = tuple(each for each in equations if {*each.indices} <= {SAMPLE, *step.over})
    other_equations = tuple(each for each in step.where if each not in (*of_result, *of_terms))
    if of_terms:
        indices = {index for each in of_terms for index in each.indices}
        able = sorted((e for e in step.expression.args if indices <= {*e.indices}), key=lambda e: _count(e, program))
        factor = able[0] if able else None  # the other factor is one of pairs
        if factor is None:
            yield step
            return
        if (factor, of_terms) not in known:
            name = unused(f"{factor.tensor} within {step.target.tensor}", program.shapes)
            known[factor, of_terms] = Element(name, factor.indices)
            yield Step(known[factor, of_terms], factor, None, (), of_terms)
        step = replace(step, expression=step.expression.xreplace({factor: known[factor, of_terms]}))
    if not of_result:
        yield replace(step, where=other_equations)
        return
    whole = Element(unused(f"{step.target.tensor} whole", program.shapes), step.target.indices)
    yield replace(step, target=whole, where=other_equations)
    yield Step(step.target, whole, None, (), of_result)


def _count(element: Element, program: Program) -> tuple[int, str]:
    return program.count(element.indices), str(element)
