"""The Cython wrapper, which is the interface of the compiled module: one text for every model.

It learns what differs from model to model when the module is imported (``module.c``), so that what Cython and the
compiler make of it can be kept and linked with any kernel: to make it takes longer than most kernels do. It has a
native part (``wrapper.pyx``, and the files with it), and one that checks arguments (the files in INTERFACE). The
latter stays Python inside of the module, since Cython would make 33,000 lines of C of it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from nncodegen.emit.names import MARK
from nncodegen.targets import VARIANT_NAMES, WRAPPER

HERE = Path(__file__).parent

INTERFACE = (
    "interface.py", "archives.py", "results.py", "samples.py", "schedules.py", "display.py", "run.py", "short.py",
    "training.py", "interface_scipy.py", "minimizing.py",
)  # fmt: skip
"""The files of the Python part of a module, in the order in which they become one text."""


@lru_cache(maxsize=1)
def emit_wrapper() -> str:
    """The Cython source of the wrapper."""
    texts = {
        "MARK": MARK, "WRAPPER": WRAPPER, "VARIANTS": repr(VARIANT_NAMES),
        "INTERFACE": _literal(*INTERFACE), "BLAS_INTERFACE": _literal("interface_blas.py"),
        "MANY_INTERFACE": _literal("interface_many.py"), "SHORT": (HERE / "short.pyx").read_text().rstrip(),
        "BLAS": (HERE / "blas.pyx").read_text().rstrip(), "ARRAYS": (HERE / "arrays.pyx").read_text().rstrip(),
    }  # fmt: skip
    text = (HERE / "wrapper.pyx").read_text()
    for mark, part in texts.items():
        text = text.replace(f"@{mark}@", part)
    return text


def _literal(*files: str) -> str:
    text = "\n\n".join((HERE / file).read_text() for file in files)
    return f"r'''{text}'''"
