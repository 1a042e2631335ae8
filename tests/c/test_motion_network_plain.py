"""Plain C of networks in equations whose steps are chosen: predictions for one sample at a time, against modules."""

import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built
from tests.support.plain import COMPILERS, loaded

pytestmark = pytest.mark.usefixtures("vector_compiler")
RNG = np.random.default_rng(33)
TIMES = 6


def mixed(name, **options):
    """Two networks, one of which reads the other and is observed, with a control, jumps, and a start."""
    first = nn.Sequential([nn.Dense(4, "gelu"), nn.LayerNormalization(), nn.Dense(2, "softmax")], inputs=3)
    second = nn.Sequential([nn.Dense(3, "softplus"), nn.Dense(1)], inputs=1)
    return nn.Dynamics(
        ["u' = p(u, v, w) - q(c*v)", "v' = s(u, v, t)*b - v"], {"u": 1, "v": "v0"}, {"c": 0.7, "v0": 0.3}, inputs="b",
        columns="w", jumps={"u": "u*c + w/8"}, times=TIMES, observed={"u": "u", "r": "q(u)*v"}, start=-0.5,
        networks={("p", "s"): first, "q": second}, name=name, **options,
    )  # fmt: skip


def named_as_arguments(name):
    """Equations whose names are those of arguments and of local values of the functions in C."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=3)
    return nn.Dynamics(
        ["states' = factors", "factors' = f(states, u, sums)*given - fixed*row + work*known + now"],
        {"states": "inputs", "factors": "row"},
        {"given": 1, "fixed": 2, "known": 0.3, "row": 0.2, "work": 0.1}, inputs="inputs", columns="now u sums",
        times=TIMES, time="weights", jumps={"states": "states*known + now"}, networks={"f": network}, name=name,
    )  # fmt: skip


MODELS = {
    "mixed": (mixed("mixed"), {}),
    "mixed_held": (mixed("mixed_held", interpolation="linear", rtol=1e-10), {}),
    "mixed32": (mixed("mixed32", rtol=1e-4), {"precision": "float32"}),
    "own": (mixed("own"), {"libm": False}),
    "own32": (mixed("own32", rtol=1e-4), {"libm": False, "precision": "float32"}),
    "arguments": (named_as_arguments("arguments"), {}),
}
"""Models, and the options of their exports."""


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """All exports, compiled in one go without a warning: name -> functions."""
    return loaded(tmp_path_factory.mktemp("networks"), MODELS, COMPILERS[0], ("-Og",))


def rows(model, count=4):
    """Times, then inputs and columns."""
    others = sum(one.size for one in model.describe().inputs) - TIMES
    return np.hstack([np.sort(RNG.uniform(0, 3, (count, TIMES)), axis=1), RNG.normal(size=(count, others))])


@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_a_module(name, functions):
    """Both take the same steps, and differ by rounding."""
    model, options = MODELS[name]
    module, X = built(model, options.get("precision") or "float64"), rows(model)
    parameters = module.initial_parameters(3)
    expected = module.predict(parameters, X)
    close = 1e-12 if not options.get("precision") else 2e-4
    np.testing.assert_allclose(functions[name].predict(parameters, X), expected, atol=close * abs(expected).max())


def test_predictions_are_those_of_numpy(functions):
    """They are those of the program as it was described, carried out with NumPy."""
    model = MODELS["mixed"][0]
    X, parameters = rows(model, 2), built(model).initial_parameters(3)
    values = nn.evaluate(model.describe(), parameters, X, np.zeros((2, 2 * TIMES)))
    expected = np.hstack([values["u"], values["r"]])
    np.testing.assert_allclose(functions["mixed"].predict(parameters, X), expected, rtol=1e-9, atol=1e-9)


def test_a_path_that_fails_is_not_a_number(functions):
    """From there on, the states are NaN, as those of a module."""
    model = MODELS["arguments"][0]
    X = rows(model, 1)
    X[0, TIMES - 2 : TIMES] = 1e300, 1.5e300  # more steps than there may be
    found = functions["arguments"].predict(built(model).initial_parameters(3), X)
    assert np.isnan(found[0]).tolist() == [*[False] * (TIMES - 2), True, True] * 2


def test_a_training_is_refused_in_words(tmp_path):
    """It says how such a model is exported, and what trains it."""
    with pytest.raises(nn.ModelError, match=r"trains no networks in .*: export it without training, give it"):
        nn.export(MODELS["mixed"][0], "c", tmp_path, train=True)
