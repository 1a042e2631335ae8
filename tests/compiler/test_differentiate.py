"""The reverse sweep against SymPy's own derivatives and central differences."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.compiler.ir import Element, Program, Step, Tensor, evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from tests.support.models import differences, gradient_of, random_data


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        (name, loss)
        for name in (*ACTIVATIONS, "sine")
        for loss in LOSSES
        if name in ("tanh", "relu", "softsign", "gelu", "sine") or loss in ("mse", "categorical_crossentropy")
    ],
)
def test_networks(activation, loss):
    """For every activation and loss the gradient agrees with central differences of the described program."""
    hidden = sympy.sin if activation == "sine" else activation
    last = {"poisson": "softplus", "binary_crossentropy": "sigmoid", "categorical_crossentropy": "softmax"}
    layers = [nn.Dense(3, hidden), nn.Dense(2, last.get(loss, "linear"))]
    stages = nn.compile_model(nn.Sequential(layers, inputs=3, loss=loss), until="simplify")
    described = stages["describe"]
    parameters, X, Y = random_data(described)
    expected = differences(described, parameters, X, Y)
    for stage in ("differentiate", "simplify"):
        gradient = gradient_of(stages[stage], parameters, X, Y)
        assert gradient == pytest.approx(expected, rel=1e-6, abs=1e-8 * np.linalg.norm(expected))


def test_formula_by_sympy():
    """The gradient of a formula is SymPy's derivative by each parameter, also of one that occurs many times."""
    a, b, c, x, y = sympy.symbols("a b c x y", real=True)
    output = a * sympy.sin(b * x + c) + sympy.exp(-a * x**2) * c**3 + sympy.atan(b)
    loss = (output - y) ** 2 + a**2 * b / (1 + c**2)
    model = nn.Model("m", [x], [y], {a: 0.7, b: -1.2, c: 0.3}, output, loss)
    program = nn.compile_model(model, until="differentiate")["differentiate"]
    X, Y = np.array([[0.5], [-1.5], [2.0]]), np.array([[0.1], [0.4], [-0.3]])
    gradient = gradient_of(program, [0.7, -1.2, 0.3], X, Y)
    for value, symbol in zip(gradient, (a, b, c), strict=True):
        derivative = sympy.lambdify((a, b, c, x, y), loss.diff(symbol))
        assert value == pytest.approx(np.mean(derivative(0.7, -1.2, 0.3, X, Y)), rel=1e-13)


def test_the_sweep_is_linear():
    """Twice the parameters make about twice the steps."""

    def steps(count):
        w = sympy.symbols(f"w:{count}")
        x = sympy.Symbol("x")
        output = sympy.Add(*(w[2 * k] * sympy.tanh(w[2 * k + 1] * x) for k in range(count // 2)))
        model = nn.Model("m", [x], (), dict.fromkeys(w, 0.1), output, output**2)
        return len(nn.compile_model(model, until="differentiate")["differentiate"].steps)

    assert steps(80) <= 2 * steps(40) + 5


def test_nothing_grows_with_the_width():
    """The steps of a network are the same, but for sizes, whatever its width."""

    def shown(width):
        layers = [nn.Dense(width, "tanh"), nn.Dense(10, "softmax")]
        model = nn.Sequential(layers, inputs=64, loss="categorical_crossentropy")
        return [str(step) for step in nn.compile_model(model, until="simplify")["simplify"].steps]

    assert shown(32) == shown(512)


def test_parameters_that_do_nothing():
    """A parameter on which the loss does not depend has the gradient 0."""
    a, b, x = sympy.symbols("a b x")
    program = nn.compile_model(nn.Model("m", [x], (), {a: 1.0, b: 2.0}, b * x, a * x), until="differentiate")
    assert gradient_of(program["differentiate"], [1.0, 2.0], [[3.0]], None) == pytest.approx([3.0, 0.0])


def test_branches_not_taken_do_not_count():
    """Where a branch that is not taken is infinite, the gradient is that of the other branch, not a NaN."""
    a, x = sympy.symbols("a x")
    loss = sympy.Piecewise((a * x, x <= 0), (sympy.log(a * x) / x, True))
    program = nn.compile_model(nn.Model("m", [x], (), {a: 1.0}, a * x, loss), until="differentiate")["differentiate"]
    assert gradient_of(program, [2.0], [[0.0], [-3.0]], None) == pytest.approx([-1.5])


def test_a_maximum_of_parameters():
    """The derivative of a maximum is that of its largest term, also where it does not depend on the samples."""
    a, loss = Element("a", ("i",)), Element("loss")
    steps = (Step(Element("m"), a, "max", ("i",)), Step(loss, Element("m") * Element("w", ("n",)), "sum", ("n",)))
    a, w = Tensor("a", (3,)), Tensor("w", (None,))
    program = Program("p", (), steps, (Element("m"),), (a,), weight=w, loss=loss)
    assert float(evaluate(program, [1.0, 5.0, 2.0])["loss"]) == 5
    assert gradient_of(differentiate(program), [1.0, 5.0, 2.0], None, None).tolist() == [0, 1, 0]


def test_softmax_keeps_its_digits():
    """Where the softmax is saturated at the right class, the gradient has full relative precision."""
    model = nn.Sequential([nn.Dense(3, "softmax", use_bias=False)], inputs=1, loss="categorical_crossentropy")
    program = nn.compile_model(model, until="simplify")["simplify"]
    gradient = gradient_of(program, [40.0, 0.0, 1.0], [[1.0]], [[1.0, 0.0, 0.0]])
    e = np.exp(np.array([-40.0, -39.0]))
    assert gradient == pytest.approx([-e.sum(), e[0], e[1]], rel=1e-14)
    assert float(evaluate(program, [40.0, 0.0, 1.0], [[1.0]], [[1.0, 0, 0]])["loss"]) == pytest.approx(
        e.sum(), rel=1e-14
    )
