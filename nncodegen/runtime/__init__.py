"""The runtime: what is the same for every compiled model, in C (``c/``) and in Python (``python/``).

A process has one Python part of a version, whether a compiled module brought it or it was imported from here: it is
registered under a name that holds its digest, by which compiled modules look for it.
"""

from __future__ import annotations

import sys
from importlib import import_module

from nncodegen.runtime.embedded import digest

NAME = f"_nncodegen_{digest()}"
"""The name by which compiled modules of this version know their Python part."""


def _register() -> None:
    """Takes the Python part of a compiled module that was imported before, or offers the one from here."""
    here = f"{__name__}.python"
    known, other = (NAME, here) if NAME in sys.modules else (here, NAME)
    globals()["python"] = import_module(known)
    import_module(f"{known}.certificate")  # modules import it only when they are asked for theirs
    for name, module in list(sys.modules.items()):
        if name == known or name.startswith(f"{known}."):
            sys.modules[other + name.removeprefix(known)] = module


_register()
