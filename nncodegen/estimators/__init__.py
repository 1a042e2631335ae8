"""Estimators for scikit-learn: NNClassifier, NNRegressor, FormulaRegressor and DynamicsRegressor.

They need the extra [sklearn]; the networks as plain data (``network``) do not.
"""

from typing import TYPE_CHECKING, Any

from nncodegen.compiler.lazy_imports import homes_of, imported_on_use
from nncodegen.runtime.python.ground.missing import needed

if TYPE_CHECKING:
    from nncodegen.estimators.classifier import NNClassifier
    from nncodegen.estimators.dynamics import DynamicsRegressor
    from nncodegen.estimators.formula import FormulaRegressor
    from nncodegen.estimators.regressor import NNRegressor

__all__ = ["DynamicsRegressor", "FormulaRegressor", "NNClassifier", "NNRegressor"]

_HOMES = homes_of(
    {
        "classifier": "NNClassifier",
        "dynamics": "DynamicsRegressor",
        "formula": "FormulaRegressor",
        "regressor": "NNRegressor",
    }
)
"""The module that gives each name."""

_find, __dir__ = imported_on_use(__name__, _HOMES, __all__)


def __getattr__(name: str) -> Any:
    """Return a name of the package. Raises MissingDependencyError for an estimator without scikit-learn."""
    if name in _HOMES:
        with needed("nncodegen.estimators", "scikit-learn", "'nncodegen[sklearn]'"):
            import sklearn  # noqa: F401, PLC0415
    return _find(name)
