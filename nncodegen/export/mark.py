"""What the files of an export begin with."""

from nncodegen.emit.names import MARK

EXPORTED = f"{MARK}. Do not edit: change the model and export it again."
HEAD = f"/* {EXPORTED} */"
"""The same as a comment of C."""
