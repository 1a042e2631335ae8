"""How formulas are set in a page: the MathML of their LaTeX, whatever names hold, and as browsers need it."""

import re
import sys
from xml.etree import ElementTree

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.functions import sigmoid
from tests.support.search import examples

for _library in ("jinja2", "latex2mathml"):
    pytest.importorskip(_library)

from nncodegen.compiler.typeset.notation import Name
from nncodegen.compiler.typeset.written import in_lines
from nncodegen.reports.formulas import Setter, partial_derivatives, training_function
from nncodegen.reports.mathml import mathml

ELEMENTS = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "munder", "mover", "mfrac",
            "msqrt", "mroot", "mtable", "mtr", "mtd", "mstyle"}  # fmt: skip
"""What a page has of MathML: nothing else comes of a name."""

HOSTILE = (
    "<img src=x onerror=1>", "</math><script>alert(1)</script>", "a_b^c", "\\frac", "\\href{javascript:1}{x}", "$", "&",
    "&lt;", "&#60;b&#x3e;", "%", "% comment", "{", "}", "}{", "a}b{c", "#1", "~", "2 cm", "größe", "α", "名", "]]>",
    "\\begin{cases}", "\\text{x", "'\"", "--", " ", "_", "^", "\\",
)  # fmt: skip

x, y, amplitude, rate = sympy.symbols("x y amplitude rate")


def tree(markup):
    """The elements of a formula, of which a page has no other."""
    root = ElementTree.fromstring(str(markup))
    assert {element.tag for element in root.iter()} <= ELEMENTS
    assert not any(name.startswith("on") or name in ("href", "src") for each in root.iter() for name in each.attrib)
    return root


def text(element):
    """What a reader sees of it."""
    return "".join(element.itertext()).replace("\xa0", " ")


def setter(*names):
    """What sets formulas of a model with parameters of these names."""
    symbols = [sympy.Symbol(name) for name in names]
    return Setter(nn.Model("model", x, y, dict.fromkeys(symbols, 1.0), sum(symbols) * x).describe())


def check_name(name):
    """A name is set as it is, but for the hat, which LaTeX has none of, by itself and with a bar."""
    typesetter = setter("a")
    for bars in (0, 1):
        root = tree(typesetter.symbol(Name(name, "1", plain=True, bars=bars)))
        assert text(root) == name.replace("^", "ˆ").replace("\xa0", " ") + "‾" * bars + "1"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_set_as_they_are(name):
    """Nothing in a name is HTML, MathML or a command of LaTeX: a reader sees the name, also within a formula."""
    check_name(name)
    root = tree(setter(name, "other").expression(2 * sympy.Symbol(name) ** 2 * x))
    assert name.replace("^", "ˆ") in text(root)


@examples(300)
@given(st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=20))
def test_any_name_is_set_as_it_is(name):
    """Whatever a name holds."""
    check_name(name)


def test_the_page_shows_what_is_copied():
    """A formula of the page is the one of its LaTeX."""
    network = nn.Sequential([nn.Dense(3, "relu"), nn.Dense(2, "softmax")], 4, "categorical_crossentropy")
    for model in (network, nn.Model("formula", x, y, {amplitude: 1, rate: 1}, amplitude * sympy.exp(-rate * x))):
        stages = nn.compile_model(model, until="differentiate")
        typesetter = Setter(*(stage.result for stage in stages.stages))
        formulas = training_function(typesetter, stages["describe"], stages["stabilize"])
        formulas += [partial.in_values for partial in partial_derivatives(typesetter, stages["differentiate"], 9)]
        assert len(formulas) > 4
        for formula in formulas:
            assert formula.math == mathml(formula.latex, block=True)
            assert tree(formula.math).get("display") == "block"


def test_layers_stand_above_and_indices_below():
    """The number of a layer stands above at the right, indices below; those of a sum or a maximum stand below it."""
    network = nn.Sequential([nn.Conv1D(2, 3), nn.GlobalMaxPooling1D(), nn.Dense(2)], (8, 1)).describe()
    typesetter = Setter(network)
    steps = {step.target.tensor: tree(typesetter.step(step)) for step in network.steps}
    weight = steps["s3"].find(".//munder/../msubsup")
    assert [text(part) for part in weight] == ["s", "no", "(3)"]
    assert [[text(part) for part in steps[name].find(".//munder")] for name in ("s3", "h2")] == [
        ["∑", "l"],
        ["max", "k"],
    ]
    assert all(root.get("displaystyle") == "true" for root in steps.values())


def test_derivatives_of_the_loss_have_bars():
    """A bar lies on its letter or word, as an accent; so does the hat of a name."""
    typesetter = setter("xhat", "rate")
    for bar in (typesetter.latex.bar(Element("t")), typesetter.latex.bar(Element("rate"))):
        over = tree(mathml(bar)).find(".//mover")
        assert (over.get("accent"), over[1].text) == ("true", "‾")
    assert text(tree(mathml(typesetter.latex.bar(Element("rate"))))) == "rate‾"
    hat = tree(typesetter.expression(sympy.Symbol("xhat"))).find(".//mover")
    assert [text(part) for part in hat] == ["x", "^"]


def test_a_derivative_is_a_fraction():
    """The loss stands above, the parameter below, each after its sign."""
    typesetter = setter("rate")
    model = nn.Model("m", x, y, {rate: 1.0}, rate * x)
    partial = partial_derivatives(typesetter, nn.compile_model(model, until="differentiate")["differentiate"], 1)[0]
    assert [text(part) for part in tree(partial.in_values.math).find(".//mfrac")] == ["∂ℒ", "∂rate"]


def test_cases_are_a_table():
    """Each case stands in a row with its condition, both at the left, the last one with "otherwise"."""
    root = tree(setter("a").expression(sympy.Piecewise((x**2, x > 1), (-x, x < -1), (0, True))))
    rows = [[text(cell) for cell in row] for row in root.iter("mtr")]
    assert rows == [["x2", "forx>1"], ["−x", "forx<−1"], ["0", "otherwise"]]
    assert {cell.get("columnalign") for cell in root.iter("mtd")} == {"left"}


def test_long_sums_are_set_in_lines():
    """A sum that is wider than the page is set in lines of its terms; each of them is there, in order."""
    terms = sympy.symbols("term1:40")
    assert [term for line in in_lines(terms, 20.0) for term in line] == list(terms)
    assert {len(line) for line in in_lines(terms, 20.0)[3:-1]} == {2}  # of six letters and a sign each
    typesetter = setter("a")
    root = tree(typesetter.expression(sympy.Add(*terms[:20], *(-term for term in terms[20:]))))
    rows = list(root.iter("mtr"))
    assert len(rows) == len(in_lines(terms)) > 1
    assert {row[0].get("columnalign") for row in rows} == {"left"}
    assert {style.get("displaystyle") for style in root.iter("mstyle")} == {"true"}
    shown = re.findall(r"([+−]?)term(\d+)", text(root))
    assert sorted(int(number) for _, number in shown) == list(range(1, 40))
    assert all((sign == "−") is (int(number) > 20) for sign, number in shown)
    assert not list(tree(typesetter.expression(sympy.Add(*terms[:3]))).iter("mtr"))


def test_signs_and_names_have_the_space_of_books():
    """A minus at the beginning is that of its number, one between terms is not; a function is no sign."""
    root = tree(setter("a").equation("y", -x - sigmoid(-x)))
    signs = [sign.get("form") for sign in root.iter("mo") if sign.text == "−"]
    assert signs == ["prefix", None, "prefix"]
    assert "sigmoid" in [name.text for name in root.iter("mi")]
    assert [space.tag for space in tree(setter("a").expression(amplitude * rate)).iter("mspace")] == ["mspace"]


def test_only_a_report_needs_latex2mathml(monkeypatch):
    """Without it, a report says what to install, and a notebook shows formulas as before."""
    model = nn.Model("line", x, y, {rate: 1.0}, rate * x)
    shown = model._repr_latex_()
    for name in [name for name in sys.modules if name.partition(".")[0] == "latex2mathml"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert model._repr_latex_() == shown
    with pytest.raises(ImportError, match=r"a report needs latex2mathml.* install 'nncodegen\[report\]'"):
        nn.report(model)
