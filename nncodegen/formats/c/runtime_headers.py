"""The texts of the runtime that plain C includes."""

from __future__ import annotations

import re

from nncodegen.formats.c.amalgamation import HEADERS


def runtime_text(header: str) -> list[str]:
    """Return the lines of a header of the runtime, given as ``solve/solve``.

    What it includes is left out: the file has it, or something in its place.
    """
    text = (HEADERS / f"{header}.h").read_text()
    included = r"(#include \"nncodegen/(base/(base|calls|vectors)|solve/\w+)\.h\"\n)+\n"
    return re.sub(included, "", text).rstrip("\n").splitlines()
