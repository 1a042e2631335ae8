"""What is accepted builds: a formula compiles, or a ModelError names the part that cannot be."""

import random
import subprocess

import pytest
import sympy
from sympy.codegen.cfunctions import Cbrt, Sqrt, hypot

import nncodegen as nn
from nncodegen.compiler.building.targets import KERNEL_FLAGS
from nncodegen.compiler.describe.checks import accepted
from nncodegen.compiler.ir.functions import StableFunction

pytestmark = pytest.mark.usefixtures("quick_compiler")

a, b, x = sympy.symbols("a b x")


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (sympy.asin(2) * a, r"complex: asin\(2\)"),
        (sympy.atanh(2) * a, r"complex: atanh\(2\)"),
        (a * sympy.exp(sympy.asin(sympy.E)), r"complex: asin\(E\)"),
        (sympy.Integer(10) ** 500 * a, "1000.*too large for float64"),
        (sympy.exp(800) * a, r"exp\(800\), which is too large for float64"),
        (sympy.exp(sympy.exp(sympy.exp(20))) * a, r"exp\(exp\(20\)\), which is too large"),
        (sympy.sqrt(2) ** sympy.Integer(10) ** 5 * a + b, "too large"),
    ],
)
def test_numbers_that_are_none(formula, message):
    """A number that is complex, or out of range, is named."""
    with pytest.raises(nn.ModelError, match=message):
        nn.Model("m", [x], [], {a: 0.5, b: 0.5}, formula, formula)


def test_numbers_of_a_precision():
    """A number that float64 holds may be too large for float32."""
    formula = sympy.Integer(10) ** 40 * a
    model = nn.Model("m", [x], [], {a: 0.5}, formula, formula)
    nn.compile_model(model, "float64", until="emit")
    with pytest.raises(nn.ModelError, match="too large for float32"):
        nn.compile_model(model, "float32", until="emit")


@pytest.mark.parametrize(
    ("formula", "loss", "gradient"),
    [
        (Sqrt(a), 2**0.5, 2**-1.5),
        (a / sympy.sign(a), 2.0, 1.0),
        (a**2 / sympy.Heaviside(a), 4.0, 4.0),
        (a * sympy.sqrt(sympy.sign(a)), 2.0, 1.0),
        (Cbrt(-4 * a), -2.0, -1 / 3),
        (sympy.exp(1000) * a * sympy.Float("1e-434"), 3.9401422280340944, 1.9700711140170472),
    ],
)
def test_values(formula, loss, gradient):
    """Formulas whose derivative SymPy writes with a part that has no C form build, and are right."""
    module = nn.build(nn.Model("accepted", [x], [], {a: 0.5}, formula, formula), fit=False)
    value, slope = module.loss_and_gradient([2.0], [[1.0]])
    assert value == pytest.approx(loss, rel=1e-15)
    assert slope == pytest.approx([gradient], rel=1e-15)


SUPPORTED = [f for f in accepted() if f not in (StableFunction, sympy.Piecewise)]
TWO = (sympy.atan2, hypot, sympy.Min, sympy.Max)
OPERATIONS = [
    lambda u, v: u + v,
    lambda u, v: u - v,
    lambda u, v: u * v,
    lambda u, v: u / v,
    lambda u, v: u**2,
    lambda u, v: 1 / u,
    lambda u, v: sympy.sqrt(u),
    lambda u, v: abs(u) ** v,
    lambda u, v: u ** sympy.Rational(7, 3),
    lambda u, v: sympy.Piecewise((u, x > 0.5), (v, True)),
    lambda u, v: sympy.Piecewise((u, u > v), (v, u < 1)),
    lambda u, v: nn.sigmoid(u),
    lambda u, v: sympy.exp(-u) / (1 + sympy.exp(v)),
]
LEAVES = [
    a,
    b,
    x,
    a * x,
    x / b,
    sympy.Integer(2),
    sympy.Integer(-3),
    sympy.Rational(1, 3),
    sympy.Float(0.7),
    sympy.pi,
    sympy.E,
]


def random_formula(generator, depth):
    """A formula of the supported functions, of up to some levels."""
    if depth == 0:
        return generator.choice(LEAVES)
    u, v = random_formula(generator, depth - 1), random_formula(generator, generator.randrange(depth))
    if generator.random() < 0.4:
        return generator.choice(OPERATIONS)(u, v)
    function = generator.choice(SUPPORTED)
    return function(u, v) if function in TWO else function(u)


@pytest.mark.parametrize("block", [0, *(pytest.param(block, marks=pytest.mark.thorough) for block in range(1, 6))])
def test_random_formulas(block, tmp_path):
    """Every formula of supported functions becomes C that compiles without a warning, or is refused for a reason."""
    built = refused = 0
    for seed in range(25):
        generator = random.Random(1000 * block + seed)
        try:
            formula = random_formula(generator, generator.choice((1, 2, 2, 3)))
        except (TypeError, ValueError):  # SymPy itself has no such formula
            continue
        try:
            model = nn.Model("accepted", [x], [], {a: 0.5, b: 0.5}, formula, formula)
            sources = nn.compile_model(model, until="emit", fit=False)["emit"]
        except nn.ModelError:
            refused += 1
            continue
        if not formula.free_symbols & {a, b}:  # nothing to learn, and a learning rate that is never used
            continue
        (tmp_path / f"model{seed}.c").write_text(sources.files["accepted.c"])
        for name, text in sources.files.items():
            if name.endswith(".h"):
                (tmp_path / name).write_text(text)
        built += 1
    flags = [flag for flag in KERNEL_FLAGS if not flag.startswith("-O")]
    strict = ["-O0", "-std=c11", "-Wall", "-Werror", "-fsyntax-only"]
    command = ["cc", *flags, *strict, *sorted(map(str, tmp_path.glob("model*.c")))]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert built > refused
