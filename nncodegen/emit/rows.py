"""Prediction of single rows: the loops of the kernel for outputs without the loop over samples.

Where layers are computed for tiles of samples, one row would be padded to whole vectors of them. Here vectors run
along the units of a layer instead, and products with its weights along the inputs of each unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nncodegen.emit.kernels import COLUMNS, KernelEmitter
from nncodegen.emit.lines import Lines
from nncodegen.ir import SAMPLE, Element, Step
from nncodegen.schedule import Nest, Schedule, Shape
from nncodegen.schedule.loops import make_kernel

HERE = Path(__file__).parent


def has_rows(schedule: Schedule) -> bool:
    """Whether single rows have a function of their own: where a kernel runs in blocks of samples."""
    return schedule.blocks


class RowEmitter(KernelEmitter):
    """Writes the function that computes the outputs of one row: a kernel for tiles of one sample, without padding."""

    def __init__(self, schedule: Schedule, lines: Lines) -> None:
        program = schedule.program
        layout = replace(schedule.layout, tile=1, features=(), blas=())
        super().__init__(program, layout, make_kernel(program, layout, "predict", program.outputs, ()), lines)

    def emit(self) -> None:
        """The function, behind that of the products."""
        lines = self._lines
        if Shape.CONTRACT in self._kernel.shapes:
            lines.add((HERE / "rows.c").read_text().rstrip("\n"), "")
        lines.add("/* The outputs of one row. */")
        head = (
            "static void predict_row(const real *restrict parameters, const real *restrict inputs,\n"
            "    real *restrict work, real *restrict outputs)"
        )
        with lines.block(head), lines.unused("parameters", "inputs", "work"):
            nests = (*self._kernel.before, *self._kernel.tile)
            self._emit_pointers(nests)
            self._emit_nests(nests)
        lines.add("")

    def _emit_contract(self, nest: Nest) -> None:
        (step,) = nest.steps
        (outer,), (inner,) = nest.outer, nest.reduced
        array, matrix = sorted(step.operands, key=lambda element: SAMPLE not in element.indices)
        sizes, names, strides = self._program.sizes, self._names, self._strides(matrix)
        self._lines.add(
            f"row_product({sizes[outer]}, {sizes[inner]}, {names[matrix.tensor]}, {strides[outer]}, {strides[inner]}, "
            f"{names[array.tensor]}, {names[step.target.tensor]});"
        )

    @contextmanager
    def _sample_loop(self, nest: Nest, accumulated: Step | None = None) -> Iterator[None]:
        yield

    def _stored(self, element: Element) -> str:
        place = self._kernel.storage[element.tensor].place
        if place in COLUMNS:
            return f"{COLUMNS[place][0]}[{self._position(element)}]"
        return super()._stored(element)

    def _stride_text(self, element: Element, index: str, stride: int) -> str:
        return "0" if index == SAMPLE else str(stride)
