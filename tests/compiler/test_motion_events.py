"""Columns and jumps with steps that are chosen, by NumPy: against solutions of SciPy that begin again at each time."""

import numpy as np
import pytest

import nncodegen as nn
from tests.support.dosing import START, dosing, samples, solution
from tests.support.motion import outputs

RNG = np.random.default_rng(21)
ROWS = samples(3, RNG)


@pytest.mark.parametrize("interpolation", ["held", "linear"])
@pytest.mark.parametrize("method", ["tsit5", "rodas5p", "auto"])
@pytest.mark.parametrize("start", [None, -0.5])
def test_solutions(method, interpolation, start):
    """The global error is within 100 times the tolerance, also of times that are given twice."""
    model = dosing(method, interpolation, start=start, rtol=1e-7, atol=1e-9)
    assert model.outcomes(START, ROWS) == ("solved",) * 3
    output_values = outputs(model, START, ROWS)
    for n, row in enumerate(ROWS):
        exact = solution(START, row, interpolation, start)
        for values, expected in zip((output_values["depot"][n], output_values["blood"][n]), exact, strict=True):
            assert abs(values - expected).max() <= 100 * (1e-9 + 1e-7 * abs(expected).max())


def test_a_step_ends_at_each_time():
    """An impulse between two times is not missed, however short, although rates are zero before."""
    model = nn.Dynamics("u' = f", {"u": 0}, times=5, columns="f", name="impulse")
    output_values = outputs(model, [], np.array([[0, 1e3, 1e3 + 1e-3, 2e3, 1e6, 0, 5, 0, 0, 0]]))["u"][0]
    np.testing.assert_allclose(output_values, [0, 0, 5e-3, 5e-3, 5e-3], rtol=1e-9)


@pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
def test_times_cost_few_steps(method):
    """After a time, steps have the length that was asked for before: about one leads from each time to the next."""
    times, options = np.linspace(0, 10, 101), {"method": method, "max_steps": 130, "rtol": 1e-5, "atol": 1e-6}
    driven = nn.Dynamics("u' = f - u", {"u": 0}, times=101, columns="f", interpolation="linear", **options)
    assert driven.outcomes([], np.r_[times, np.sin(times)][None]) == ("solved",)
    dosed = nn.Dynamics("u' = -u", {"u": 0}, times=101, columns="f", jumps={"u": "u + f"}, **options)
    assert dosed.outcomes([], np.r_[times, 0, 1, np.zeros(99)][None]) == ("solved",)


def test_a_jump_out_of_the_range_of_numbers_fails_its_sample():
    """It has the outcome of other failures, and the values before the jump stay."""
    model = nn.Dynamics("u' = -u", {"u": 1}, times=3, columns="f", jumps={"u": "log(f)"})
    X = np.array([[0, 1, 2, 1, 2, 3], [0, 1, 2, 1, -1, 3.0]])
    assert model.outcomes([], X) == ("solved", "steps too short")
    output_values = outputs(model, [], X)["u"]
    np.testing.assert_allclose(output_values[0], [1, 0, np.log(2) * np.exp(-1)], atol=1e-6)
    assert np.isnan(output_values[1]).tolist() == [False, False, True]


def test_names_of_columns_may_be_those_of_parts():
    """What a column is between two times has a name that nothing else has."""
    model = nn.Dynamics(
        "f_begin' = f*f_slope - f_now",
        {"f_begin": 0},
        {"f_slope": 2},
        inputs="f_now",
        columns="f",
        times=3,
        interpolation="linear",
        observed={"out": "f_begin"},
        jumps={"f_begin": "f_begin + f"},
    )
    output_values = outputs(model, [2.0], np.array([[0, 1, 3, 0.5, 1, 2, 4.0]]))["out"][0]
    np.testing.assert_allclose(output_values, [0, 1 + 3 - 0.5, 5.5 + 12 - 1], rtol=1e-6)


def test_the_program_shows_what_happens_at_times():
    """It has the rows of each time, the rates within intervals, and what states become."""
    shown = dosing().describe().show()
    assert "path(dosing, t[n, k], given[n, g], fixed[n, f], course[n, k, c])" in shown
    assert "course      t_begin  infusion_begin  infusion_slope  amount_now  kept_now" in shown
    assert "depot becomes amount_now*share + depot" in shown
