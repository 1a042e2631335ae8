"""Calls of BLAS in C, whose routine a module looks up when it is imported.

The C gets a pointer to the routine. It compiles and runs without any BLAS, and then computes the same products in
blocks. In a module, the pointer is that of SciPy (``runtime/python/native/blas.py``), if it is installed when the
module is imported.
"""

from __future__ import annotations

from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.compiler.schedule import Place
from nncodegen.compiler.schedule.products import factors, rest_of
from nncodegen.compiler.schedule.tree import Call, Fill
from nncodegen.errors import ProgramError


def blas_product(call: Call, at: Elements, scale: str) -> tuple[str, ...]:
    """Return the call for a product: out[r, c] (+)= sum(k) a[r, k]*b[k, c]; sums over samples have a scale."""
    (step,), (row,), (a, b) = call.steps, rest_of(call), factors(call)
    (inner,) = step.over
    sizes = ", ".join(str(call.end(index)) for index in (row, call.innermost, inner))
    operands = f"{_operand(a, row, inner, at)}, {_operand(b, inner, call.innermost, at)}"
    out = f"{at.begin(step.target)}, {_stride(step.target, row, at)}"
    return (f"product({sizes}, {operands}, {out}, {scale if inner == SAMPLE else 0});",)


def end_rows(fill: Fill, at: Elements) -> str:
    """Return the call that pads the rows of a result of BLAS."""
    (row,) = (index for index in fill.target.indices if index != fill.innermost)
    sizes = f"{fill.end(row)}, {fill.end(fill.innermost)}"
    return f"end_rows({sizes}, {at.begin(fill.target)}, {_stride(fill.target, row, at)});"


def _operand(element: Element, row: str, column: str, at: Elements) -> str:
    """Return the begin of a matrix, the distance of its rows (transposed: columns), and whether it is transposed.

    BLAS requires this distance to be at least the length of a row, even if there is only one row: the weights of one
    input.
    """
    from_row, from_column = _stride(element, row, at), _stride(element, column, at)
    if from_column == 1:
        least = at.layout.tile if column == SAMPLE else at.size(column)
        return f"{at.begin(element)}, {max(from_row, least)}, 0"
    if from_row != 1:
        raise ProgramError(f"{element} lies neither in rows nor in columns")
    return f"{at.begin(element)}, {from_column}, 1"


def _stride(element: Element, index: str, at: Elements) -> int:
    if at.place(element) is Place.INPUT and index == SAMPLE:
        return sum(tensor.size for tensor in at.program.inputs)
    return at.kernel.stride(element, index)
