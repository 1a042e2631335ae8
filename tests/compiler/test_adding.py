"""A function and a reduction are added by one record each: all that knows others knows them then."""

import mpmath
import numpy as np
import pytest
import sympy

pytest.importorskip("onnxruntime")

import nncodegen as nn
from nncodegen.certificates import exact
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.ir import REDUCTIONS, evaluate
from nncodegen.compiler.ir.elementary import FUNCTIONS, Elementary
from nncodegen.compiler.ir.reductions import Reduction, joined, shared_by
from nncodegen.compiler.ir.traits import Trait
from tests.support.models import gradient_of
from tests.support.onnx_files import exported, loaded, predictions
from tests.support.plain import loaded as in_c

a, b, x, y = sympy.symbols("a b x y")


class fdim(sympy.Function):  # noqa: N801 (functions are classes in SymPy)
    """max(u - v, 0), which is a function of the C library."""

    nargs = 2

    def _eval_is_extended_real(self):
        return True

    def fdiff(self, argindex=1):
        u, v = self.args
        slope = (1 + sympy.sign(u - v)) / 2
        return slope if argindex == 1 else -slope


def fdim_partials(f, u, v):
    slope = (1 + mpmath.sign(u - v)) / 2
    return slope, -slope


@pytest.fixture
def with_fdim(monkeypatch):
    """A function more."""
    record = Elementary(
        fdim,
        lambda u, v: np.maximum(u - v, 0),
        lambda u, v: max(u - v, mpmath.mpf(0)),
        fdim_partials,
        about="max(x - y, 0)",
        arguments="x, y",
        traits=Trait.GROWING,
        c="fdim",
    )
    monkeypatch.setitem(FUNCTIONS, "fdim", record)


@pytest.mark.usefixtures("with_fdim", "quick_compiler")
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_function(precision):
    """It is accepted, evaluated, differentiated, printed in C and called, and known to certificates."""
    model = nn.Model("added", [x], [y], {a: 0.5, b: 0.25}, fdim(a * x, b) + b, (fdim(a * x, b) + b - y) ** 2)
    X, Y, values = np.linspace(-2, 3, 9)[:, None], np.linspace(0, 1, 9)[:, None], [0.5, 0.25]
    by_hand = np.maximum(0.5 * X - 0.25, 0) + 0.25
    above = (1 + np.sign(0.5 * X - 0.25)) / 2  # one of the samples is at the tip
    gradient = [(2 * (by_hand - Y) * above * X).mean(), (2 * (by_hand - Y) * (1 - above)).mean()]
    module = nn.build(model, precision, fit=False)
    tolerance = {"float64": 1e-14, "float32": 1e-5}[precision]
    assert module.predict(values, X) == pytest.approx(by_hand, rel=tolerance)
    assert module.loss_and_gradient(values, X, Y)[1] == pytest.approx(gradient, rel=tolerance, abs=tolerance)
    program = model.describe()
    assert evaluate(program, values, X, Y)["loss"] == pytest.approx(((by_hand - Y) ** 2).mean(), rel=1e-14)
    with mpmath.workdps(50):
        derivatives = exact.derivatives(program, exact.run(program, exact.bind(program, values, X, Y)))
        assert [float(derivatives[name].item()) for name in ("a", "b")] == pytest.approx(gradient, rel=1e-14)


class Least(nn.Layer):
    """The least value of each row."""

    def describe(self, call):
        n, i = call.x.indices
        return call.output(call.step("m", (n,), call.x, "min", (i,)), (n, call.index(1)))


@pytest.fixture
def with_min(monkeypatch):
    """A reduction more."""
    record = Reduction(
        joined(np.minimum),
        shared_by(np.minimum),
        np.minimum,
        np.inf,
        True,
        c="minimum",
        onnx="ReduceMin",
        written=sympy.Min,
    )
    monkeypatch.setitem(REDUCTIONS, "min", record)


def by_hand(parameters, X):
    W, v = parameters[:6].reshape(3, 2), parameters[6:9]
    return (X @ W.T + v).min(axis=1, keepdims=True)


@pytest.mark.usefixtures("with_min")
def test_a_reduction(tmp_path):
    """It is evaluated, differentiated, exported as C and as ONNX, and known to certificates."""
    network = nn.Sequential([nn.Dense(3), Least()], inputs=2, loss="mse", name="least")
    rng = np.random.default_rng(0)
    parameters, X, Y = rng.normal(size=9), rng.normal(size=(5, 2)), rng.normal(size=(5, 1))
    described = network.describe()
    assert evaluate(described, parameters, X, Y)[described.outputs[0].tensor] == pytest.approx(by_hand(parameters, X))

    def loss(moved):
        return ((by_hand(moved, X) - Y) ** 2).mean()

    step = 1e-6 * np.eye(9)
    slopes = [(loss(parameters + h) - loss(parameters - h)) / 2e-6 for h in step]
    program = nn.compile_model(network, until="simplify")["simplify"]
    assert gradient_of(program, parameters, X, Y) == pytest.approx(slopes, rel=1e-6, abs=1e-9)
    with mpmath.workdps(30):
        derivatives = exact.derivatives(described, exact.run(described, exact.bind(described, parameters, X, Y)))
        certain = np.concatenate([np.ravel(derivatives[tensor.name]) for tensor in described.parameters]).astype(float)
    assert certain == pytest.approx(slopes, rel=1e-6, abs=1e-9)
    for units, choices in ((3, {}), (3, {"features": []}), (30, {}), (30, {"features": []})):  # few terms, and many
        wide = nn.Sequential([nn.Dense(units), Least()], inputs=2, loss="mse", name=f"least{units}")
        module = nn.build(wide, fit=False, choices=choices)
        drawn, program = rng.normal(size=3 * units), nn.compile_model(wide, until="simplify")["simplify"]
        W, v = drawn[: 2 * units].reshape(units, 2), drawn[2 * units :]
        assert module.predict(drawn, X) == pytest.approx((X @ W.T + v).min(axis=1, keepdims=True), rel=1e-13)
        gradient = gradient_of(program, drawn, X, Y)
        assert module.loss_and_gradient(drawn, X, Y)[1] == pytest.approx(gradient, rel=1e-12, abs=1e-15)
        assert carried_out(nn.compile_model(wide, until="schedule", choices=choices)["schedule"], drawn, X, Y) is None
    plain = in_c(tmp_path, {"least": (network, {"train": True})})["least"]
    assert plain.predict(parameters, X) == pytest.approx(by_hand(parameters, X), rel=1e-14)
    assert plain.loss_and_gradient(parameters, X, Y)[1] == pytest.approx(certain, rel=1e-12, abs=1e-15)
    model = loaded(exported(network, "float64", parameters))
    for predicted in predictions(model, X):
        assert predicted == pytest.approx(by_hand(parameters, X))


@pytest.mark.parametrize("name", ["fdim", "min"])
def test_they_are_gone(name):
    """What a test adds is removed after it."""
    assert name not in FUNCTIONS
    assert name not in REDUCTIONS
