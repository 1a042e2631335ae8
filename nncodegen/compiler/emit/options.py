"""The options of a training as a C header: the members of the structure that ``runtime/python/arguments`` declares."""

from __future__ import annotations

from nncodegen.runtime.python.arguments.options import MEMBERS

HEAD = """\
/* The options of a training, each declared once, in nncodegen/runtime/python/arguments/options.py, from which
   "pytest --update-golden" renews this file.

   Needs OPTION(type, name, meaning), a macro. Gives what it makes of each option. */

"""


def emit_options() -> str:
    """Return the text of ``runtime/c/nncodegen/train/options.h``."""
    return HEAD + "".join(f'OPTION({member.type}, {member.name}, "{member.meaning}")\n' for member in MEMBERS)
