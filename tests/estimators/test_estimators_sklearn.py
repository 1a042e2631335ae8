"""scikit-learn's own tests of estimators, as they stand."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from nncodegen.estimators import FormulaRegressor, NNClassifier, NNRegressor

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("default"),  # the checks provoke warnings, and look for those that matter
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def checks(*estimators):
    """scikit-learn's mark with a list, where an older one has a generator, of which pytest warns."""
    mark = parametrize_with_checks(list(estimators))
    names, checks_of_all = mark.args
    return pytest.mark.parametrize(names, list(checks_of_all), **mark.kwargs)


@checks(NNClassifier(), FormulaRegressor())
def test_scikit_learn(estimator, check):
    """Every check of the installed scikit-learn passes, unmodified and without an exception to it."""
    check(estimator)


@pytest.mark.thorough
@checks(NNRegressor())
def test_scikit_learn_more(estimator, check):
    """So it does for networks of numbers, which share nearly all with those of classes."""
    check(estimator)
