"""The first line of exported files."""

from nncodegen.compiler.emit.names import MARK

EXPORTED = f"{MARK}. Do not edit: change the model and export it again."
HEAD = f"/* {EXPORTED} */"
"""That line as a comment in C."""
