"""scikit-learn's estimators: NNClassifier and NNRegressor. They need the extra [sklearn]."""

try:
    import sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "nncodegen.estimators needs scikit-learn: install it with `python3 -m pip install 'nncodegen[sklearn]'`"
    ) from error

from nncodegen.estimators.classifier import NNClassifier
from nncodegen.estimators.regressor import NNRegressor

__all__ = ["NNClassifier", "NNRegressor"]
