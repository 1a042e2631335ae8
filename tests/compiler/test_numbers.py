"""Numbers that hold: gradients of random formulas and networks against mpmath at 50 digits.

The bound that is reached: 1e-14 relative to the norm of the gradient, in float64, unless the formula itself is
ill-conditioned. The condition is measured: it is the change of the exact gradient when arguments change by one
unit in the last place.
"""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

import nncodegen as nn
from tests.support.compilers import QUICK
from tests.support.models import gradient_of
from tests.support.search import examples

P = sympy.symbols("p:4")
X = sympy.symbols("x:2")
Y = sympy.Symbol("y")
BOUND = 1e-14

UNARY = [
    sympy.exp, sympy.sin, sympy.cos, sympy.tanh, sympy.atan, sympy.asinh, sympy.erf, sympy.Abs, sympy.sinh, sympy.cosh,
    nn.sigmoid, nn.softplus, nn.gelu, nn.silu, nn.elu, nn.softsign, nn.relu,
    lambda z: sympy.log(1 + z**2), lambda z: sympy.sqrt(1 + z**2), lambda z: 1 / (1 + sympy.exp(-z)),
    lambda z: z**3, lambda z: 1 / (2 + sympy.cos(z)), lambda z: sympy.Max(z, 0.3), lambda z: sympy.Min(z, z**2),
    lambda z: sympy.Piecewise((z**2, z > 0.2), (sympy.sin(z), True)), lambda z: sympy.tan(z / 4),
    lambda z: sympy.log(1 + sympy.exp(z)), lambda z: sympy.Heaviside(z) * z, lambda z: sympy.sign(z) * z**2,
]  # fmt: skip
BINARY = [lambda u, v: u + v, lambda u, v: u - v, lambda u, v: u * v, lambda u, v: u / (1 + v**2)]

leaves = st.sampled_from([*P, *X, sympy.Integer(2), sympy.Rational(1, 3), sympy.Float(0.7), sympy.pi])
formulas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda f, u: f(u), st.sampled_from(UNARY), inner),
        st.builds(lambda f, u, v: f(u, v), st.sampled_from(BINARY), inner, inner),
    ),
    max_leaves=8,
)
numbers = st.floats(-2, 2).map(lambda number: round(number, 6))


def exact_gradient(loss, symbols, values):
    """The derivatives by P, at 50 digits."""
    with mpmath.workdps(50):
        arguments = [mpmath.mpf(value) for value in values]
        written = nn_definitions(loss)
        derivatives = [sympy.lambdify(symbols, written.diff(p), "mpmath") for p in P]
        return [mpmath.mpf(derivative(*arguments)) for derivative in derivatives]


def nn_definitions(formula):
    """The formula with nncodegen's own functions replaced by their definitions, in real symbols."""
    from nncodegen.compiler.ir.functions import StableFunction

    return formula.replace(lambda e: isinstance(e, StableFunction), lambda e: e.definition(*e.args))


def relative_error(computed, expected):
    norm = mpmath.sqrt(sum(e**2 for e in expected))
    return float(mpmath.sqrt(sum((mpmath.mpf(f) - e) ** 2 for f, e in zip(computed, expected, strict=True))) / norm)


FORMULAS = {"formula": formulas, "values": st.lists(numbers, min_size=7, max_size=7)}


@examples(50, suppress_health_check=list(HealthCheck))
@given(**FORMULAS)
def test_random_formulas(formula, values):
    """The simplified program, evaluated in float64, has the exact gradient to the bound times the condition."""
    check_formula(formula, values)


@pytest.mark.thorough
@examples(150, suppress_health_check=list(HealthCheck))
@given(**FORMULAS)
def test_more_random_formulas(formula, values):
    """So it has for more formulas."""
    check_formula(formula, values)


def check_formula(formula, values):
    """Compares the gradient of a formula with mpmath's, where that is known."""
    real = {s: sympy.Symbol(s.name, real=True) for s in (*P, *X, Y)}
    loss = (formula - Y) ** 2
    model = nn.Model("m", X, [Y], dict.fromkeys(P, 0.5), formula, loss)
    exact_loss = loss.xreplace(real)
    symbols = [real[s] for s in (*P, *X, Y)]
    reference = {p: real[p] for p in P}
    derivative_symbols = [reference[p] for p in P]
    with mpmath.workdps(50):
        written = nn_definitions(exact_loss)
        try:
            functions = [sympy.lambdify(symbols, written.diff(p), "mpmath") for p in derivative_symbols]
            at = [[mpmath.mpf(f(*[mpmath.mpf(v) for v in moved])) for f in functions] for moved in moves(values)]
        except (ZeroDivisionError, TypeError, NameError, ValueError, OverflowError):
            assume(False)
        expected, *moved = at
        assume(1e-6 < mpmath.norm(expected) < 1e6)
        condition = max(relative_error(other, expected) for other in moved) / 2**-52
        program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
        gradient = gradient_of(program, values[:4], [values[4:6]], [values[6:]])
        assert relative_error(gradient, expected) <= BOUND * max(1, condition)


def moves(values):
    """The values, and the values with one of them moved by a unit in its last place."""
    yield values
    for k in range(len(values)):
        yield [v + (abs(v) + 1e-3) * 2**-52 if j == k else v for j, v in enumerate(values)]


@examples(20, suppress_health_check=list(HealthCheck))
@given(
    activation=st.sampled_from(["sigmoid", "tanh", "softplus", "silu", "gelu", "elu", "selu", "relu", "softsign"]),
    last=st.sampled_from(
        [
            ("softmax", "categorical_crossentropy"),
            ("sigmoid", "binary_crossentropy"),
            ("linear", "mse"),
            ("linear", "log_cosh"),
            ("softplus", "poisson"),
        ]
    ),
    scale=st.sampled_from([1.0, 5.0]),
    seed=st.integers(0, 1000),
)
def test_random_networks(activation, last, scale, seed):
    """A network, saturated or not, has the gradient of its formula written out, to 1e-13 of its norm."""
    layers = [nn.Dense(3, activation), nn.Dense(2, last[0])]
    program = nn.compile_model(nn.Sequential(layers, 2, last[1]), until="simplify")["simplify"]
    rng = np.random.default_rng(seed)
    parameters, x = scale * rng.normal(size=17), rng.normal(size=2)
    y = np.array([1.0, 0.0])
    gradient = gradient_of(program, parameters, [x], [y])
    with mpmath.workdps(60):
        expected = [
            mpmath.diff(
                lambda t, k=k: written_out(activation, last, [*parameters[:k], t, *parameters[k + 1 :]], x, y),
                mpmath.mpf(parameters[k]),
            )
            for k in range(17)
        ]
        assert relative_error(gradient, expected) <= 1e-13


def written_out(activation, last, parameters, x, y):
    """The loss of one sample, in mpmath's own functions."""
    mp = mpmath
    W1, b1, W2, b2 = parameters[:6], parameters[6:9], parameters[9:15], parameters[15:]
    functions = {
        "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
        "tanh": mp.tanh,
        "softplus": lambda z: mp.log(1 + mp.exp(z)),
        "silu": lambda z: z / (1 + mp.exp(-z)),
        "gelu": lambda z: z * mp.ncdf(z),
        "relu": lambda z: max(z, mp.mpf(0)),
        "elu": lambda z: z if z > 0 else mp.expm1(z),
        "softsign": lambda z: z / (1 + abs(z)),
        "linear": lambda z: z,
        "selu": lambda z: (
            mp.mpf("1.0507009873554804934193349852946")
            * (z if z > 0 else mp.mpf("1.6732632423543772848170429916717") * mp.expm1(z))
        ),
    }
    h = [functions[activation](W1[2 * j] * mp.mpf(x[0]) + W1[2 * j + 1] * mp.mpf(x[1]) + b1[j]) for j in range(3)]
    z = [sum(W2[3 * k + j] * h[j] for j in range(3)) + b2[k] for k in range(2)]
    name, loss = last
    p = [mp.exp(v) / sum(map(mp.exp, z)) for v in z] if name == "softmax" else [functions[name](v) for v in z]
    if loss == "categorical_crossentropy":
        return -sum(t * mp.log(q) for t, q in zip(y, p, strict=True))
    if loss == "binary_crossentropy":
        return -sum(t * mp.log(q) + (1 - t) * mp.log(1 - q) for t, q in zip(y, p, strict=True)) / 2
    if loss == "mse":
        return sum((q - t) ** 2 for t, q in zip(y, p, strict=True)) / 2
    if loss == "log_cosh":
        return sum(mp.log(mp.cosh(q - t)) for t, q in zip(y, p, strict=True)) / 2
    return sum(q - t * mp.log(q) for t, q in zip(y, p, strict=True)) / 2


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in (0, 3, 4, 5))])
def test_compiled_module(seed, monkeypatch):
    """The compiled module agrees with the evaluated program to some units in the last place.

    So does one of them with the options that people get, the others with little optimization.
    """
    if seed > 0:
        monkeypatch.setenv("CC", QUICK)
    rng = np.random.default_rng(seed)
    activation = ["tanh", "sigmoid", "gelu", "selu", "softplus", "relu"][seed]
    layers = [nn.Dense(int(rng.integers(1, 7)), activation), nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, int(rng.integers(1, 5)), "categorical_crossentropy", name=f"random{seed}")
    module = nn.build(model, fit=False)
    program = nn.compile_model(model, until="simplify")["simplify"]
    parameters = 2 * rng.normal(size=module.parameter_count)
    for samples in (1, 2, 63, 65, 129):
        features = rng.normal(size=(samples, model.inputs))
        labels = np.eye(3)[rng.integers(0, 3, samples)]
        loss, gradient = module.loss_and_gradient(parameters, features, labels)
        values = nn.evaluate(program, parameters, features, labels)
        expected = gradient_of(program, parameters, features, labels)
        assert loss == pytest.approx(float(values["loss"]), rel=1e-13)
        assert np.linalg.norm(gradient - expected) <= 1e-14 * np.linalg.norm(expected)
        assert module.predict(parameters, features) == pytest.approx(values[program.outputs[0].tensor], rel=1e-13)
