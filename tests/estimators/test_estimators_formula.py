"""FormulaRegressor: formulas of features, beside what scikit-learn checks of every estimator."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
pandas = pytest.importorskip("pandas")

import sympy
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nncodegen as nn
from nncodegen.errors import ModelError
from nncodegen.estimators import FormulaRegressor

pytestmark = pytest.mark.usefixtures("quick_compiler")

DECAY = "a*exp(-b*x) + c"

random = np.random.default_rng(3)
X = np.linspace(0, 4, 40)
SIGMA = 0.01 + 0.02 * random.random(40)
Y = 2.5 * np.exp(-1.3 * X) + 0.5 + SIGMA * random.normal(size=40)
X2 = random.random((40, 3))
Y2 = 1.5 * X2[:, 0] * np.exp(-0.7 * X2[:, 2]) - 0.3 + SIGMA * random.normal(size=40)


def test_a_formula():
    """It finds what curve_fit finds, and tells it by name."""
    fitted = FormulaRegressor(DECAY).fit(X[:, None], Y)
    popt, pcov = nn.curve_fit(DECAY, X, Y)
    assert list(fitted.parameters_) == list(fitted.standard_errors_) == ["a", "b", "c"]
    np.testing.assert_array_equal(list(fitted.parameters_.values()), popt)
    np.testing.assert_array_equal(fitted.covariance_, pcov)
    np.testing.assert_array_equal(list(fitted.standard_errors_.values()), np.sqrt(np.diag(pcov)))
    np.testing.assert_allclose(fitted.predict(X[:, None]), popt[0] * np.exp(-popt[1] * X) + popt[2], rtol=1e-12)
    assert fitted.score(X[:, None], Y) == pytest.approx(fitted.result_.r2)
    assert fitted.n_iter_ == fitted.result_.iterations > 0
    assert "standard error" in str(fitted.result_)
    assert FormulaRegressor(DECAY, precision="float32").fit(X[:, None], Y).predict(X[:, None]).dtype == np.float32


def test_names_of_features():
    """A DataFrame names its features; those of an array are x1, x2, ...; a formula need not use all of them."""
    by_number = FormulaRegressor("p*x1*exp(-q*x3) + r").fit(X2, Y2)
    frame = pandas.DataFrame(X2, columns=["dose", "not a name", "time"])
    by_name = FormulaRegressor("p*dose*exp(-q*time) + r").fit(frame, Y2)
    assert by_name.parameters_ == pytest.approx(by_number.parameters_, rel=1e-6)
    assert by_name.feature_names_in_.tolist() == ["dose", "not a name", "time"]
    assert by_name.formula_.columns == ("dose", "time")
    np.testing.assert_allclose(by_name.predict(frame), by_number.predict(X2), rtol=1e-6)
    with pytest.raises(ValueError, match="feature names"):
        by_name.predict(frame[["time", "dose", "not a name"]])


def test_a_linear_formula():
    """Without a formula it is linear regression, whatever the features are called."""
    expected = LinearRegression().fit(X2, Y2)
    for data in (X2, pandas.DataFrame(X2, columns=["a b", "x3", "b0"])):
        parameters = FormulaRegressor().fit(data, Y2).parameters_
        assert list(parameters) == ["b0", "b1", "b2", "b3"]
        np.testing.assert_allclose(list(parameters.values()), [expected.intercept_, *expected.coef_], rtol=1e-9)
    bounded = FormulaRegressor(bounds={"b1": (None, 0.5)}).fit(X2, Y2)
    assert bounded.parameters_["b1"] == 0.5


def test_an_expression_of_sympy():
    """An expression is cloned and pickled like a text."""
    estimator = FormulaRegressor(sympy.sympify(DECAY))
    restored = pickle.loads(pickle.dumps(clone(estimator).fit(X[:, None], Y)))
    np.testing.assert_array_equal(
        restored.predict(X[:, None]), FormulaRegressor(DECAY).fit(X[:, None], Y).predict(X[:, None])
    )


def test_weights():
    """Some weight must be above 0, and none below."""
    with pytest.raises(ValueError, match=r"0 for every sample|at least one non-zero"):
        FormulaRegressor(DECAY).fit(X[:, None], Y, np.zeros(40))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        FormulaRegressor(DECAY).fit(X[:, None], Y, -np.ones(40))


def test_searches_and_pipelines():
    """Formulas are compared like other parameters, and stand at the end of a pipeline."""
    search = GridSearchCV(FormulaRegressor(), {"formula": ["a + b*x", DECAY]}, cv=4).fit(X[:, None], Y)
    assert search.best_params_ == {"formula": DECAY}
    scores = cross_val_score(make_pipeline(StandardScaler(), FormulaRegressor()), X2, Y2, cv=4)
    assert scores.min() > 0.9


def test_a_pickle_in_another_process(tmp_path):
    """A fitted estimator predicts the same bits where its module has to be built or found, without result_."""
    fitted = FormulaRegressor(DECAY).fit(X[:, None], Y)
    file = tmp_path / "estimator"
    file.write_bytes(pickle.dumps(fitted))
    program = f"""if True:
        import pickle, pathlib
        found = pickle.loads(pathlib.Path({str(file)!r}).read_bytes())
        print(found.predict([[1.5]])[0].hex(), found.standard_errors_["b"], hasattr(found, "result_"))
        """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fitted.predict([[1.5]])[0].hex(), str(fitted.standard_errors_["b"]), "False"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"formula": "a*exp(-b*t)"}, ValueError, "2 columns without names would be x1 to x2"),
        ({"formula": "a*(x1"}, ModelError, "never closed"),
        ({"formula": "x1 + x2"}, ModelError, "has no parameters"),
    ],
)
def test_arguments_that_cannot_be_meant(options, error, message):
    """Each has its own message."""
    with pytest.raises(error, match=message):
        FormulaRegressor(**options).fit(np.ones((5, 2)), np.arange(5.0))


def test_features_that_a_formula_does_not_use():
    """A formula that names no column of a DataFrame is refused with the columns."""
    with pytest.raises(ValueError, match=r"uses none of the features.*: dose, time"):
        FormulaRegressor("a*x1 + b").fit(pandas.DataFrame({"dose": X, "time": X}), Y)


def test_before_and_without_convergence():
    """What is not fitted does not predict; what did not converge warns as scikit-learn does."""
    with pytest.raises(NotFittedError):
        FormulaRegressor(DECAY).predict(X[:, None])
    with pytest.warns(ConvergenceWarning, match="raise max_iter$"):
        FormulaRegressor(DECAY, max_iter=1).fit(X[:, None], Y)
