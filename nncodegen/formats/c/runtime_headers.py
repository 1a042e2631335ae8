"""The texts of the runtime that plain C includes."""

from __future__ import annotations

import re

from nncodegen.formats.c.amalgamation import HEADERS


def runtime_text(header: str) -> list[str]:
    """Return the lines of a header of the runtime, given as ``solve/solve``.

    Its include of base.h or solve.h is left out: the file has something in their place.
    """
    text = (HEADERS / f"{header}.h").read_text()
    return re.sub(r'#include "nncodegen/(base/base|solve/solve)\.h"\n\n', "", text).rstrip("\n").splitlines()
