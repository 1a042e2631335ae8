"""The records of elementary functions: their values and derivatives against mpmath, and who may read them."""

import ast
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncodegen.certificates.functions import call, call_all
from nncodegen.compiler.ir.elementary import POWER, RECORDS
from tests.support import ROOT
from tests.support.search import examples

ALL = (*RECORDS, POWER)
NAMES = [record.name for record in ALL]
DOMAINS = {
    "log": (1e-300, 1e300), "log2": (1e-300, 1e300), "log10": (1e-300, 1e300), "log1p": (-1, 1e300),
    "Sqrt": (0, 1e300), "Cbrt": (-1e300, 1e300), "asin": (-1, 1), "acos": (-1, 1), "atanh": (-1, 1),
    "acosh": (1, 1e300), "atan": (-1e300, 1e300), "asinh": (-1e300, 1e300), "Pow": (1e-3, 1e3), "decay": (0, 700),
    "erfc": (-5, 25), "hypot": (-1e150, 1e150),
}  # fmt: skip
"""Where functions are tried, if not from -30 to 30."""
COUNTS = {"atan2": 2, "hypot": 2, "Max": 2, "Min": 2, "Pow": 2, "Heaviside": 2, "tanh_of": 3, "faddeeva_real_of": 2,
          "faddeeva_imag_of": 2}  # fmt: skip
GRID = [0.0, 1e-12, 1e-3, 0.1, 0.25, 0.375, 0.5, 0.625, 0.75, 0.9, 0.999, 1.0]
"""Parts of a domain, from its middle to either end."""
TIPS = {
    "log": [0], "log1p": [-1], "log2": [0], "log10": [0], "Sqrt": [0], "Cbrt": [0], "Abs": [0], "half_expm1": [0],
    "asin": [-1, 1], "acos": [-1, 1], "acosh": [1], "atanh": [-1, 1], "Max": [0, 0.5], "Min": [0, -2], "hypot": [0],
}  # fmt: skip
"""Where functions branch, end or have a tip; all of their arguments are this."""
JUMPS = ("sign", "Heaviside")
"""Functions that are not continuous at 0, where their derivative is declared to be 0."""


def arguments(record, z):
    """Arguments of a function, the first of which is z."""
    others = {"tanh_of": (0.3, 0.7), "Heaviside": (0.25,)}.get(record.name, (1.375,))
    return (z, *others[: COUNTS.get(record.name, 1) - 1])


def grid(record):
    """Points over the domain of a function."""
    low, high = DOMAINS.get(record.name, (-30, 30))
    if high / max(low, 1e-9) > 1e9 and low >= 0:
        return [low + (high**part if part else 0) for part in GRID]
    middle = (low + high) / 2
    return [middle + side * part * (high - middle) for part in GRID for side in (1, -1)]


def check_value(record, z):
    """Compares the value with NumPy to that with 50 digits."""
    numbers = arguments(record, z)
    with mpmath.workdps(50):
        expected = call(record.exact, *map(mpmath.mpf, numbers))
        with np.errstate(all="ignore"):
            value = float(record.array(*map(np.float64, numbers)))
        if not mpmath.isfinite(expected) or abs(expected) > 1e308:
            assert not math.isfinite(value) or abs(value) > 1e300, (z, value)
        else:
            assert abs(mpmath.mpf(value) - expected) <= 4e-15 * abs(expected) + mpmath.mpf("1e-300"), (z, value)


@pytest.mark.parametrize("record", ALL, ids=NAMES)
def test_values(record):
    """NumPy's value of a function is mpmath's to some units in the last place, over its domain and at its ends."""
    for z in (*grid(record), *TIPS.get(record.name, ())):
        check_value(record, float(z))


@pytest.mark.parametrize("record", ALL, ids=NAMES)
@examples(30)
@given(part=st.floats(-1, 1))
def test_values_anywhere(record, part):
    """So it is at any number."""
    low, high = DOMAINS.get(record.name, (-30, 30))
    check_value(record, min(max((low + high) / 2 + part * (high - low) / 2, low), high))


def difference(record, point, k, side):
    """The change of a function from a point to one side, over the distance; None where it has no value there."""
    h = side * mpmath.mpf(10) ** -60
    moved = [number + h if j == k else number for j, number in enumerate(point)]
    quotient = (call(record.exact, *moved) - call(record.exact, *point)) / h
    return None if mpmath.isnan(quotient) else quotient


@pytest.mark.parametrize("record", ALL, ids=NAMES)
def test_partials(record):
    """The derivatives of a function by each argument are those that mpmath finds by differences."""
    for z in grid(record):
        if (record.name in JUMPS and z == 0) or z in TIPS.get(record.name, ()):
            continue
        with mpmath.workdps(80):
            point = tuple(map(mpmath.mpf, arguments(record, z)))
            value = call(record.exact, *point)
            if not mpmath.isfinite(value):
                continue
            partials = call_all(record.partials, value, *point)
            for k in range(len(point)):
                orders = tuple(int(j == k) for j in range(len(point)))
                step = (abs(point[k]) or 1) * mpmath.mpf(10) ** -40
                expected = mpmath.diff(lambda *moved: call(record.exact, *moved), point, orders, h=step)
                assert abs(partials[k] - expected) <= mpmath.mpf(10) ** -25 * (1 + abs(expected)), (z, k)


@pytest.mark.parametrize("record", [record for record in ALL if record.name in TIPS], ids=lambda record: record.name)
def test_partials_at_tips(record):
    """At a tip a derivative is the mean of those on both sides; where a function begins or is steep, it is infinite."""
    for z in TIPS[record.name]:
        with mpmath.workdps(150):
            point = (mpmath.mpf(z),) * COUNTS.get(record.name, 1)
            partials = call_all(record.partials, call(record.exact, *point), *point)
            for k, partial in enumerate(partials):
                sides = [difference(record, point, k, side) for side in (1, -1)]
                known = [side for side in sides if side is not None]
                expected = sum(known) / len(known)
                if abs(expected) > 1e15:
                    assert partial == mpmath.sign(expected) * mpmath.inf, (z, k)
                else:
                    assert abs(partial - expected) < 1e-25, (z, k)


def test_the_angle_at_its_cut():
    """On the negative axis, where the angle jumps, it has the derivatives that it has above."""
    record = next(record for record in RECORDS if record.name == "atan2")
    with mpmath.workdps(50):
        point = (mpmath.mpf(0), mpmath.mpf(-2))
        assert record.partials(record.exact(*point), *point) == (-0.5, 0)


@pytest.mark.parametrize("name", ["partials", "received"])
def test_only_certificates_read_derivatives(name):
    """No stage of the compiler differentiates by what judges it: of functions, and of reductions.

    Identifiability, which is no stage either, differentiates in many digits by the same records.
    """
    for path in sorted((ROOT / "nncodegen").rglob("*.py")):
        reads = any(
            isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(ast.parse(path.read_text()))
        )
        assert not reads or path.parent.name in ("certificates", "structural"), path
