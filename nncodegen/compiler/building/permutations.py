"""A fault of GCC: vectors of eight doubles whose numbers it puts into a wrong order; and how to compile without them.

For AVX-512, GCC (12, 13 and 14 were tried) takes the instruction vpermilpd, which moves numbers within pairs, for some
orders that move them from one pair to another: those in which the first, third and fourth pair have numbers of their
own, but the second has one of the third or fourth. GCC asks whether its two numbers come from below, not from above.
So a model with the outputs k*x0, k*x1, k*x2, k*x5, k*x4, k*x5, k*x6, k*x7 had a wrong fourth one, without a word, and
so had the rates of eight neighbors where a coefficient changes. Loops over samples are hit as are statements in a row.

No option turns the instruction off, and with vectors half as long everywhere, all loops would be slower. So GCC is
asked which orders its vectors have, which takes a sixtieth of its time. If one of them is of this kind, it compiles the
file again with vectors of four.

``setup.py`` and the setup script of a model's source distribution read this file: it needs only the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

HALF = ("-mprefer-vector-width=256",)
"""The option with which GCC makes no vectors of eight doubles; the last one of its kind counts."""

_ORDER = re.compile(r"VEC_PERM_EXPR <([^,]+), ([^,]+), \{ (\d+(?:, \d+){7}) \}>")
_DOUBLES = re.compile(r"\bvector\(8\) double ([\w.]+);")


def may_be_wrong(macros: str) -> bool:
    """Return whether a compiler has the fault, given the macros that it defines: GCC for any x86-64."""
    defined = {line.split()[1] for line in macros.splitlines() if line.startswith("#define ")}
    return {"__GNUC__", "__x86_64__"} <= defined and "__clang__" not in defined


def asking(path: Path | str) -> str:
    """Return the option with which GCC writes to a file what it has made of the code, its vectors included."""
    return f"-fdump-tree-optimized={path}"


def is_wrong(order: Sequence[int]) -> bool:
    """Return whether GCC makes another order of this one: the places, from 0 to 7, that the eight numbers come from."""
    within_pairs = all(order[k] // 2 == k // 2 for k in (0, 1, 4, 5, 6, 7))
    return within_pairs and min(order[2:4]) >= 2 and max(order[2:4]) >= 4


def any_wrong(written: str) -> bool:
    """Return whether there is a wrong order in what GCC has written of its vectors."""
    wrong = set()
    for *vectors, places in _ORDER.findall(written):
        order = [int(place) for place in places.split(", ")]
        taken = {vectors[place // 8] for place in order}
        if len(taken) == 1 and is_wrong([place % 8 for place in order]):
            wrong |= {re.sub(r"_\d+(\(D\))?$", "", name) for name in taken} | taken  # all versions of a variable
    return bool(wrong) and not wrong.isdisjoint(_DOUBLES.findall(written))


def are_right(path: Path) -> bool:
    """Return whether all orders are right that GCC has written to a file; False if there is no file."""
    return path.exists() and not any_wrong(path.read_text(encoding="utf-8", errors="replace"))


def compiled_rightly(compile_with: Callable[[Sequence[str]], list[str]], macros: str, folder: str) -> list[str]:
    """Return the objects that a function compiles with further options, in a folder, where GCC writes its orders.

    ``macros`` are those that the compiler defines.
    """
    if not may_be_wrong(macros):
        return compile_with(())
    path = Path(folder, "permutations")
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = compile_with((asking(path),))
    return objects if are_right(path) else compile_with(HALF)
