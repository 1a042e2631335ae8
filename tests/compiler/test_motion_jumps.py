"""Jumps of states at the times of a sample, as programs: against loops over steps in NumPy, and what is refused."""

import itertools

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from tests.support.motion import outputs, trajectory

EQUATIONS = ["depot' = -ka*depot", "blood' = ka*depot/volume - ke*blood"]
PARAMETERS = {"ka": 1.5, "ke": 0.3, "volume": 20, "share": 0.6}


def doses(method="tsit5", steps=1, times=6, **options):
    """A model of doses, of which a share is absorbed."""
    options = {"columns": "amount", "jumps": {"depot": "depot + share*amount"}, **options}
    return nn.Dynamics(
        EQUATIONS,
        {"depot": 0, "blood": 0},
        PARAMETERS,
        observed=["depot", "blood"],
        times=times,
        method=method,
        steps=steps,
        name="doses",
        **options,
    )


def rates(t, u):
    return [-1.5 * u[0], 1.5 * u[0] / 20 - 0.3 * u[1]]


@pytest.mark.parametrize(("method", "steps"), list(itertools.product(["rk4", "tsit5"], [1, 4])))
def test_states_jump_after_they_are_observed(method, steps):
    """The dose at the first time counts as well; a time that is repeated shows what is after its jump."""
    times = np.array([[0, 1, 1, 2.5, 4, 6], [2, 3, 4, 5, 5, 5]], float)
    amounts = np.array([[100, 50, 0, 0, 20, 7], [0, 10, 0, 30, 0, 0]], float)
    output_values = outputs(doses(method, steps), [*PARAMETERS.values()], np.hstack([times, amounts]))
    assert output_values["depot"][0, 2] == output_values["depot"][0, 1] + 0.6 * 50
    for n in range(2):
        jump = lambda k, u, n=n: [u[0] + 0.6 * amounts[n, k], u[1]]  # noqa: E731
        expected = np.array(trajectory(rates, [0.0, 0.0], times[n], method, steps, jump=jump)).T
        np.testing.assert_allclose(output_values["depot"][n], expected[0], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(output_values["blood"][n], expected[1], rtol=1e-12, atol=1e-13)


@given(st.lists(st.floats(0, 2), min_size=4, max_size=4), st.integers(1, 3), st.sampled_from([None, -0.5]))
@settings(max_examples=20)
def test_jumps_are_formulas_of_all_that_is_known(times, steps, start):
    """They read all states as they are before, also derivatives, and the time, inputs and abbreviations."""
    model = nn.Dynamics(
        "r = k*u; u'' = -r",
        {"u": 1, "u'": 0},
        {"k": 3},
        inputs="x",
        columns="kick",
        times=4,
        steps=steps,
        start=start,
        jumps={"u": "u + x*t*u'", "u'": "r + kick/(2 + kick)*u"},
        observed=["u", "u'"],
    )
    times, kicks = sorted(times), [0.5, -1.0, 0.0, 2.0]

    def jump(k, u):
        return [u[0] + 0.3 * times[k] * u[1], 3 * u[0] + kicks[k] / (2 + kicks[k]) * u[0]]

    rate = lambda t, u: [u[1], -3 * u[0]]  # noqa: E731
    expected = np.array(trajectory(rate, [1.0, 0.0], times, "tsit5", steps, start, jump)).T
    output_values = outputs(model, [3.0], np.array([[*times, 0.3, *kicks]]))
    np.testing.assert_allclose(output_values["u"][0], expected[0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(output_values["u_prime"][0], expected[1], rtol=1e-11, atol=1e-11)


def test_a_column_may_change_rates_and_states():
    """A held column has the value of the interval in rates, and that of its time in jumps."""
    model = nn.Dynamics("u' = f", {"u": 0}, times=3, columns="f", jumps={"u": "u + 10*f"}, steps=2, method="rk4")
    output_values = outputs(model, [], np.array([[0, 1, 3, 1, 2, 4.0]]))["u"][0]
    np.testing.assert_allclose(output_values, [0, 10 + 1, 11 + 20 + 4])


def test_sympy_gives_the_jumps_of_texts():
    """Keys and formulas may be functions of time, their derivatives and symbols."""
    t = sympy.Symbol("t")
    u, kick = sympy.Function("u")(t), sympy.Symbol("kick", real=True)
    model = nn.Dynamics(
        {u.diff(t, 2): -u}, {u: 1, u.diff(t): 0}, times=3, columns=kick, steps=1, jumps={u.diff(t): u.diff(t) + kick}
    )
    text = nn.Dynamics("u'' = -u", {"u": 1, "u'": 0}, times=3, columns="kick", steps=1, jumps={"u'": "u' + kick"})
    assert model.describe() == text.describe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"jumps": {"liver": "liver + amount"}},
            "jumps of doses has liver, which is no state; these are: depot, blood",
        ),
        ({"jumps": {"depot": "depot + dose*amount"}}, "the jump of depot of doses is not a formula: dose is none of"),
        ({"jumps": "depot + amount"}, "maps states to what they become at each time of a sample"),
        ({"jumps": {"depot'": "amount"}}, "has depot', which is no state"),
        ({"jumps": {"depot": "share*before(depot) + amount"}}, "it reads what states are just before it"),
        (
            {"jumps": {"depot": "share*depot"}},
            "doses does not use its column amount, which occurs in no equation, no initial value, no jump",
        ),
        ({"jumps": {"depot": "share*amount", sympy.Symbol("depot"): "depot"}}, "jumps of doses has depot twice"),
    ],
)
def test_what_is_refused(options, message):
    """An error names the model, the state and what there is."""
    with pytest.raises(nn.ModelError) as caught:
        doses(**options)
    assert message in str(caught.value)


def test_equations_from_time_to_time_have_no_jumps():
    """There, they are terms of the equations; and networks are called in equations."""
    with pytest.raises(nn.ModelError, match="in which states have no jumps: add them to the equations"):
        nn.Dynamics("u = a*before(u)", {"u": 0}, {"a": 1}, times=3, jumps={"u": "u + 1"})
    network = nn.Sequential([nn.Dense(1)], inputs=1)
    with pytest.raises(nn.ModelError, match=r"the jump of u of dynamics has force\(u\): networks are for equations"):
        nn.Dynamics(
            "u' = force(u)", {"u": 1}, networks={"force": network}, times=3, steps=1, jumps={"u": "u + force(u)"}
        )
