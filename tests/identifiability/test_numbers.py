"""The parts of the test: numbers of both kinds, power series, kernels of whole numbers."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy import Symbol

from nncodegen.errors import ModelError
from nncodegen.structural.fields import PRIMES, Digits, NotRationalError, Residues, SingularError
from nncodegen.structural.symmetries import simplest_kernel
from nncodegen.structural.tape import Tape
from nncodegen.structural.taylor import Series, Taylor, constant

SMALL = st.integers(-3, 3)
MATRICES = st.integers(1, 5).flatmap(
    lambda columns: st.lists(st.lists(SMALL, min_size=columns, max_size=columns), min_size=1, max_size=6)
)


@pytest.mark.parametrize("prime", PRIMES)
def test_primes(prime):
    """The moduli are primes, and the sum of two products of residues fits into 64 bits."""
    assert sympy.isprime(prime)
    assert 2 * (prime - 1) ** 2 < 2**63


@given(MATRICES, st.booleans())
def test_echelon_form(matrix, exact):
    """Rank and null space are those of SymPy, with residues and with many digits."""
    field = Residues(PRIMES[0]) if exact else Digits(100)
    with field.precision():
        array = np.array([[field.number(sympy.Integer(each)) for each in row] for row in matrix], field.dtype)
        rows, pivots = field.reduced(array)
        assert len(rows) == len(pivots) == sympy.Matrix(matrix).rank()
        null_space = field.null_space(array)
        assert len(null_space) == len(matrix[0]) - len(pivots)
        assert np.all(field.is_zero(field.product(array, null_space.T)))


@given(st.integers(-900, 900), st.integers(1, 60), st.booleans())
def test_fractions(above, below, exact):
    """Small rational numbers are read from residues, and from many digits."""
    field = Residues(PRIMES[1]) if exact else Digits(100)
    with field.precision():
        value = field.number(sympy.Rational(above, below))
        assert field.fraction(value) == Fraction(above, below)


def test_numbers_without_residues():
    """Roots and functions have no residue; decimal numbers are the fractions that they are written as."""
    field = Residues(PRIMES[0])
    with pytest.raises(NotRationalError):
        field.number(sympy.sqrt(2))
    assert field.fraction(field.number(sympy.Float("0.125"))) == Fraction(1, 8)
    assert field.fraction(field.number(sympy.Float(0.1))) == Fraction(1, 10)
    assert field.number(sympy.pi) == field.number(sympy.pi) != field.number(sympy.E)
    with pytest.raises(SingularError):
        field.inverse(np.array([3, 0]))


@given(st.lists(st.integers(1, PRIMES[0] - 1), min_size=1, max_size=5))
def test_inverses(numbers):
    """A residue times its reciprocal is 1."""
    field, array = Residues(PRIMES[0]), np.array(numbers)
    assert np.all(array * field.inverse(array) % PRIMES[0] == 1)


SERIES = (
    "exp(a*t)", "sin(a*t + b)", "cos(t)*exp(-t)", "tan(a*t)", "log(b + t)", "(1 + a*t)**b", "sqrt(b + t)", "atan(a*t)",
    "1/(1 + t)**3", "erf(a*t)", "tanh(t - b)", "t**3/(b + t**2)", "asin(t/3)", "exp(-exp(-a*t))", "b**(a*t)",
    "sinh(a*t)*cosh(b*t)", "acos(t/2)", "asinh(t)",
)  # fmt: skip


@pytest.mark.parametrize("text", SERIES)
def test_power_series(text):
    """The coefficients of a function, and their derivatives by parameters, are those of mpmath and of differences."""
    field, a, b, t = Digits(60), *map(Symbol, "abt")
    orders = 7
    formula = sympy.sympify(text)

    def coefficients(values):
        point = dict(zip((a, b), values, strict=True))
        function = sympy.lambdify(t, formula.subs({s: sympy.Float(v, 70) for s, v in point.items()}), "mpmath")
        return mpmath.taylor(function, mpmath.mpf("0.3"), orders - 1)

    with field.precision():
        values = [mpmath.mpf("0.7"), mpmath.mpf("1.9")]
        time = field.zeros((orders, 1))
        time[0], time[1] = mpmath.mpf("0.3"), mpmath.mpf(1)
        leaves = {symbol: constant(field, np.array([values[k]], object), 2, [k]) for k, symbol in enumerate((a, b))}
        leaves[t] = Series(time)
        tape = Tape({a: (False, True), b: (False, True), t: (True, False)})
        (place,) = tape.add([formula])
        taylor = Taylor(tape, field, leaves, {}, (orders, 1, 2))
        for _ in range(orders):
            taylor.advance()
        series = taylor.of(place)
        with mpmath.workdps(80):
            expected = coefficients(values)
            step = mpmath.mpf(10) ** -20
            for column in range(2):
                above, below = ([v + s * step * (k == column) for k, v in enumerate(values)] for s in (1, -1))
                slopes = [(u - v) / (2 * step) for u, v in zip(coefficients(above), coefficients(below), strict=True)]
                tangents = field.zeros((orders,)) if series.tangents is None else series.tangents[:, 0, column]
                assert all(abs(x - y) < 1e-15 for x, y in zip(slopes, tangents, strict=True))
        assert all(abs(x - y) < 1e-25 for x, y in zip(expected, series.values[:, 0], strict=True))


def test_residues_of_series():
    """The coefficients of a rational function are the residues of those that SymPy has."""
    field, t = Residues(PRIMES[0]), Symbol("t")
    formula = (2 + t) ** 3 / (1 + t + t**2) ** 2
    tape = Tape({t: (True, False)})
    (place,) = tape.add([formula])
    time = field.zeros((9, 1))
    time[1] = 1
    taylor = Taylor(tape, field, {t: Series(time)}, {}, (9, 1, 0))
    for _ in range(9):
        taylor.advance()
    series = sympy.series(formula, t, 0, 9).removeO()
    expected = [field.number(series.coeff(t, order)) for order in range(9)]
    assert taylor.of(place).values[:, 0].tolist() == expected


def test_functions_without_derivatives():
    """A function that no formula of nncodegen has is refused."""
    x = Symbol("x")
    with pytest.raises(ModelError, match="gamma has no derivatives that are known here"):
        Tape({x: (True, True)}).add([sympy.gamma(x)])


@given(MATRICES)
def test_kernels(matrix):
    """A kernel has whole vectors without common factors, as many as the rank leaves, that the matrix takes to 0."""
    exact = [[Fraction(each) for each in row] for row in matrix]
    kernel = simplest_kernel(exact)
    assert len(kernel) == len(matrix[0]) - sympy.Matrix(matrix).rank()
    for vector in kernel:
        assert np.gcd.reduce(vector) == 1
        assert not np.any(np.array(matrix) @ vector)
    if kernel:
        assert sympy.Matrix(kernel).rank() == len(kernel)
