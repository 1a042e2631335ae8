"""Tables: read, understood, encoded, and learned from. They need the extra [table]."""

from nncodegen.errors import TableError

try:
    import pandas  # noqa: F401
except ImportError as error:
    raise TableError("tables need pandas: install it with `python3 -m pip install 'nncodegen[table]'`") from error

from nncodegen.table.fit import Settings, fit
from nncodegen.table.model import TableModel, check_out, load_model
from nncodegen.table.read import Table, read_table

__all__ = ["Settings", "Table", "TableError", "TableModel", "check_out", "fit", "load_model", "read_table"]
