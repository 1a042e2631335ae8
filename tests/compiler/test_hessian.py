"""The program of products with the Hessian, against gradients at 60 digits and limits at 900."""

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Abs, Max, Min, Piecewise, atan, cosh, exp, log, sin, sqrt
from sympy.codegen.cfunctions import Cbrt, hypot

import nncodegen as nn
from nncodegen import perceptron
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.compiler.ir import Element, Program, Step, Tensor, evaluate
from nncodegen.compiler.ir.functions import StableFunction, xlogy
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.infinities import GUARDED
from tests.support.hessians import derived, hessian_of, product_by_differences, product_of
from tests.support.hidden import GROWING, HIDING, MODULES, POINTS
from tests.support.models import differences, gradient_of, random_data
from tests.support.search import examples

a, b, c, d, x, y = sympy.symbols("a b c d x y")
LAST = {"poisson": "softplus", "binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
HILL = d + (a - d) / (1 + (x / c) ** b)


def formula_model(formula, symbols, loss=None):
    return nn.Model("m", [x], [] if loss is None else [y], dict.fromkeys(symbols, 0.5), formula, loss or formula)


def check(model, parameters, X, Y, weight=None, rel=4e-15):
    """The Hessian of a model is symmetric to rounding, and that of its gradient."""
    differentiated, program = derived(model)
    direction = np.random.default_rng(3).normal(size=len(parameters))
    expected = product_by_differences(differentiated, parameters, direction, X, Y, weight)
    hessian = hessian_of(program, parameters, X, Y, weight)
    scale = np.abs(hessian).max()
    assert hessian == pytest.approx(hessian.T, rel=0, abs=rel * scale)
    assert hessian @ direction == pytest.approx(expected, rel=0, abs=rel * scale)
    product = product_of(program, parameters, direction, X, Y, weight)
    assert product == pytest.approx(expected, rel=0, abs=rel * scale)
    along = evaluate(program, np.concatenate([parameters, direction]), X, Y, weight)[program.loss.tensor]
    gradient = gradient_of(differentiated, parameters, X, Y, weight)
    assert along == pytest.approx(gradient @ direction, rel=1e-13, abs=1e-14 * np.abs(gradient).max())


PAIRS = [
    pytest.param(activation, loss, marks=[pytest.mark.thorough] if (number + other) % 3 else [])
    for number, activation in enumerate([*ACTIVATIONS, "sine"])
    for other, loss in enumerate(LOSSES)
]
"""Every activation with some losses, and every loss with some activations; with --thorough all of them."""


@pytest.mark.parametrize(("activation", "loss"), PAIRS)
def test_networks(activation, loss):
    """For every activation and loss, the Hessian is that of the gradient."""
    hidden = sympy.sin if activation == "sine" else activation
    layers = [nn.Dense(2, hidden), nn.Dense(2, LAST.get(loss, "linear"))]
    model = nn.Sequential(layers, inputs=2, loss=loss)
    check(model, *random_data(nn.compile_model(model, until="describe")["describe"], 3))


@pytest.mark.parametrize(
    ("layers", "loss"),
    [
        ([nn.Dense(3, "tanh"), nn.Dropout(0.5), nn.Dense(2, "tanh", use_bias=False)], "mse"),
        ([nn.GaussianNoise(0.3), nn.Dense(2, "softmax")], "mse"),
        ([nn.WideAndDeep([nn.Dense(3, "gelu"), nn.Dense(2, "tanh")], 2, "sigmoid")], "binary_crossentropy"),
        ([nn.Dense(1, "softmax")], "mae"),
        ([nn.Dense(2)], lambda output, target: (output - target) ** 4),
    ],
    ids=["dropout", "noise", "wide", "nothing", "fourth power"],
)
def test_layers(layers, loss):
    """Noise is left out; weights of samples count."""
    model = nn.Sequential(layers, inputs=2, loss=loss)
    parameters, X, Y = random_data(nn.compile_model(model, until="describe")["describe"], 3)
    check(model, parameters, X, Y, weight=[0.7, 0.0, 0.3])


def residual_network():
    x = nn.Input(3)
    h = nn.Dense(3, "tanh")(x)
    return nn.Network(x, nn.Dense(2)(nn.concatenate([nn.add([x, h]), h])), "mse")


def stacked(layers, inputs, loss="mse"):
    return lambda: nn.Sequential(layers, inputs=inputs, loss=loss)


WINDOWS = [nn.Conv1D(2, 2, activation="tanh"), nn.MaxPooling1D(2), nn.Flatten(), nn.Dense(2, "softmax")]
STRIDES = [nn.Conv2D(2, 2, strides=2, padding="same", activation="relu"), nn.GlobalAveragePooling2D(), nn.Dense(1)]
TRANSPOSED = [nn.Conv1DTranspose(2, 2, strides=2, activation="tanh"), nn.GlobalMaxPooling1D(), nn.Dense(1)]
NETWORKS = {
    "windows": stacked(WINDOWS, (7, 2), "categorical_crossentropy"),
    "strides": stacked(STRIDES, (4, 3, 1)),
    "transposed windows": stacked(TRANSPOSED, (3, 2), "huber"),
    "gathered rows": stacked([nn.Embedding(4, 2), nn.Flatten(), nn.Dense(2, "tanh")], 3),
    "recurrences": stacked([nn.LSTM(1), nn.Dense(1)], (2, 1)),
    "two directions": stacked([nn.Bidirectional(nn.GRU(1, return_sequences=True)), nn.SimpleRNN(2)], (3, 1)),
    "normalization": stacked([nn.Dense(3), nn.LayerNormalization(), nn.Dense(2, "softmax")], 2),
    "branches": residual_network,
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] if name == "two directions" else []) for name in NETWORKS]
)
def test_graphs(name):
    """Windows, maxima, gathered rows, recurrences and branches have second derivatives."""
    model = NETWORKS[name]()
    parameters, X, Y = random_data(nn.compile_model(model, until="describe")["describe"], 2)
    X = np.array([[0, 1, 3], [2, 2, 0]]) if name == "gathered rows" else X
    check(model, parameters, X, Y, rel=1e-14)


def test_perceptron():
    """The perceptron, at its initial values and elsewhere."""
    for seed in range(3):
        parameters = np.random.default_rng(seed).normal(scale=3, size=7)
        check(perceptron.model, parameters, perceptron.X, perceptron.Y)


def test_formula_by_sympy():
    """The Hessian of a formula is SymPy's."""
    output = a * sin(b * x + c) + exp(-a * x**2) * c**3 + atan(b) + xlogy(a, b + 2)
    loss = (output - y) ** 2 + a**2 * b / (1 + c**2)
    _, program = derived(formula_model(output, (a, b, c), loss))
    X, Y = np.array([[0.5], [-1.5], [2.0]]), np.array([[0.1], [0.4], [-0.3]])
    written = loss.replace(xlogy, lambda u, v: u * log(v))
    function = sympy.lambdify((a, b, c, x, y), sympy.hessian(written, (a, b, c)))
    expected = np.mean([function(0.7, -1.2, 0.3, *row) for row in np.hstack([X, Y])], axis=0)
    assert hessian_of(program, np.array([0.7, -1.2, 0.3]), X, Y) == pytest.approx(expected, rel=1e-13)


TERMS = st.recursive(
    st.sampled_from([a, b, c, x, sympy.Integer(2), sympy.Rational(1, 3)]),
    lambda inner: st.one_of(
        st.builds(
            lambda f, u: f(u),
            st.sampled_from(
                [
                    sin,
                    atan,
                    sympy.tanh,
                    sympy.erf,
                    sympy.asinh,
                    Abs,
                    lambda u: u**2,
                    lambda u: exp(-(u**2)),
                    nn.sigmoid,
                    lambda u: sqrt(1 + u**2),
                    lambda u: 1 / (2 + u**2),
                    lambda u: log(3 + u**2),
                    lambda u: sin(u) / u,
                    lambda u: (1 + u**2) ** b,
                    lambda u: Cbrt(u + 5),
                    cosh,
                    lambda u: Piecewise((u**3, x > 0), (sin(u), True)),
                ]
            ),
            inner,
        ),
        st.builds(
            lambda f, u, v: f(u, v),
            st.sampled_from(
                [
                    lambda u, v: u + v,
                    lambda u, v: u - v,
                    lambda u, v: u * v,
                    Max,
                    Min,
                    hypot,
                    sympy.atan2,
                    lambda u, v: u / (1 + v**2),
                    lambda u, v: Piecewise((u, u < v), (v, True)),
                ]
            ),
            inner,
            inner,
        ),
    ),
    max_leaves=8,
)


@given(formula=TERMS, values=st.tuples(*3 * [st.floats(-2, 2)]), at=st.floats(-2, 2))
@examples(40)
def test_random_formulas(formula, values, at):
    """For any formula, where its gradient is smooth, the Hessian is that of the gradient."""
    values, at = [v + 0.01234 for v in values], at + 0.0321
    try:
        model = formula_model(formula + a * b * c * x, (a, b, c))
        differentiated, program = derived(model)
    except nn.ModelError:  # such as atan2(0, 0), which has no value
        return
    direction = np.array([0.3, -1.1, 0.7])
    around = [
        product_by_differences(differentiated, np.add(values, shift), direction, [[at]], None)
        for shift in (0, 1e-7, -1e-7)
    ]
    size = max(map(np.abs, around), key=np.max).max()
    if not np.isfinite(around).all() or size > 1e8 or np.ptp(around, axis=0).max() > 1e-4 * (1 + size):
        return
    hessian = hessian_of(program, np.array(values), [[at]], None)
    scale = max(np.abs(hessian).max(), 1e-6)
    assert hessian == pytest.approx(hessian.T, rel=0, abs=1e-11 * scale)
    assert hessian @ direction == pytest.approx(around[0], rel=0, abs=1e-10 * scale)


# --- where zero meets infinity -----------------------------------------------------------------------------------


def limits(formula, symbols, values, at):
    """The Hessian as the limit from two sides at 900 digits, or None where there is none."""
    real = {symbol: sympy.Symbol(symbol.name, real=True) for symbol in (*symbols, x)}
    written = formula.xreplace(real).replace(lambda e: isinstance(e, StableFunction), lambda e: e.definition(*e.args))
    function = sympy.lambdify(list(real.values()), written, MODULES)
    with mpmath.workdps(900):
        try:
            sides = [_hessian_near(function, values, at, sign) for sign in (1, -1)]
        except (ZeroDivisionError, OverflowError, TypeError, ValueError):
            return None
        for u, v in zip(*map(np.ravel, sides), strict=True):
            if any(isinstance(z, mpmath.mpc) or not abs(z) < mpmath.mpf("1e20") for z in (u, v)):
                return None
            if abs(u - v) > mpmath.mpf(10) ** -20 * (1 + abs(u)):
                return None
        return np.array([[float(z) if abs(z) > 1e-25 else 0.0 for z in row] for row in sides[0]])


def _hessian_near(function, values, at, sign):
    """Second differences beside the values."""
    step = mpmath.mpf(10) ** -150
    near = [mpmath.mpf(v) + sign * k * mpmath.mpf(10) ** -60 for k, v in enumerate(values, start=1)]

    def value(*moves):
        moved = list(near)
        for k, way in moves:
            moved[k] += way * step
        return function(*moved, mpmath.mpf(at))

    return [
        [sum(u * v * value((i, u), (j, v)) for u in (1, -1) for v in (1, -1)) / (4 * step**2) for j in range(len(near))]
        for i in range(len(near))
    ]


@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(k, marks=[pytest.mark.thorough] if k % 4 else [])
        for k, hide in enumerate(HIDING)
        if hide is not sympy.erf  # mpmath's is slow
    ],
)
def test_what_is_hidden_does_not_count(hide):
    """What grows without bounds inside a function that hides it leaves a Hessian that is the limit, never a NaN."""
    checked = 0
    for growing in GROWING[hide % 3 :: 3]:
        formula = HIDING[hide](growing) + b * x
        _, program = derived(formula_model(formula, (a, b)))
        for values, at in POINTS:
            expected = limits(formula, (a, b), values, at)
            if expected is not None:
                checked += 1
                hessian = hessian_of(program, np.array(values), [[at]], None)
                assert hessian == pytest.approx(expected, rel=1e-9, abs=1e-20), (formula, values, at)
    assert checked >= 3


@pytest.mark.parametrize(
    ("formula", "values", "at"),
    [
        (HILL, {a: 0.1, b: 2.0, c: 0.5, d: 0.3}, 0.0),
        (HILL, {a: 0.1, b: 0.5, c: 0.5, d: 0.3}, 0.0),
        (HILL, {a: 0.1, b: 40.0, c: 0.5, d: 0.3}, 1e200),
        (Min(exp(a * x), 10**6), {a: 1.0}, 1000.0),
        (1 / (exp(a) - 1), {a: 400.0}, 0.0),
        (sin(a) / a, {a: 0.0}, 0.0),
        (exp(-((x / a) ** b)), {a: 1.0, b: 500.0}, 10.0),
        (a * x**b, {a: 2.0, b: 1.5}, 0.0),
        (a * x * log(Abs(a * x + 1)), {a: 0.5}, 0.0),
        (x / (exp(a * x) - 1), {a: 0.5}, 0.0),
        ((1 - sympy.cos(a * x)) / x**2, {a: 0.5}, 1e-8),
        (log(1 - exp(-a)), {a: 30.0}, 0.0),
        (log(exp(-(x**2) / (2 * a**2)) / a), {a: 1.0}, 39.0),
        (exp(a) / (exp(a) + exp(b) + exp(c)), {a: 800.0, b: -800.0, c: 799.0}, 0.0),
    ],
    ids=str,
)
def test_limits(formula, values, at):
    """Where a factor vanishes or a quotient is 0/0, the Hessian is the limit."""
    _, program = derived(formula_model(formula, tuple(values)))
    expected = limits(formula, tuple(values), tuple(values.values()), at or 1e-70)
    assert expected is not None
    hessian = hessian_of(program, np.array(list(values.values())), [[at]], None)
    assert hessian == pytest.approx(expected, rel=1e-9, abs=1e-20)


@pytest.mark.parametrize(
    ("formula", "values", "at"),
    [
        (HILL, {a: 0.1, b: 2.0, c: 0.5, d: 0.3}, [0.5, 1.0, 2.0]),
        ((a * x + b) ** c, {a: 1.0, b: 3.0, c: 0.5}, [1.0, 6.0]),
        (sqrt(a * x + b), {a: 1.0, b: 3.0}, [1.0, 6.0]),
        (Cbrt(a * x + b), {a: 1.0, b: 7.0}, [1.0]),
    ],
    ids=str,
)
def test_exact_fit(formula, values, at):
    """Where the residuals are 0, nothing is taken for a zero that meets infinity: the Hessian is that of their squares.

    That is 2*J^T J, and far from 0.
    """
    model = formula_model(formula, tuple(values), (formula - y) ** 2)
    differentiated, program = derived(model)
    parameters, X = np.array(list(values.values())), np.array(at)[:, None]
    Y = evaluate(differentiated, parameters, X, np.zeros_like(X))[differentiated.outputs[0].tensor][:, None]
    rows = [gradient_of(derived(formula_model(formula, tuple(values)))[0], parameters, [row], None) for row in X]
    expected = 2 * np.transpose(rows) @ rows / len(rows)
    assert hessian_of(program, parameters, X, Y) == pytest.approx(expected, rel=1e-13)


def test_power_at_zero():
    """The second derivative of u**b at u = 0 is 2 for b = 2, 0 for b = 3, and none for b = 1.5."""
    _, program = derived(formula_model((x - a) ** b, (a, b)))
    curvatures = [hessian_of(program, np.array([1.0, exponent]), [[1.0]], None)[0, 0] for exponent in (2.0, 3.0, 1.5)]
    assert curvatures == pytest.approx([2.0, 0.0, np.nan], nan_ok=True)


def test_softmax_keeps_its_digits():
    """Where the softmax is saturated at the right class, the Hessian has full relative precision."""
    model = nn.Sequential([nn.Dense(3, "softmax", use_bias=False)], inputs=1, loss="categorical_crossentropy")
    _, program = derived(model)
    p = np.exp(np.array([0.0, -40.0, -39.0]))
    hessian = hessian_of(program, np.array([40.0, 0.0, 1.0]), [[1.0]], [[1.0, 0.0, 0.0]])
    assert np.diag(hessian) == pytest.approx([p[1] + p[2], p[1], p[2]], rel=1e-14)
    assert hessian[0] == pytest.approx([p[1] + p[2], -p[1], -p[2]], rel=1e-14)


# --- the programs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["softmax", "softmax_complement", "log_softmax"])
def test_normalizations(operator):
    """Each normalization has a derivative."""
    v, w = Element("a", ("i",)), Element("b", ("i",))
    loss, value = Element("loss"), Element("v", ("i",))
    steps = (
        Step(value, v, operator, ("i",)),
        Step(Element("s"), value**2 * w, "sum", ("i",)),
        Step(loss, Element("s") * Element("w", ("n",)), "sum", ("n",)),
    )
    tensors = (Tensor("a", (3,)), Tensor("b", (3,)))
    program = Program("p", (), steps, (), tensors, weight=Tensor("w", (None,)), loss=loss)
    values = np.array([0.3, -0.5, 1.2, 2.0, -1.0, 0.7])
    gradient = gradient_of(differentiate(program), values, None, None)
    assert gradient == pytest.approx(differences(program, values, None, None), rel=1e-7)


def test_directions():
    """After the parameters come the directions, under names that are free; only the parameters have derivatives."""
    v = sympy.Symbol("v_a")
    model = nn.Model("m", [x], [], {a: 1.0, v: 2.0, b: 3.0}, a * v * x, a * v * x)
    _, program = derived(model)
    assert [tensor.name for tensor in program.parameters] == ["a", "v_a", "b", "v_a_", "v_v_a", "v_b"]
    assert len(program.gradient) == 3
    assert hessian_of(program, np.array([1.0, 2.0, 3.0]), [[5.0]], None) == pytest.approx(
        np.array([[0, 5, 0], [5, 0, 0], [0, 0, 0]])
    )


def test_loss_without_parameters():
    """Where the loss depends on no parameter, its Hessian is 0."""
    _, program = derived(nn.Model("m", [x], [], {a: 1.0}, a * x, x))
    values = evaluate(program, [1.0, 1.0], [[2.0]])
    assert float(values[program.loss.tensor]) == 0
    assert product_of(program, [1.0], [1.0], [[2.0]], None) == [0]


def test_everyday_formulas_pay_nothing():
    """Where nothing that is infinite can be hidden, nothing is guarded."""
    for formula in (a / (1 + ((x - b) / c) ** 2), a * exp(-b * x) + c, a * sin(b * x + c), a * x / (b + x)):
        program = derived(formula_model(formula, (a, b, c), (formula - y) ** 2))[1]
        assert not any(step.expression.has(sympy.Eq, *GUARDED) for step in program.steps)


def test_nothing_grows_with_the_width():
    """The steps of a network are the same, but for sizes, whatever its width."""

    def shown(width):
        layers = [nn.Dense(width, "tanh"), nn.Dense(10, "softmax")]
        program = derived(nn.Sequential(layers, inputs=64, loss="categorical_crossentropy"))[1]
        return [str(step) for step in program.steps]

    assert shown(32) == shown(512)
