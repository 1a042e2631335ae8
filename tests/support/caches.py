"""Build caches of a test's own: they hold no module, but what all modules are linked with.

To compile that takes as long as twenty small modules: only a test of the wrapper or of the library itself begins with
an empty cache.
"""

import os
import shutil
from pathlib import Path

import nncodegen as nn
from tests.support.built import built

LINKED = ("wrapper_*", "library_*", "python_*")
"""The files of a cache that all modules share."""

_LINE = nn.Model("line_for_caches", "x", "y", {"a": 2.0}, "a*x")


def begun(folder):
    """Put what modules of the compiler in use are linked with into a folder, which is made, and return it."""
    built(_LINE, fit=False)
    folder.mkdir(exist_ok=True)
    for pattern in LINKED:
        for path in Path(os.environ["NNCODEGEN_CACHE"]).glob(pattern):
            if path.suffix != ".lock":
                shutil.copy2(path, folder)
    return folder
