"""Warnings name the line of the user, through however many functions of the package a call goes."""

import warnings

import numpy as np
import pytest

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("quick_compiler")

X = np.linspace(0, 3, 20)
Y = 1 / (0.1 + X)
FORMULA = "a/(b + x)"
POLE, FAR = [200, -0.3], [1e3, 1e3]


@pytest.fixture(scope="module")
def module():
    return nn.build(nn.Model("warned_quotient", "x", "y", {"a": 1, "b": 1}, FORMULA))


def warned(function, *arguments, **named):
    """The messages of the warnings of a call, all of which are about a line of this file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **named)
    assert {warning.filename for warning in caught} == {__file__}, [
        (warning.filename, str(warning.message)) for warning in caught
    ]
    return " ".join(str(warning.message) for warning in caught)


def test_fits(module):
    """A warning about a fit is about the call of fit, or of whatever called it."""
    assert "did not converge" in warned(module.fit, X, Y, FAR, max_iterations=1)
    assert "did not converge" in warned(module.fit_many, X, [Y], FAR, max_iterations=1)
    assert "at a pole" in warned(module.fit, X, Y, POLE)
    assert "at a pole" in warned(module.train, X, Y, parameters=POLE, optimizer="lm", epochs=200)
    assert "at a pole" in warned(nn.curve_fit, FORMULA, X, Y, POLE)


def test_trainings(module):
    """A warning about a training is about the call of train or of its relatives."""
    start = [1, 1e-9]
    assert "diverged" in warned(module.train, X, Y, parameters=start, learning_rate=1e300, epochs=9)
    assert "diverged" in warned(module.partial_fit, X, Y, parameters=start, learning_rate=1e300)
    assert "diverged" in warned(module.train_many, X, Y, parameters=[start], learning_rate=1e300, epochs=9)


def test_estimators():
    """A warning about an estimator is about the call of its fit, or of the pipeline that called it."""
    pipeline = pytest.importorskip("sklearn.pipeline")
    from nncodegen.estimators import FormulaRegressor, NNRegressor

    network = NNRegressor(hidden_layer_sizes=(2,), max_iter=1, random_state=0)
    formula = FormulaRegressor(FORMULA, p0={"a": 1e3, "b": 1e3}, max_iter=1)
    for estimator, expected in ((network, "max_iter=1 "), (formula, "did not converge")):
        assert expected in warned(estimator.fit, X[:, None], Y)
        assert expected in warned(pipeline.make_pipeline(estimator).fit, X[:, None], Y)
