"""The kernels of one sample: its outputs, and its loss with the gradient, without a loop over samples.

Vectors run along the units of a layer, and products with its weights along the contiguous index of the weights. If the
gradient is only used for a step of plain descent, it is added to the parameters where it would otherwise be stored (see
``runtime/c/nncodegen/train/descend.h``).
"""

from __future__ import annotations

from nncodegen.compiler.emit.calls import CallsOfSample
from nncodegen.compiler.emit.elements import ElementsOfSample
from nncodegen.compiler.emit.kernels import emit_measured
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.schedule import Kernel, Schedule, SingleSample


def emit_single_sample(schedule: Schedule, lines: Lines) -> None:
    """Write the functions of one sample, if a schedule has kernels for it."""
    single = schedule.single_sample
    if single:
        SingleSampleEmitter(schedule, single, single.predict, lines).emit_predict()
    if single and single.gradient:
        SingleSampleEmitter(schedule, single, single.gradient, lines).emit_gradient()


class SingleSampleEmitter:
    """Writer of the function of a kernel of one sample."""

    def __init__(self, schedule: Schedule, single: SingleSample, kernel: Kernel, lines: Lines) -> None:
        self._program, self._kernel, self._lines = single.program, kernel, lines
        self._at = ElementsOfSample(single.program, schedule.layout, kernel)
        self._trees = kernel.trees
        self._loops = LoopPrinter(self._at, CallsOfSample(self._at), lines)

    def emit_predict(self) -> None:
        """Write the function of the outputs of a sample."""
        lines, ((_, tile),) = self._lines, self._trees.parts
        lines.add("/* The outputs of one sample. */")
        head = (
            "static HOT void predict_sample(const real *restrict parameters, const real *restrict inputs,\n"
            "    real *restrict work, real *restrict outputs)"
        )
        with lines.function(head):
            lines.add(*self._at.declarations(tile))
            self._loops.print(tile)
        lines.add("")

    def emit_gradient(self) -> None:
        """Write the function of the gradient of the loss of a sample."""
        lines, kernel = self._lines, self._kernel
        ((_, tile),), measured, after = self._trees.parts, self._trees.measured, self._trees.after
        lines.add(
            "/* Adds the loss of one sample to the sums. Gives its derivatives or, where scale is not 0, adds scale",
            "   times each to what is there: the parameters, which are read before, as may be what follows them. */",
        )
        head = (
            "static HOT void gradient_sample(const real *parameters, const real *restrict inputs,\n"
            "    const real *restrict targets, real weight, real *restrict work, int with_loss, real scale,\n"
            "    double *restrict sums, real *gradient, int metrics, const real *restrict counts, "
            "const details *restrict more)"
        )
        with lines.function(head):
            lines.add(*self._at.declarations((*tile, *measured, *after)))
            self._loops.print(tile)
            if kernel.outputs:
                emit_measured(self._at, self._loops, measured, "1", lines)
            self._loops.print(after)
        lines.add("")
