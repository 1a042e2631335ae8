"""Certificates of differential equations whose steps are chosen: exact solutions, errors in tolerances, and faults."""

import json
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from nncodegen.certificates import tolerances
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.results import figures
from nncodegen.certificates.tolerances import KINDS, examined, system_of
from nncodegen.certificates.trajectories import exact_of
from nncodegen.compiler.describe import identity_of
from nncodegen.runtime.python.ground.certificate import Certificate
from tests.support.motion import Taken
from tests.support.stiff import STIFF

pytestmark = pytest.mark.usefixtures("quick_compiler")

SMALL = {"times": 4, "rtol": 1e-5}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Give these tests a cache of their own: workers that share one write the certificate of the same module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCODEGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def decay(**options):
    """A decay from a parameter."""
    return nn.Dynamics("u' = -k*u", {"u": "u0"}, {"k": 0.7, "u0": 3}, name="certified", **{**SMALL, **options})


def oscillator():
    """An oscillator, of which its energy is observed as well."""
    return nn.Dynamics(
        "u'' = -k*u", {"u": 1, "u'": 0}, {"k": 1}, observed={"u": "u", "energy": "u'**2/2 + k*u**2/2"}, **SMALL
    )


def logistic(**options):
    """A logistic growth, whose capacity is an input."""
    return nn.Dynamics("u' = r*u*(1 - u/cap)", {"u": 0.1}, {"r": 1.2}, inputs="cap", **{**SMALL, **options})


def dosed(**options):
    """A substance that is given in doses, and flows in at a rate which is held between times."""
    return nn.Dynamics(
        "u' = inflow - k*u",
        {"u": 1},
        {"k": 0.4},
        columns=["inflow", "dose"],
        jumps={"u": "u + dose"},
        start=0,
        **{**SMALL, **options},
    )


def exact_at(model, parameters, X, derived=True):
    """The exact results of rows."""
    program = model.describe()
    targets = sum(tensor.size for tensor in program.targets)
    X = np.atleast_2d(np.asarray(X, float))
    exact = exact_of(
        program, Point("ordinary", np.asarray(parameters, float), X, np.full((len(X), targets), 0.3)), derived
    )
    assert exact
    return exact


# --- exact solutions ---------------------------------------------------------------------------------------------


def test_a_decay():
    """States, their derivatives by parameters, loss and gradient are those of the formula, to thirteen digits."""
    times, k, u0 = np.array([0.5, 1, 2, 4]), 0.7, 3.0
    (exact_values,) = exact_at(decay(), [k, u0], times)
    u = u0 * np.exp(-k * (times - 0.5))
    J = np.stack([-(times - 0.5) * u, u / u0], axis=1)
    near = {"rtol": 1e-13, "atol": 1e-14}
    np.testing.assert_allclose(exact_values.outputs.exact[0].astype(float), u, **near)
    np.testing.assert_allclose(exact_values.jacobian.exact.astype(float), J, **near)
    np.testing.assert_allclose(float(exact_values.loss.exact[0]), np.mean((u - 0.3) ** 2), **near)
    np.testing.assert_allclose(
        exact_values.gradient.exact.astype(float), 2 * np.mean((u - 0.3)[:, None] * J, axis=0), **near
    )


def test_an_oscillator_and_what_is_observed_of_it():
    """A formula of states and a parameter has the exact derivative by the parameter, which is in both."""
    times, k = np.array([0, 1, 3, 7]), 1.3
    (exact_values,) = exact_at(oscillator(), [k], times)
    u = np.cos(np.sqrt(k) * times)
    np.testing.assert_allclose(exact_values.outputs.exact.astype(float), [u, np.full(4, k / 2)], rtol=1e-13, atol=1e-14)
    slopes = [-np.sin(np.sqrt(k) * times) * times / (2 * np.sqrt(k)), np.full(4, 0.5)]
    np.testing.assert_allclose(exact_values.jacobian.exact.astype(float).reshape(2, 4), slopes, rtol=1e-13, atol=1e-14)


def test_a_logistic_growth_by_the_series_of_mpmath():
    """The solution is that of mpmath's odefun, and of the formula; the capacity is that of each sample."""
    times, cap = np.array([0, 1, 3, 6]), np.array([4.0, 2.0])
    exact_values = exact_at(logistic(), [1.2], [[*times, capacity] for capacity in cap], derived=False)
    with mpmath.workdps(20):
        series = mpmath.odefun(lambda t, u: [mpmath.mpf(1.2) * u[0] * (1 - u[0] / 4)], 0, [mpmath.mpf(0.1)])
        for t, u in zip(times, exact_values[0].outputs.exact[0], strict=True):
            assert abs(series(t)[0] - u) < 1e-13
    for capacity, solution in zip(cap, exact_values, strict=True):
        formula = capacity / (1 + (capacity / 0.1 - 1) * np.exp(-1.2 * times))
        np.testing.assert_allclose(solution.outputs.exact[0].astype(float), formula, rtol=1e-13)


def test_jumps_columns_and_a_start():
    """What is observed is before a jump; columns hold from the time before; the first interval begins at the start."""
    times, inflow, dose, k = [0.5, 2, 2, 3], [0.3, 1.0, -0.5, 2.0], [1.0, 0.0, 0.7, 0.2], 0.4
    (exact_values,) = exact_at(dosed(), [k], [*times, *inflow, *dose])
    u, now, held, expected = 1.0, 0.0, inflow[0], []
    for t, rate, amount in zip(times, inflow, dose, strict=True):
        u = held / k + (u - held / k) * np.exp(-k * (t - now))
        expected.append(u)
        u, now, held = u + amount, t, rate
    np.testing.assert_allclose(exact_values.outputs.exact[0].astype(float), expected, rtol=1e-13)


def test_a_stiff_solution():
    """Robertson's reactions have the solution of SciPy's Radau, which is known to ten digits."""
    problem = STIFF["robertson"]
    times = np.array([0, 1e-3, 1, 40])
    model = problem.model(4, rtol=1e-5, atol=1e-9)
    (exact_values,) = exact_at(model, problem.values, times, derived=False)
    expected = problem.solution(problem.values, times, rtol=1e-12)
    assert (
        np.max(abs(exact_values.outputs.exact.astype(float) - expected) / np.max(expected, axis=1, keepdims=True))
        < 1e-8
    )


def test_stiff_equations_of_an_explicit_method():
    """Equations that are stiff have exact solutions, whatever the method of the model."""
    tracked = nn.Dynamics("u' = -k*(u - cos(t))", {"u": 1}, {"k": 3e4}, **SMALL)
    times, k = np.array([0, 0.5, 1, 2]), 3e4
    (exact_values,) = exact_at(tracked, [k], times, derived=False)
    u = (k * k * np.cos(times) + k * np.sin(times) + np.exp(-k * times)) / (1 + k * k)
    np.testing.assert_allclose(exact_values.outputs.exact[0].astype(float), u, rtol=1e-13)


def test_no_solution():
    """A solution that leaves the range of numbers has no exact values."""
    pole = nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, **SMALL)
    point = Point("long", np.array([1.0]), np.array([[0, 0.5, 1, 2.0]]), np.zeros((1, 4)))
    assert exact_of(pole.describe(), point, False) is None


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(own_cache, quick_compiler):
    """That of a decay."""
    return nn.certify(decay(), points=1)


def test_a_certificate(certificate):
    """All errors are multiples of the tolerance, with the time of the worst; the text says so, and names the method."""
    assert certificate.holds
    assert certificate.method == "tsit5, rtol=1e-05, atol=1e-09, at most 100,000 steps"
    assert certificate.points == dict.fromkeys(KINDS, 1)
    assert {figure.quantity for figure in certificate.figures} == {"u", "loss", "d_k", "d_u0", "jacobian"}
    assert all(0 <= figure.error < figure.bound == 100 for figure in certificate.figures)
    assert all(figure.place.startswith("t = ") for figure in certificate.figures if figure.quantity == "u")
    text = str(certificate)
    for phrase in ("error in tolerances", "worst at", "an error of the method", "atol + rtol*|u|", certificate.method):
        assert phrase in " ".join(text.split())
    assert "in units in the last place" not in text
    assert "<th>error in tolerances</th>" in certificate._repr_html_()
    assert Certificate.from_json(certificate.to_json()) == certificate


def test_it_is_verified(certificate):
    """The file beside the module says all that it takes to examine the module again."""
    assert nn.verify(nn.build(decay())).holds


def test_steps_of_a_number_are_verified():
    """So does that of a model with a number of steps, whose times ascend at the points that are drawn again."""
    program = decay(rtol=None, steps=1, times=2).describe()
    read = from_data(json.loads(json.dumps(to_data(program))))
    assert read.rising == program.rising == ("t",)
    assert identity_of(read) == identity_of(program)


@pytest.mark.parametrize("model", [dosed, logistic, lambda: STIFF["pulled"].model(4, method="auto")])
def test_equations_are_read_back(model):
    """Equations with columns, jumps, a start and implicit methods go through the file, and keep their hash."""
    program = model().describe()
    read = from_data(json.loads(json.dumps(to_data(program))))
    assert system_of(read) == system_of(program)
    assert identity_of(read) == identity_of(program)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "model",
    [
        oscillator,
        dosed,
        lambda: logistic(method="rodas5p"),
        lambda: STIFF["pulled"].model(4, method="auto", rtol=1e-4),
        lambda: STIFF["robertson"].model(4, rtol=1e-4, atol=1e-8),
    ],
)
def test_certificates(model):
    """Formulas of states, doses, columns and stiff equations have certificates with derivatives, and they hold."""
    certified = nn.certify(model(), points=1)
    assert certified.holds
    assert certified.points == dict.fromkeys(KINDS, 1)
    assert {figure.kind for figure in certified.figures if figure.quantity == "jacobian"} == {*KINDS}
    assert not any("takes too long" in figure for figure in certified.left_out)


# --- faults ------------------------------------------------------------------------------------------------------


def figures_for(program, machine):
    """The figures of a machine for a program."""
    results, counts = examined([machine], program, 1, 2, 0)
    assert counts == dict.fromkeys(KINDS, 1)
    return results, figures([result.figure for result in results], KINDS)


def changed(program, change):
    """A program whose method or tolerances are changed."""
    step = next(candidate for candidate in program.steps if candidate.operator == "integrate")
    system = step.expression.system
    other = step.expression.of(replace(system, control=change(system.control)))
    return replace(
        program,
        steps=tuple(
            replace(candidate, expression=other) if candidate is step else candidate for candidate in program.steps
        ),
    )


def wrong_weight(control):
    """Move one weight of a stage by a hundredth: of the step to its end."""
    rows = control.table.rows
    last = (rows[-1][0] + 1e-2, *rows[-1][1:])
    return replace(control, table=replace(control.table, rows=(*rows[:-1], last)))


def loose(control):
    """Ignore the tolerances."""
    return replace(control, rtol=0.1, atol=0.1)


def test_steps_of_numpy_keep_the_tolerance():
    """The same steps in NumPy are within a few units."""
    program = logistic().describe()
    _, figures = figures_for(program, Taken(program))
    assert max(figure.error for figure in figures if figure.quantity == "u") < 20


@pytest.mark.parametrize("change", [wrong_weight, loose])
def test_planted_defects(change):
    """A wrong coefficient of a module, or a tolerance that it ignores, is further than 100 units from the solution."""
    program = logistic().describe()
    results, figures = figures_for(program, Taken(changed(program, change)))
    assert any(figure.verdict == "wrong" for figure in figures if figure.quantity == "u")
    assert any(figure.figure.error > 100 for figure in results)


def test_c_of_another_tolerance():
    """Compiled C whose tolerance is ten thousand times as large as that of the model is found out."""
    (_, figures) = figures_for(logistic(rtol=1e-7).describe(), nn.build(logistic(rtol=1e-3, atol=1e-5), fit=False))
    assert any(figure.verdict == "wrong" for figure in figures if figure.quantity == "u")


def test_a_fault_of_the_c(monkeypatch):
    """A module that ignores its tolerance has a fault of the C, as the steps of NumPy are right."""
    program = logistic().describe()
    sources = nn.compile_model(logistic(), until="emit").sources
    machine = Taken(changed(program, loose))
    monkeypatch.setattr(tolerances, "build_plainly", lambda sources: None)
    monkeypatch.setattr(tolerances, "load", lambda built: machine)
    results, _ = figures_for(program, machine)
    (fault,) = tolerances.faults_of(results, program, sources)
    assert fault.stage == "emit"
    assert "also where the C is compiled without optimization" in fault.message
    monkeypatch.setattr(tolerances, "load", lambda built: Taken(program))
    (fault,) = tolerances.faults_of(results, program, sources)
    assert fault.stage == "build"


def test_a_fault_of_the_method():
    """Where the steps of NumPy are as far off, or end early, no program is named, but the method."""
    program = changed(logistic().describe(), wrong_weight)
    (fault,) = tolerances.faults_of(figures_for(program, Taken(program))[0], program, None)
    assert fault.stage == "method"
    assert str(fault).startswith("not solved to the tolerance, in the step")
    few = changed(logistic().describe(), lambda control: replace(control, most=3))
    (fault,) = tolerances.faults_of(figures_for(few, Taken(few))[0], few, None)
    assert "too many steps" in fault.message


def test_what_has_no_certificate():
    """Very many states are refused with the way that remains."""
    many = nn.Dynamics([f"u{k}' = -u{k}" for k in range(21)], {f"u{k}": 1 for k in range(21)}, times=2)
    with pytest.raises(nn.ModelError, match="more than 20 states, here 21") as error:
        examined([], many.describe(), 1, 1, 0)
    assert "steps=10" in str(error.value)


def test_networks_that_are_written_out():
    """Networks of a few units with an implicit method have certificates, with the derivatives by their weights."""
    network = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], inputs=1)
    learnt = nn.Dynamics("u' = -k*(u - f(u))", {"u": 1}, {"k": 3}, networks={"f": network}, method="rodas5p", **SMALL)
    program = learnt.describe()
    _, figures = figures_for(program, Taken(program))
    assert max(figure.error for figure in figures if figure.quantity == "u") < 100
    assert "d_f_W1" in {figure.quantity for figure in figures}
    assert identity_of(from_data(json.loads(json.dumps(to_data(program))))) == identity_of(program)


def test_what_is_left_out():
    """What a certificate leaves out is said of what the model has: without parameters, there are no fits."""
    assert any("fits" in reason for reason in tolerances.left_out(decay().describe(), ()))
    fixed = nn.Dynamics("u' = -u", {"u": 1}, **SMALL).describe()
    assert not any("fits" in reason or "derivatives" in reason for reason in tolerances.left_out(fixed, ()))


def test_solutions_are_independent_of_the_steps_that_are_certified():
    """Derivatives of a pendulum by its parameters are those of SciPy's solutions of the variational equations."""
    model = nn.Dynamics("u'' = -g*sin(u)", {"u": 1, "u'": 0}, {"g": 4}, **SMALL)
    times = np.array([0, 0.5, 1, 2])
    (exact_values,) = exact_at(model, [4], times)

    def rates(t, z):
        u, v, a, b = z
        return [v, -4 * np.sin(u), b, -np.sin(u) - 4 * np.cos(u) * a]

    expected = solve_ivp(rates, (0, 2), [1, 0, 0, 0], "DOP853", times, rtol=1e-12, atol=1e-13).y
    np.testing.assert_allclose(exact_values.outputs.exact[0].astype(float), expected[0], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(exact_values.jacobian.exact[:, 0].astype(float), expected[2], rtol=1e-9, atol=1e-10)
