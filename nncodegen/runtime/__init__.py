"""The runtime: the part that all compiled models share, in C (``c/``) and in Python (``python/``).

A process has one copy of the Python part of each version. A compiled module may bring it, or it is imported from here.
It is registered under a name that holds its digest, and compiled modules look for it by that name.
"""

from __future__ import annotations

import sys
from importlib import import_module

from nncodegen.runtime.embedded import digest

NAME = f"_nncodegen_{digest()}"
"""The name under which compiled modules of this version find their Python part."""


def _register() -> None:
    """Use the Python part of a compiled module that was imported before, or register the one from here."""
    here = f"{__name__}.python"
    known, other = (NAME, here) if NAME in sys.modules else (here, NAME)
    globals()["python"] = import_module(known)
    import_module(f"{known}.ground.certificate")  # modules import it only when a certificate is asked for
    for name, module in list(sys.modules.items()):
        if name == known or name.startswith(f"{known}."):
            sys.modules[other + name.removeprefix(known)] = module


_register()
