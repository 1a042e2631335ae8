"""The Python part of the runtime as it is embedded in compiled modules: its files, compressed, and their digest.

``setup.py`` reads this file before anything is installed: it needs only the standard library.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent

NATIVE = ("native.pyx", "kernel.pxi", "arrays.pxi", "blas.pxi", "training.pxi", "short.pxi", "fits.pxi",
          "fitting.pxi")  # fmt: skip
"""The native part, in Cython; the first file includes the others."""


ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "?": r"\?"})
"""How characters are escaped in a C string. The question mark is escaped because ??/ is the trigraph of a backslash."""


WIDTH = 24
"""The bytes in a line of compressed text."""


@lru_cache(maxsize=1)
def texts() -> dict[str, str]:
    """Return the texts of the Python files by their paths, such as "results/result.py"."""
    root = HERE / "python"
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    return {name: path.read_text(encoding="utf-8") for name, path in sorted(files.items())}


@lru_cache(maxsize=1)
def digest() -> str:
    """Return a hash of the Python files, which differs between versions."""
    content = "\0".join(part for item in texts().items() for part in item)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def header() -> str:
    """Return the C header that holds the Python files, compressed; ``native.pyx`` includes it.

    Names and texts follow each other, separated by NUL.
    """
    packed = zlib.compress("\0".join(part for item in texts().items() for part in item).encode(), 9)
    rows = [packed[start : start + WIDTH] for start in range(0, len(packed), WIDTH)]
    return "\n".join(
        [
            f'static const char nncodegen_digest[] = "{digest()}";',
            "static const char nncodegen_finder[] =", *_lines(_finder(), ";"),
            f"static const size_t nncodegen_texts_size = {len(packed)};",
            "static const char nncodegen_texts[] =",
            *("    \"" + "".join(f"\\{byte:03o}" for byte in row) + "\"" for row in rows), "    ;", "",
        ]
    )  # fmt: skip


def wrapper_files() -> dict[str, str]:
    """Return all files that the native part is compiled from, by name, except the C headers of the runtime."""
    return _native() | {"nncodegen_python.h": header()}


@lru_cache(maxsize=1)
def wrapper_source() -> str:
    """Return the text that identifies these files: objects compiled from them are rebuilt when it changes."""
    return "\0".join([*_native().values(), _finder(), digest(), Path(__file__).read_text(encoding="utf-8")])


def _native() -> dict[str, str]:
    return {name: (HERE / "python" / "native" / name).read_text(encoding="utf-8") for name in NATIVE}


def _finder() -> str:
    return (HERE / "finder.py").read_text(encoding="utf-8")


def _lines(text: str, end: str = ",") -> list[str]:
    """Return a text as C strings, one for each line; the compiler joins them."""
    lines = text.translate(ESCAPES).split("\n")
    return [*(f'        "{line}\\n"' for line in lines[:-1]), f"        {end}"]
