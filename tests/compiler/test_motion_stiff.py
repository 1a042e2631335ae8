"""Linearly implicit methods, as programs: their order, their derivatives, and what is refused."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.certificates.orders import Coefficients, trees
from nncodegen.compiler.describe.checks import check_program
from nncodegen.compiler.ir.integrate import Explicit, Implicit
from nncodegen.compiler.ir.systems import INTEGRATE, systems_of
from nncodegen.compiler.motion.method import Rosenbrock
from nncodegen.compiler.motion.methods import METHODS
from nncodegen.compiler.passes.augment import augmented
from nncodegen.compiler.pipeline import compile_model
from nncodegen.estimators import NNRegressor
from tests.support.motion import outputs
from tests.support.solutions import EXAMPLES
from tests.support.stiff import STIFF

IMPLICIT = [method for method in METHODS.values() if isinstance(method, Rosenbrock)]


@pytest.fixture(params=IMPLICIT, ids=lambda method: method.name)
def method(request):
    with mpmath.workdps(50):
        yield request.param


def test_conditions_of_order(method):
    """Weights meet the conditions of all rooted trees to the order of the method, as far as doubles have them."""
    coefficients = Coefficients(method.table)
    assert [len(trees(order)) for order in range(1, 6)] == [1, 1, 2, 4, 9]
    for order in range(1, method.order + 1):
        assert coefficients.worst(method.weights, order) < 2e-14
    assert coefficients.worst(method.weights, method.order + 1) > 1e-3
    for values, sums in ((method.times, coefficients.alpha), (method.drifts, coefficients.gamma)):
        for number, value in enumerate(values):
            assert abs(mpmath.fsum(sums[number, :]) - value) < 2e-14


def test_estimate_of_the_error(method):
    """It is the difference to a method of one order less, which is not of the same order."""
    coefficients = Coefficients(method.table)
    for order in range(1, method.order):
        assert coefficients.worst(method.errors, order, 0) < 2e-14
    assert coefficients.worst(method.errors, method.order, 0) > 1e-3


@pytest.mark.parametrize("x", ["0.1", "0.5", "0.77", "1"])
def test_interpolant(method, x):
    """Within a step, the solution has the order 4; at its end, it is that of the step."""
    x, coefficients = mpmath.mpf(x), Coefficients(method.table)
    weights = [mpmath.fsum(weight * x ** (k + 1) for k, weight in enumerate(row)) for row in method.table.interpolant]
    for order in range(1, 5):
        assert coefficients.worst(weights, order, x) < 5e-14
    if x == 1:
        assert all(abs(weight - b) < 1e-14 for weight, b in zip(weights, method.weights, strict=True))


def test_stability(method):
    """A-stable on a grid of the imaginary axis, and damped at infinity (L-stable); so is the estimate of the error."""
    coefficients = Coefficients(method.table)
    matrix_values = mpmath.matrix([1] * coefficients.stages)
    for weights in (method.weights, [b - e for b, e in zip(method.weights, method.errors, strict=True)]):
        b = mpmath.matrix([[*weights]]) * coefficients.gamma

        def grown(z, b=b):
            solved = mpmath.lu_solve(mpmath.eye(coefficients.stages) - z * coefficients.beta, matrix_values)
            return abs(1 + z * (b * solved)[0])

        assert all(grown(mpmath.mpc(0, y)) <= 1 + 1e-12 for y in np.geomspace(1e-2, 1e4, 60))
        assert grown(mpmath.mpf(-1e9)) < 1e-6


@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
@pytest.mark.parametrize("name", ["robertson", "pulled"])
def test_numpy_solves(name, rtol):
    """NumPy takes the same steps as a module; the global error is within 100 times the tolerance."""
    example = STIFF[name]
    times = example.times()
    joined = np.concatenate(
        [*outputs(example.model(rtol=rtol, atol=rtol * 1e-4), example.values, times[None]).values()]
    )
    exact = example.solution(example.values, times)
    assert (abs(joined - exact) <= 100 * rtol * abs(exact).max(axis=1, keepdims=True)).all()


def test_derivatives_of_the_rates():
    """A system has its Jacobian, and where rates read it, the derivatives by the time; others have none."""
    (system,) = systems_of(STIFF["pulled"].model().describe().steps)
    assert system.driven
    assert [str(value) for value in system.linear.slopes.values[:4]] == ["-k", "0", "1", "-d"]
    (other,) = systems_of(STIFF["robertson"].model().describe().steps)
    assert not other.driven
    assert len(other.linear.slopes.values) == 9
    slopes = augmented(system, 0, len(system.given))
    assert len(slopes.linear.slopes.values) == 4 + len(slopes.states)
    assert len(slopes.linear.bend.values) == len(slopes.states) - 2
    (explicit,) = systems_of(STIFF["robertson"].model(method="tsit5").describe().steps)
    assert explicit.linear is None


def test_programs_show_derivatives():
    """The text of a program has the Jacobian, and that of a simplified one the changes of sensitivities."""
    model = STIFF["pulled"].model(name="pulled")
    text = model.describe().show()
    for line in ("by rodas5p, rtol=1e-06", "d(u')/d(u) = -k\n", "d(v')/d(u) = 1\n", "d(u')/d(t) = "):
        assert line in text
    assert "d(u')/d(v)" not in text
    assert "change of u_by_k' = change" in compile_model(model, until="simplify")["simplify"].show()


def test_derivatives_without_a_form_in_c():
    """A Jacobian that cannot be compiled is refused with the name of its system's path, before it is written."""
    program = STIFF["pulled"].model(name="pulled").describe()
    (step,) = (each for each in program.steps if each.operator == INTEGRATE)
    system = step.expression.system
    slopes = replace(system.linear.slopes, values=(sympy.zeta(system.states[0]), *system.linear.slopes.values[1:]))
    other = replace(system, linear=replace(system.linear, slopes=slopes))
    steps = tuple(replace(old, expression=old.expression.of(other)) if old is step else old for old in program.steps)
    check_program(program)
    with pytest.raises(nn.ModelError, match=r"zeta"):
        check_program(replace(program, steps=steps))


def steps_of(model, p, X, monkeypatch):
    """The numbers of explicit and of all steps that NumPy tries for one sample."""
    counts = {"explicit": 0, "all": 0}
    explicit, tried = Explicit.tried_by, Implicit.tried

    def counted_explicit(self, table, h):
        counts["explicit"] += 1
        return explicit(self, table, h)

    def counted(self, h):
        counts["all"] += 1
        return tried(self, h)

    with monkeypatch.context() as patch:
        patch.setattr(Explicit, "tried_by", counted_explicit)
        patch.setattr(Implicit, "tried", counted)
        assert model.outcomes(p, X) == ("solved",)
    return counts["explicit"], counts["all"]


@pytest.mark.parametrize("name", ["robertson", "pulled"])
def test_automatic_steps_of_stiff_equations(name, monkeypatch):
    """Few steps are explicit, those of the first change, and all together are about as many as those of rodas5p."""
    example = STIFF[name]
    p, times, options = example.values, example.times()[None], {"rtol": 1e-5, "atol": 1e-10}
    explicit, every = steps_of(example.model(method="auto", **options), p, times, monkeypatch)
    none, implicit = steps_of(example.model(**options), p, times, monkeypatch)
    assert none == 0
    assert 0 < explicit < every / 2
    assert every < 1.25 * implicit


@pytest.mark.parametrize("name", ["prey", "pendulum", "driven"])
def test_automatic_steps_of_other_equations(name, monkeypatch):
    """All steps are explicit, and so results are those of tsit5."""
    example = EXAMPLES[name]
    p, times = [*example.parameters.values()], example.times()[None]
    explicit, every = steps_of(example.model(method="auto"), p, times, monkeypatch)
    assert explicit == every
    automatic, same = (outputs(example.model(method=method), p, times) for method in ("auto", "tsit5"))
    for name_of_output, values in automatic.items():
        np.testing.assert_array_equal(values, same[name_of_output])


def test_automatic_steps_of_an_oscillator(monkeypatch):
    """The bound of eigenvalues does not depend on the scale of states: an oscillator with w = 1e4 is not stiff."""
    model = nn.Dynamics("u'' = -w**2*u", {"u": 1, "u'": 0}, {"w": 1e4}, times=2, method="auto", atol=1e-6)
    explicit, every = steps_of(model, [1e4], [[0, 1e-3]], monkeypatch)
    assert explicit == every


@pytest.mark.parametrize("name", ["robertson", "HIRES", "pulled"])
def test_times_within_steps_cost_few(name, monkeypatch):
    """Observations within steps add few steps where the interpolant is about as exact as the steps."""
    example, counts = STIFF[name], []
    for times in (np.array([0, example.end]), example.times(101)):
        model = example.model(len(times), rtol=1e-6, atol=1e-12)
        counts.append(steps_of(model, example.values, times[None], monkeypatch)[1])
    assert counts[0] <= counts[1] <= 1.25 * counts[0]


def test_times_within_steps_end_them(monkeypatch):
    """Where the interpolant is far from the solution, more steps are taken, though fewer than times."""
    counts = []
    for count in (2, 401):
        model = nn.Dynamics("u' = -k*(u - cos(t)) - sin(t)", {"u": 1}, {"k": 1e8}, times=count, method="rodas5p")
        counts.append(steps_of(model, [1e8], np.linspace(0, 10, count)[None], monkeypatch)[1])
    assert 2 * counts[0] < counts[1] < 401


@pytest.mark.parametrize("method", ["rodas5p", "auto"])
def test_a_number_of_steps_is_refused(method):
    """These methods choose their steps; a message says what takes a number of them."""
    with pytest.raises(nn.ModelError, match=rf"{method} chooses its steps .* leave out the steps .*: rk4, tsit5"):
        STIFF["robertson"].model(method=method, steps=10)


@pytest.mark.parametrize("method", ["rodas5p", "auto"])
def test_very_many_states_are_refused(method):
    """Their Jacobian would not stay on the stack; the message has the method that was given."""
    names = [f"u{i}" for i in range(101)]
    with pytest.raises(nn.ModelError, match=f"has 101 states, more than the 100 whose Jacobian the method {method}"):
        nn.Dynamics([f"{name}' = -{name}" for name in names], dict.fromkeys(names, 1), times=2, method=method)


@pytest.mark.parametrize("method", ["rk4", "rodas5p", "auto"])
def test_methods_of_equations_from_time_to_time(method):
    """They have none, and a method that would be ignored is refused."""
    with pytest.raises(nn.ModelError, match=f"no methods: leave out method='{method}'"):
        nn.Dynamics("u = k*before(u)", {"u": 1}, {"k": 1}, times=3, method=method)


def test_estimators_take_no_motion():
    """A model in place of the loss of an estimator is refused, with the way that takes it."""
    with pytest.raises(nn.ModelError, match=r"is a model, not a loss: give it to nncodegen\.build"):
        NNRegressor(STIFF["robertson"].model()).fit(np.zeros((9, 2)), np.zeros(9))


def test_outcomes():
    """A stiff problem is solved where the explicit method takes too many steps; a pole ends in steps too short."""
    X = [[0, 10]]
    options = {"equations": "u' = -k*(u - cos(t))", "initial": {"u": 0}, "parameters": {"k": 1e6}, "times": 2}
    assert nn.Dynamics(**options, method="rodas5p", max_steps=200).outcomes([1e6], X) == ("solved",)
    pole = nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, times=2, method="rodas5p")
    assert pole.outcomes([1], [[0, 1.5]]) == ("steps too short",)
    few = nn.Dynamics(**options, method="rodas5p", max_steps=3)
    assert few.outcomes([1e6], X) == ("too many steps (raise max_steps or rtol)",)


def time_of(u, k):
    """The time at which u' = k + sqrt(u) reaches u from 0."""
    return 2 * np.sqrt(u) - 2 * k * np.log1p(np.sqrt(u) / k)


@pytest.mark.parametrize("equation", ["u' = k + sqrt(u)", "u' = k - u + sqrt(t)", "u' = k*(1 - u)*abs(u)**0.5 + 0.1*k"])
def test_implicit_steps_need_finite_derivatives(equation):
    """Where the Jacobian or the derivatives by the time are infinite or NaN, there are no steps, and an outcome."""
    model = nn.Dynamics(equation, {"u": 0}, {"k": 1}, times=3, method="rodas5p")
    times = [[0, 0.5, 1]]
    assert model.outcomes([1], times) == ("steps too short",)
    (values,) = outputs(model, [1], times).values()
    assert np.isnan(values).tolist() == [[False, True, True]]


@pytest.mark.parametrize("method", ["rodas5p", "auto"])
def test_lengths_that_become_zero(method):
    """Rates that are NaN at once after the time 0 end in steps too short, not in a division by zero."""
    model = nn.Dynamics("u' = -1e6*u + k*(-t)**1.5", {"u": 0}, {"k": 1}, times=2, method=method)
    assert model.outcomes([1], [[0, 1]]) == ("steps too short",)


def test_automatic_steps_from_infinite_derivatives():
    """They are explicit, and the solution is the exact one to 100 times the tolerance."""
    model = nn.Dynamics("u' = k + sqrt(u)", {"u": 0}, {"k": 1}, times=3, method="auto", rtol=1e-7)
    times = np.array([[0, 0.5, 1]])
    assert model.outcomes([1], times) == ("solved",)
    (values,) = outputs(model, [1], times).values()
    np.testing.assert_allclose(time_of(values, 1), times, atol=1e-5)
