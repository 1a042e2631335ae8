"""Estimators for scikit-learn: NNClassifier, NNRegressor and FormulaRegressor. They need the extra [sklearn]."""

from nncodegen.runtime.python.ground.missing import needed

with needed("nncodegen.estimators", "scikit-learn", "'nncodegen[sklearn]'"):
    import sklearn  # noqa: F401

from nncodegen.estimators.classifier import NNClassifier
from nncodegen.estimators.formula import FormulaRegressor
from nncodegen.estimators.regressor import NNRegressor

__all__ = ["FormulaRegressor", "NNClassifier", "NNRegressor"]
