"""Tables: reads them, infers and encodes their columns, and learns from them. This needs the extra [table]."""

from nncodegen.errors import TableError
from nncodegen.runtime.python.ground.missing import needed

with needed("nncodegen.table", "pandas", "'nncodegen[table]'"):
    import pandas  # noqa: F401

from nncodegen.table.fit import Fitted, Understood, fit
from nncodegen.table.metrics import ClassMetrics, Metric
from nncodegen.table.read import Table, read_table
from nncodegen.table.settings import Settings
from nncodegen.table.trained import TableModel, check_out, load_model

__all__ = [
    "ClassMetrics", "Fitted", "Metric", "Settings", "Table", "TableError", "TableModel", "Understood", "check_out",
    "fit", "load_model", "read_table",
]  # fmt: skip
