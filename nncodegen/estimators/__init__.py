"""Estimators for scikit-learn: NNClassifier, NNRegressor and FormulaRegressor. They need the extra [sklearn]."""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "nncodegen.estimators needs scikit-learn: install it with `python3 -m pip install 'nncodegen[sklearn]'`"
    ) from error

from nncodegen.estimators.classifier import NNClassifier
from nncodegen.estimators.formula import FormulaRegressor
from nncodegen.estimators.regressor import NNRegressor

__all__ = ["FormulaRegressor", "NNClassifier", "NNRegressor"]
