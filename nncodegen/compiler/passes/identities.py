"""Simplifies products with identity matrices, without zeros: ``sum(k) I[row, k]*W[k, j]`` is ``W[row, j]``.

The rows of a Jacobian begin with an identity. Through functions of single elements it stays a diagonal matrix, of which
only the diagonal is computed; the first sum over its columns makes an ordinary matrix of it. This pass comes last,
after ``simplify``, since it reads tensors under other indices than those that they were defined with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sympy import Expr, Mul

from nncodegen.compiler.ir import Element, Program, Step, elements, needed, renamed
from nncodegen.compiler.passes.numbering import Numbering


def contract(program: Program, identities: Sequence[str]) -> Program:
    """Return the simplified program in which a sum over a column of an identity is replaced by its only nonzero term.

    Identities are tensors [row, column] of the program that hold ones and zeros.
    """
    names = Numbering((*program.shapes,))
    known: dict[Element, Expr] = {}  # diagonal matrices as products with an identity, and copies
    steps: list[Step] = []
    for step in program.steps:
        step = _contracted(replace(step, expression=step.expression.xreplace(known)), identities)
        seeds, rest = _split(step.expression, identities)
        outer = [seed for seed in seeds if not {*seed.indices} & {*step.over}]
        rest = Mul(rest, *(seed for seed in seeds if seed not in outer))
        if outer and not _rows_of(outer) & _indices(rest):
            if step.over or not (rest.is_number or isinstance(rest, Element)):
                name = names.fresh(f"diagonal_{step.target.tensor}")
                diagonal = Element(name, (index for index in step.target.indices if index in _indices(rest)))
                steps.append(Step(diagonal, rest, step.operator, step.over))
                rest = diagonal
            step = Step(step.target, Mul(rest, *outer))
            known[step.target] = step.expression
        elif isinstance(step.expression, Element) and not step.over:
            known[step.target] = step.expression
        steps.append(step)
    return replace(program, steps=needed(steps, program.results))


def _contracted(step: Step, identities: Sequence[str]) -> Step:
    """Return a step without its sums over columns of identities; their rows replace the columns."""
    if step.operator != "sum":
        return step
    expression, over = step.expression, step.over
    while seed := _summed(expression, over, identities):
        row, column = seed.indices
        other_factors = Mul(*(factor for factor in Mul.make_args(expression) if factor != seed))
        expression = renamed(other_factors, {column: row})
        over = tuple(index for index in over if index != column)
    return Step(step.target, expression, "sum" if over else None, over)


def _summed(expression: Expr, over: Sequence[str], identities: Sequence[str]) -> Element | None:
    """Return a factor of a product, an identity whose column is summed over and whose row nothing else has, or None."""
    factors = Mul.make_args(expression)
    for seed in _split(expression, identities)[0]:
        other_factors = (factor for factor in factors if factor != seed)
        if seed.indices[1] in over and not any(seed.indices[0] in _indices(other) for other in other_factors):
            return seed
    return None


def _split(expression: Expr, identities: Sequence[str]) -> tuple[list[Element], Expr]:
    """Return the factors of a product that are identities, and the product of all others."""
    seeds = [f for f in Mul.make_args(expression) if isinstance(f, Element) and f.tensor in identities]
    return seeds, Mul(*(factor for factor in Mul.make_args(expression) if factor not in seeds))


def _indices(expression: Expr) -> set[str]:
    return {index for element in elements(expression) for index in element.indices}


def _rows_of(identities: Iterable[Element]) -> set[str]:
    return {identity.indices[0] for identity in identities}
