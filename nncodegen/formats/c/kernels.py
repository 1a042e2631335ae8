"""Prints plain kernels (see ``schedule.plain``) as C99 that uses only its arguments and helpers.

A helper is a header of ``runtime/c/nncodegen/plain``; a printer collects those that its text uses.
"""

from __future__ import annotations

from collections.abc import Sequence

from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.emit.plain import ARRAYS, PlainCalls, PlainElements
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.systems import System
from nncodegen.compiler.schedule.plain import OneSample
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree_walks import elements
from nncodegen.formats.c.dialects import exported

HELPERS: dict[str, tuple[str, ...]] = {
    n: (n,) for n in "maximum minimum half_expm1 tanh_of power root number_in".split()
}
HELPERS |= {n: ("noise", n) for n in ("dropout", "normal")}
"""For each function that printed text may call: the headers that define it, in this order."""


class PlainEmitter:
    """A writer of the bodies of functions for one sample. ``helpers`` collects what they call.

    ``systems`` are those that the file solves, in the order of their functions.
    """

    def __init__(
        self, kernel: OneSample, libm: bool, helpers: dict[str, None], lines: Lines, systems: Sequence[System] = ()
    ) -> None:
        self._tree, self._lines, self._at = kernel.tree, lines, PlainElements(kernel, helpers)
        calls = PlainCalls(self._at, systems)
        self._printer = LoopPrinter(self._at, calls, lines, dialect=exported(libm), used=helpers, breaks="[-+]")

    def emit(self) -> None:
        """Write declarations, and the loops; a comment before each of the outermost loops names its steps."""
        self._lines.add(*self._at.declarations(self._tree))
        self._printer.print(self._tree)

    @property
    def arguments(self) -> set[str]:
        """Return the names of the arguments that are read or written."""
        places = {self._at.place(element) for element in elements(self._tree)}
        return {"work" if place is Place.ARRAY else ARRAYS.get(place, "") for place in places}

    def name(self, element: Element) -> str:
        """Return the variable of an element that is not in memory."""
        return self._at.name(element)
