"""Equations of motion: ranks are those of Lie derivatives by SymPy, and of solutions by SciPy."""

import numpy as np
import pytest
import sympy
from scipy.integrate import solve_ivp

import nncodegen as nn

EQUATIONS = {
    "decay of a sum": ("u' = -(a + b)*u", "c*u", "a b c"),
    "saturation": ("u' = -V*u/(K + u); w' = V*u/(K + u) - k*w", "s*w", "V K k s"),
    "cycle": ("u' = a*w - b*u; w' = b*u - a*c*w**2", "u*w", "a b c"),
    "quotient": ("u' = a*u/w - b; w' = c*(u - w)/(1 + d*u)", "u", "a b c d"),
    "three states": ("u' = a*b*w - c*u; w' = c*d*z - b*w; z' = -a*z", "u + w", "a b c d"),
    "hidden part": ("u' = -a*u; w' = -b*w", "c*u", "a b c"),
}
"""Rational equations, what is observed, and parameters, by name."""


def lie_rank(equations, observed, parameters, firsts):
    """The rank of the Lie derivatives of the output by parameters, and by the first values of states, if unknown.

    They are quotients of polynomials, which SymPy derives as such, and are evaluated with fractions.
    """
    rates = {line.split("'")[0].strip(): line.split("=")[1] for line in equations.split(";")}
    names = [*parameters.split(), *rates]
    quotients, *generators = sympy.polys.fields.field(names, sympy.QQ)
    symbols = dict(zip(names, generators, strict=True))
    rates = {state: quotients.from_expr(sympy.sympify(rate)) for state, rate in rates.items()}
    unknowns = names if firsts else parameters.split()
    series = [quotients.from_expr(sympy.sympify(observed))]
    for _ in range(len(unknowns) + (0 if firsts else 2)):
        series.append(sum(series[-1].diff(symbols[state]) * rate for state, rate in rates.items()))
    random = np.random.default_rng(3)
    at = {name: sympy.QQ(int(random.integers(1, 50)), int(random.integers(1, 50))) for name in names}
    if not firsts:
        at |= {state: sympy.QQ(k + 2, 3) for k, state in enumerate(rates)}
    point = list(at.values())

    def value(quotient):
        return sympy.QQ.to_sympy(quotient.numer.evaluate(list(zip(generators_of(quotient), point, strict=True)))) / (
            sympy.QQ.to_sympy(quotient.denom.evaluate(list(zip(generators_of(quotient), point, strict=True))))
        )

    def generators_of(quotient):
        return quotient.numer.ring.gens

    return sympy.Matrix([[value(each.diff(symbols[name])) for name in unknowns] for each in series]).rank()


def model_of(equations, observed, parameters, **options):
    """The model of equations in which first values are 2/3, 1, 4/3 and so on."""
    states = [line.split("'")[0].strip() for line in equations.split(";")]
    return nn.Dynamics(
        equations,
        {state: sympy.Rational(k + 2, 3) for k, state in enumerate(states)},
        {name: 1 + k / 5 for k, name in enumerate(parameters.split())},
        observed=observed,
        times=9,
        **options,
    )


@pytest.mark.parametrize("firsts", [True, False])
@pytest.mark.parametrize("name", EQUATIONS)
def test_lie_derivatives(name, firsts):
    """The rank is that of the Lie derivatives, with first values as unknowns or as known numbers."""
    result = nn.identifiability(model_of(*EQUATIONS[name]), unknown_initial=firsts)
    assert result.rank == lie_rank(*EQUATIONS[name], firsts)


def solution_rank(equations, observed, parameters):
    """The rank of a Jacobian of a solution by SciPy at many times, by differences, with known first values."""
    rates = [sympy.sympify(line.split("=")[1]) for line in equations.split(";")]
    states = [sympy.Symbol(line.split("'")[0].strip()) for line in equations.split(";")]
    names = sympy.symbols(parameters)
    rate = sympy.lambdify([states, names], rates)
    output = sympy.lambdify([states, names], sympy.sympify(observed))
    times = np.linspace(0, 2, 60)
    start = [(k + 2) / 3 for k in range(len(states))]

    def seen(values):
        solved = solve_ivp(lambda t, u: rate(u, values), (0, 2), start, t_eval=times, rtol=1e-12, atol=1e-13)
        return output(solved.y, values) * np.ones(60)

    values = np.array([1 + k / 5 for k in range(len(names))])
    step = 1e-3
    shifts = np.eye(len(values)) * step
    jacobian = np.array([(seen(values + h) - seen(values - h)) / (2 * step) for h in shifts]).T
    sizes = np.linalg.svd(jacobian, compute_uv=False)
    assert not np.any((sizes > 3e-7) & (sizes < 3e-5))  # a gap
    return int(np.sum(sizes > 3e-6))


@pytest.mark.parametrize("name", ["decay of a sum", "saturation", "cycle", "three states", "hidden part"])
def test_solutions(name):
    """The rank is that of the derivatives of solutions by SciPy."""
    assert nn.identifiability(model_of(*EQUATIONS[name])).rank == solution_rank(*EQUATIONS[name])


TRANSCENDENTAL = {
    "exponent": ("u' = -V*u**n/(K**n + u**n)", "u", "V K n"),
    "exponent, scaled": ("u' = -V*u**n/(K**n + u**n)", "s*u", "V K n s"),
    "heat": ("u' = -exp(-E/(R*w))*u; w' = 1/(1 + w)", "u", "E R"),
    "pendulum": ("u' = w; w' = -g/l*sin(u) - d*w", "cos(u)", "g l d"),
    "tanh and log": ("u' = a*tanh(b*u) - log(c + d + u)", "u", "a b c d"),
    "square root": ("u' = a*b*sqrt(u)", "c*u", "a b c"),
}
"""Equations that are not rational."""


@pytest.mark.parametrize("name", TRANSCENDENTAL)
def test_solutions_of_other_functions(name):
    """Equations that are not rational are evaluated with many digits: the rank is that of solutions by SciPy."""
    result = nn.identifiability(model_of(*TRANSCENDENTAL[name]))
    assert result.arithmetic == "100 digits"
    assert result.rank == solution_rank(*TRANSCENDENTAL[name])


def test_combinations_of_other_functions():
    """Combinations are found with many digits, too."""
    result = nn.identifiability(model_of(*TRANSCENDENTAL["pendulum"]))
    assert result.identifiable == ("d",)
    assert [str(each) for each in result.combinations] == ["g/l"]
    result = nn.identifiability(model_of(*TRANSCENDENTAL["tanh and log"]))
    assert [str(each) for each in result.combinations] == ["c + d"]
    result = nn.identifiability(model_of(*TRANSCENDENTAL["exponent, scaled"]), unknown_initial="u")
    assert {*result.not_identifiable} == {"V", "K", "s", "u(0)"}
    assert result.determines("V*s")
    assert result.determines("K/u(0)")
    assert not result.determines("K*u(0)")


def test_first_values_that_are_parameters():
    """A first value that is a parameter is as unknown as this one; a formula of inputs is known."""
    decay = "u' = -k*u"
    scaled = nn.Dynamics(decay, {"u": "u0"}, {"k": 1, "u0": 1, "s": 2}, observed="s*u", times=4)
    result = nn.identifiability(scaled)
    assert result.columns == ("k", "u0", "s")
    assert result.verdicts["u0"] == "not identifiable: only s*u0 can be determined"
    assert nn.identifiability(scaled, known="u0").is_identifiable
    assert nn.identifiability(scaled, unknown_initial="u").columns == ("k", "u0", "s")
    dosed = nn.Dynamics(decay, {"u": "dose/v"}, {"k": 1, "v": 1, "s": 2}, inputs="dose", observed="s*u", times=4)
    assert [str(each) for each in nn.identifiability(dosed).combinations] == ["v/s"]
    assert nn.identifiability(dosed, unknown_initial=True).columns == ("k", "v", "s", "u(0)")


def test_first_values_that_are_zero():
    """What begins at 0 is seen by later derivatives alone: here by the tenth and those after it."""
    chain = ["x0' = -k0*x0", *(f"x{k}' = k{k - 1}*x{k - 1} - k{k}*x{k}" for k in range(1, 10))]
    rates = {f"k{k}": 1 + k / 7 for k in range(10)}
    begin = {"x0": 1, **{f"x{k}": 0 for k in range(1, 10)}}
    assert nn.identifiability(nn.Dynamics(chain, begin, rates, observed="x9", times=30)).is_identifiable
    assert nn.identifiability(nn.Dynamics(chain, begin, rates, observed="x0", times=30)).rank == 1


@pytest.mark.parametrize(("samples", "rank"), [(None, 2), (1, 1), (2, 2)])
def test_samples(samples, rank):
    """Samples with several inputs determine more than one of them; as many as are useful are the default."""
    model = nn.Dynamics("u' = -(a + b*dose)*u", {"u": 1}, {"a": 1, "b": 1}, inputs="dose", times=5)
    assert nn.identifiability(model, samples=samples).rank == rank


def test_given_inputs():
    """With X, the inputs are those of its samples: two doses that are equal are one."""
    model = nn.Dynamics("u' = -(a + b*dose)*u", {"u": 1}, {"a": 1, "b": 1}, inputs="dose", times=3)
    times = [0, 1, 2]
    equal = nn.identifiability(model, [[*times, 5], [*times, 5]])
    assert [str(each) for each in equal.combinations] == ["a + 5*b"]
    assert nn.identifiability(model, [[*times, 5], [*times, 6]]).is_identifiable
    assert nn.identifiability(model, [[*times, 0]]).verdicts["b"].endswith("nothing that is observed depends on it")


def test_many_given_inputs():
    """Of many trajectories, those that say something are kept, wherever they stand."""
    model = nn.Dynamics("u' = -(a + b*dose)*u", {"u": 1}, {"a": 1, "b": 1}, inputs="dose", times=2)
    X = np.column_stack([np.zeros(300), np.ones(300), np.full(300, 5.0)])
    assert nn.identifiability(model, X).missing == 1
    X[277, 2] = 6
    result = nn.identifiability(model, X)
    assert result.is_identifiable
    assert result.samples == 2


def test_columns_are_courses():
    """A column varies in time, so that one sample with it is enough for what a constant input does not show."""
    model = nn.Dynamics("u' = -(a + b*w)*u", {"u": 1}, {"a": 1, "b": 1}, columns="w", times=5)
    assert nn.identifiability(model, samples=1).is_identifiable


def test_time():
    """Formulas may have the time: a frequency and a phase are identifiable, two factors are not."""
    forced = nn.Dynamics("u' = a*b*sin(w*t + p) - k*u", {"u": 0}, dict.fromkeys("a b w p k".split(), 1), times=5)
    result = nn.identifiability(forced)
    assert result.identifiable == ("w", "p", "k")
    drift = nn.Dynamics("u' = a*t + b*t**2 + c*t", {"u": 0}, {"a": 1, "b": 1, "c": 1}, times=5, start=0)
    assert [str(each) for each in nn.identifiability(drift).combinations] == ["a + c"]


def test_higher_order():
    """An oscillator of second order: its mass, its damping and its spring have a scale in common."""
    model = nn.Dynamics("x'' = -(d*x' + k*x)/m", {"x": 1, "x'": 0}, {"d": 1, "k": 1, "m": 1}, times=5, observed="x")
    result = nn.identifiability(model)
    assert result.rank == 2
    assert result.determines("k/m")
    assert result.determines("d/m")
    unknown = nn.identifiability(model, unknown_initial="x'")
    assert unknown.columns == ("d", "k", "m", "x'(0)")
    assert unknown.rank == 3


def test_choices():
    """Of a choice, one branch is looked at, and verdicts say so."""
    model = nn.Dynamics("u' = -max(k*u, b)", {"u": 5}, {"k": 1, "b": 0.1}, times=4)
    result = nn.identifiability(model)
    assert result.has_choices
    assert result.identifiable == ("k",)
    assert result.verdicts["b"].startswith("not identifiable in the branches that were looked at")
    assert "others may determine more" in str(result)


# --- from time to time -------------------------------------------------------------------------------------------


def test_from_time_to_time():
    """Recursions are observed at the times of the model; these can be too few."""
    parameters = {"a": 0.2, "b": 0.1, "c": 0.7}
    for times, rank in (1, 1), (2, 2), (20, 2):
        model = nn.Dynamics("x = a*b*before(x) + c*before(x, 2)", {"x": 1}, parameters, times=times)
        assert nn.identifiability(model).rank == rank
    assert [str(each) for each in nn.identifiability(model).combinations] == ["a*b"]


def test_columns_from_time_to_time():
    """Columns are random, or those of X: a column that never changes determines less."""
    parameters = {"a": 1, "b": 0.5, "c": 1}
    smoothed = "s = a*before(w) + b*before(s) + c"
    model = nn.Dynamics(smoothed, {"s": 1, "w": 1}, parameters, columns="w", times=6)
    assert nn.identifiability(model).is_identifiable
    assert nn.identifiability(model, [[1, 1, 1, 1, 1, 1]]).rank == 2
    assert nn.identifiability(model, [[1, 2, 1, 3, 1, 1]]).is_identifiable


def test_garch():
    """The three parameters of GARCH are identifiable, with a logarithm and many digits."""
    model = nn.Dynamics(
        "s = omega + alpha*before(r)**2 + beta*before(s)",
        {"s": 1, "r": 1},
        {"omega": 0.2, "alpha": 0.1, "beta": 0.7},
        columns="r",
        observed={"log_variance": "log(s)"},
        times=30,
    )
    result = nn.identifiability(model)
    assert result.is_identifiable
    assert result.arithmetic == "100 digits"


def test_states_of_one_time():
    """A state may read another of the same time, and derivatives go through both."""
    model = nn.Dynamics("p = a*before(p) + b; q = c*d*p", {"p": 1}, dict.fromkeys("abcd", 0.5), observed="q", times=12)
    result = nn.identifiability(model)
    assert result.determines("c*d*b")
    assert {*result.not_identifiable} == {"c", "d"} or result.rank == 3


def test_growth():
    """Growth to a limit shows its rate and the limit, V*(1 - exp(-k*t)); growth without one, V*k*t, their product."""
    growth = nn.Dynamics("u' = k*(V - u)", {"u": 0}, {"k": 1, "V": 1}, times=5)
    assert nn.identifiability(growth).is_identifiable
    small = nn.Dynamics("u' = k*V", {"u": 0}, {"k": 1, "V": 1}, times=5)
    assert [str(each) for each in nn.identifiability(small).combinations] == ["V*k"]
