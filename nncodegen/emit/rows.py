"""The kernels of one sample: its outputs, and its loss with the gradient, without a loop over samples.

Vectors run along the units of a layer, and products with its weights along whatever lies side by side of them. Where
the gradient is not wanted for itself, but as a step of plain descent, it is added to the parameters where it would be
written (see ``descent.c``).
"""

from __future__ import annotations

from collections.abc import Iterable

from nncodegen.emit.elements import COLUMNS, Elements
from nncodegen.emit.kernels import KernelEmitter
from nncodegen.emit.lines import Lines
from nncodegen.ir import Element, Step
from nncodegen.schedule import Kernel, Nest, Place, Rows, Schedule, Shape

REDUCTIONS = {"sum": "row_sum", "max": "row_largest"}
"""The functions for values that lie side by side."""


def emit_rows(schedule: Schedule, lines: Lines) -> None:
    """The functions of one sample, where a schedule has kernels for it."""
    rows = schedule.rows
    if rows:
        RowEmitter(schedule, rows, rows.predict, lines).emit_predict()
    if rows and rows.gradient:
        RowEmitter(schedule, rows, rows.gradient, lines).emit_gradient()


class RowEmitter(KernelEmitter):
    """Writes the function of a kernel of one sample."""

    samples = "1"

    def __init__(self, schedule: Schedule, rows: Rows, kernel: Kernel, lines: Lines) -> None:
        super().__init__(RowElements(rows.program, schedule.layout, kernel), lines)
        self._adds = False

    def emit_predict(self) -> None:
        """The outputs of a sample."""
        lines = self._lines
        lines.add("/* The outputs of one sample. */")
        head = (
            "static HOT void predict_row(const real *restrict parameters, const real *restrict inputs,\n"
            "    real *restrict work, real *restrict outputs)"
        )
        with lines.block(head), lines.unused("parameters", "inputs", "work"):
            self._emit_pointers(self._kernel.tile)
            self._emit_nests(self._kernel.tile)
        lines.add("")

    def emit_gradient(self) -> None:
        """The gradient of the loss of a sample."""
        lines, kernel = self._lines, self._kernel
        weight = self._at.names[self._program.weight.name]
        noise = ", randomness noise, const size_t *restrict rows" if self._program.noise else ""
        lines.add(
            "/* Adds the loss of one sample. Gives its derivatives, or (more) adds so many times of these to what is",
            "   there, such as the parameters, which are read before; what lies behind these may be read as well. */",
        )
        head = (
            "static HOT void gradient_row(const real *parameters, const real *restrict inputs,\n"
            f"    const real *restrict targets, real {weight}, real *restrict work, int with_loss, real more,\n"
            f"    double *restrict sums, real *gradient, int metrics, const real *restrict counts{noise})"
        )
        arguments = ["parameters", "inputs", "targets", weight, "work", "with_loss", "sums", "metrics", "counts"]
        with lines.block(head), lines.unused(*arguments, *(["noise", "rows"] if noise else [])):
            self._emit_pointers((*kernel.tile, *kernel.measured, *kernel.after))
            self._emit_nests(kernel.tile)
            if kernel.outputs:
                self._emit_measured()
            self._emit_nests(kernel.after)
        lines.add("")

    def _columns(self, element: Element) -> str:
        name, column = self._names[element.tensor], next(iter(self._at.strides(element).values()), 0)
        return f"{name if element.indices else f'&{name}'}, 0, {column}"

    def _emit_pointers(self, nests: tuple[Nest, ...], others: Iterable[Element] = ()) -> None:
        """Names for arrays, and the variables that have no index."""
        super()._emit_pointers(nests, others)
        targets = {step.target: None for nest in nests for step in nest.steps}
        variables = [self._at.stored(target) for target in targets if self._at.place(target) is Place.VARIABLE]
        if variables:
            self._lines.add(f"real {', '.join(f'{name} = 0' for name in variables)};")

    def _emit_nest(self, nest: Nest) -> None:
        if nest.shape is Shape.CONTRACT:
            self._emit_product(nest)
        elif nest.reduced and not nest.outer and self._is_row(nest.steps[0]):
            (step,) = nest.steps
            (inner,) = step.over
            row = f"{REDUCTIONS[step.operator or '']}({self._at.size(inner)}, {self._at.begin(step.operands[0])})"
            equals = "+=" if self._at.place(step.target) is Place.SUM else "="
            self._lines.add(f"{self._at.stored(step.target)} {equals} {row};")
        elif nest.reduced:
            self._emit_reduction(nest)
        elif self._at.place(nest.steps[0].target) is Place.GRADIENT:
            for self._adds, head in ((True, "if (more != 0)"), (False, "else")):
                with self._lines.block(head):
                    self._emit_map(nest)
        else:
            self._emit_map(nest)

    def _is_row(self, step: Step) -> bool:
        """Whether a step reduces values that lie side by side."""
        return isinstance(step.expression, Element) and [*self._at.strides(step.expression).values()] == [1]

    def _emit_product(self, nest: Nest) -> None:
        """The product of a matrix and a vector."""
        at, (step,) = self._at, nest.steps
        (outer,), (inner,) = step.target.indices, step.over
        vector, matrix = sorted(step.operands, key=lambda element: len(element.indices))
        strides, sizes = at.strides(matrix), f"{at.size(outer)}, {at.size(inner)}"
        begin, values, out = at.begin(matrix), at.begin(vector), at.begin(step.target)
        if strides[inner] == 1:
            self._lines.add(f"row_product({sizes}, {begin}, {strides[outer]}, {values}, {out}, 1);")
        elif self._kernel.name == "gradient":
            self._lines.add(f"row_times({sizes}, {values}, {begin}, {strides[inner]}, {out});")
        else:  # whose parameters are the caller's: nothing behind them may be read
            self._emit_reduction(nest)

    def _emit_padding(self, nest: Nest) -> None:
        """Nothing: what pads a row is not read for itself."""

    def _bound(self, index: str, nest: Nest) -> str:
        """Where a loop ends: that of outputs with the last unit, as it reads parameters of the caller."""
        return super()._bound(index, nest) if self._kernel.name == "gradient" else str(self._at.size(index))

    def _emit_loads(self, steps: Iterable[Step]) -> None:
        """Nothing: each value of a row is read where it is used."""

    def _element(self, element: Element) -> str:
        rows = self._at.place(element) in (Place.INPUT, Place.TARGET)
        return self._at.stored(element) if rows else super()._element(element)

    def _emit_statement(self, step: Step, terms: Iterable[Step]) -> None:
        place = self._at.place(step.target)
        if place is Place.SUM:
            self._lines.add(f"{self._at.stored(step.target)} += {self._printer.print(step.expression)};")
        elif self._adds and place is Place.GRADIENT:
            value = self._printer.print(step.expression)
            times = f"more*{value}" if isinstance(step.expression, Element) else f"more*({value})"
            self._lines.add(f"{self._at.stored(step.target)} += {times};")
        else:
            super()._emit_statement(step, terms)


class RowElements(Elements):
    """Elements of a kernel without samples."""

    sample = "0"

    def stored(self, element: Element) -> str:
        """An element in memory."""
        place = self.place(element)
        if place in (Place.WEIGHT, Place.VARIABLE):
            return self.names[element.tensor]
        return f"{COLUMNS[place][0]}[{self.position(element)}]" if place in COLUMNS else super().stored(element)
