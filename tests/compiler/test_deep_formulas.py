"""Formulas of thousands of levels, or of parts that are shared thousands of times, under Python's usual limits."""

import sys
from functools import cache

import numpy as np
import pytest
import sympy
from sympy.core.cache import clear_cache

import nncodegen as nn
from nncodegen.certificates.independent_model import FORMULAS, given
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.ir.functions import sigmoid
from nncodegen.compiler.ir.graphs import graph_of
from nncodegen.compiler.passes.infinities import Infinities
from nncodegen.compiler.passes.simplify import operations
from tests.support.built import compiled_until, stage

x, y, a, b, c = sympy.symbols("x y a b c")


class Dual:
    """A number for each sample, with its derivatives: forward differentiation, which knows nothing of graphs."""

    def __init__(self, value, slope):
        self.value, self.slope = value, slope

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __sub__(self, other):
        return Dual(self.value - other.value, self.slope - other.slope)

    def __mul__(self, other):
        return Dual(self.value * other.value, self.slope * other.value[:, None] + other.slope * self.value[:, None])

    def sin(self):
        return Dual(np.sin(self.value), self.slope * np.cos(self.value)[:, None])


def numbers(values, X):
    """The input as one Dual, and each parameter as one."""
    slopes = np.eye(len(values))
    ones = np.ones(len(X))
    held = [Dual(ones * value, np.tile(slope, (len(X), 1))) for value, slope in zip(values, slopes, strict=True)]
    return Dual(X, np.zeros((len(X), len(values)))), held


@cache  # SymPy compares what it makes a second time with the first, part by part, and never ends
def euler(steps, h):
    u = b
    for _ in range(steps):
        u = u + h * a * u * (c - u)
    return u * x


def euler_by_hand(steps, h, X, held):
    of_x, (of_a, of_b, of_c) = X, held
    u, width = of_b, Dual(np.full_like(of_x.value, float(h)), np.zeros_like(of_b.slope))
    for _ in range(steps):
        u = u + width * of_a * u * (of_c - u)
    return u * of_x


@cache
def sines(times):
    e = a * x
    for _ in range(times):
        e = sympy.sin(e + b)
    return e


def sines_by_hand(times, X, held):
    e = held[0] * X
    for _ in range(times):
        e = (e + held[1]).sin()
    return e


@cache
def horner(terms):
    """A polynomial of degree terms - 1, whose coefficients are two parameters in turn."""
    p = a
    for k in range(1, terms):
        p = p * x + (a, b)[k % 2]
    return p


def horner_by_hand(terms, X, held):
    p = held[0]
    for k in range(1, terms):
        p = p * X + held[k % 2]
    return p


SMALL = {
    "euler": (lambda: euler(12, sympy.Rational(1, 100)), (a, b, c), lambda *g: euler_by_hand(12, 0.01, *g)),
    "sines": (lambda: sines(60), (a, b), lambda *g: sines_by_hand(60, *g)),
    "horner": (lambda: horner(60), (a, b), lambda *g: horner_by_hand(60, *g)),
}


LARGE = {
    "euler": (lambda: euler(200, sympy.Rational(1, 100)), (a, b, c), lambda *g: euler_by_hand(200, 0.01, *g)),
    "sines": (lambda: sines(2000), (a, b), lambda *g: sines_by_hand(2000, *g)),
    "horner": (lambda: horner(2000), (a, b), lambda *g: horner_by_hand(2000, *g)),
}


def expected(by_hand, values, X, Y):
    """The mean of the squared errors and its gradient."""
    result = by_hand(*numbers(values, X))
    error = result.value - Y
    return (error**2).mean(), (2 * error[:, None] * result.slope).mean(axis=0)


def problem(symbols):
    rng = np.random.default_rng(len(symbols))
    return rng.uniform(0.2, 0.9, len(symbols)), rng.uniform(-0.9, 0.9, 7), rng.normal(size=7)


@pytest.mark.parametrize("kind", SMALL)
def test_programs(kind):
    """The programs of deep formulas, and of those with shared parts, have the loss and the gradient of a loop."""
    formula, symbols, by_hand = SMALL[kind]
    values, X, Y = problem(symbols)
    model = nn.Model(kind, x, y, dict.fromkeys(symbols, 0.5), formula())
    program = stage(model, "simplify", fit=False)
    evaluated = evaluate(program, values, X[:, None], Y[:, None])
    loss, gradient = expected(by_hand, values, X, Y)
    assert float(evaluated[program.loss.tensor]) == pytest.approx(loss, rel=1e-12)
    assert [float(evaluated[e.tensor]) for e in program.gradient] == pytest.approx(gradient, rel=1e-10, abs=1e-13)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", LARGE)
def test_modules(kind):
    """Formulas of thousands of levels are compiled, and their modules are right."""
    clear_cache()  # SymPy would compare with what the other tests have made
    formula, symbols, by_hand = LARGE[kind]
    values, X, Y = problem(symbols)
    module = nn.build(nn.Model(f"deep_{kind}", x, y, dict.fromkeys(symbols, 0.5), formula()), fit=False)
    loss, gradient = expected(by_hand, values, X, Y)
    computed, slopes = module.loss_and_gradient(values, X, Y)
    assert computed == pytest.approx(loss, rel=1e-12)
    assert slopes == pytest.approx(gradient, rel=1e-10, abs=1e-13)


def test_squares_of_deep_formulas_are_fitted():
    """The loss of a large formula reads its output, so that a fit knows the sum of squares, however it was given."""
    output = sines(60)
    for loss in (None, (y - output) ** 2, 3 * (output - y) ** 2):
        model = nn.Model("fitted", x, y, {a: 0.5, b: 0.5}, output, loss)
        described = model.describe()
        assert described.least_squares
        assert described.loss_of_outputs is not None
        assert {e.tensor for e in described.steps[-2].operands} == {"output", "y"}
    other = nn.Model("fourth", x, y, {a: 0.5, b: 0.5}, output, (output - y) ** 4).describe()
    assert not other.least_squares
    assert other.loss_of_outputs is not None


def test_wide_formulas_of_small_shared_parts():
    """A small part that thousands of terms share makes a formula large as a tree, but none of its steps is refused."""
    small = sympy.exp(-a * x) / (1 + sympy.cos(b * x) ** 2)
    total = sympy.Add(*(sympy.sin(small + k) for k in range(1000)))
    model = nn.Model("wide", x, y, {a: 0.5, b: 0.5}, total)
    assert graph_of(model.outputs).is_large
    assert model.describe().least_squares


def test_what_is_wrong_in_a_deep_formula_is_named():
    """Unknown symbols, functions without a C form and targets in outputs are found at any depth."""
    for wrong, message in (
        (sympy.Symbol("q"), "contains q, which is neither"),
        (sympy.gamma(a), "contains gamma, which has no C form"),
        (sympy.I, "is complex"),
        (y, "depends on the target y"),
    ):
        deep = x + wrong
        for _ in range(60):
            deep = sympy.sin(deep * a, evaluate=False)
        with pytest.raises(nn.ModelError, match=message):
            nn.Model("wrong", x, y, {a: 0.5}, deep)


def test_rules_of_numbers_hold_within_pieces():
    """Where a deep formula is cut, its exponentials are still found to be logistic functions, and do not overflow."""
    z = a * x
    for _ in range(30):
        z = 1 / (1 + sympy.exp(-900 * z + b))
    model = nn.Model("network", x, y, {a: 0.5, b: 0.5}, z)
    assert graph_of(model.outputs).is_large
    program = stage(model, "simplify", fit=False)
    values = evaluate(program, [1.0, 0.5], [[-1.0], [1.0]], [[0.0], [0.0]])
    assert np.isfinite([float(values[e.tensor]) for e in (program.loss, *program.gradient)]).all()
    assert sum(step.expression.has(sigmoid) for step in stage(model, "stabilize", fit=False).steps) > 1


def test_other_formulas_that_are_too_large_are_refused():
    """Activations, losses and optimizers walk their formulas as trees, and say so of those that would take for ever."""

    def grown(u):
        for _ in range(40):
            u = u + u * (1 - u)
        return u

    for make in (
        lambda: nn.Sequential([nn.Dense(1, grown)], 1).describe(),
        lambda: nn.Sequential([nn.Dense(1)], 1, loss=lambda p, t: grown(p - t)).describe(),
        lambda: nn.Optimizer(
            "o", lambda parameter, gradient, learning_rate: parameter - learning_rate * grown(gradient)
        ),
    ):
        with pytest.raises(nn.ModelError, match="with shared parts written out: only the output and the loss"):
            make()


def test_the_reference_of_a_certificate():
    """What a certificate compares a deep formula with is made of its nodes, not of the steps that it was cut into."""
    model = nn.Model("sines", x, y, {a: 0.5, b: 0.5}, sines(60))
    program, source = given(model, model.describe(), None)
    assert source == FORMULAS
    values, X, Y = problem((a, b))
    evaluated = evaluate(program, values, X[:, None], Y[:, None])
    loss, _ = expected(SMALL["sines"][2], values, X, Y)
    assert float(evaluated[program.loss.tensor]) == pytest.approx(loss, rel=1e-12)


def product_of(factors):
    """The product of some factors 1 + p*x."""
    symbols = sympy.symbols(f"p{factors}_:{factors}")
    return nn.Model("product", x, y, dict.fromkeys(symbols, 0.01), sympy.Mul(*(1 + p * x for p in symbols)))


def test_products_take_operations_in_proportion():
    """Twice as many factors take about twice as many operations, for the gradient, the fit and the Hessian."""
    compiled = [compiled_until(product_of(factors)) for factors in (30, 60)]
    few, many = (stages["simplify"] for stages in compiled)
    fewer, more = ([each.program for each in stages.findings.companions.simplified] for stages in compiled)
    for smaller, larger in zip((few, *fewer), (many, *more), strict=True):
        assert operations(larger) < 3 * operations(smaller)
    evaluated = evaluate(many, np.linspace(-0.5, 0.5, 60), [[0.7], [-0.3]], [[1.0], [0.5]])
    X, values = np.array([[0.7], [-0.3]]), np.linspace(-0.5, 0.5, 60)
    factors = 1 + X * values
    whole = factors.prod(axis=1)
    gradient = (2 * (whole - [1.0, 0.5]) * whole)[:, None] * X / factors
    assert [float(evaluated[e.tensor]) for e in many.gradient] == pytest.approx(gradient.mean(axis=0), rel=1e-11)


def sum_of(terms):
    """A logistic function of a sum of some products."""
    inputs, weights = (sympy.symbols(f"{letter}{terms}_:{terms}") for letter in "xw")
    total = sum(u * v for u, v in zip(inputs, weights, strict=True))
    return nn.Model("logistic", inputs, y, dict.fromkeys(weights, 0.01), 1 / (1 + sympy.exp(-total)))


def test_a_step_is_looked_through_once_for_all_that_it_reads():
    """The questions where zero may meet infinity visit each part of a long sum a few times, not once for each term."""
    visits = []
    for terms in (40, 80):
        steps = stage(sum_of(terms), "differentiate", fit=False).steps
        loss = next(step.target for step in steps if step.target.tensor == "loss")
        visits.append(calls(lambda steps=steps, loss=loss: Infinities(steps, (loss,))))
    assert visits[1] < 2.5 * visits[0]


def calls(function):
    """How many Python functions are called meanwhile."""
    count = 0

    def tell(frame, event, argument):
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(tell)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_deep_formulas_as_onnx(tmp_path):
    """A formula that was cut into many steps is written as ONNX, whose runtime gives the numbers of a loop."""
    runtime = pytest.importorskip("onnxruntime")
    clear_cache()  # SymPy would compare with what the other tests have made
    model = nn.Model("waves", x, y, {a: 0.7, b: 0.3}, sines(300))
    exported = nn.export(model, "onnx", tmp_path / "waves", parameters={"a": 0.7, "b": 0.3})
    (content,) = exported.files.values()
    session = runtime.InferenceSession(content)
    X = np.linspace(-1, 1, 5)
    (outcome,) = session.run(None, {session.get_inputs()[0].name: X[:, None]})
    assert outcome[:, 0] == pytest.approx(sines_by_hand(300, *numbers([0.7, 0.3], X)).value, rel=1e-13)
