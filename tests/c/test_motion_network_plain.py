"""Plain C of networks in equations whose steps are chosen: one sample at a time, against modules and differences."""

import re
import subprocess

import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built
from tests.support.plain import COMPILERS, compiled, exported, loaded

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(33)
TIMES = 6


def mixed(name, **options):
    """Two networks, one of which reads the other and is observed, with a control, jumps, and a start."""
    first = nn.Sequential([nn.Dense(4, "gelu"), nn.LayerNormalization(), nn.Dense(2, "softmax")], inputs=3)
    second = nn.Sequential([nn.Dense(3, "softplus"), nn.Dense(1)], inputs=1)
    return nn.Dynamics(
        ["u' = p(u, v, w) - q(c*v)", "v' = s(u, v, t)*b - v"],
        {"u": 1, "v": "v0"},
        {"c": 0.7, "v0": 0.3},
        inputs="b",
        columns="w",
        jumps={"u": "u*c + w/8"},
        times=TIMES,
        observed={"u": "u", "r": "q(u)*v"},
        start=-0.5,
        networks={("p", "s"): first, "q": second},
        name=name,
        **options,
    )


def named_as_arguments(name):
    """Equations whose names are those of arguments and of local values of the functions in C."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(1)], inputs=3)
    return nn.Dynamics(
        ["states' = factors", "factors' = f(states, u, sums)*given - fixed*row + work*known + now"],
        {"states": "inputs", "factors": "row"},
        {"given": 1, "fixed": 2, "known": 0.3, "row": 0.2, "work": 0.1},
        inputs="inputs",
        columns="now u sums",
        times=TIMES,
        time="weights",
        jumps={"states": "states*known + now"},
        networks={"f": network},
        name=name,
    )


MIXED, COARSE = mixed("mixed"), mixed("mixed32", rtol=1e-4)
MODELS = {
    "mixed": (MIXED, {}),
    "mixed32": (COARSE, {"precision": "float32"}),
    "own": (MIXED, {"libm": False}),
    "own32": (COARSE, {"libm": False, "precision": "float32"}),
    "arguments": (named_as_arguments("arguments"), {}),
    "exact": (mixed("exact", interpolation="linear", rtol=1e-12, atol=1e-12), {}),
}
"""Models, and the options of their exports."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of all exports."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def functions(folder):
    """All exports, compiled in one go without a warning: name -> functions."""
    models = {name: (model, {**options, "train": True}) for name, (model, options) in MODELS.items()}
    return loaded(folder, models, COMPILERS[0], ("-Og",), tested=["own32"])


def rows(model, count=4):
    """Times, then inputs and columns."""
    others = sum(tensor.size for tensor in model.describe().inputs) - TIMES
    return np.hstack([np.sort(RNG.uniform(0, 3, (count, TIMES)), axis=1), RNG.normal(size=(count, others))])


def targets(model, count=4):
    """Values of all outputs."""
    return RNG.normal(size=(count, sum(target.size for target in model.describe().targets)))


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
    predicted = functions["arguments"].predict(built(model).initial_parameters(3), X)
    assert np.isnan(predicted[0]).tolist() == [*[False] * (TIMES - 2), True, True] * 2


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_a_module(name, functions):
    """Both go back through the same steps, from the last one to the first, and differ by rounding."""
    model, options = MODELS[name]
    module, X = built(model, options.get("precision") or "float64"), rows(model)
    parameters, Y = module.initial_parameters(3), targets(model)
    loss, gradient = module.loss_and_gradient(parameters, X, Y)
    loss_and_slope = functions[name].loss_and_gradient(parameters, X, Y)
    close = 1e-11 if not options.get("precision") else 2e-3
    assert loss_and_slope[0] == pytest.approx(loss, rel=close)
    np.testing.assert_allclose(loss_and_slope[1], gradient, atol=close * abs(gradient).max())


def test_gradients_are_central_differences(functions):
    """They are the changes of the losses of solutions to a tolerance of 1e-12, also where a step is taken again."""
    model, plain = MODELS["exact"][0], functions["exact"]
    X, Y = rows(model, 2), targets(model, 2)
    parameters = built(model).initial_parameters(3)
    gradient = plain.loss_and_gradient(parameters, X, Y)[1]
    for k in RNG.choice(len(parameters), 12, replace=False):
        change = np.zeros_like(parameters)
        change[k] = 1e-4
        ends = [[plain.loss(parameters + f * change, X, Y).mean() for f in (factor, -factor)] for factor in (1, 2)]
        near, far = [(up - down) / (2e-4 * factor) for factor, (up, down) in enumerate(ends, 1)]
        assert gradient[k] == pytest.approx((4 * near - far) / 3, abs=1e-8 * abs(gradient).max())


def test_a_path_that_fails_has_no_gradient(functions):
    """Its loss and its gradient are NaN, as those of a module."""
    model = MODELS["arguments"][0]
    X = rows(model, 1)
    X[0, TIMES - 2 : TIMES] = 1e300, 1.5e300
    loss, gradient = functions["arguments"].loss_and_gradient(built(model).initial_parameters(3), X, targets(model, 1))
    assert np.isnan(loss)
    assert np.isnan(gradient).all()


def test_a_training_needs_no_alignment(folder, functions):
    """Sanitizers find no fault in the test of an export, whose work memory begins between two doubles."""
    assert functions["own32"]
    sources = [folder / "own32" / "own32_test.c", folder / "own32" / "own32.c"]
    text = sources[0].read_text()
    moved = folder / "own32" / "moved_test.c"
    assert "work[" in text
    moved.write_text(re.sub(r"\bwork\[(\w+)\]", r"memory[\1 + 1]", text, count=1))
    moved.write_text(re.sub(r", work\)", ", memory + 1)", moved.read_text()))
    options = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    program = compiled([moved, sources[1]], folder / "moved", COMPILERS[-1], options)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("right") == 4


def test_without_training(tmp_path):
    """An export for predictions has no reverse, and no memory for steps."""
    plain = exported(MODELS["mixed"][0], tmp_path, name="mixed")["mixed.c"]
    assert "reverse" not in plain
    assert "record" not in plain
