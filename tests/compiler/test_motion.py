"""Equations of motion as programs: against loops over steps in NumPy, and what is refused."""

import itertools
import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.motion.method import RungeKutta
from nncodegen.compiler.motion.methods import METHODS
from nncodegen.compiler.pipeline import compile_model
from tests.support.built import stage
from tests.support.models import differences, gradient_of
from tests.support.motion import lotka_volterra, lotka_volterra_model, outputs, trajectory

T = np.array([[0.0, 0.3, 0.5, 1.4, 2.0], [1.0, 1.1, 1.9, 2.5, 2.5]])
"""Times of two samples; the second has only four."""

EXPLICIT = {name: method for name, method in METHODS.items() if isinstance(method, RungeKutta)}


def starts_of(model):
    return [parameter.initial.scale for parameter in model.describe().parameters]


def check(computed, expected, tolerance=1e-13):
    np.testing.assert_allclose(computed, np.array(expected, float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", EXPLICIT)
def test_a_method_has_its_order(name):
    """The coefficients meet the conditions of every order up to that of the method, those of all rooted trees."""
    method = EXPLICIT[name]
    rows = [[*map(float, row)] for row in method.rows]
    A = np.array([row + [0.0] * (len(rows) - len(row)) for row in rows])
    b, c = np.array([*map(float, method.last)]), A.sum(axis=1)
    np.testing.assert_allclose(c, [*map(float, method.times)], atol=1e-14)
    conditions = {
        1: [(1 + 0 * c, 1)],
        2: [(c, 2)],
        3: [(c**2, 3), (A @ c, 6)],
        4: [(c**3, 4), (c * (A @ c), 8), (A @ c**2, 12), (A @ A @ c, 24)],
        5: [
            (c**4, 5),
            (c**2 * (A @ c), 10),
            (c * (A @ c**2), 15),
            (c * (A @ A @ c), 30),
            ((A @ c) ** 2, 20),
            (A @ c**3, 20),
            (A @ (c * (A @ c)), 40),
            (A @ A @ c**2, 60),
            (A @ A @ A @ c, 120),
        ],
    }
    for order in range(1, method.order + 1):
        for values, divisor in conditions[order]:
            assert abs(b @ values - 1 / divisor) < 2e-14


@pytest.mark.parametrize(("method", "steps"), list(itertools.product(EXPLICIT, [1, 7])))
def test_solutions_are_those_of_a_loop_over_steps(method, steps):
    """Each sample has times of its own; one with fewer times repeats the last."""
    model = lotka_volterra_model(method, steps, times=5)
    output_values = outputs(model, starts_of(model), T)
    for n, times in enumerate(T):
        expected = np.array(trajectory(lotka_volterra(1.0, 0.1, 1.5, 0.075), [10.0, 5.0], times, method, steps))
        check(output_values["u"][n], expected[:, 0])
        check(output_values["v"][n], expected[:, 1])


@pytest.mark.parametrize("method", EXPLICIT)
def test_the_error_falls_with_the_order(method):
    """With twice as many steps, it is about 16 or 32 times smaller."""
    errors = []
    for steps in (8, 16):
        model = nn.Dynamics("u' = -k*u*t", {"u": 1}, {"k": 1}, times=2, method=method, steps=steps)
        errors.append(abs(outputs(model, [1.0], np.array([[0.0, 2.0]]))["u"][0, 1] - math.exp(-2)))
    assert 0.7 < math.log2(errors[0] / errors[1]) / EXPLICIT[method].order < 1.4


@given(st.lists(st.floats(0, 2), min_size=4, max_size=4), st.integers(1, 4), st.sampled_from(sorted(EXPLICIT)))
@settings(max_examples=20)
def test_time_and_start_in_the_equation(times, steps, method):
    """The rate may read the time, and initial values may belong to an earlier time than the first observation."""
    model = nn.Dynamics(
        "w' = sin(k*t) - w", {"w": "2*x"}, {"k": 3}, times=4, inputs="x", start=-0.5, steps=steps, method=method
    )
    times = sorted(times)
    rate = lambda t, w: [math.sin(3 * t) - w[0]]  # noqa: E731
    expected = trajectory(rate, [1.4], times, method, steps, start=-0.5)
    check(outputs(model, [3.0], np.array([[*times, 0.7]]))["w"][0], np.array(expected)[:, 0])


@pytest.mark.parametrize("interpolation", ["held", "linear"])
def test_columns_between_times(interpolation):
    """A column keeps its value until the next time, or runs straight to the next one."""
    f = np.array([[0.5, -1.0, 2.0, 0.0, 1.0], [1.0, 2.0, 3.0, 4.0, 4.0]])
    model = nn.Dynamics(
        "x' = f - k*x", {"x": 1}, {"k": 0.4}, times=5, columns="f", interpolation=interpolation, steps=3, method="rk4"
    )

    def course(n):
        def at(t):
            held = f[n][max(0, np.searchsorted(T[n], t, side="right") - 1)]
            return held if interpolation == "held" else np.interp(t, T[n], f[n])

        return at

    output_values = outputs(model, [0.4], np.hstack([T, f]))["x"]
    for n in range(2):
        x, expected = 1.0, [1.0]
        for k in range(1, 5):  # from time to time, as a held column jumps at each
            middle = course(n)((T[n, k - 1] + T[n, k]) / 2)
            rate = lambda t, y, n=n, m=middle: [(m if interpolation == "held" else course(n)(t)) - 0.4 * y[0]]  # noqa: E731
            x = trajectory(rate, [x], T[n, k - 1 : k + 1], "rk4", 3)[-1][0]
            expected.append(x)
        check(output_values[n], expected, 1e-12)


def test_equations_of_second_order_and_abbreviations():
    """They become equations of first order; what is observed may read u', and abbreviations stand for formulas."""
    model = nn.Dynamics(
        "r = k*u; u'' = -r - c*u'",
        {"u": 1, "u'": "p"},
        {"k": 4, "c": 0.3, "p": 0.5},
        times=5,
        observed={"u": "u", "energy": "u'**2/2 + r*u/2"},
        steps=2,
    )
    assert model.states == ("u", "u'")
    output_values = outputs(model, [4, 0.3, 0.5], T)
    for n, times in enumerate(T):
        u, v = np.array(trajectory(lambda t, y: [y[1], -4 * y[0] - 0.3 * y[1]], [1.0, 0.5], times, "tsit5", 2)).T
        check(output_values["u"][n], u)
        check(output_values["energy"][n], v**2 / 2 + 2 * u**2)


def test_sympy_gives_the_model_of_texts():
    """Functions of time, their derivatives and symbols of any assumptions are read as the names of texts."""
    t, a, b = sympy.Symbol("t"), sympy.Symbol("a", positive=True), sympy.Symbol("b", real=True)
    u, v = (sympy.Function(name)(t) for name in "uv")
    of_sympy = nn.Dynamics(
        {u.diff(t): a * v + sympy.sin(t), v.diff(t, 2): sympy.Eq(-b * u, 0).lhs - v.diff(t)},
        {u: 1, v: a, v.diff(t): 0},
        {a: 1, b: 2},
        times=3,
        steps=2,
        observed=[u, v.diff(t)],
    )
    of_texts = nn.Dynamics(
        ["u' = a*v + sin(t)", "v'' = -b*u - v'"],
        {"u": 1, "v": "a", "v'": 0},
        {"a": 1, "b": 2},
        times=3,
        steps=2,
        observed=["u", "v'"],
    )
    assert of_sympy.describe().show() == of_texts.describe().show()
    assert [output.tensor for output in of_texts.describe().outputs] == ["u", "v_prime"]


def test_equations_from_time_to_time():
    """``before`` looks one time or several times back, also of formulas and of columns."""
    x, n = nn.before, 6
    model = nn.Dynamics(
        {"s": "p*before(s) + q*before(s, 3) + before(x*s)", "z": x(sympy.Symbol("x"), 2) + sympy.Symbol("s")},
        {"s": 0.5, "before(s, 3)": 0.25, "x": "q"},
        {"p": 0.5, "q": -0.3},
        times=n,
        columns="x",
    )
    drawn = np.random.default_rng(1).normal(size=(2, n))
    output_values = outputs(model, [0.5, -0.3], drawn)
    for row in range(2):
        s, earlier = [0.25, 0.5, 0.5], [-0.3, -0.3, *drawn[row]]
        z = []
        for k in range(n):
            s.append(0.5 * s[-1] - 0.3 * s[-3] + earlier[k + 1] * s[-1])
            z.append(earlier[k] + s[-1])
        check(output_values["s"][row], s[3:])
        check(output_values["z"][row], z)


@pytest.mark.parametrize(
    "equations",
    [
        "u = p*x + q; w = before(u)",
        "v = p*before(v) + x; u = q*before(v) + x; w = p*before(u) + before(u, 3)*x",
        "u = p*x; v = q*before(u)*before(v) + x; w = before(v*u)",
    ],
)
def test_gradients_of_earlier_values(equations):
    """The gradient is that of differences, also through earlier values of states that do not depend on their own."""
    initial = {name: 0.5 for name in ("before(u)", "before(v)", "before(u, 2)", "before(u, 3)") if name in equations}
    initial |= {"before(u, 2)": 0.5} if "before(u, 3)" in equations else {}
    model = nn.Dynamics(equations, initial, {"p": 0.4, "q": 0.3}, times=5, columns="x")
    rng = np.random.default_rng(2)
    X = rng.normal(size=(3, 5))
    Y = rng.normal(size=(3, 5 * len(model.describe().targets)))
    gradient = gradient_of(stage(model, "differentiate"), [0.4, 0.3], X, Y)
    check(gradient, differences(model.describe(), [0.4, 0.3], X, Y), 1e-8)


def test_every_earlier_value_has_a_start():
    """Each time that an equation looks back to can be given, those between the named ones too."""
    initial = {"before(u, 3)": 1, "before(u)": 4, "before(u, 2)": "2*a"}
    model = nn.Dynamics("u = a*before(u, 3)", initial, {"a": 0.5}, times=5)
    check(outputs(model, [0.5], np.zeros((1, 0)))["u"][0], [0.5, 0.5, 2, 0.25, 0.25])
    model = nn.Dynamics("u = a*before(u, 2)", {"u": 2, "before(u)": 1}, {"a": 0.5}, times=3)
    check(outputs(model, [0.5], np.zeros((1, 0)))["u"][0], [1, 0.5, 0.5])


def test_products_with_earlier_values_keep_their_order():
    """An equation that multiplies by ``before`` is written after what it reads at the same time."""
    model = nn.Dynamics("p = before(p)*g; g = c + b*before(g)", {"p": 3, "g": 2}, {"c": 0.1, "b": 0.5}, times=4)
    output_values, p, g = outputs(model, [0.1, 0.5], np.zeros((1, 0))), 3.0, 2.0
    for k in range(4):
        g = 0.1 + 0.5 * g
        p *= g
        check([output_values["p"][0, k], output_values["g"][0, k]], [p, g])


def test_names_of_outputs():
    """In a list, what is no state is observed under a free name."""
    f = [0.5, 1.0, 2.0]
    model = nn.Dynamics(
        "u' = f - k*u",
        {"u": 1},
        {"k": 1, "output4": 2},
        times=3,
        columns="f",
        steps=1,
        observed=["u", "f", "t", "output4*u", "k"],
    )
    output_values = outputs(model, [1, 2], np.array([[0.0, 1.0, 2.0, *f]]))
    assert [*output_values] == ["u", "f_", "t_", "output4_", "k_"]
    check(output_values["f_"][0], f)
    check(output_values["t_"][0], [0, 1, 2])
    check(output_values["output4_"], 2 * output_values["u"])
    check(output_values["k_"][0], [1, 1, 1])
    model = nn.Dynamics("u'' = -u_prime*u", {"u": 1, "u'": 3}, {"u_prime": 1}, times=1, observed=["u'"])
    check(outputs(model, [1], np.zeros((1, 1)))["u_prime_"], [[3]])


WRONG = {
    "an unknown state": ("u' = -k*w", {"u": 1}, {}, "w is none of k, u, t"),
    "no start": ("u' = -k*u", {}, {}, "u of dynamics has no start: give it in initial"),
    "no start of u'": ("u'' = -k*u", {"u": 1}, {}, "u' of dynamics has no start"),
    "a start too many": ("u' = -k*u", {"u": 1, "w": 1}, {}, "w, which needs no start; what does: u"),
    "no steps": ("u' = -k*u", {"u": 1}, {"steps": 0}, "whole number from 1 on: steps=0 is none"),
    "no times": ("u' = -k*u", {"u": 1}, {"times": 0}, "times=0 is none"),
    "times in place of their number": ("u' = -k*u", {"u": 1}, {"times": np.arange(3.0)}, "give times=3, and"),
    "an unknown method": (
        "u' = -k*u",
        {"u": 1},
        {"method": "euler"},
        "no method 'euler'; there are: rk4, tsit5, rodas5p, auto",
    ),
    "two equations": ("u' = -k*u; u = 3", {"u": 1}, {}, "two equations for u"),
    "an unknown observable": ("u' = -k*u", {"u": 1}, {"observed": "w"}, "w is none of k, u, t"),
    "both kinds": ("u' = -k*before(u)", {"u": 1}, {}, "equations look back, or have derivatives"),
    "before of a parameter": ("u = u*before(k)", {}, {}, "k does not vary in time"),
    "a circle": ("u = k*v; v = u", {}, {}, "go in a circle: u, v"),
    "a circle of products": ("u = k*before(u)*v; v = before(v)*u", {"u": 1, "v": 1}, {}, "go in a circle: u, v"),
    "no start between": ("u = k*before(u, 2)", {"before(u, 2)": 1}, {}, "before(u) of dynamics has no start: give it"),
    "a lag too many": ("u = k*before(u, 2)", {"before(u, 3)": 1}, {}, "what does: before(u), before(u, 2)"),
    "an output named like a parameter": ("u' = -k*u", {"u": 1}, {"observed": {"k": "2*u"}}, "that of a parameter"),
    "an output named like the time": ("u' = -k*u", {"u": 1}, {"observed": {"t": "2*u"}}, "that of the time"),
    "an output named like an input": (
        "u' = -k*u*x",
        {"u": 1},
        {"inputs": "x", "observed": {"x": "u"}},
        "that of an input",
    ),
    "an output named like a column": (
        "u' = -k*u*x",
        {"u": 1},
        {"columns": "x", "steps": 1, "observed": {"x": "u"}},
        "that of a column",
    ),
    "two outputs with one name": ("u' = -k*u", {"u": 1}, {"observed": {"u'": "u", "u_prime": "2*u"}}, "have one name"),
    "a circle of abbreviations": ("u' = k*r; r = q; q = r", {"u": 1}, {}, "go in a circle: r, q"),
    "no equation": ("u' == 3", {"u": 1}, {}, "has one ="),
    "a formula on the left": ("u' + 1 = k", {"u": 1}, {}, "a state or its derivative in time"),
    "an unused parameter": (
        "u' = -k*u",
        {"u": 1},
        {"inputs": "z"},
        "dynamics does not use its input z, which",
    ),
    "a parameter of an unused abbreviation": (
        "u' = -u; r = k*u",
        {"u": 1},
        {},
        "dynamics does not use its parameter k",
    ),
    "a name that cancels, not given": ("u' = -k*C*u/C", {"u": 1}, {}, "C is none of k, u, t"),
    "a syntax error": ("u' = -k*u +", {"u": 1}, {}, "invalid syntax"),
    "a higher derivative": ("u' = -k*u''", {"u": 1}, {}, "u'' is none of k, u, t"),
    "a lag that is none": ("u = before(u, k)", {"u": 1}, {}, "whole number from 1 to 1000, not k"),
    "a start that depends on time": ("u' = -k*u", {"u": "t"}, {}, "t is none of k"),
    "steps of equations without derivatives": ("u = k*before(u)", {"u": 1}, {"steps": 3}, "leave out steps and start"),
    "code": ("u' = __import__('os').system('ls')*k", {"u": 1}, {}, "is not allowed here"),
    "a start that is not finite": ("u' = -k*u", {"u": 1}, {"start": math.inf}, "a finite number, not inf"),
    "an interpolation": ("u' = -k*u", {"u": 1}, {"interpolation": "cubic"}, "'held' or 'linear', not 'cubic'"),
    "an interpolation of nothing": (
        "u' = -k*u",
        {"u": 1},
        {"interpolation": "linear"},
        "interpolation='linear' is the course of columns of dynamics between its times, and it has none: leave it out",
    ),
    "an interpolation from time to time": (
        "u = k*before(u) + f",
        {"u": 1},
        {"interpolation": "linear", "columns": "f"},
        "its equations lead from time to time: leave it out",
    ),
    "a name that is given twice": (
        "u' = -k*u",
        {"u": 1},
        {"inputs": "u"},
        "given twice, in inputs and in the equations",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(case):
    """A message says what is wrong with the equations, and what there is."""
    equations, initial, options, message = WRONG[case]
    with pytest.raises(nn.ModelError) as error:
        nn.Dynamics(equations, initial, {"k": 1}, **{"times": 3, **options})
    assert message in str(error.value)
    assert "\N{MODIFIER LETTER PRIME}" not in str(error.value)


CANCELLED = {
    "an equation": {"equations": "u' = -k*C*u/C"},
    "an abbreviation": {"equations": "u' = -r*u/C; r = k*q; q = C"},
    "an initial value": {"equations": "u' = -k*u", "initial": {"u": "C/C"}},
    "an output": {"equations": "u' = -k*u", "observed": {"seen": "u + C - C"}},
    "an input": {"equations": "u' = -k*u + z - z", "inputs": "z", "parameters": {"k": 0.5}},
    "from time to time": {"equations": "u = k*before(u) + C*t - C*t"},
}


@pytest.mark.parametrize("case", CANCELLED)
def test_names_that_cancel_are_read(case):
    """What SymPy cancels is read all the same: names are counted before anything is simplified."""
    model = nn.Dynamics(**{"initial": {"u": 1}, "parameters": {"k": 0.5, "C": 2}, "times": 3} | CANCELLED[case])
    program = model.describe()
    assert {tensor.name for tensor in (*program.parameters, *program.inputs)} & {"C", "z"}
    parameters = [0.5, 2][: len(program.parameters)]
    output_values = outputs(
        model, parameters, np.array([[0, 0.5, 1, 7]])[:, : sum(tensor.size for tensor in program.inputs)]
    )
    rate = 0.5 ** np.arange(1, 4) if case == "from time to time" else np.exp(-0.5 * np.array([0, 0.5, 1]))
    assert np.allclose([*output_values.values()], rate, rtol=1e-5)


t, s = sympy.symbols("t s")
k = sympy.Symbol("k")
u = sympy.Function("u")(t)
DELAYED = {
    "a delay": ({u.diff(t): -k * u.subs(t, t - 1)}, "has u(t - 1)", "before(u) is for equations from time to time"),
    "a place": ({u.diff(t): -k * u.subs(t, 0)}, "has u(0)", "rates are of states at the same time, u(t)"),
    "another time": ({u.diff(t): -k * u.subs(t, s)}, "has u(s)", 'if s is the time, say so: time="s"'),
    "a delay on the left": ({u.subs(t, t - 1): -k * u.diff(t)}, "the left side", "has u(t - 1)"),
    "an equation of places": (
        {sympy.Function("u")(t, s).diff(t): k * sympy.Function("u")(t, s).diff(s, 2)},
        "the left side",
        "u(t)",
    ),
    "a derivative by something else": ({u.diff(t): k * sympy.Function("u")(s).diff(s)}, "has u(s)", "the time is t"),
}


@pytest.mark.parametrize("case", DELAYED)
def test_functions_are_of_the_time_alone(case):
    """A state at another time, and one of several arguments, is refused: it was taken for the state at this time."""
    equations, *messages = DELAYED[case]
    with pytest.raises(nn.ModelError) as error:
        nn.Dynamics(equations, {"u": 1}, {k: 1}, times=3)
    assert all(message in str(error.value) for message in messages), error.value
    again = nn.Dynamics({u.diff(t).subs(t, s): -k * u.subs(t, s)}, {u: 1}, {k: 1}, times=3, time=s)
    assert again.describe().show() == nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 1}, times=3, time="s").describe().show()


@pytest.mark.parametrize("steps", [None, 3])
def test_outputs_keep_their_names(steps):
    """An output that is a state under another name has this name in every stage, beside one that is made of it."""
    model = nn.Dynamics(
        "u' = -k*u; v' = u", {"u": 1, "v": 0}, {"k": 1}, times=3, steps=steps, observed={"o": "u", "q": "2*u", "v": "v"}
    )
    for program in (model.describe(), compile_model(model, until="simplify")["simplify"]):
        assert [element.tensor for element in program.outputs] == ["o", "q", "v"]
