"""The form of each step: loops, blocks of a product, or a copy of a matrix, and the index along its vectors."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from sympy import Expr

from nncodegen.compiler.ir import SAMPLE, Element, Group, Program, Step, grouped
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.ir.systems import INTEGRATE
from nncodegen.compiler.schedule.layout import Layout, is_product
from nncodegen.compiler.schedule.matrices import matrices_of
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.windows import window_of

MOST_UNROLLED = 4
"""Number of values of an index up to which it is written out, value by value, in a loop over the samples; also the
number of terms up to which the sum of a product is written out."""

LONG = 96
"""Terms beyond which a sum of products is computed in parts. For each part, a panel of its second factor is copied to
where it stays in the first-level cache."""

GATHERED = 8
"""Number of values of a vector up to which gathering them from rows is about as fast as transposing squares."""


@dataclass(frozen=True)
class Form:
    """The shape in which a step is computed, and the index that runs innermost and along the vectors."""

    shape: Shape
    innermost: str


def forms_of(steps: Iterable[Step], program: Program, layout: Layout) -> tuple[list[Step], dict[str, Form]]:
    """Return the steps and their forms; copies of matrices are added for products that need them in padded rows."""
    result: list[Step] = []
    forms: dict[str, Form] = {}
    elements = {element for step in program.steps for element in step.operands}
    in_rows = {
        e.tensor for e in elements if lies_in_rows(e, program, layout)
    }  # tensors whose features lie side by side
    for step in steps:
        if layout.one_by_one:
            form, step = _form_of_one(step, program, layout, result, forms)
            result.append(step)
            forms[step.target.tensor] = form
            continue
        form = _form(step, program, layout, in_rows)
        if SAMPLE in step.target.indices and form.innermost != SAMPLE:
            for element in step.operands:
                if SAMPLE not in element.indices and form.innermost in element.indices:
                    panels = form.shape in (Shape.CONTRACT, Shape.BLAS) and _in_panels(step, element, program, layout)
                    transposed = element.tensor in layout.transposed
                    if panels or transposed or _in_whole_vectors(element, form.innermost, program, layout):
                        continue
                    packed = _packed(element, form.innermost, program, result, forms)
                    step = replace(step, expression=step.expression.xreplace({element: packed}))
            in_rows.add(step.target.tensor)
        result.append(step)
        forms[step.target.tensor] = form
    return result, forms


def _form_of_one(
    step: Step, program: Program, layout: Layout, steps: list[Step], forms: dict[str, Form]
) -> tuple[Form, Step]:
    """Return the form of a step where samples run one by one: a product of matrices, or loops over what is contiguous.

    Return the step, too: in a product, a copy of parameters replaces those whose columns are not contiguous, or whose
    rows do not fill whole vectors, so that vectors would reach beyond the last of them. The copy is added to ``steps``.
    """
    if step.operator == INTEGRATE:
        return Form(Shape.PATH, SAMPLE), step
    matrices = matrices_of(step, program, steps)
    if not matrices:
        return Form(Shape.LOOPS, (SAMPLE, *step.target.indices)[-1]), step
    b, columns = matrices.b, matrices.columns
    width = program.count(columns)
    whole = b.indices[-len(columns) :] == columns and layout.padded(width) == width
    if SAMPLE not in b.indices and not whole:
        packed = Element(unused(f"{b.tensor} by {columns[-1]}", program.shapes), (*matrices.inner, *columns))
        if packed.tensor not in forms:
            steps.append(Step(packed, b))
            forms[packed.tensor] = Form(Shape.PACK, columns[-1])
        step = replace(step, expression=step.expression.xreplace({b: packed}))
    return Form(Shape.MATRICES, columns[-1]), step


def _in_panels(step: Step, element: Element, program: Program, layout: Layout) -> bool:
    """Return whether a product copies a matrix panel by panel, so that it needs no copy in padded rows."""
    (inner,) = step.over
    (innermost,) = (index for index in element.indices if index != inner)
    size = program.sizes[innermost] or 1
    whole = element.indices[-1] == inner or layout.padded(size) == size
    return (program.sizes[inner] or 1) > LONG and whole


def _in_whole_vectors(element: Element, innermost: str, program: Program, layout: Layout) -> bool:
    """Return whether the values of an index are contiguous and fill whole vectors."""
    size = program.sizes[innermost] or 1
    return element.indices[-1] == innermost and layout.padded(size) == size


def _packed(element: Element, innermost: str, program: Program, steps: list[Step], forms: dict[str, Form]) -> Element:
    """Return the copy of parameters in padded rows along an index, and add its step if it is still missing."""
    indices = (*(index for index in element.indices if index != innermost), innermost)
    packed = Element(unused(f"{element.tensor} by {innermost}", program.shapes), indices)
    if packed.tensor not in forms:
        steps.append(Step(packed, element))
        forms[packed.tensor] = Form(Shape.PACK, innermost)
    return packed


def _form(step: Step, program: Program, layout: Layout, in_rows: Container[str]) -> Form:
    """Return the form: blocks for products of many values, vectors for sums over samples, loops for others."""
    if step.operator == INTEGRATE:
        return Form(Shape.PATH, SAMPLE)
    features = [index for index in step.target.indices if index != SAMPLE]
    innermost = next((index for index in features if index in layout.features), SAMPLE)
    if program.moves and window_of(step, program, layout.lengths) and not is_product(step):
        return Form(Shape.PLACES, SAMPLE)
    if is_product(step):
        blas = step.target.tensor in layout.blas
        if is_written_out(step, program) and not blas:
            return Form(Shape.LOOPS, innermost)
        if SAMPLE in step.target.indices:
            array = next(e for e in step.operands if SAMPLE in e.indices)
            (feature,) = features
            pays = layout.transposes(program.count(features), program.count(step.over))
            chosen = feature if feature == innermost or (array.tensor in in_rows and not pays) else SAMPLE
            return Form(Shape.BLAS if blas else Shape.CONTRACT, chosen)
        indices = step.target.indices
        for index in indices if step.target.tensor in layout.transposed else reversed(indices):
            if next(e for e in step.operands if index in e.indices).tensor in in_rows:
                return Form(Shape.BLAS if blas else Shape.ACCUMULATE, index)
        return Form(Shape.BLAS, step.target.indices[-1]) if blas else Form(Shape.LANE_SUMS, SAMPLE)
    copied = not step.over and not step.where and len(features) == 1 and _is_from_outside(step.expression, program)
    in_squares = innermost == SAMPLE and layout.tile > 1 and layout.padding > GATHERED
    if copied and in_squares and program.count(features) > MOST_UNROLLED:
        return Form(Shape.PACK, SAMPLE)
    of_an_array = isinstance(step.expression, Element) and len(step.expression.indices) == 2
    if step.over == (SAMPLE,) and not step.where and of_an_array and len(features) == 1:
        return Form(Shape.ADD_UP, features[0] if step.expression.tensor in in_rows else SAMPLE)
    return Form(Shape.LOOPS, innermost if SAMPLE in step.target.indices and not step.over else SAMPLE)


def forms_of_results(
    copies: Iterable[Step], forms: Mapping[str, Form], program: Program, layout: Layout
) -> dict[str, Form]:
    """Return the forms of copies of arrays to the memory of the caller that are transposed as whole matrices.

    The samples lie side by side in the arrays, and in rows there. One call is compiled in a hundredth of the time of a
    loop that writes across these rows. What is computed step by step is copied in its loop, without such an array.
    """
    if layout.tile == 1:
        return {}
    transposed_forms, times = {}, {item.index for item in grouped(program.steps) if isinstance(item, Group)}
    for step in copies:
        value, features = step.expression, [index for index in step.target.indices if index != SAMPLE]
        form = forms.get(value.tensor) if isinstance(value, Element) and SAMPLE in value.indices else None
        along_samples = form and form.innermost == SAMPLE and form.shape is not Shape.PACK
        is_matrix = len(features) == 1 and features[0] in {*value.indices} - times if along_samples else False
        if is_matrix and program.count(features) > MOST_UNROLLED:
            transposed_forms[step.target.tensor] = Form(Shape.PACK, features[0])
    return transposed_forms


def _is_from_outside(value: Expr, program: Program) -> bool:
    """Return whether a value is an element of an input or target, which the caller stores in rows of samples."""
    outside = {tensor.name for tensor in (*program.inputs, *program.targets)}
    return isinstance(value, Element) and value.tensor in outside


def is_written_out(step: Step, program: Program) -> bool:
    """Return whether a step is a product of so few values that its terms are written in the loop that uses them."""
    return is_product(step) and SAMPLE in step.target.indices and program.count(step.over) <= MOST_UNROLLED


def can_be_written_out(step: Step, form: Form) -> bool:
    """Return whether the short indices of a step need no loops: it runs over innermost samples, not in a block."""
    if step.where and step.over:
        return False
    sums = step.operator in (None, "sum") or isinstance(step.expression, Element)
    return form.shape is Shape.LOOPS and form.innermost == SAMPLE and SAMPLE in step.target.indices and sums


def lies_in_rows(element: Element, program: Program, layout: Layout) -> bool:
    """Return whether an element is of the only input, only products read it, and its features fill whole vectors."""
    if [tensor.name for tensor in program.inputs] != [element.tensor] or len(element.indices) != 2:
        return False
    readers = [step for step in program.steps if element.tensor in {operand.tensor for operand in step.operands}]
    sizes = [program.sizes[index] or 1 for index in element.indices if index in layout.features]
    return all(map(is_product, readers)) and [layout.padded(size) for size in sizes] == sizes != []
