"""Sums of products by lists of places (see ``schedule.windows``), in C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import prod

from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.lines import Lines, head, wrapped
from nncodegen.compiler.ir import SAMPLE, Element
from nncodegen.compiler.ir.equations import affine
from nncodegen.compiler.schedule import Place
from nncodegen.compiler.schedule.extents import PADDED
from nncodegen.compiler.schedule.nesting import begin_of
from nncodegen.compiler.schedule.tree import Call
from nncodegen.compiler.schedule.windows import LISTS, Linear, Window


class WindowPrinter:
    """Printer of the lists of a sum of products, and of the loops over its positions with the call that computes it."""

    def __init__(self, elements: Elements) -> None:
        self._at = elements

    def lines(self, call: Call) -> Iterator[str]:
        """Yield the block of a sum."""
        at, window, target = self._at, call.window, call.steps[0].target
        assert window is not None
        elements = (window.first, window.second, target)
        first, second, out = (self._place(window, element) for element in elements)
        pairs = ((first, out), (first, second), (second, out))
        lines = Lines()
        with lines.block(""):
            if window.scatters:
                begin = self._begin(target, out, replace(window, positions=()))
                lines.add(
                    f"zero({begin}, {prod(at.size(i) for i in target.indices[1:] if i not in window.given)}*TILE);"
                )
            begin = " = {{0, 0}}" if window.tests else ""  # a list may have no entry
            sizes = (prod(self._most(window, index) for index in listed) for listed in window.listed)
            lines.add(f"offset_pair {', '.join(f'{k}[{size}]{begin}' for k, size in zip(LISTS, sizes, strict=False))};")
            if not window.tests:
                self._lists(call, window, pairs, lines)
            with ExitStack() as loops:
                for index in window.positions:
                    loops.enter_context(lines.block(_head(call, index)))
                if window.tests:
                    self._lists(call, window, pairs, lines)
                begins = [self._begin(e, p, window) for e, p in zip(elements, (first, second, out), strict=True)]
                width = "*".join([*(str(at.size(index)) for index in window.along), "TILE"])
                function, end = "products", f"{width}, {int(window.scatters)}"
                if SAMPLE not in target.indices:
                    function, end = "sums", PADDED
                if window.first == window.second:
                    function, begins = "totals", [begins[0], begins[2]]
                lists = (f"{name}, {name[:-1]}_count" for name in LISTS[: len(window.listed)])
                lines.add(*wrapped(f"place_{function}({', '.join([*lists, *begins, end])});"))
        yield from str(lines).splitlines()

    def _most(self, window: Window, index: str) -> int:
        """Return the most values that an index has at a time: those of a segment, if it goes over the steps of one."""
        return self._at.layout.lengths[index] if index == window.time else self._at.size(index)

    def _place(self, window: Window, element: Element) -> Linear:
        """Return the place of an element, from the pointer of its tensor or in the array of sums."""
        storage = self._at.kernel.storage[element.tensor]
        offset = storage.offset if storage.place is Place.SUM else 0
        return window.place(element, replace(storage, offset=offset))

    def _lists(self, call: Call, window: Window, pairs: Sequence[tuple[Linear, Linear]], lines: Lines) -> None:
        """Write the lists: for each entry of their indices, its places in memory."""
        target = call.steps[0].target
        for number, (name, listed) in enumerate(zip(LISTS, window.listed, strict=False)):
            count = f"{name[:-1]}_count"
            in_list = (number == 1, number == 1 or self._at.place(target) is not Place.SUM)
            places = [
                ([(i, counts[i]) for i in window.counted(listed) if counts.get(i)], rest if known else 0)
                for (counts, rest), known in zip(pairs[number], in_list, strict=True)
            ]
            entry = f"{name}[{count}++] = (offset_pair) {{{', '.join(affine(*each) for each in places)}}};"
            tests = [equation for of, equation in window.tests if of == number]
            texts = [f"{equation.right} < {self._at.size(str(equation.left))}" for equation in tests]
            lines.add(f"size_t {count} = 0;")
            with ExitStack() as loops:
                for index in listed:
                    loops.enter_context(lines.block(_head(call, index)))
                if texts:  # unsigned: a number below 0 would be a very large one
                    loops.enter_context(lines.block(f"if ({' && '.join(texts)})"))
                lines.add(entry)

    def _begin(self, element: Element, place: Linear, window: Window) -> str:
        """Return the begin of an array for a position."""
        counts, rest = place
        sums = self._at.place(element) is Place.SUM
        counted = window.counted((*window.given, *window.positions))
        text = affine([(index, counts[index]) for index in counted if counts.get(index)], rest if sums else 0)
        name = "sums" if sums else self._at.begin(element)
        return name if text == "0" else f"{name} + {f'({text})' if 'begin' in text else text}"


def _head(call: Call, index: str) -> str:
    """Return the head of a loop over an index."""
    end = call.end(index)
    return head(index, end, begin_of(end))
