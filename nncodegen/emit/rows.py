"""Prediction of single rows: the loops of the kernel for outputs without the loop over samples.

Where layers are computed for tiles of samples, one row would be padded to whole vectors of them. Here vectors run
along the units of a layer instead, and products with its weights along the inputs of each unit.
"""

from __future__ import annotations

from dataclasses import replace

from nncodegen.emit.calls import BlockCalls
from nncodegen.emit.elements import COLUMNS, Elements
from nncodegen.emit.kernels import KernelEmitter
from nncodegen.emit.lines import Lines
from nncodegen.ir import SAMPLE, Element
from nncodegen.schedule import Nest, Schedule
from nncodegen.schedule.loops import make_kernel


def has_rows(schedule: Schedule) -> bool:
    """Whether single rows have a function of their own: where a kernel runs in blocks of samples."""
    return schedule.blocks


class RowEmitter(KernelEmitter):
    """Writes the function that computes the outputs of one row: a kernel for tiles of one sample, without padding."""

    def __init__(self, schedule: Schedule, lines: Lines) -> None:
        program = schedule.program
        layout = replace(schedule.layout, tile=1, features=(), blas=())
        kernel = make_kernel(program, layout, "predict", program.outputs, ())
        super().__init__(RowElements(program, layout, kernel), lines)
        self._calls = RowCalls(self._at)

    def emit(self) -> None:
        """The function, behind that of the products."""
        lines = self._lines
        lines.add("/* The outputs of one row. */")
        head = (
            "static HOT void predict_row(const real *restrict parameters, const real *restrict inputs,\n"
            "    real *restrict work, real *restrict outputs)"
        )
        with lines.block(head), lines.unused("parameters", "inputs", "work"):
            nests = (*self._kernel.before, *self._kernel.tile)
            self._emit_pointers(nests)
            self._emit_nests(nests)
        lines.add("")

    def _heads(self, indices: tuple[str, ...], nest: Nest, note: str = "") -> list[str]:
        return super()._heads(tuple(index for index in indices if index != SAMPLE), nest, note)


class RowElements(Elements):
    """Elements of a kernel whose tiles are one sample: none has a stride for the samples."""

    def stored(self, element: Element) -> str:
        """An element in memory."""
        place = self.place(element)
        return f"{COLUMNS[place][0]}[{self.position(element)}]" if place in COLUMNS else super().stored(element)

    def stride_text(self, element: Element, index: str, stride: int) -> str:
        """A stride."""
        return "0" if index == SAMPLE else str(stride)


class RowCalls(BlockCalls):
    """The calls for one row: a product runs along the inputs of each unit."""

    def contract(self, nest: Nest) -> tuple[str, ...]:
        """The product of a matrix and one row."""
        at, (step,) = self._elements, nest.steps
        (outer,), (inner,) = nest.outer, nest.reduced
        array, matrix = sorted(step.operands, key=lambda element: SAMPLE not in element.indices)
        strides = at.strides(matrix)
        matrix_at = f"{at.names[matrix.tensor]}, {strides[outer]}, {strides[inner]}"
        vectors = f"{at.names[array.tensor]}, {at.names[step.target.tensor]}"
        return (f"row_product({at.size(outer)}, {at.size(inner)}, {matrix_at}, {vectors}, 1);",)
