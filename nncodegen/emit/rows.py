"""The kernels of one sample: its outputs, and its loss with the gradient, without a loop over samples.

Vectors run along the units of a layer, and products with its weights along whatever lies side by side of them. Where
the gradient is not wanted for itself, but as a step of plain descent, it is added to the parameters where it would be
written (see ``descent.c``).
"""

from __future__ import annotations

from nncodegen.emit.calls import CallsOfRow
from nncodegen.emit.elements import ElementsOfRow
from nncodegen.emit.kernels import emit_measured
from nncodegen.emit.lines import Lines
from nncodegen.emit.loops import LoopPrinter
from nncodegen.schedule import Kernel, Rows, Schedule


def emit_rows(schedule: Schedule, lines: Lines) -> None:
    """The functions of one sample, where a schedule has kernels for it."""
    rows = schedule.rows
    if rows:
        RowEmitter(schedule, rows, rows.predict, lines).emit_predict()
    if rows and rows.gradient:
        RowEmitter(schedule, rows, rows.gradient, lines).emit_gradient()


class RowEmitter:
    """Writes the function of a kernel of one sample."""

    def __init__(self, schedule: Schedule, rows: Rows, kernel: Kernel, lines: Lines) -> None:
        self._program, self._kernel, self._lines = rows.program, kernel, lines
        self._at = ElementsOfRow(rows.program, schedule.layout, kernel)
        self._loops = LoopPrinter(self._at, CallsOfRow(self._at), lines)

    def emit_predict(self) -> None:
        """The outputs of a sample."""
        lines, tile = self._lines, self._kernel.tile
        lines.add("/* The outputs of one sample. */")
        head = (
            "static HOT void predict_row(const real *restrict parameters, const real *restrict inputs,\n"
            "    real *restrict work, real *restrict outputs)"
        )
        with lines.function(head):
            lines.add(*self._at.declarations(tile))
            self._loops.print(tile)
        lines.add("")

    def emit_gradient(self) -> None:
        """The gradient of the loss of a sample."""
        lines, kernel = self._lines, self._kernel
        noise = ", randomness noise, const size_t *restrict rows" if self._program.noise else ""
        lines.add(
            "/* Adds the loss of one sample. Gives its derivatives, or (more) adds so many times of these to what is",
            "   there, such as the parameters, which are read before; what lies behind these may be read as well. */",
        )
        head = (
            "static HOT void gradient_row(const real *parameters, const real *restrict inputs,\n"
            "    const real *restrict targets, real weight, real *restrict work, int with_loss, real more,\n"
            f"    double *restrict sums, real *gradient, int metrics, const real *restrict counts{noise})"
        )
        with lines.function(head):
            lines.add(*self._at.declarations((*kernel.tile, *kernel.measured, *kernel.after)))
            self._loops.print(kernel.tile)
            if kernel.outputs:
                emit_measured(self._at, self._loops, "1", lines)
            self._loops.print(kernel.after)
        lines.add("")
