"""Estimators for scikit-learn: NNClassifier, NNRegressor, FormulaRegressor and DynamicsRegressor.

They need the extra [sklearn].
"""

from nncodegen.runtime.python.ground.missing import needed

with needed("nncodegen.estimators", "scikit-learn", "'nncodegen[sklearn]'"):
    import sklearn  # noqa: F401

from nncodegen.estimators.classifier import NNClassifier
from nncodegen.estimators.dynamics import DynamicsRegressor
from nncodegen.estimators.formula import FormulaRegressor
from nncodegen.estimators.regressor import NNRegressor

__all__ = ["DynamicsRegressor", "FormulaRegressor", "NNClassifier", "NNRegressor"]
