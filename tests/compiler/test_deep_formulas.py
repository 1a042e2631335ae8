"""Formulas of thousands of levels, or of parts that are shared thousands of times, under Python's usual limits."""

from functools import cache

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.ir import evaluate
from tests.support.built import stage

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


def expected(by_hand, values, X, Y):
    """The mean of the squared errors and its gradient."""
    found = by_hand(*numbers(values, X))
    error = found.value - Y
    return (error**2).mean(), (2 * error[:, None] * found.slope).mean(axis=0)


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
    found = evaluate(program, values, X[:, None], Y[:, None])
    loss, gradient = expected(by_hand, values, X, Y)
    assert float(found[program.loss.tensor]) == pytest.approx(loss, rel=1e-12)
    assert [float(found[e.tensor]) for e in program.gradient] == pytest.approx(gradient, rel=1e-10, abs=1e-13)
