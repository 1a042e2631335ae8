"""Tables: reads them, infers and encodes their columns, and learns from them. This needs the extra [table]."""

from typing import TYPE_CHECKING, Any

from nncodegen.compiler.lazy_imports import homes_of, imported_on_use
from nncodegen.runtime.python.ground.missing import needed

if TYPE_CHECKING:
    from nncodegen.errors import TableError
    from nncodegen.table.fitting import Fitted, Understood, fit
    from nncodegen.table.metrics import ClassMetrics, Metric
    from nncodegen.table.read import Table, read_table
    from nncodegen.table.settings import Settings
    from nncodegen.table.trained import TableModel, check_out, load_model

__all__ = [
    "ClassMetrics", "Fitted", "Metric", "Settings", "Table", "TableError", "TableModel", "Understood", "check_out",
    "fit", "load_model", "read_table",
]  # fmt: skip

_HOMES = homes_of(
    {
        "fitting": "Fitted Understood fit",
        "metrics": "ClassMetrics Metric",
        "read": "Table read_table",
        "settings": "Settings TableError",
        "trained": "TableModel check_out load_model",
    }
)
"""The module that gives each name."""

_find, __dir__ = imported_on_use(__name__, _HOMES, __all__)


def import_pandas() -> None:
    """Import pandas, which all but the settings need. Raises MissingDependencyError where it is not installed."""
    with needed("nncodegen.table", "pandas", "'nncodegen[table]'"):
        import pandas  # noqa: F401, PLC0415


def __getattr__(name: str) -> Any:
    """Return a name of the package, which is imported now. Raises MissingDependencyError without pandas."""
    if not name.startswith("_"):
        import_pandas()
    return _find(name)
