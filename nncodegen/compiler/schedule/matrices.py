"""Samples one by one: the sums of products of a sequence are products of matrices, in loops over heads.

In attention, both factors of a product depend on the sample: the scores ``z[n, h, t, s] = sum(k) q[n, t, h, k]*k[n, s,
h, k]`` are a product of two matrices for each head. Samples along the vectors would keep the scores of a whole vector
of samples in memory at once, and a single sequence would leave the vectors nearly empty. So a tile is one sample here:
its positions are the rows of matrices, and what lies innermost in memory runs along the vectors.

Each index of a product belongs to one group: ``rows`` and ``columns`` of the result, ``inner`` indices that are summed
over, and indices ``around`` it, which have loops. The indices of a group follow each other in every array, so that they
count as one. In a causal row, an equation says which keys exist for a query: for products it is a ``Triangle``. Where
data say it for each query and key, they are the mask of the product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from sympy import Mul

from nncodegen.compiler.ir import RECURRENCES, SAMPLE, Element, Equation, Program, Step
from nncodegen.compiler.schedule.layout import CHOICES, Layout
from nncodegen.compiler.schedule.windows import window_of

OTHERWISE = tuple(name for name in CHOICES if name != "block_length")
"""The choices with which samples lie along the vectors."""

Indices = tuple[str, ...]
Sizes = Mapping[str, int | None]


@dataclass(frozen=True)
class Triangle:
    """The places of a matrix that exist: those where the index ``high`` is at least the index ``low``."""

    high: str
    low: str

    def within(self, groups: Iterable[Indices]) -> bool:
        """Return whether both indices are each the only one of one of two groups."""
        return {(self.high,), (self.low,)} == set(groups)


@dataclass(frozen=True)
class Matrices:
    """A product of matrices: ``out[rows, columns] = sum(inner) a[rows, inner]*b[inner, columns]``.

    Only the values of a ``triangle`` of the result exist, or of the factor a; the others are 0. Only terms exist whose
    value of a ``mask`` is 1; those of the factor a are 0 elsewhere.
    """

    a: Element
    b: Element
    around: Indices
    rows: Indices
    columns: Indices
    inner: Indices
    triangle: Triangle | None = None
    mask: Element | None = None

    def __str__(self) -> str:
        groups = {"around": self.around, "rows": self.rows, "columns": self.columns, "inner": self.inner}
        return "; ".join(f"{name} {', '.join(indices)}" for name, indices in groups.items() if indices)

    @property
    def of_result(self) -> bool:
        """Return whether the triangle is one of the result."""
        return self.triangle is not None and self.triangle.within((self.rows, self.columns))


def choose_matrices(program: Program, layout: Layout, choices: Mapping[str, object]) -> Layout:
    """Return a layout with samples one by one, if a program has products of two arrays of samples; else the given one.

    The products of a recurrence or a convolution are no products of whole matrices, and the statistics of a batch are
    sums over all of its samples. Whoever chooses the tile or the segments gets samples along the vectors.
    """
    recurs = any(step.operator in RECURRENCES for step in program.steps)
    if not program.moves or recurs or program.batch or any(choices.get(name) for name in OTHERWISE):
        return layout
    products = [(step, matrices_of(step, program)) for step in program.steps]
    with_equations = (step for step, matrices in products if not matrices and step.where and step.target.indices)
    if not _attends(program) or any(window_of(step, program) for step in with_equations if step.expression.is_Mul):
        return layout
    reason = "as products of two arrays of samples are products of matrices"
    return replace(layout, tile=1, features=(), reasons=(reason, *layout.reasons[1:]), one_by_one=True)


def _attends(program: Program) -> bool:
    """Return whether a program has products of two arrays of samples, as attention has."""
    products = (matrices_of(step, program) for step in program.steps if SAMPLE in step.target.indices)
    whole = (matrices for matrices in products if matrices and not matrices.mask)
    return any(SAMPLE in matrices.a.indices and SAMPLE in matrices.b.indices for matrices in whole)


def matrices_of(step: Step, program: Program, kernel_steps: Sequence[Step] = ()) -> Matrices | None:
    """Return the matrices whose product a step is; None if it is none.

    ``kernel_steps`` are steps of a kernel that the program does not have, as they are computed again.
    """
    if not step.factors or not step.target.indices:
        return None
    triangle, over = _triangle(step, program), tuple(index for index in step.over if index != SAMPLE)
    mask = _mask(step)
    if step.where and mask is None:
        if triangle is None:
            return None
        over = tuple(index for index in over if index != step.where[0].left)
    last, read = step.target.indices[-1], [element for element in step.operands if element != mask]
    b = next((each for each in read if last in each.indices), None)
    if b is None or last == SAMPLE:
        return None
    a = next(each for each in read if each is not b)
    if last in a.indices or not any(SAMPLE in each.indices for each in (a, b)):
        return None
    matrices = _grouped(step, a, b, over, triangle, program, kernel_steps)
    if matrices is None or mask is None:
        return matrices
    single = len(matrices.rows) == len(matrices.inner) == 1
    inside = {*mask.indices} <= {SAMPLE, *matrices.around, *matrices.rows, *matrices.inner}
    fits = single and inside and _vanishes(a, partial(_gives_equation, equation=step.where[0]), program, kernel_steps)
    return replace(matrices, mask=mask) if fits else None


def _mask(step: Step) -> Element | None:
    """Return the mask of a step whose only equation says which terms exist by the value 1 of it."""
    if len(step.where) != 1:
        return None
    (equation,) = step.where
    is_mask = equation.data is not None and not equation.terms and equation.offset == 1
    return equation.data if is_mask and equation.data not in step.factors else None


def _vanishes(
    element: Element, determined: Callable[[Step, dict[str, str]], bool], program: Program, kernel_steps: Iterable[Step]
) -> bool:
    """Return whether an element is 0 somewhere: by an equation of its step, or of a factor of it.

    ``determined`` tells whether an equation of a step says so, where indices of its target have other names.
    ``kernel_steps`` are steps besides those of the program. A factor of 0 counts as 0, though a product with infinity
    or NaN is NaN. In a product with a mask that is a derivative of scores: only NaN or infinity in the derivative by a
    query's result make it NaN, which then is NaN for its other keys, too.
    """
    step = next((step for step in chain(kernel_steps, program.steps) if step.target.tensor == element.tensor), None)
    if step is None or step.operator not in (None, "sum"):
        return False
    names = dict(zip(step.target.indices, element.indices, strict=True))
    if determined(step, names):
        return True
    factors = (each.renamed(names) for each in Mul.make_args(step.expression) if isinstance(each, Element))
    return not step.over and any(_vanishes(each, determined, program, kernel_steps) for each in factors)


def _gives_equation(step: Step, names: Mapping[str, str], equation: Equation) -> bool:
    return not step.over and equation in (each.renamed(names) for each in step.where)


def _gives_triangle(step: Step, names: Mapping[str, str], triangle: Triangle, program: Program) -> bool:
    triangles = (triangle_of(equation, step, program) for equation in step.where)
    return triangle in (Triangle(names.get(each.high, ""), names.get(each.low, "")) for each in triangles if each)


def _grouped(
    step: Step,
    a: Element,
    b: Element,
    over: Indices,
    triangle: Triangle | None,
    program: Program,
    kernel_steps: Iterable[Step],
) -> Matrices | None:
    """Return the product with its indices in groups."""
    target = tuple(index for index in step.target.indices if index != SAMPLE)
    in_a, in_b = set(a.indices), set(b.indices)
    if any(not (index in in_a and index in in_b) for index in over) or not (over or SAMPLE in step.over):
        return None
    if {*target, *over} != (in_a | in_b) - {SAMPLE}:
        return None
    inner = _run(tuple(index for index in a.indices if index in over), a, b)
    columns = tuple(index for index in target if index in in_b and index not in in_a)
    while columns and not _run(columns, b, step.target):
        columns = columns[1:]
    rows = tuple(index for index in target if index in in_a and index not in in_b)
    if not _run(rows, a, step.target):
        rows = (max(rows, key=lambda index: program.sizes[index] or 1),) if rows else ()
    around = tuple(index for index in target if index not in (*rows, *columns))
    if bool(over) != bool(inner) or not columns or target[-len(columns) :] != columns:
        return None
    if b.indices[-len(columns) :] != columns and not (inner and b.indices[-len(inner) :] == inner):
        return None
    matrices = Matrices(a, b, around, rows, columns, inner, triangle)
    if SAMPLE not in b.indices and set(around) & in_b:
        return None  # its copy has no loops around it
    fits = triangle is None or matrices.of_result
    if triangle and not fits:
        determined = partial(_gives_triangle, triangle=triangle, program=program)
        fits = triangle.within((rows, inner)) and _vanishes(a, determined, program, kernel_steps)
    return matrices if fits else None


def _run(indices: Indices, *elements: Element) -> Indices:
    """Return the indices if they follow each other, in this order, in all elements; otherwise an empty tuple."""
    for element in elements:
        if not indices or indices[0] not in element.indices:
            return ()
        first = element.indices.index(indices[0])
        if element.indices[first : first + len(indices)] != indices:
            return ()
    return indices


def _triangle(step: Step, program: Program) -> Triangle | None:
    """Return the triangle that the only equation of a step gives: a difference of two indices that is not negative."""
    if len(step.where) != 1:
        return None
    return triangle_of(step.where[0], step, program)


def triangle_of(equation: Equation, step: Step, program: Program) -> Triangle | None:
    """Return the triangle that an equation means, if it gives an index that the step does not use otherwise."""
    signs = {factor: index for index, factor in equation.terms}
    used = {index for element in (step.target, *step.operands) for index in element.indices}
    is_solved = isinstance(equation.left, str) and equation.left in step.over and equation.left not in used
    if not is_solved or equation.offset or len(equation.terms) != 2 or set(signs) != {1, -1}:
        return None
    high, low = signs[1], signs[-1]
    if (program.sizes[str(equation.left)] or 0) < (program.sizes[high] or 0):
        return None  # a band, not a triangle
    return Triangle(high, low)
