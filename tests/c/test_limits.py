"""Compiled formulas have values and gradients that are the limits where, as written, they are 0/0 or 0*log(0)."""

from functools import cache

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from tests.support.built import built
from tests.support.compilers import QUICK
from tests.support.limits import FORMULAS, Limits, a, b, model_of, x

DISTANCES = [0.0, 1e-300, 1e-30, 1e-8, 1e-3, 0.2, 0.7, 2.0]
CHOSEN = ["hill", "logistic", "weibull", "power_log", "power_log_twice", "power_log_less", "sinc", "sinc_square",
          "decay", "tanh", "langevin", "debye", "sphere"]  # fmt: skip

pytestmark = pytest.mark.usefixtures("quick_compiler")

limits_of = cache(Limits)


def is_quick(name, precision):
    """Whether a formula is tried in this precision in every run."""
    return (CHOSEN.index(name) % 2 == 0) == (precision == "float64")


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(name, precision, marks=[] if is_quick(name, precision) else [pytest.mark.thorough])
        for name in CHOSEN
        for precision in ("float64", "float32")
    ],
)
def test_limits(name, precision, monkeypatch):
    """A module gives them to some units in the last place, in both precisions, alone and among other samples.

    Each formula is compiled without optimization in one precision, and with --thorough with a little in the other one.
    """
    if is_quick(name, precision):
        monkeypatch.setenv("CC", QUICK)
    module, limits = built(model_of(name), precision, fit=False), limits_of(name)
    numbers = list(FORMULAS[name][1].values())
    rows = np.array(DISTANCES, precision).reshape(-1, 1)
    rel, tiny = 30 * float(np.finfo(precision).eps), 2 * float(np.finfo(precision).tiny)
    among = module.predict(numbers, rows)[:, 0]
    for row, predicted in zip(rows, among, strict=True):
        value, gradient, _ = limits(numbers, float(row[0]))
        loss, slopes = module.loss_and_gradient(numbers, [row])
        assert [predicted, loss] == pytest.approx([value] * 2, rel=rel, abs=tiny), row
        assert slopes == pytest.approx(gradient, rel=rel, abs=max(rel * np.max(np.abs(gradient)), tiny)), row


QUOTIENTS = ["tan", "tan_below", "erf", "asin", "sine_sine", "sinh_sinh", "tanh_sine", "growth_sine", "sine_growth",
             "growth_growth", "log_sine", "log_growth_square", "products", "cosine_sine", "asinh_erf"]  # fmt: skip


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_quotients_of_functions(precision, monkeypatch):
    """Quotients of two functions that are 0 at 0 have their values and derivatives there, and at any distance."""
    monkeypatch.setenv("CC", QUICK)
    outputs = [FORMULAS[name][0] for name in QUOTIENTS]
    targets = sympy.symbols(f"y:{len(outputs)}")
    module = built(nn.Model("quotients", x, targets, {a: 0.75, b: 0.5}, outputs), precision, fit=True)
    rel = 40 * float(np.finfo(precision).eps)
    for name, formula in zip(QUOTIENTS, outputs, strict=True):
        number = QUOTIENTS.index(name)
        symbols = [symbol for symbol in (a, b) if formula.has(symbol)]
        assert list(FORMULAS[name][1]) == symbols
        limits = limits_of(name)
        for at in np.array([0.0, 1e-300, 1e-30, 1e-8, 1e-3, 0.2, 0.7, 1.5], precision):
            value, gradient, _ = limits([{a: 0.75, b: 0.5}[symbol] for symbol in symbols], float(at))
            jacobian = module.jacobian([0.75, 0.5], [[at]])[0, number]
            assert module.predict([0.75, 0.5], [[at]])[0, number] == pytest.approx(value, rel=rel), (name, at)
            by = [jacobian[[a, b].index(symbol)] for symbol in symbols]
            assert by == pytest.approx(gradient, rel=rel, abs=rel * np.max(np.abs(gradient))), (name, at)


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_error_functions_far_out(precision):
    """log(erfc(z)) and exp(z**2)*erfc(z) keep their digits where erfc underflows, and for negative z."""
    erfc = sympy.erfc(a * x)
    outputs = [sympy.log(erfc), sympy.exp((a * x) ** 2) * erfc, (1 - sympy.erf(a * x)) / 2]
    targets = sympy.symbols("y:3")
    module = built(nn.Model("error_functions", x, targets, {a: 0.5}, outputs), precision, fit=True)
    eps, least = float(np.finfo(precision).eps), float(np.finfo(precision).tiny)
    for at in np.array([-6.0, -0.5, 0.0, 1e-9, 0.3, 0.9, 1.1, 6.0, 16.0, 60.0, 2e3], precision):
        with mpmath.workdps(60):
            u = mpmath.mpf(float(at))
            z = u / 2
            density = 2 / mpmath.sqrt(mpmath.pi)
            scaled = mpmath.exp(z * z) * mpmath.erfc(z)
            values = [mpmath.log(mpmath.erfc(z)), scaled, mpmath.erfc(z) / 2]
            slopes = [-density / scaled * u, (2 * z * scaled - density) * u, -density / 2 * mpmath.exp(-z * z) * u]
        condition = 1 + 2 * float(z) ** 2  # of exp(z**2) and exp(-z**2)
        predicted, jacobian = module.predict([0.5], [[at]])[0], module.jacobian([0.5], [[at]])[0, :, 0]
        for number in range(3):
            rel = 20 * eps * (condition if number == 2 or at < 0 else 1)
            assert predicted[number] == pytest.approx(float(values[number]), rel=rel, abs=least), (number, at)
            assert jacobian[number] == pytest.approx(float(slopes[number]), rel=rel, abs=least), (number, at)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_no_limit_is_no_number(precision):
    """At x = 0, x**b*log(x) and the derivative of x**b are not finite where b is 0 or negative."""
    power, power_log = (built(model_of(name), precision, fit=False) for name in ("power", "power_log"))
    for exponent in (0.0, -1.5):
        assert not np.isfinite(power.loss_and_gradient([2.0, exponent], [[0.0]])[1][1])
        assert not np.isfinite(power_log.predict([exponent, 0.5], [[0.0]])[0, 0])
