"""The bytes that Python allocates in a call: no copy of a list, tuple, dictionary or set goes without them.

Copies are made in C, where no profiler of Python sees how long they are. Their memory goes through Python's allocators,
which a small library in C counts.
"""

import ctypes
import subprocess
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any


@cache
def _counter() -> ctypes.PyDLL:
    library = Path(mkdtemp(), "allocated.so")
    include = f"-I{sysconfig.get_paths()['include']}"
    source = Path(__file__).with_suffix(".c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", include, "-o", str(library), str(source)], check=True)
    counter = ctypes.PyDLL(str(library))
    counter.end_count.restype = ctypes.c_ulonglong
    return counter


def allocated(function: Callable[[], Any]) -> int:
    """Return the bytes that are allocated in all while a function is called, whether they are freed or not."""
    counter = _counter()
    counter.begin_count()
    try:
        function()
    finally:
        count = int(counter.end_count())
    return count
