"""Calls of BLAS in C, and in the module the search for a BLAS to call.

The C takes the routine as a pointer: it compiles and runs without any BLAS, and then computes the same products by
itself. In a module, SciPy gives the pointer (``interface_blas.py``), if it is there when the module is imported.
"""

from __future__ import annotations

from nncodegen.emit.calls import factors
from nncodegen.emit.elements import Elements
from nncodegen.errors import ProgramError
from nncodegen.ir import SAMPLE, Element
from nncodegen.schedule import Nest, Place, Schedule, Shape


def calls_blas(schedule: Schedule) -> bool:
    """Whether any product is left to BLAS."""
    return any(Shape.BLAS in kernel.shapes for kernel in schedule.kernels)


class BlasEmitter:
    """Writes the products of a kernel that are left to BLAS."""

    def __init__(self, elements: Elements) -> None:
        self._at, self._kernel = elements, elements.kernel
        self._packed = elements.copies

    def only_for_blocks(self, nest: Nest) -> bool:
        """Whether a nest makes a copy that nothing but products left to BLAS reads: BLAS itself reads the original."""
        copies = {step.target for step in nest.steps}
        return copies <= self._packed.keys() and {n.shape for n in self._at.readers(nest)} == {Shape.BLAS}

    def originals(self, nest: Nest) -> tuple[Element, ...]:
        """What a nest reads of BLAS in the place of copies."""
        if nest.shape is not Shape.BLAS:
            return ()
        return tuple(self._packed[operand] for operand in nest.steps[0].operands if operand in self._packed)

    def product(self, nest: Nest) -> tuple[str, ...]:
        """The call for a nest: out[row, lanes] (+)= a[row, inner] b[inner, lanes]."""
        (step,) = nest.steps
        (inner,) = step.over
        (row,) = (index for index in step.target.indices if index != nest.lanes)
        a, b = factors(nest)
        rows, lanes, inners = (self._at.extent(index, nest) for index in (row, nest.lanes, inner))
        out, out_row = self._at.begin(step.target), self._stride(step.target, row)
        summed = inner == SAMPLE
        calls = [
            f"product({rows}, {lanes}, {inners}, "
            f"{self._operand(a, row, inner)}, {self._operand(b, inner, nest.lanes)}, {out}, {out_row}, "
            f"{self._at.more(step.target) if summed else 0});"
        ]
        if not summed and nest.lanes != SAMPLE and out_row > self._at.size(nest.lanes):
            calls.append(f"end_rows({rows}, {lanes}, {out}, {out_row});")
        return tuple(calls)

    def turned(self, nest: Nest) -> bool:
        """Whether a product sums over the index along the rows of both of its factors, as no block does."""
        (step,) = nest.steps
        return all(self._stride(element, step.over[0]) == 1 for element in step.operands) and step.over == (SAMPLE,)

    def dot_products(self, nest: Nest) -> str:
        """The call for such a product where there is no BLAS."""
        (step,) = nest.steps
        row, column = step.target.indices
        a, b = sorted(step.operands, key=lambda element: row not in element.indices)
        given = ", ".join(f"{self._at.begin(e)}, {self._stride(e, i)}" for e, i in ((a, row), (b, column)))
        out = f"{self._at.begin(step.target)}, {self._stride(step.target, row)}"
        more = self._at.more(step.target)
        return f"dot_products({self._at.size(row)}, {self._at.size(column)}, padded, {given}, {out}, {more});"

    def _operand(self, element: Element, row: str, column: str) -> str:
        """Where a matrix begins, the values from one row (turned: column) to the next, and whether it is turned.

        BLAS wants these values to be as many as a row has, also where it is the only one: the weights of one input.
        """
        element = self._packed.get(element, element)
        from_row, from_column = self._stride(element, row), self._stride(element, column)
        if from_column == 1:
            return f"{self._at.begin(element)}, {max(from_row, self._at.size(column))}, 0"
        if from_row != 1:
            raise ProgramError(f"{element} lies neither in rows nor in columns")
        return f"{self._at.begin(element)}, {from_column}, 1"

    def _stride(self, element: Element, index: str) -> int:
        if self._at.place(element) is Place.INPUT and index == SAMPLE:
            return sum(tensor.size for tensor in self._at.program.inputs)
        return self._at.strides(element)[index]
