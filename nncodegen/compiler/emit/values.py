"""The C of a program of values alone: the kernel of many points, that of one, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nncodegen.compiler.emit.dialects import OF_A_POINT
from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.kernels import BLENDED, KernelEmitter
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.emit.plain import PlainElements
from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.compiler.schedule import Place, Schedule
from nncodegen.compiler.schedule.plain import OneSample
from nncodegen.compiler.schedule.tree import Tree
from nncodegen.compiler.schedule.tree_walks import elements, targets

ROWS = {Place.INPUT: ("const real", "inputs"), Place.OUTPUT: ("real", "outputs")}
"""The types of the rows of a place, and the array that holds them."""


class ElementsOfRows(Elements):
    """The elements of a kernel that reads a row for each input, and writes one for each output."""

    def _row(self, element: Element) -> str:
        return f"{self.names[element.tensor].removesuffix('_')}_row"

    def stored(self, element: Element) -> str:
        """Return the text of an element in memory."""
        return f"{self._row(element)}[{SAMPLE}]" if self.place(element) in ROWS else super().stored(element)

    def declarations(self, tree: Tree, others: Iterable[Element] = ()) -> Iterator[str]:
        """Yield declarations of the rows and arrays of a tree."""
        used = {element.tensor: element for element in (*elements(tree), *targets(tree), *others)}
        for name, storage in self.kernel.storage.items():
            if name in used and storage.place in ROWS:
                kind, array = ROWS[storage.place]
                yield f"{kind} *const restrict {self._row(used[name])} = {array}[{storage.offset}];"
        yield from super().declarations(tree, others)


class RowsEmitter(KernelEmitter):
    """Writer of the functions of a kernel that reads and writes rows."""

    of_all: tuple[str, ...] = ("inputs", "outputs", "count", "work")
    begin = "WHOLE_VECTORS(count);"
    kind = BLENDED

    @property
    def _arguments(self) -> list[str]:
        return [*self.of_all]

    @property
    def _declarations(self) -> str:
        return "const real *const *inputs, real *const *outputs, size_t count, real *restrict work"

    _declared_for_all = _declarations

    def _padded(self) -> str:
        return "const size_t padded = count;"


def emit_values_kernels(schedule: Schedule, lines: Lines) -> None:
    """Write the functions for a tile of points, and for one point."""
    (kernel,) = schedule.kernels
    RowsEmitter(ElementsOfRows(schedule.program, schedule.layout, kernel), lines).emit()
    assert schedule.point
    _emit_point(schedule.point, lines)


def _emit_point(point: OneSample, lines: Lines) -> None:
    at = PlainElements(point, {})
    lines.add("/* The outputs of one point. */")
    with lines.function("static HOT void values_of_point(const real *restrict inputs, real *restrict outputs)"):
        lines.add(*at.declarations(point.tree))
        LoopPrinter(at, None, lines, dialect=OF_A_POINT).print(point.tree)
    lines.add("")
