"""The Python part of the runtime as it is embedded in compiled modules: its files, compressed, and their digest.

``setup.py`` reads this file before anything is installed: it needs only the standard library.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent

PYTHON = "nncodegen_python.h"
"""The name of the C header that holds the Python files."""

NATIVE = ("native.pyx", "kernel.pxi", "arrays.pxi", "blas.pxi", "training.pxi", "labels.pxi", "short.pxi", "fits.pxi",
          "fitting.pxi", "algebra.pxi", "modules.pxi")  # fmt: skip
"""The native part, in Cython; the first file includes the others."""


HEADER_OF_OBJECT = "/* The Python files are in an object that all modules are linked with. */\n"
"""This header for a module that is linked with such an object."""


ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "?": r"\?"})
"""The escapes of characters in a C string: of the question mark, too, since ??/ is the trigraph of a backslash."""


WIDTH = 24
"""The bytes in a line of compressed text."""


BYTES = tuple(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}" for byte in range(256))
"""Each byte in a C string: a letter, a digit, or three octal digits, which end by themselves."""


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


@lru_cache(maxsize=2)
def header(with_texts: bool = True) -> str:
    """Return the C header that holds the Python files, compressed; NAME_module.c includes it.

    Names and texts follow each other, separated by NUL. Without them, which is for a wrapper that stays where it was
    built, the wrapper takes them from the package. They are a C string: an array of numbers takes compilers 0.13 s.
    """
    content = "\0".join(part for item in texts().items() for part in item)
    packed = zlib.compress(content.encode(), 9) if with_texts else b""
    rows = [packed[start : start + WIDTH] for start in range(0, len(packed), WIDTH)] or [b""]
    return "\n".join(
        [
            f'const char nncodegen_digest[] = "{digest()}";',
            "const char nncodegen_finder[] =",
            *_lines(_finder(), ";"),
            f"const size_t nncodegen_texts_size = {len(packed)};",
            "#pragma GCC diagnostic push",
            '#pragma GCC diagnostic ignored "-Woverlength-strings"',
            "const unsigned char nncodegen_texts[] =",
            *(f'    "{"".join(BYTES[byte] for byte in row)}"' for row in rows),
            "    ;",
            "#pragma GCC diagnostic pop",
            "",
        ]
    )


def object_source() -> str:
    """Return the C of the object that holds the Python files, which all modules are linked with."""
    return f"#include <stddef.h>\n{header()}"


def name_of_wrapper(name: str) -> str:
    """Return this header for a module that is linked without a wrapper: the name of the one that it needs."""
    return f'const char nncodegen_wrapper[] = "{name}";\n'


def wrapper_files() -> dict[str, str]:
    """Return all files that the native part is compiled from, by name, except the C headers of the runtime."""
    return {name: (HERE / "python" / "native" / name).read_text(encoding="utf-8") for name in NATIVE}


@lru_cache(maxsize=1)
def wrapper_source() -> str:
    """Return the text that identifies these files: objects compiled from them are rebuilt when it changes."""
    return "\0".join([*wrapper_files().values(), Path(__file__).read_text(encoding="utf-8")])


def source() -> str:
    """Return the text that identifies the wrapper and the Python files: modules are rebuilt when it changes."""
    return "\0".join([wrapper_source(), _finder(), digest()])


def _finder() -> str:
    return (HERE / "finder.py").read_text(encoding="utf-8")


def _lines(text: str, end: str = ",") -> list[str]:
    """Return a text as C strings, one for each line; the compiler joins them."""
    lines = text.translate(ESCAPES).split("\n")
    return [*(f'        "{line}\\n"' for line in lines[:-1]), f"        {end}"]
