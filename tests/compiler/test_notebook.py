"""How models, programs and results show themselves in a notebook."""

import re

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.pipeline import STAGES

NAMES = ("<script>", "a$b", "\\href{javascript:1}{x}", "x_{", "α", "a; b", "100%", "{", "$", "a^b~c", '"', "&")


def decay(*names):
    """A decay with an offset; further parameters of the given names are added."""
    x, y, a, b, c = sympy.symbols("x y amplitude b alpha1")
    more = [sympy.Symbol(name) for name in names]
    output = a * sympy.exp(-b * x) + c + sum(more)
    return nn.Model("decay", x, y, {a: 1, b: 0.5, c: 0, **dict.fromkeys(more, 1)}, output, (output - y) ** 2)


def balanced(text):
    """Whether the braces of a text in LaTeX match, and no dollar stands within it."""
    bare = re.sub(r"\\[{}$]", "", text)
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    return depth == 0 and bare.startswith("$$") and bare.endswith("$$") and "$" not in bare[2:-2]


def test_formula_of_a_model():
    """A formula is typeset as books do it, words upright, the loss of a sample as ℓ, without the index of samples."""
    assert decay()._repr_latex_() == (
        r"$$\begin{aligned}"
        "\n"
        r"\text{output} &= \alpha_{1} + \text{amplitude} \, e^{- b \, x} \\"
        "\n"
        r"\ell &= \left(\alpha_{1} + \text{amplitude} \, e^{- b \, x} - y\right)^{2}"
        "\n"
        r"\end{aligned}$$"
    )


def test_names_as_sympy_reads_them():
    """Letters have accents, and words below them; numbers stand below; a bar is left to derivatives."""
    x, y = sympy.symbols("xhat y")
    names = ("Delta_max", "betadot", "k_cat_1", "w13", "kbar")
    formula = sum(sympy.Symbol(name) * x for name in names)
    text = nn.Model("names", x, y, dict.fromkeys(names, 1.0), formula)._repr_latex_()
    for name in (
        r"\hat{x}",
        r"\Delta_{\text{max}}",
        r"\dot{\beta}",
        r"k_{{\text{cat}\ \text{1}}}",
        "w_{13}",
        r"\text{kbar}",
    ):
        assert f"{name} \\, " in text or f" \\, {name}" in text
    assert r"\bar{y}" not in text


def test_formulas_of_a_network():
    """A network is typeset step by step, with sums over named indices, as in a report."""
    network = nn.Sequential([nn.Dense(3, "tanh"), nn.Dense(2, "softmax")], 4, "categorical_crossentropy")
    text = network._repr_latex_()
    assert balanced(text)
    assert r"s_{j}^{(1)} &= \sum_{i} W_{j i}^{(1)} \, x_{i} \\" in text
    assert r"h_{j}^{(1)} &= \tanh{\left(z_{j}^{(1)} \right)}" in text
    assert r"{\text{log}\_\text{softmax}}_{k}\left(z_{k}^{(2)}\right)" in text


def test_a_product_of_a_sum_is_parenthesized():
    """What is summed has parentheses where it is a sum itself, or negative."""
    network = nn.Sequential([nn.Dense(2)], 2, loss=lambda output, target: -output + target)
    assert r"\sum_{j} \left(" in network._repr_latex_()


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind(name):
    """Names neither end the formula nor become commands or tags."""
    model = decay(name)
    assert balanced(model._repr_latex_())
    assert "\\href" not in model._repr_latex_()
    x, a = sympy.Symbol(name), sympy.Symbol("a")
    assert balanced(nn.Model("input", x, parameters={a: 1}, loss=a * x).describe()._repr_latex_())
    for text in (model._repr_html_(), model.describe()._repr_html_()):
        assert "<script" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", text)


def test_long_sums_stand_in_lines():
    """A sum wider than a page is set in lines, so that it does not run out of the notebook."""
    x, y = sympy.symbols("x y")
    weights = sympy.symbols("weight0:12")
    output = sum(w * sympy.sin(k * x) for k, w in enumerate(weights, 1))
    text = nn.Model("long", x, y, dict.fromkeys(weights, 1.0), output)._repr_latex_()
    assert balanced(text)
    assert r"\text{output} &= \begin{array}{l} {\displaystyle \text{weight}" in text
    assert r"} \\ {\displaystyle {} + \text{weight}" in text
    power = nn.Model("power", x, y, dict.fromkeys(weights, 1.0), sympy.exp(-output) ** 2)._repr_latex_()
    assert r"\text{output} &= \exp{\left(\begin{array}{l} {\displaystyle - 2 \, \text{weight}" in power  # no exponent


def test_long_formulas_are_not_typeset():
    """A formula of thousands of operations has its table alone."""
    x, y = sympy.symbols("x y")
    weights = sympy.symbols("w0:200")
    output = sum(sympy.sin(w * x) for w in weights)
    model = nn.Model("long", x, y, dict.fromkeys(weights, 1.0), output, (output - y) ** 2)
    assert model._repr_latex_() is None
    assert "$$" not in model._repr_html_()
    assert "... 162 more" in model._repr_html_()


def test_table_of_a_model():
    """The table names inputs, targets and parameters with their shapes and how they start."""
    text = nn.Sequential([nn.Dense(3)], 4, name="net")._repr_html_()
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", text)
    rows = [cells[k : k + 4] for k in range(0, len(cells), 4)]
    assert rows[0] == ["name", "role", "shape", "start"]
    assert rows[1:3] == [["x", "input", "4", ""], ["y", "target", "3", ""]]
    assert rows[3][:3] == ["W1", "parameter", "3 × 4"]
    assert rows[3][3].startswith("uniform 0.9258")
    assert rows[4] == ["b1", "parameter", "3", "0"]
    assert "<b>net: a network with 15 parameters</b>" in text


def test_programs_after_every_stage():
    """A program is shown as text in HTML, and typeset with all its indices where it is short."""
    program = decay()
    for stage in STAGES[:4]:
        program = stage(program)
        assert balanced(program._repr_latex_())
        assert r"\sum_{n}" in program._repr_latex_()
        assert "<pre>inputs      x[n]\n" in program._repr_html_()


@pytest.mark.usefixtures("quick_compiler")
def test_table_of_a_training():
    """A result of training shows how it ended and, of a formula, its parameters."""
    module = nn.build(decay())
    X = np.linspace(0, 1, 9)[:, None]
    result = module.train(X, np.exp(-X), epochs=5, metrics="mae")
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", result._repr_html_())
    shown = dict(zip(cells[::2], cells[1::2], strict=True))
    assert shown["status"] == "completed"
    assert shown["epochs"] == "5"
    assert float(shown["mae"]) == pytest.approx(result.metrics["mae"][-1], rel=1e-5)
    assert float(shown["amplitude"]) == pytest.approx(result.parameters[0], rel=1e-6)
    assert "decay: training" in result._repr_html_()
