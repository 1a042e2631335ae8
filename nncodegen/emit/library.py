"""Functions of the C library that loops over samples call: for whole vectors, where the library has those.

glibc has them for x86-64, next to the usual ones and by names that follow from theirs; GCC calls them in a loop once
they are declared so. They are off by up to 4 units in the last place
(https://sourceware.org/glibc/wiki/libmvec), the usual ones by 1.

A loop calls the usual ones for the samples that it leaves over. Where that may not show, it leaves none over (see
``schedule.vectors``).
"""

from __future__ import annotations

import re

VECTORS = {
    (2, 22): {"sin": 1, "cos": 1, "pow": 2},
    (2, 35): {
        "tan": 1, "asin": 1, "acos": 1, "atan": 1, "sinh": 1, "cosh": 1, "asinh": 1, "acosh": 1, "atanh": 1,
        "exp2": 1, "log2": 1, "log10": 1, "cbrt": 1, "atan2": 2, "hypot": 2,
    },
}  # fmt: skip
"""The version of glibc from which on a function comes for vectors -> its name -> the number of its arguments."""


ENDS = ("", "f", "_in_vectors", "f_in_vectors")
"""What the names of a function end in, in C."""


def emit_library(text: str, real: str) -> str:
    """Declarations for the functions that a text calls in some type of numbers; none, if it calls none."""
    suffix = "f" if real == "float" else ""
    parts = []
    for version, functions in VECTORS.items():
        called = {name + suffix: count for name, count in functions.items() if re.search(rf"\b{name}{suffix}\(", text)}
        lines = [line for name, count in called.items() for line in _declaration(name, count, real)]
        if lines:
            parts += [f"#if __GLIBC_PREREQ({version[0]}, {version[1]})", *lines, "#endif"]
    if not parts:
        return ""
    return "\n".join(
        [
            "/* Functions of the C library that GCC may call for whole vectors. They have other names here, or it",
            "   would make one call, which is for one value, of sin and cos of the same. */",
            "#if defined(__GLIBC__) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)",
            '#define IN_VECTORS(name) __asm__(name) __attribute__((const, simd("notinbranch")))',
            *parts,
            "#endif",
            "",
            "",
        ]
    )


def _declaration(name: str, count: int, real: str) -> list[str]:
    arguments = ", ".join([real] * count)
    return [f'extern {real} {name}_in_vectors({arguments}) IN_VECTORS("{name}");', f"#define {name} {name}_in_vectors"]
