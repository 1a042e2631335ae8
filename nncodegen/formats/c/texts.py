"""The texts of the runtime that plain C includes."""

from __future__ import annotations

import re

from nncodegen.formats.c.amalgamation import HEADERS


def runtime_text(header: str) -> list[str]:
    """Return the lines of a header of the runtime without its include of base.h or solve.h, which the file replaces."""
    text = (HEADERS / f"{header}.h").read_text()
    return re.sub(r'#include "(base|solve)\.h"\n\n', "", text).rstrip("\n").splitlines()
