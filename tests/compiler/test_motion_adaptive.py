"""Steps that an estimate of the error chooses, as programs: their method, their solutions, and what is refused."""

import math
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import Element, Step, verify
from nncodegen.compiler.ir.systems import INTEGRATE, systems_of
from nncodegen.compiler.motion import adaptive
from nncodegen.compiler.motion.method import RungeKutta
from nncodegen.compiler.motion.methods import METHODS
from nncodegen.compiler.passes import augment
from nncodegen.compiler.passes.augment import augmented
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.pipeline import compile_model
from nncodegen.errors import ProgramError
from nncodegen.runtime.python.ground.endings import STATUSES
from nncodegen.runtime.python.ground.outcomes import STATUS
from tests.support.motion import outputs
from tests.support.solutions import EXAMPLES

ADAPTIVE = [method for method in METHODS.values() if isinstance(method, RungeKutta) and method.errors]


def conditions(A, b):
    """The order conditions of all rooted trees up to order 4, as pairs: the order, and what must be 1/number."""
    c = A.sum(axis=1)
    return [
        (1, b.sum(), 1),
        (2, b @ c, 2),
        (3, b @ c**2, 3),
        (3, b @ A @ c, 6),
        (4, b @ c**3, 4),
        (4, b @ (c * (A @ c)), 8),
        (4, b @ A @ c**2, 12),
        (4, b @ A @ A @ c, 24),
    ]


@pytest.mark.parametrize("method", ADAPTIVE, ids=lambda method: method.name)
def test_error_and_interpolant_have_their_order(method):
    """The error is a difference of two methods of order 4 or more; within a step, weights meet all conditions to it."""
    table = method.table
    A = np.array([[*row, *[0.0] * (len(table.rows) - len(row))] for row in table.rows])
    for _, value, _ in conditions(A, np.array(table.errors)):
        assert abs(value) < 1e-14
    assert abs(np.array(table.errors) @ A.sum(axis=1) ** 4) > 1e-4  # but not of order 5
    for x in (0.1, 0.5, 0.77, 1.0):
        b = np.array(
            [sum(coefficient * x ** (k + 1) for k, coefficient in enumerate(row)) for row in table.interpolant]
        )
        for order, value, divisor in conditions(A, b):
            assert abs(value - x**order / divisor) < 1e-13
    np.testing.assert_allclose(b[:-1], table.rows[-1], atol=1e-15)  # of a whole step
    np.testing.assert_allclose(table.times, A.sum(axis=1), atol=1e-14)


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("name", ["prey", "pendulum", "driven"])
def test_the_error_follows_the_tolerance(name, rtol):
    """At every time, the global error is within 100 times the tolerance; a smaller tolerance takes more steps."""
    example = EXAMPLES[name]
    times, p = example.times(), [*example.parameters.values()]
    joined = np.concatenate([*outputs(example.model(rtol=rtol, atol=rtol / 10), p, times[None]).values()])
    exact = example.solution(p, times)
    largest = abs(exact).max(axis=1, keepdims=True)
    assert (abs(joined - exact) <= 100 * (rtol / 10 + rtol * largest)).all()
    assert rtol < 1e-8 or (abs(joined - exact) > 1e-13 * largest).any()


def test_sensitivities_are_states():
    """Their rates are df/du*S + df/dp; an initial value that is given starts with the derivative 1."""
    (system,) = systems_of(EXAMPLES["decay"].model().describe().steps)
    slopes = augmented(system, 0, len(system.given))
    u, k = Element("u"), Element("k")
    s, s0 = slopes.states[1:]
    assert slopes.starts == (Element("u0"), 0, 1)
    assert slopes.rates == (-k * u, -k * s - u, -k * s0)
    with pytest.raises(nn.ModelError, match="has no second derivatives"):
        augmented(slopes, 0, len(slopes.given))


def test_shared_parts_are_computed_once():
    """The rates of states and sensitivities share their parts."""
    program = compile_model(EXAMPLES["orbit"].model(name="orbit"), until="simplify")["simplify"]
    _, slopes = systems_of(program.steps)
    powers = [step for step in slopes.steps if "(-3/2)" in str(step.expression)]
    assert len(powers) == 1


def test_tolerances_belong_to_the_identity():
    """Models that differ in tolerances, steps or the start alone are different models."""
    options = [{}, {"rtol": 1e-5}, {"atol": 1e-5}, {"max_steps": 7}, {"start": -1}]
    models = [nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, **option) for option in options]
    assert len({compile_model(option, until="describe")["describe"].identity for option in models}) == len(options)


def test_outcomes():
    """Each trajectory has one of its own: blow-up, too many steps, times before the start, or a solution."""
    X = [[0, 0.5, 0.9, 1.5], [0, 0.5, 0.6, 0.9], [-1, 0, 0.5, 0.6]]
    model = nn.Dynamics("u' = k*u**2", {"u": 1}, {"k": 1}, times=4, start=0)
    outcomes = model.outcomes([1], X)
    assert outcomes == ("steps too short", "solved", "times before the start")
    assert outcomes.status.tolist() == ["short_steps", "solved", "early_times"]
    assert outcomes.success.tolist() == [False, True, False]
    assert outcomes.message.tolist() == [STATUSES[word] for word in outcomes.status]
    assert pickle.loads(pickle.dumps(outcomes)).status.tolist() == outcomes.status.tolist()
    assert set(STATUS.values()) <= set(STATUSES)
    values = outputs(model, [1], np.array(X))["u"]
    assert np.isnan(values).tolist() == [[False] * 3 + [True], [False] * 4, [True] * 4]
    np.testing.assert_allclose(values[1], 1 / (1 - np.array(X[1])), rtol=1e-4)
    stiff = nn.Dynamics("u' = -k*(u - cos(t))", {"u": 0}, {"k": 1e5}, times=2, max_steps=100)
    outcomes = stiff.outcomes([1e5], [[0, 10]])
    assert outcomes == ('too many steps (if the equations are stiff, method="rodas5p" takes few)',)
    assert outcomes.status.tolist() == ["max_steps"]
    with pytest.raises(nn.ModelError, match="chooses no steps: it has outcomes without steps"):
        nn.Dynamics("u' = k*u", {"u": 1}, {"k": 1}, times=4, steps=3).outcomes([1], X)
    with pytest.raises(nn.ModelError, match="chooses no steps: its equations have no derivatives"):
        nn.Dynamics("u = k*before(u)", {"u": 1}, {"k": 1}, times=4).outcomes([1], X)


def test_steps_grow_at_once():
    """After a first step that is far too short, each is ten times as long: 1e-4, 1e-3, ..., and the rest up to 1."""
    model = nn.Dynamics("u' = k", {"u": 0}, {"k": 1}, times=2, max_steps=5)
    assert model.outcomes([1], [[0, 1]]) == ("solved",)


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        ([1, 2], [[0, 1, 2]], "parameters has the shape (2,); expected (1,)"),
        ([math.inf], [[0, 1, 2]], "parameters[0] is inf; expected (1,)"),
        ([1], np.zeros((0, 3)), "X is empty; expected (N, 3)"),
        ([1], [0, 1, 2], "X has the shape (3,); expected (N, 3)"),
        ([1], [[0, 1, 2, 3]], "X has the shape (1, 4); expected (N, 3)"),
        ([1], [[0, 1, 2], [0, math.nan, 2]], "X[1, 1] is nan; expected (N, 3)"),
        ([1], [["a", 1, 2]], "X is no array of numbers; expected (N, 3)"),
        ([1], [[0, 1, 2], [0, 2, 1]], "X[1, 2] is 1, after 2: t are times, which do not go back"),
    ],
)
def test_outcomes_of_wrong_data(parameters, X, message):
    """What a prediction does not take, outcomes do not take either, and say where it is."""
    model = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.outcomes(parameters, X)


@pytest.mark.parametrize("option", [{"rtol": 1e-6}, {"atol": 1e-9}, {"max_steps": 100_000}])
def test_options_of_chosen_steps_alone(option):
    """With a number of steps, or without derivatives, they are refused, though they are the defaults."""
    with pytest.raises(nn.ModelError, match="are for steps that are chosen: leave them out, or leave out steps"):
        nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, steps=2, **option)
    with pytest.raises(nn.ModelError, match="are for steps that are chosen: its equations have none"):
        nn.Dynamics("u = k*before(u)", {"u": 1}, {"k": 1}, times=3, **option)
    chosen = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3)
    explicit = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, **option)
    assert repr(chosen.describe()) == repr(explicit.describe())


def test_equal_times():
    """Times may be equal, also all of them: the states are those at this time."""
    model = nn.Dynamics("u' = -k*u", {"u": "u0"}, {"k": 1, "u0": 2}, times=4)
    output_values = outputs(model, [1, 2], np.array([[1.0, 1, 1, 1], [0, 1, 1, 2]]))["u"]
    np.testing.assert_allclose(output_values, [[2] * 4, 2 * np.exp([0, -1, -1, -2])], rtol=1e-5)
    assert output_values[1, 1] == output_values[1, 2]


WRONG = {
    "rtol of 0": ({"rtol": 0}, "rtol of dynamics is a positive number, such as 1e-6, not 0"),
    "a negative atol": ({"atol": -1e-9}, "atol of dynamics is a positive number"),
    "rtol that is NaN": ({"rtol": math.nan}, "rtol of dynamics is a positive number"),
    "atol that is a text": ({"atol": "small"}, "atol of dynamics is a positive number"),
    "no steps": ({"max_steps": 0}, "max_steps=0 is none"),
    "a method without an estimate": ({"method": "rk4"}, "rk4 has no estimate of its error"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(case):
    """A message says what is wrong, and what there is."""
    options, message = WRONG[case]
    with pytest.raises(nn.ModelError) as error:
        nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, **options)
    assert message in str(error.value)


def test_very_many_states_are_refused(monkeypatch):
    """Stiff equations of so many states that they would not stay on the stack take another method."""
    monkeypatch.setattr(augment, "MOST", 3)
    for method in ("rodas5p", "auto"):
        model = nn.Dynamics(["u' = -many*u", "v' = u"], {"u": 1, "v": 0}, {"many": 1}, times=2, method=method)
        with pytest.raises(nn.ModelError, match=f"are more than the 3 that {method} takes; give the method tsit5"):
            compile_model(model, until="differentiate")


def test_predictions_need_the_states_alone():
    """A model of many states and parameters has one solution for its states, and one for each part of derivatives."""
    equations = [f"u{i}' = -k{i}*u{i}" for i in range(40)]
    initial, parameters = {f"u{i}": 1 for i in range(40)}, {f"k{i}": 1 for i in range(40)}
    model = nn.Dynamics(equations, initial, parameters, times=2)
    program = compile_model(model, until="differentiate", fit=False)["differentiate"]
    sizes = [len(step.expression.system.states) for step in program.steps if step.operator == INTEGRATE]
    assert sizes == [40, 40 * 21, 40 * 21]


def test_paths_are_verified():
    """A path needs the index of its times, and runs over that of each row; it is of elements of samples."""
    step = next(
        candidate for candidate in EXAMPLES["decay"].model().describe().steps if candidate.operator == INTEGRATE
    )
    path = step.expression
    for target, expression, over in (
        (Element("path", ("n", "s", "k")), path, step.over),
        (step.target, path, ("s",)),
        (step.target, Element("t", ("n", "k")), step.over),
        (step.target, path.func(path.args[0], path.args[1], 2 * path.args[2]), step.over),
    ):
        program = EXAMPLES["decay"].model().describe()
        steps = tuple(Step(target, expression, INTEGRATE, over) if old == step else old for old in program.steps)
        with pytest.raises(ProgramError, match=r"path|index"):
            verify(replace(program, steps=steps))


def test_programs_show_their_equations():
    """The text of a program has the rates, the start, the method and the tolerances."""
    text = simplify(EXAMPLES["decay"].model(rtol=1e-5).describe()).show()
    for line in ("by tsit5, rtol=1e-05, atol=1e-09, at most 100,000 steps", "u' = ", "start       u = u0"):
        assert line in text


def test_a_start_of_numpy():
    """A time of NumPy is a number in C as well."""
    model = nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, start=np.float64(0.5), name="falling")
    assert "np." not in compile_model(model, until="emit")["emit"].files["falling.c"]


@pytest.mark.parametrize(
    ("inputs", "options", "tile"),
    [(1, {}, 32), (1250, {}, 8), (1, {"method": "rodas5p"}, 32), (1, {"method": "auto"}, 32)],
)
def test_tiles(inputs, options, tile):
    """A tile fills the lanes several times, but is short where samples are solved one after the other."""
    names = [f"w{k}" for k in range(inputs)]
    model = nn.Dynamics(f"u' = -u*({' + '.join(names)})", {"u": "u0"}, {"u0": 1}, inputs=names, times=2, **options)
    assert compile_model(model, until="schedule", fit=False)["schedule"].tile == tile


def _derived(method):
    """The gradient of a loss and the rows of a fit by the evaluator, and how many solutions they take."""
    model = nn.Dynamics(
        ["u' = -k*u + c*v", "v' = k*u - d*v"],
        {"u": "a", "v": "a + b*c"},
        {"k": 1.1, "c": 0.4, "d": 0.7, "a": 2, "b": 0.3},
        times=3,
        observed="u*v",
        method=method,
        name="pair",
    )
    stages = compile_model(model, until="simplify")
    program, companions = stages["simplify"], stages.findings.companions.simplified
    X, p = np.array([[0, 0.5, 1.5], [0.2, 1, 2]]), [*model.parameters.values()]
    values = nn.evaluate(program, p, X, np.zeros((2, 3)))
    (fit,) = (companion.program for companion in companions if companion.name == "fitting")
    rows = nn.evaluate(fit, p, X, np.zeros((2, sum(target.size for target in fit.targets))))
    solutions = sum(step.operator == INTEGRATE for step in program.steps)
    return [*(values[e.tensor] for e in program.gradient), *(rows[e.tensor] for e in fit.outputs)], solutions


@pytest.mark.parametrize("method", ["tsit5", "rodas5p"])
def test_very_many_derivatives_are_solved_for_in_parts(method, monkeypatch):
    """Where states and derivatives are more than a solution takes, those by some parameters have one of their own."""
    whole, solutions = _derived(method)
    monkeypatch.setattr(adaptive, "MOST_PARTS", 3)
    monkeypatch.setattr(augment, "MOST", 6)  # two states, and their derivatives by two of six numbers
    parts, of_parts = _derived(method)
    assert (solutions, of_parts) == (2, 4)
    for in_one, in_parts in zip(whole, parts, strict=True):
        np.testing.assert_allclose(in_parts, in_one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("most", [{"MOST_PARTS": 0}, {"MOST": 3}])
def test_derivatives_by_very_many_parameters_come_from_the_reverse(most, monkeypatch):
    """Where parts are many, or states are too many for one, the gradient is that of a sweep back through the steps."""
    whole, _ = _derived("tsit5")
    for name, value in most.items():
        monkeypatch.setattr(adaptive, name, value)
    by_reverse, solutions = _derived("tsit5")
    assert solutions == 2  # the path, and its reverse
    for in_one, back in zip(whole[:5], by_reverse[:5], strict=True):  # of five parameters
        np.testing.assert_allclose(back, in_one, rtol=1e-4, atol=1e-6)
