"""Formulas that are texts, wherever they are given: read by the grammar, or refused; never run, and never for long."""

import decimal
import fractions
import os
import sys

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe.grammar import parse
from nncodegen.compiler.ir import Element, Step
from nncodegen.compiler.ir.graphs import graph_of
from nncodegen.curves.fitting import read_formula
from nncodegen.estimators.network import Description, to_text
from nncodegen.estimators.network.description import loss_text

x, y, a, z = sympy.symbols("x y a z", real=True)
EVIL = "__import__('os').mkdir('executed')"


class Disguised:
    """An object that SymPy takes for an expression, whose text is a program."""

    def _sympy_(self):
        return EVIL

    def __str__(self):
        return EVIL

    __repr__ = __str__


class Own:
    """A layer of one's own, which adds something to its input."""

    def __init__(self, formula, step):
        self.formula, self.step = formula, step

    def describe(self, call):
        h = Element("h", call.x.indices)
        formula = call.x + self.formula if isinstance(self.formula, int) else self.formula
        step = call.x + self.step if isinstance(self.step, int) else self.step
        return nn.Part((), (Step(h, step),), h, formula, call.shape)


GIVEN = {
    "loss": lambda bad: nn.Model("m", x, y, {a: 1}, a * x, bad),
    "output": lambda bad: nn.Model("m", x, y, {a: 1}, bad, (a * x - y) ** 2),
    "outputs": lambda bad: nn.Model("m", x, y, {a: 1}, (a * x, bad), (a * x - y) ** 2),
    "initial value": lambda bad: nn.Model("m", x, y, {a: bad}, a * x, (a * x - y) ** 2),
    "loss function": lambda bad: nn.Sequential([nn.Dense(1)], 1, lambda output, target: bad),
    "loss name": lambda bad: nn.Sequential([nn.Dense(1)], 1, bad),
    "activation": lambda bad: nn.Sequential([nn.Dense(1, bad)], 1),
    "activation function": lambda bad: nn.Sequential([nn.Dense(1, lambda z: bad)], 1),
    "initializer": lambda bad: nn.Sequential([nn.Dense(1, kernel_initializer=bad)], 1),
    "rule": lambda bad: nn.Optimizer("o", lambda parameter, gradient: bad),
    "state": lambda bad: nn.Optimizer("o", lambda parameter, gradient, v: (parameter, bad), ["v"]),
    "hyperparameter": lambda bad: nn.Optimizer("o", lambda parameter: parameter, (), {"k": bad}),
    "range": lambda bad: nn.Optimizer("o", lambda parameter: parameter, (), [nn.Hyperparameter("k", bad)]),
    "layer": lambda bad: nn.Sequential([Own(bad, 0), nn.Dense(1)], 1),
    "step of a layer": lambda bad: nn.Sequential([Own(0, bad), nn.Dense(1)], 1),
    "layer alone": lambda bad: nn.Sequential([Own(bad, bad)], 1, lambda output, target: sympy.exp(output)),
    "estimator": loss_text,
    "estimator's function": lambda bad: to_text(lambda z: bad, {"z": z}, "it"),
    "sigmoid": nn.sigmoid,
    "xlogy": lambda bad: nn.xlogy(x, bad),
    "elu": nn.elu,
    "softsign": nn.softsign,
    "silu": nn.silu,
}


@pytest.mark.parametrize("place", GIVEN)
def test_no_text_is_run(place, tmp_path, monkeypatch):
    """A text, also in a list, an array or an object, is a ModelError wherever a formula is expected, and never run."""
    monkeypatch.chdir(tmp_path)
    for bad in (
        EVIL,
        [EVIL],
        (EVIL,),
        {EVIL},
        {EVIL: EVIL},
        np.array(EVIL),
        np.array(EVIL, object),
        np.str_(EVIL),
        EVIL.encode(),
        Disguised(),
    ):
        with pytest.raises(nn.ModelError):
            GIVEN[place](bad)
    assert os.listdir() == []


def test_texts_are_formulas():
    """A text is the formula that it says, of the symbols that are known where it stands."""
    output = a * x
    formula, text = (
        nn.Model("m", x, y, {a: 1}, *two) for two in ((output, (output - y) ** 2), ("a*x", "(a*x - y)**2"))
    )
    assert (formula.outputs, formula.loss) == (text.outputs, text.loss)
    by_text = nn.Sequential([nn.Dense(1, lambda z: "z*exp(-z**2)")], 1, lambda output, target: "abs(output - target)")
    by_function = nn.Sequential([nn.Dense(1, lambda z: z * sympy.exp(-(z**2)))], 1, lambda p, t: sympy.Abs(p - t))
    assert by_text.describe().show() == by_function.describe().show()
    rule = nn.Optimizer("o", lambda parameter, gradient, learning_rate: "parameter - learning_rate*gradient")
    assert str(rule.update.steps[0].expression) == "-gradient[p]*learning_rate + parameter[p]"


@pytest.mark.parametrize(
    "number",
    [
        2,
        2.5,
        np.float64(2.5),
        np.float32(2.5),
        np.int8(2),
        np.array(2.5),
        fractions.Fraction(5, 2),
        decimal.Decimal("2.5"),
        mpmath.mpf(2.5),
        sympy.Rational(5, 2),
    ],
    ids=lambda number: type(number).__name__,
)
def test_numbers_of_any_library(number):
    """Numbers are expressions, whatever library they are of."""
    model = nn.Model("m", parameters={a: number}, loss=(a - 1) ** 2, output=number)
    assert (float(model.outputs[0]), model.parameters[a]) == (float(number), float(number))
    assert float(nn.sigmoid(number)) == pytest.approx(1 / (1 + np.exp(-float(number))))


SUM = "+".join(f"{k}*z**{k}" for k in range(2, 300))

TOO_LARGE = [
    "sqrt(2)**1000000000000*z", "(2*z)**(10**12)", "exp(1000000000*log(2))*z", "E**(10**9*log(2))*z",
    "exp(10**9*log(2*z))", "exp(10**9*log(2) + z)", "exp2(10**9)*z", "expm1(10**9*log(2))*z", "2**(2**(2**30))*z",
    "2**(-10**9)*z", "(1 + 1/10**6)**(10**9)*z", "((10*z)**300)**300", "3**(10**9*log(2)/log(3))*z",
    "Piecewise((10**300, z > 0), (10**9, True))**(10**300)", "abs(2*z)**(10**12)", "sigmoid(z == 1)",
    "log1p(1e-9**10**9)*z", "elu(10**300*log(2))*z",
    "sigmoid(10**9*log(2))*z", "(sqrt(2)*sqrt(3) + 1 == sqrt(6) + 1.0000000000001)*z",
    "max(exp(exp(exp(exp(10)))), exp(exp(exp(exp(11)))))*z", "exp(exp(exp(10))) + z > z", "cosh(exp(700))*z",
    "max(sqrt(2) + sqrt(3) - sqrt(5 + 2*sqrt(6)), 0)*z", "1e999*z", "10**400*z", "1e300*z*1e300", "9" * 5000 + "*z",
    "0x" + "f" * 50000 + "*z", "z**(10**400)", "-" * 200_000 + "z",
    pytest.param("+".join(["z"] * 20_000), marks=pytest.mark.skipif(
        sys.version_info < (3, 11), reason="Python 3.10 parses a sum of any length, and it is read in a second")),
    "(" * 1000 + "z" + ")" * 1000, "z**" * 3000 + "z", "silu(" * 40 + "z" + ")" * 40,
    "gelu(" * 60 + "z" + ")" * 60, "Piecewise((z, Xor(" + ", ".join(f"z > {k}" for k in range(40)) + ")), (0, True))",
    "ITE(" * 20 + "z > 0" + ", z > 1, z > 2)" * 20, "1/0*z", "log(0)*z", "sqrt(-1)*z", "asin(2)*z", "z\ud800", "z\0",
]  # fmt: skip


@pytest.mark.parametrize("text", TOO_LARGE, ids=lambda text: ascii(text[:25]))
def test_what_is_too_large_is_refused(text):
    """Huge powers, numbers, lengths and depths are a ModelError before SymPy takes long over them."""
    with pytest.raises(nn.ModelError) as caught:
        parse(text, {"z": z}, "the activation")
    assert len(str(caught.value)) < 3000


def test_work_is_bounded(monkeypatch):
    """What SymPy takes long over is ended after a number of calls, and leaves Python as it was."""
    text = "max(" + ", ".join(f"z + {k}*z**{k}" for k in range(100)) + ")"
    with monkeypatch.context() as patch:
        patch.setattr("nncodegen.compiler.describe.grammar.MOST_CALLS", 100_000)
        with pytest.raises(nn.ModelError, match="takes too long to read"):
            parse(text, {"z": z}, "the activation")
    assert parse("max(z, 2)", {"z": z}, "it") == sympy.Max(z, 2)


@pytest.mark.parametrize(
    "text",
    [
        SUM,
        "(1 + z/5000)**5000",
        "exp(-z/1.38e-23)",
        "z**(10**12)",
        "2**(1000*z)",
        "10**300*z",
        "erfc(-z/sqrt(2))/2",
        "(" * 100 + "z" + ")" * 100,
    ],
)
def test_what_is_large_is_read(text):
    """Long sums and large numbers that a double holds are read; SymPy reads the same."""
    assert parse(text, {"z": z}, "it") == sympy.sympify(text, locals={"z": z})


def test_huge_numbers_and_depths_are_model_errors():
    """Numbers beyond a double's, and formulas beyond Python's stack, are a ModelError whoever made them."""

    def deep(argument):
        for _ in range(2000):
            argument = sympy.exp(argument, evaluate=False)
        return argument

    for make in (
        lambda: nn.Sequential([nn.Dense(1, deep)], 1).describe(),
        lambda: nn.Model("m", parameters={z: 10**400}, loss=z**2),
        lambda: nn.compile_model(nn.Model("m", parameters={z: 1}, loss=z ** (10**300)), until="emit"),
        lambda: nn.Sequential([nn.Dense(1, kernel_initializer=10**400)], 1),
        lambda: nn.Sequential([nn.Dropout(fractions.Fraction(10**400, 3)), nn.Dense(1)], 1),
        lambda: nn.Optimizer("o", lambda parameter: parameter, (), {"k": 10**400}),
        lambda: Description.from_dict({"inputs": 1, "layers": [[float("inf"), "tanh"]], "loss": "mse"}),
    ):
        with pytest.raises(nn.ModelError):
            make()


def test_names_that_no_file_can_hold():
    """A lone surrogate in the name of a model or a symbol is a ModelError, also if it came later."""
    bad = sympy.Symbol("p\ud800")
    for make in (
        lambda: nn.Model("m\ud800", parameters={a: 1}, loss=a**2),
        lambda: nn.Sequential([nn.Dense(1)], 1, name="m\ud800"),
        lambda: nn.Model("m", parameters={bad: 1}, loss=bad**2),
        lambda: nn.Model("m", bad, parameters={a: 1}, loss=a**2),
    ):
        with pytest.raises(nn.ModelError, match="has a character that cannot be written to a file"):
            make()
    model = nn.Model("m", parameters={a: 1}, loss=a**2)
    model.name = "m\ud800"
    with pytest.raises(nn.ModelError, match="cannot be written to a file"):
        nn.build(model)


def test_hyperparameters_of_numpy():
    """Defaults of NumPy's types are numbers as good as Python's."""
    rule = nn.Optimizer("o", lambda parameter, k: parameter - k, (), [nn.Hyperparameter("k", np.float64(0.5))])
    module = nn.build(nn.Model("m", parameters={a: 1}, loss=a**2, optimizers=[rule]))
    assert module.train(optimizer="o", epochs=1).parameters.tolist() == [0.5]


# --- texts as people write them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a*x^2", "write \\*\\*"),
        ("a*np.exp(x)", "write exp, not np.exp"),
        ("math.sin(x)*a", "write sin, not math.sin"),
        ("numpy.arcsin(x)", "write asin"),
        ("sp.sqrt(x)", "write sqrt, not sp.sqrt"),
        ("np.pi*x", "write π, not np.pi"),
        ("np.foo(x)", "no function np.foo"),
        ("np.nan*x", "nan is no number"),
        ("lambda*x + a", "lambda is a word of Python"),
        ("lambda x: x", "lambda is a word of Python"),
        ("a*in", "in is a word of Python"),
        ("nan*x", "nan is no number"),
        ("x + inf", "inf is infinite"),
        ("oo*x", "oo is infinite"),
        ("Inf", "Inf is infinite"),
        ("\N{CYRILLIC SMALL LETTER A}*x", "CYRILLIC SMALL LETTER A.*; did you mean a"),
        ("\N{GREEK SMALL LETTER THETA}*x", "GREEK SMALL LETTER THETA"),
        ("x \N{MINUS SIGN} a", "U\\+2212.*write -"),
        ("x\N{SUPERSCRIPT TWO}", "write \\*\\*2"),
        ("2x*a", "as in 2\\*x"),
        ("a(x + 1)", r"write a\*\("),
        ("ln(x)", "write log"),
        ("sqare(x)", "did you mean sqrt"),
        ("a*before(x)", "no function before here: .* nncodegen.Dynamics, in Python"),
        ("x if x > 0 else a", "write Piecewise"),
        ("0 < x < 1", "one comparison at a time"),
        ("(x > 0) and (x < 1)", "joined by &"),
        ("not (x > 0)", "negated by ~"),
        ("0,5*x", "with a point"),
        ("y = a*x", "right side alone"),
        ("y' = a*x", "motion, which nncodegen.Dynamics"),
        ("I*x", "without an imaginary unit"),
        ("e**x", r"write exp\(1\)"),
        ("", "is empty"),
        ("alpha*x", "alpha is none of x, a"),
        ("x % 2", "no derivative"),
        ("exp(x, base=2)", "no arguments by name"),
    ],
)
def test_what_people_write_instead(text, message):
    """A text in another language than ours is refused with what to write instead."""
    with pytest.raises(nn.ModelError, match=message) as caught:
        parse(text, {"x": x, "a": a}, "it")
    assert len(str(caught.value)) < 400


LONG = " + ".join(f"a*x**{k}" for k in range(200))

PLACES = [
    ("a*exp(-x) + * x", "    a*exp(-x) + * x\n                ^"),
    ("a*x + b", "    a*x + b\n          ^"),
    ("x + (a*x)^2", "    x + (a*x)^2\n             ^"),
    ("a + lambda", "    a + lambda\n        ^"),
    ("(a +\n frob(x))", "     frob(x))\n     ^"),
    ("\N{GREEK SMALL LETTER ALPHA} = x", "    α = x\n      ^"),
    (f"{LONG} + frob(x) + {LONG}", " + a*x**198 + a*x**199 + frob(x) + a*x**0 + a*x**1 + "),
]


@pytest.mark.parametrize(("text", "lines"), PLACES)
def test_an_error_shows_its_place(text, lines):
    """A caret stands below the place of an error, and of a long text only what is around it is shown."""
    with pytest.raises(nn.ModelError) as caught:
        parse(text, {"x": x, "a": a}, "it")
    assert lines in str(caught.value)
    line, caret = str(caught.value).split("\n")[-2:]
    assert line[caret.index("^")] in "*b^l=fα"
    assert len(line) < 85


@pytest.mark.parametrize(
    "name",
    [
        "E",
        "I",
        "pi",
        "S",
        "N",
        "Q",
        "O",
        "oo",
        "zoo",
        "nan",
        "inf",
        "e",
        "gamma",
        "beta",
        "zeta",
        "Lambda",
        "sign",
        "exp",
        "re",
    ],
)
def test_names_of_numbers_and_functions_as_parameters(name):
    """A parameter, an input or a column that has the name of a number or a function is what its owner says it is."""
    symbol = sympy.Symbol(name)
    model = nn.Model("m", "x", "y", {name: 2.0}, f"{name}*x + exp(-x)")
    assert model.outputs == (symbol * sympy.Symbol("x") + sympy.exp(-sympy.Symbol("x")),)
    assert nn.Model("m", name, "y", {"a": 1}, f"a*{name}").outputs == (sympy.Symbol("a") * symbol,)
    assert read_formula(f"{name}*x", ["x"], [name]).parameters == (name,)
    assert read_formula(f"a*{name}", [name]).columns == (name,)


def test_euler_is_told():
    """E, where nobody has declared it, is told to be Euler's number: a formula to fit with it is refused."""
    with pytest.warns(UserWarning, match="E, which is Euler's number, 2.718") as caught:
        model = nn.Model("m", "x", "y", {"a": 1}, "a*E*x")
    assert [warning.filename for warning in caught] == [__file__]
    assert float(model.outputs[0].subs({"a": 1, "x": 1})) == pytest.approx(np.e)
    assert nn.Model("m", "x", "y", {"a": 1}, "a*exp(1)*x + 1E5*a").outputs  # no warning
    with pytest.raises(nn.ModelError, match=r"E is Euler's number, 2.718.*write exp"):
        read_formula("E*x", ["x"])
    with pytest.raises(nn.ModelError, match=r"E as a symbol, but its formula has SymPy's number E \(2.718\)"):
        nn.Model("m", x, y, {"E": 1.0, a: 1.0}, a + sympy.sympify("E*t").subs("t", x))
    with pytest.raises(nn.ModelError, match=r"pi as a symbol"):
        nn.Model("m", x, y, {sympy.Symbol("pi"): 1.0, a: 1.0}, a * sympy.pi * x)


def test_pi_is_told():
    """pi, where nobody has declared it, is told to be the number; the Greek letter is the number without a word."""
    with pytest.warns(UserWarning, match=r"pi, which is the number 3\.14159, here: write π") as caught:
        model = nn.Model("m", "x", "y", {"a": 1}, "a*sin(2*pi*x)")
    assert [warning.filename for warning in caught] == [__file__]
    assert model.outputs == nn.Model("m", "x", "y", {"a": 1}, "a*sin(2*π*x)").outputs
    with pytest.warns(UserWarning, match="a parameter pi has to be given"):
        assert nn.curve_fit("a*cos(pi*x)", [0.0, 0.5, 1.0], [2.0, 0.0, -2.0])[0] == pytest.approx([2.0])
    assert nn.curve_fit("a*cos(π*x)", [0.0, 0.5, 1.0], [2.0, 0.0, -2.0])[0] == pytest.approx([2.0])
    declared = nn.Model("m", "x", "y", {"π": 1, "pi": 2}, "pi*x + π")
    assert [symbol.name for symbol in declared.parameters] == ["π", "pi"]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("\N{CYRILLIC SMALL LETTER A}*exp(-b*x) + a", "looks like a, but has . .CYRILLIC SMALL LETTER A"),
        ("a*\N{CYRILLIC SMALL LETTER HA} + b*x", "looks like x, but has . .CYRILLIC SMALL LETTER HA"),
        ("inf*x", "inf is infinite"),
    ],
)
def test_names_that_could_mean_something_else(formula, message):
    """Where names that are not known are parameters, one that looks like another, or like a number, is refused."""
    with pytest.raises(nn.ModelError, match=message):
        nn.curve_fit(formula, [1.0, 2.0], [1.0, 2.0])
    assert read_formula("\N{CYRILLIC SMALL LETTER A}*x", ["x"]).parameters == ("\N{CYRILLIC SMALL LETTER A}",)


def test_a_parameter_called_as_a_number_is_fitted():
    """A start or bounds make a parameter of E, as in Young's modulus; without them, a fit does not begin."""
    strain = np.array([0.0, 1.0, 2.0, 3.0])
    for options in ({"p0": {"E": 3.0}}, {"bounds": {"E": (0, 500)}}):
        popt, _ = nn.curve_fit("E*x + s", strain, 200 * strain + 1, **options)
        assert popt == pytest.approx([200, 1])
    with pytest.raises(nn.ModelError, match="Euler"):
        nn.curve_fit("E*x + s", strain, strain, p0=[1, 2])


def test_names_of_inputs_and_targets_as_texts():
    """Inputs and targets may be names, in one text or each: those of a formula of SymPy are its symbols."""
    positive = sympy.Symbol("x1", positive=True)
    model = nn.Model("m", "x1, x2", ["y"], {"a": 1}, sympy.log(positive) * sympy.Symbol("a") + sympy.Symbol("x2"))
    assert (model.inputs, model.targets) == ((positive, sympy.Symbol("x2")), (sympy.Symbol("y"),))
    by_text = nn.Model("m", "x1 x2", "y", {"a": 1}, "a*log(x1) + x2", "abs(a*log(x1) + x2 - y)")
    assert [symbol.name for symbol in by_text.inputs] == ["x1", "x2"]


def test_messages_do_not_print_long_texts():
    """Messages quote the beginning of a long formula, and some of many names."""
    terms = " + ".join(f"x**{k}" for k in range(1, 300))
    with pytest.raises(nn.ModelError, match="has no parameters") as caught:
        read_formula(terms, ["x"])
    assert len(str(caught.value)) < 400
    with pytest.raises(nn.ModelError, match=r"q is none of p0, p1, .* and 188 more") as caught:
        parse("q", {f"p{k}": sympy.Symbol(f"p{k}") for k in range(200)}, "it")
    assert len(str(caught.value)) < 400


def test_texts_of_many_levels_are_read():
    """A text may have as many levels as Python's parser takes; one with more is refused in words, at once."""
    text, value = "z", z
    for _ in range(180):
        text, value = f"sin({text} + a)", sympy.sin(value + a)
    parsed = parse(text, {"z": z, "a": a}, "the formula")
    graph = graph_of([parsed, value])
    assert graph.roots[0] == graph.roots[1]
    assert parse("*".join("z" * 400), {"z": z}, "the formula") == z**400
    with pytest.raises(nn.ModelError, match="too many nested parentheses"):
        parse("(" * 250 + "z" + ")" * 250, {"z": z}, "the formula")
