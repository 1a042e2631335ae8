"""Random models: an identifiable one in which a parameter is replaced by a product or a sum is missing one number."""

import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import Symbol, sympify

import nncodegen as nn

NAMES = "abcd"

FORMULAS = (
    "a*x + b*x**2 + c*x**3 + d",
    "a*x/(b + x) + c*x + d",
    "(a*x**2 + b)/(x**2 + c*x + d)",
    "a*exp(-b*x) + c*sin(d*x)",
    "a*abs(x)**b + c*x + d",
    "a*log(b + x**2) + c/(d + x**2)",
)
"""Formulas of x whose four parameters are identifiable."""

RATES = st.sampled_from(("a", "b", "c", "d", "a + b", "c*d", "a*c", "b + 2*d"))

EXPRESSIONS = {"product": "{}*w", "sum": "{} + w", "quotient": "{}/w", "square": "{}*w**2", "scaled sum": "{} + 3*w"}
"""Formulas of a parameter and a further one, w, which replace the parameter."""


def replaced(text, name, kind):
    """A text in which a parameter is replaced."""
    formula = sympify(EXPRESSIONS[kind].format(name))
    return sympify(text).xreplace({Symbol(name): formula}), formula


@settings(max_examples=40)
@given(st.sampled_from(FORMULAS), st.sampled_from(NAMES), st.sampled_from(list(EXPRESSIONS)), st.integers(0, 99))
def test_replaced_parameters(text, name, kind, seed):
    """The combination that replaces a parameter is found, and its two parameters are all that is not identifiable."""
    formula, combination = replaced(text, name, kind)
    parameters = {each: 1.0 + k / 3 for k, each in enumerate([*NAMES, "w"])}
    plain = nn.Model("plain", "x", "y", {each: parameters[each] for each in NAMES}, sympify(text))
    assert nn.identifiability(plain, seed=seed).is_identifiable
    result = nn.identifiability(nn.Model("changed", "x", "y", parameters, formula), seed=seed)
    assert {*result.not_identifiable} == {name, "w"}
    assert result.determines(combination)
    (shown,) = result.combinations
    assert sympy.simplify(shown / combination) in (1, -1) or sympy.simplify(shown * combination) == 1
    assert nn.identifiability(nn.Model("changed", "x", "y", parameters, formula), known="w").is_identifiable


@settings(max_examples=30)
@given(st.lists(RATES, min_size=4, max_size=4), st.sampled_from(NAMES), st.sampled_from(list(EXPRESSIONS)))
def test_replaced_rates(rates, name, kind):
    """In a chain of three compartments with random rates, a replaced parameter is missing as many numbers more."""
    infection, onward, back, out = rates
    equations = {
        "x'": f"-({infection})*x*y",
        "y'": f"({infection})*x*y - ({onward})*y + ({back})*z",
        "z'": f"({onward})*y/(1 + y) - ({out})*z",
    }
    first = {"x": 2, "y": 1, "z": "q"}
    read = {symbol.name for rate in rates for symbol in sympify(rate).free_symbols}
    assume(name in read)
    parameters = dict.fromkeys([*sorted(read), "q"], 1.0)
    plain = nn.Dynamics(equations, first, parameters, observed=["x", "y + z"], times=9)
    changed = {left: replaced(right, name, kind)[0] for left, right in equations.items()}
    other = nn.Dynamics(changed, first, parameters | {"w": 1.0}, observed=["x", "y + z"], times=9)
    before, after = nn.identifiability(plain), nn.identifiability(other)
    assert after.rank == before.rank
    assert after.missing == before.missing + 1
    assert {name, "w"} <= {*after.not_identifiable}
    assert after.determines(replaced(name, name, kind)[1]) == (name in before.identifiable)


@settings(max_examples=30)
@given(st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 9))
def test_planted_scalings(i, j, seed):
    """Equations in other units, X = x/s**i and Y = y/s**j, show the unit s and the first values as one scaling."""
    assume(i or j)
    x, y, s = map(Symbol, "xys")
    in_new_units = {x: x * s**i, y: y * s**j}
    rates = {x: sympify("-a*x*y + b"), y: sympify("c*x - y**2")}
    changed = {f"{old}'": (rates[old].xreplace(in_new_units) * old / in_new_units[old]) for old in rates}
    model = nn.Dynamics(
        changed,
        {"x": "x0", "y": "y0"},
        dict.fromkeys(["a", "b", "c", "s", "x0", "y0"], 1.2),
        observed=[in_new_units[x] + in_new_units[y]],
        times=9,
    )
    result = nn.identifiability(model, seed=seed)
    (direction,) = result.directions
    speed = direction["s"] / s
    expected = {"s": s, "x0": -i * Symbol("x0"), "y0": -j * Symbol("y0")}
    assert {name: rate / speed for name, rate in direction.items()} == {n: e for n, e in expected.items() if e != 0}
    assert {*result.not_identifiable} == {*direction}
    assert result.is_complete
