"""What a fit keeps the signs of: the denominators of a formula, as they stand after the algebra of stabilize."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Piecewise, Symbol, symbols, sympify

from nncodegen import Dense, Model, Sequential, evaluate
from nncodegen.compiler.describe import describe
from nncodegen.compiler.passes.fitting import fit_of
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.curves.fitting import read_formula

x, y, a, b = symbols("x y a b")
TEXTS = {
    "V*x/(K + x)": ["K + x"],
    "V*x/(K + x + x**2/J)": ["J", "K + x + x**2/J"],
    "a/(x - b)": ["b - x"],
    "(a + b*x)/(1 + c*x + d*x**2)": ["c*x + d*x**2 + 1"],
    "a*exp(b/(x + c))": ["c + x"],
    "a/(K + x)**3 + b/(K + x)": ["K + x"],
    "x/(a*(b - 1)*(x - 2))": ["a", "b - 1"],
    "a*x**3/(exp(b*x) - 1)": ["b"],
    "a*x/sinh(b*x)": ["b"],
    "V*x**n/(K**n + x**n)": ["K"],
    "d + (a - d)/(1 + (x/c)**b)": ["c"],
    "a*x/((1 + b*x)*(1 + c*x))": ["b*x + 1", "c*x + 1"],
}
WITHOUT = (
    "a*exp(-b*x) + c", "a/(1 + exp(-k*(x - c)))", "a/(1 + x**2)", "a/(x + 3) + b", "a/(b**2 + exp(x))", "a*tanh(b*x)",
    "a*(1 - exp(-b*x))/(b*x)", "a*sqrt(x + b)", "a*log(b*x + 1)", "a*x**k", "a*abs(x) + b/(1 + abs(c*x))",
)  # fmt: skip


def companion(model):
    """That for the fit of a model, or of a formula in a text."""
    model = read_formula(model, ("x",)).model() if isinstance(model, str) else model
    return fit_of(stabilize(model.describe()))


@pytest.mark.parametrize("text", TEXTS)
def test_denominators(text):
    """Each factor of a denominator that depends on parameters is a guard, once, without its power."""
    assert sorted(companion(text).guards) == sorted(TEXTS[text])


LEAVES = ("K + x", "b - x", "c*x + 1", "d", "e + x**2", "f*x - 2", "g")


@st.composite
def quotients(draw):
    """A text of products, quotients, powers and sums of leaves, each once; its poles, and leaves divided by twice."""
    left = list(draw(st.permutations(LEAVES)))
    poles, twice = [], []

    def term(depth, divisions):
        """Return a term in a denominator of a denominator, as often as divisions says."""
        kind = draw(st.sampled_from(["leaf", "product", "quotient", "power", "inverse"])) if depth else "leaf"
        if len(left) < 2 or kind == "leaf":
            if not left:
                return "3"
            if divisions:
                (poles if divisions % 2 else twice).append(left[-1])
            return f"({left.pop()})"
        if kind == "product":
            return f"({term(depth - 1, divisions)}*{term(depth - 1, divisions)})"
        if kind == "quotient":
            return f"({term(depth - 1, divisions)}/{term(depth - 1, divisions + 1)})"
        if kind == "power":
            return f"({term(depth - 1, divisions)})**{draw(st.sampled_from([2, 3]))}"
        return f"({term(depth - 1, divisions + 1)})**(-{draw(st.sampled_from([1, 2, 3]))})"

    terms = [term(3, 0) for _ in range(draw(st.integers(1, 2)))]
    return " - ".join(terms), *({str(sympify(leaf)) for leaf in leaves} for leaves in (poles, twice))


@settings(max_examples=40)
@given(quotients(), st.sampled_from(["off", "fast"]))
def test_poles_of_random_texts(drawn, choice):
    """The poles of a text are its guards, as typed or as SymPy's expression, with what it may divide by on the way."""
    text, poles, twice = drawn
    typed = read_formula(text, ("x",)).model()
    expression = Model("m", x, y, dict.fromkeys(typed.parameters, 1.0), sympify(text))
    for model in (typed, expression):
        guards = fit_of(stabilize(describe(model, digits=choice))).guards
        assert poles <= {*guards} <= poles | twice, text
        assert len(guards) == len({*guards})


def test_with_changes_of_inputs():
    """A guard has one text with changes of inputs and without; those of inputs alone come last, and are counted."""
    for text, alone in [*dict.fromkeys(TEXTS, None).items(), ("a/x + b", ["x"]), ("a/(x - 1)/(b - x)", ["x - 1"])]:
        model = read_formula(text, ("x",)).model()
        derived_companion = companion(model.with_errors())
        count = len(derived_companion.guards) - derived_companion.input_guards
        assert sorted(derived_companion.guards[:count]) == sorted(companion(model).guards)
        assert alone is None or list(derived_companion.guards[count:]) == alone


@pytest.mark.parametrize("text", WITHOUT)
def test_none(text):
    """What is positive by its form has no guard, nor has a quotient with a limit, nor what becomes NaN by itself."""
    derived_companion = companion(text)
    assert not derived_companion.guards
    assert len(derived_companion.program.outputs) == 1 + len(derived_companion.program.parameters)


def test_branches():
    """A denominator in a branch has none, as it counts only where the branch is taken."""
    output = Piecewise((a / (x - b), x > b), (0, True))
    assert not companion(Model("m", x, y, {a: 1.0, b: 0.5}, output)).guards


def test_all_branches():
    """A denominator that all branches have counts whichever is taken."""
    output = Piecewise((a / (x - b), x > 1), (2 / (b - x) ** 2 / (a + x), True))
    assert companion(Model("m", x, y, {a: 1.0, b: 0.5}, output)).guards == ("b - x",)


@pytest.mark.parametrize("choice", ["off", "fast", "best"])
def test_forms_that_keep_digits(choice):
    """A formula whose form a search has found has the guards of the formula without one."""
    c = Symbol("c")
    outputs = {
        a * x / ((1 + b * x) * (1 + c * x)): ("b*x + 1", "c*x + 1"),
        1 / (a + x) - 1 / (x + b + c): ("a + x", "b + c + x"),
    }
    for output, guards in outputs.items():
        model = Model("m", x, y, {a: 1.0, b: 0.5, c: 2.0}, output)
        assert sorted(fit_of(stabilize(describe(model, digits=choice))).guards) == sorted(guards)


def test_layers():
    """A network has none, so that its rows are as they were."""
    model = Sequential([Dense(3, "softsign"), Dense(1)], inputs=2, name="m")
    assert not companion(model).guards


@pytest.mark.parametrize("loss", [None, (y - a / (b + x)) ** 4], ids=["squares", "another"])
def test_values(loss):
    """Their values stand in each row before the derivatives, whatever the loss."""
    model = Model("m", x, y, {a: 1.3, b: 0.4}, a / (b + x), *([] if loss is None else [loss]))
    derived_companion = companion(model)
    assert derived_companion.guards == ("b + x",)
    X, Y = np.linspace(-1, 2, 5)[:, None], np.ones((5, 1))
    values = evaluate(derived_companion.program, np.array([1.3, 0.4]), X, Y if derived_companion.curved else None)
    guard = derived_companion.program.outputs[3 if derived_companion.curved else 1]
    assert np.array_equal(values[guard.tensor], 0.4 + X[:, 0])
