"""Reports: what stands in the page is what the compiler derived, and a browser shows it as it should."""

import base64
import html
import json
import os
import re
import shutil
import unicodedata
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.ir import RECURRENCES, Element, Step, evaluate
from nncodegen.compiler.ir.functions import sigmoid, xlogy
from nncodegen.compiler.ir.limits import power_derivative, product_unless_zero, product_unless_zeros
from nncodegen.compiler.ir.quotients import QUOTIENTS, expm1_excess, langevin_slope
from nncodegen.compiler.ir.shares import share
from nncodegen.compiler.passes.rules import RULES
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import rewritings, stabilize
from nncodegen.formats.wasm.compiler import compilers
from nncodegen.perceptron import model as perceptron_model
from tests.support import ROOT
from tests.support.browser import CHROMIUM, browser
from tests.support.compilers import QUICK
from tests.support.models import random_data
from tests.support.windows import recurrent, window

for _library in ("jinja2", "pygments", "matplotlib", "graphlay", "latex2mathml", "fontTools", "ziamath"):
    pytest.importorskip(_library)

from fontTools.ttLib import TTFont

from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.typeset.written import as_written
from nncodegen.reports import page_data
from nncodegen.reports.arguments import GivenData, data_of
from nncodegen.reports.attention import attending, attention_plots
from nncodegen.reports.code import code
from nncodegen.reports.derivatives import partials
from nncodegen.reports.folded import kind_of
from nncodegen.reports.formulas import Setter, partial_derivatives
from nncodegen.reports.graph import graph_of
from nncodegen.reports.many_results import data_of_best
from nncodegen.reports.math_font import font_file, italic
from nncodegen.reports.page import SHARES, _together
from nncodegen.reports.results import outputs_of
from nncodegen.reports.reverse_sweep import sweep
from nncodegen.reports.stages import shared

AXE = Path(os.environ.get("NNCODEGEN_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
"""The checker of accessibility, where it is installed: npm install axe-core."""

PICTURES = ROOT / "artifacts" / "report"
"""Where --thorough keeps what the browser shows."""

WIDTHS = (360, 1024, 1920)

in_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")

c, r, V, K, n = sympy.symbols("c r V K n")
sin_quotient = QUOTIENTS[sympy.sin]
enzyme = nn.Model("enzyme", inputs=c, targets=r, parameters={V: 100, K: 1}, output=V * c / (K + c))
concentration = [0.02, 0.02, 0.06, 0.06, 0.11, 0.11, 0.22, 0.22, 0.56, 0.56, 1.10, 1.10]
rate = [76, 47, 97, 107, 123, 139, 159, 152, 191, 201, 207, 200]

digits = nn.Sequential(
    [nn.Dense(32, "tanh"), nn.Dense(10, "softmax")], inputs=64, loss="categorical_crossentropy", name="digits"
)
plane = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(1, "sigmoid")], inputs=2, loss="binary_crossentropy", name="plane")


@pytest.fixture(scope="module")
def pages(tmp_path_factory, perceptron, chain):
    """The page of each model, in a file: a formula with its training, one with a fit, networks, a classifier."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    labels = rng.integers(0, 3, 30)
    trained = chain.train(rng.normal(size=(30, 4)), labels, epochs=30, optimizer="adam", metrics=["accuracy"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", QUICK)
        fitted = nn.report(enzyme, None, (concentration, rate))
    chain_model = nn.Sequential(
        [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")], inputs=4, loss="categorical_crossentropy", name="chain"
    )
    made = {
        "perceptron": nn.report(perceptron_model),
        "enzyme": fitted,
        "digits": nn.report(digits, rng.normal(size=2410), (rng.uniform(size=(9, 64)), np.arange(9))),
        "plane": nn.report(plane, rng.normal(size=17) * 3, (X, (X[:, 0] > 0).astype(float))),
        "chain": nn.report(chain_model, trained),
    }
    folder = tmp_path_factory.mktemp("report")
    for name, report in made.items():
        report.save(folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in made}


class Reader(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.addresses, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href"):
                self.links.append(value)
            elif name in ("src", "srcset", "action", "data"):
                self.addresses.append(value)


def read(path):
    reader = Reader()
    reader.feed(path.read_text())
    return reader


# --- what stands in the page -------------------------------------------------------------------------------------


def test_pages_are_small_and_need_nothing(pages):
    """A page has at most 2 MB, asks no other place for anything, and every link leads to one of its parts."""
    for name, path in pages.items():
        reader = read(path)
        assert path.stat().st_size <= 2_000_000, name
        assert reader.addresses == [], name
        assert len(reader.ids) == len(set(reader.ids)), name
        inside = [link for link in reader.links if link != "data:,"]
        assert {link[0] for link in inside} == {"#"}, name
        assert {link[1:] for link in inside} <= set(reader.ids), name
        assert "@import" not in path.read_text()
        addresses = re.findall(r"url\(([^)]*)", path.read_text())
        inner = [address for address in addresses if not address.startswith('"data:font/woff;base64,')]
        assert len(inner) == len(addresses) - 1, name
        assert {*inner} <= {f"#{each}" for each in reader.ids}, name


def test_what_a_page_shows(pages):
    """Every section is there: graph, formulas, stages, schedule, C, numbers; curves with a band, a surface, a path."""
    texts = {name: path.read_text() for name, path in pages.items()}
    for text in texts.values():
        for section in ("graph", "formulas", "sweep", "stages", "schedule", "c", "certificate", "numbers", "train"):
            assert f'<section id="{section}"' in text
        places = [text.index(f'<section id="{section}"') for section in ("numbers", "graph", "train")]
        assert places == sorted(places)  # what a fit or a training gave comes first
        links = [text.index(f'<li><a href="#{section}"') for section in ("numbers", "graph", "certificate")]
        assert links == sorted(links)
    assert "0.649864 to 0.999453" in texts["perceptron"]
    assert re.search(
        r'<a href="#d-\d+">loss</a> = .*  <a class="to" href="#c\d+" aria-label="loss in the C">', texts["digits"]
    )
    assert "583" in texts["perceptron"]
    assert "95 % confidence" in texts["enzyme"]
    assert "212.68374" in texts["enzyme"]
    assert "Decision surface" in texts["plane"]
    assert "There is none beside the built module, in the cache or in generated/plane" in texts["plane"]
    assert re.search(r"The loss goes from [\d.]+ to [\d.]+\. The accuracy goes from", texts["chain"])
    assert "before and after" in texts["chain"]
    assert "W1 32 × 64" in re.sub("<[^>]*>", "", texts["digits"])


def test_a_formula_is_no_network(pages):
    """The section with the graph has the name of what it draws."""
    titles = {name: re.search(r'<h2 id="graph-heading">(\w+)<', path.read_text())[1] for name, path in pages.items()}
    assert titles == {
        "perceptron": "Graph",
        "enzyme": "Graph",
        "digits": "Network",
        "plane": "Network",
        "chain": "Network",
    }


def test_formulas_have_a_font_of_their_own(pages):
    """A page holds a mathematical font with all signs of its formulas, also in italics, and the license of the font."""
    for name, path in pages.items():
        page = path.read_text()
        data = re.search(r'font-family: formulas; src: url\("data:font/woff;base64,([^"]*)"', page)[1]
        font = TTFont(BytesIO(base64.b64decode(data)))
        assert "MATH" in font, name
        assert any("Open Font License" in str(each) for each in font["name"].names), name
        assert len(data) < 150_000, name
        formulas = "".join(re.sub("<[^>]*>", "", each) for each in re.findall(r"<math.*?</math>", page, re.DOTALL))
        signs = {sign for each in set(html.unescape(formulas)) for sign in (each, italic(each)) if not each.isspace()}
        with TTFont(font_file(), lazy=True) as complete:
            whole = complete.getBestCmap()
        assert {ord(sign) for sign in signs} & {*whole} <= {*font.getBestCmap()}, name
        assert {ord(sign) for sign in signs} <= {*whole}, name


@pytest.mark.parametrize(
    ("letter", "shown"), [("x", "𝑥"), ("h", "ℎ"), ("W", "𝑊"), ("ω", "𝜔"), ("Σ", "𝛴"), ("ϕ", "𝜙"), ("3", "3")]
)
def test_italics_of_letters(letter, shown):
    """A letter that stands alone is shown in italics, which are signs of their own in Unicode."""
    assert italic(letter) == shown
    assert unicodedata.normalize("NFKC", shown) in (letter, unicodedata.normalize("NFKC", letter))


def test_what_repeats_is_folded():
    """Of a long network each kind of step is shown once, and what is folded is all the rest."""
    blocks = [nn.Dense(5, "tanh") for _ in range(12)]
    page = nn.report(nn.Sequential([*blocks, nn.Dense(2)], 3, "mse", name="deep")).html
    steps = page[page.index("The function and its loss") : page.index("The partial derivatives")]
    shown, _, rest = steps.partition("<details><summary>")
    assert shown.count("<tr>") - 1 < 10
    assert shown.count("<tr>") + rest.count("<tr>") - 2 == len(
        nn.Sequential([*blocks, nn.Dense(2)], 3, "mse").describe().steps
    )
    assert re.match(r"\d+ more steps of the same kinds, of other layers</summary>", rest)
    short = nn.report(nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(2)], 3, "mse", name="short")).html
    assert "of the same kinds" not in short


def test_kinds_of_formulas():
    """Formulas of one kind differ in numbers and in the names of indices alone."""
    first, second, other = (
        "s3[n, k] = sum(j) W3[k, j]*h2[n, j]",
        "s12[n, i17] = sum(a) W12[i17, a]*h9[n, a]",
        "s3[n, k] = h2[n, k]",
    )
    assert kind_of(first) == kind_of(second) != kind_of(other)


def test_without_a_result_the_model_comes_first():
    """Where there is nothing to tell of a training, the page begins with the network."""
    text = nn.report(nn.Sequential([nn.Dense(1)], 2, name="untrained")).html
    places = [text.index(f'<section id="{section}"') for section in ("graph", "certificate", "numbers", "train")]
    assert places == sorted(places)


def test_rules_are_told_in_words():
    """What a page says of a rule does not send its reader to the source."""
    for rule in (rule for rules in RULES.values() for rule in rules):
        about = (rule.__doc__ or "").split("\n\n")[0]
        assert not re.search(r"\bsee\b|``|\b[A-Z][A-Z_]{3,}\b", about), about


def test_names_are_never_markup():
    """Names and units of a user are text in a page, whatever they hold; a script in them is not run."""
    evil = '<script>alert("x")</script>'
    x, y, p = sympy.Symbol(evil), sympy.Symbol("</title>&amp;"), sympy.Symbol("a'\"}]]>\\text{<b>")
    report = nn.report(
        nn.Model("<img src=x onerror=alert(1)>", x, y, {p: 2.0}, sympy.exp(p * x)), [1.5], ([1, 2], [3, 4])
    )
    plain = nn.report(nn.Model("plain", r, c, {V: 2.0}, sympy.exp(V * r)), [1.5], ([1, 2], [3, 4]))
    reader, expected = Reader(), Reader()
    reader.feed(report.html)
    expected.feed(plain.html)
    assert reader.tags.count("script") == expected.tags.count("script")
    assert reader.tags.count("img") == reader.tags.count("b") == 0
    assert "&lt;img src=x onerror=alert(1)&gt;" in report.html
    assert evil not in report.html


def test_a_large_model_stays_within_the_limit(monkeypatch):
    """Where a page would be too large, long lists are cut and say so."""
    monkeypatch.setattr(page_data, "LIMIT", 190_000)
    page = nn.report(digits).html
    assert len(page.encode()) <= 190_000
    assert "are left out, so that the page stays small" in page
    assert SHARES[0] == 1


# --- what the page is made of ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled():
    """The stages of some models up to the C: formulas, layers, a window that moves, a recurrence."""
    models = {model.name: model for model in (perceptron_model, enzyme, digits, plane)}
    models |= {"window": Described(window(2, -1, 1, 5)), "recurrent": Described(recurrent())}
    return {name: nn.compile_model(model, until="emit") for name, model in models.items()}


def test_the_sweep_shows_every_step_once(compiled):
    """Each step of the loss, and each step that is derived from it, stands in one row, from the loss back."""
    for stages in compiled.values():
        program = stages["differentiate"]
        rows = sweep(program)
        shown = [step for row in rows for step in row.steps]
        forward = [row.step for row in rows]
        assert forward[0].target == program.loss
        assert len(shown) == len(set(shown))
        known = {step.target for step in program.steps if step not in shown and step not in forward}
        assert known <= set(program.outputs), "all but what the outputs alone need"


def test_the_derivative_beside_a_step_is_that_of_its_formula(compiled):
    """What a row says of a step is the derivative that SymPy finds."""
    for stages in compiled.values():
        for row in sweep(stages["differentiate"]):
            for local in row.local:
                difference = row.step.expression.diff(local.operand) - local.value
                point = {e: 0.3 + 0.1 * k for k, e in enumerate(sorted(difference.free_symbols, key=str))}
                assert abs(sympy.N(difference.doit().subs(point))) < 1e-12, (row.step, local)


def test_what_flows_back_is_the_derivative_by_the_step(compiled):
    """The loss changes with a step as fast as the row of the step says, by central differences."""
    programs = [stages["differentiate"] for stages in compiled.values()]
    for program in [program for program in programs if not program.moves]:
        parameters, X, Y = random_data(program, 3)
        values = evaluate(program, parameters, X, Y)

        def loss(row, moved, program=program, arguments=(parameters, X, Y)):
            raw = Element("raw", row.step.target.indices)
            added = (replace(row.step, target=raw), Step(row.step.target, raw + moved))
            steps = [new for step in program.steps for new in (added if step == row.step else (step,))]
            return float(evaluate(replace(program, steps=tuple(steps)), *arguments)[program.loss.tensor])

        for row in sweep(program):
            named = [step.target for step in row.steps if step.target.tensor == f"d_{row.step.target.tensor}"]
            for adjoint in [row.adjoint] if row.adjoint is not None else named:
                known = adjoint if adjoint.is_number else values[adjoint.tensor].sum()
                missing = set(row.step.target.indices) - set(getattr(adjoint, "indices", ()))
                times = np.prod([3 if index == "n" else program.sizes[index] for index in sorted(missing)])
                slope = (loss(row, 1e-5) - loss(row, -1e-5)) / 2e-5
                assert slope == pytest.approx(float(known * times), rel=1e-6, abs=1e-9), row.step


def test_partial_derivatives_are_those_of_the_gradient(compiled):
    """Each partial derivative, in values of the steps or written out, has the value of the compiled gradient."""
    for stages in compiled.values():
        program = stages["differentiate"]
        parameters, X, Y = random_data(program, 3)
        values = evaluate(program, parameters, X, Y)
        derivatives = partials(program)
        assert [partial.parameter for partial in derivatives] == list(program.parameters)
        for partial in derivatives:
            for shown in (partial.in_values, partial.written_out):
                if shown is None:
                    continue
                target = Element("shown", partial.step.target.indices)
                step = replace(shown, target=target)
                extended = evaluate(replace(program, steps=(*program.steps, step)), parameters, X, Y)
                assert extended["shown"] == pytest.approx(values[partial.step.target.tensor], rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    "function",
    [xlogy, product_unless_zero, product_unless_zeros, share, sin_quotient, expm1_excess, langevin_slope],
    ids=str,
)
def test_functions_of_the_compiler_are_written_as_mathematics(function):
    """What is written in their place has their value at ordinary points, and holds none of them."""
    point = [sympy.Rational(7, 5), sympy.Rational(3, 4)][: next(iter(function.nargs))]
    symbols = sympy.symbols("u v", real=True)[: len(point)]
    written = as_written(2 * function(*symbols) ** 2)
    assert not written.atoms(function)
    assert not written.has(sympy.Piecewise)
    substituted = written.subs(dict(zip(symbols, point, strict=True)))
    assert abs(sympy.N(substituted - 2 * function.definition(*point).doit() ** 2, 30)) < 1e-25


def test_derivatives_of_powers_are_written_as_mathematics():
    """Also where they have whole numbers among their arguments, and are nested."""
    u, b = sympy.symbols("u b", positive=True)
    for j, k in ((1, 0), (0, 1), (1, 1), (2, 1)):
        written = as_written(product_unless_zero(b, power_derivative(u, b, sympy.Integer(j), sympy.Integer(k))))
        expected = b * sympy.diff(u**b, u, j, b, k)
        point = {u: sympy.Rational(7, 5), b: sympy.Rational(9, 4)}
        assert abs(sympy.N((written - expected).subs(point), 30)) < 1e-25
    assert as_written(sigmoid(u)) == sigmoid(u)  # which a user may write


def test_no_page_has_names_of_the_compiler_in_derivatives():
    """Hill's formula, whose derivatives are products of limits, has derivatives of powers and logarithms alone."""
    hill = nn.Model("hill", c, r, {V: 2.0, K: 1.5, n: 1.2}, V * c**n / (K**n + c**n))
    setter = Setter(*(stage.result for stage in nn.compile_model(hill, until="differentiate").stages))
    formulas = partial_derivatives(setter, nn.compile_model(hill, until="differentiate")["differentiate"], 9)
    for formula in (each for row in formulas for each in (row.in_values, row.written_out) if each is not None):
        for name in ("unless", "power_derivative", "share"):
            assert name not in formula.math
            assert name not in formula.latex


def test_rules_lead_from_the_formula_to_its_stable_form(compiled):
    """The rules that are shown are those that stabilize applies: each keeps the value."""
    program = compiled["perceptron"]["describe"]
    applied = rewritings(program)
    assert {each.rule for each in applied} == {"power_of_exponentials", "complement", "log_of_factors"}
    for each in applied:
        point = {e: sympy.Rational(2 * k + 5, 29) for k, e in enumerate(sorted(each.before.free_symbols, key=str))}
        assert abs(sympy.N(each.before.subs(point) - each.after.subs(point).doit(), 30)) < 1e-25
        assert each.algebra
    assert rewritings(compiled["enzyme"]["describe"]) == ()
    assert stabilize(program) == compiled["perceptron"]["stabilize"]


def test_what_is_lowered_is_told_and_changes_nothing(compiled):
    """An observer is told of each function that is written in primitives, and the program stays the same."""
    stages = compiled["perceptron"]
    observed = []
    assert simplify(stages["differentiate"], lambda *each: observed.append(each)) == stages["simplify"]
    assert {kind for kind, *_ in observed} == {"sigmoid", "softplus"}
    for _, step, before, after in observed:
        assert step in stages["differentiate"].steps or step.expression.has(before)
        assert after != before


def test_what_shared_values_save(compiled):
    """A value saves its operations for every use but the first; those that save most stand first."""
    lines = shared(compiled["perceptron"]["simplify"])
    first = lines[0]
    assert (str(first.step.target), first.uses, first.each, first.saved) == ("t15[n]", 5, 5, 20)
    assert [line.saved for line in lines] == sorted((line.saved for line in lines), reverse=True)


def test_the_bias_that_enters_twice_is_one_node(compiled):
    """In the perceptron's graph, w0 is one node with an edge to each neuron, weights stand at their edges."""
    stages = compiled["perceptron"]
    graph = graph_of(stages["describe"], stages["stabilize"])
    from_bias = [edge for edge in graph.edges if edge.source == "w0"]
    assert [node.key for node in graph.nodes.values() if node.kind == "parameter"] == ["w0"]
    assert len(from_bias) == 3
    assert {edge.label for edge in from_bias} == {"×2"}
    assert {edge.label for edge in graph.edges} == {"×2", "", "w13", "w14", "w23", "w24", "w35", "w45"}


def test_layers_are_nodes(compiled):
    """In the graph of layers, each product with weights is a node with its shapes."""
    stages = compiled["digits"]
    graph = graph_of(stages["describe"], stages["stabilize"])
    assert list(graph.nodes) == ["x", "s1", "s2", "y", "loss"]
    assert graph.nodes["s1"].lines == ["h1 · 32 values", "tanh(b1 + Σ W1·x)", "W1 32 × 64, b1 32"]
    assert graph.nodes["loss"].lines == ["loss", "Σ −y·log(h2)"]


x, t, y = sympy.symbols("x t y")
u = sympy.Function("u")(x, t)
heat = nn.Sequential(
    [nn.Dense(3, "tanh"), nn.Dense(1)],
    inputs=(x, t),
    outputs=u,
    name="heat",
    losses={"equation": u.diff(t) - u.diff(x, 2), "data": u - y},
)
lstm = nn.Sequential([nn.LSTM(4), nn.Dense(1)], inputs=(5, 2), name="lstm")


def test_formulas_are_written_as_in_textbooks():
    """Gates by their letters, layers above, partial derivatives, cross-entropy as a product; parts are no sums."""
    latex = {}
    for model in (lstm, heat, digits):
        program = model.describe()
        latex |= {f"{program.name} {step.target.tensor}": Setter(program).latex.step(step) for step in program.steps}
    state = latex["lstm c1"].replace("\\operatorname{sigmoid}", "σ").replace("{\\left(", "(").replace(" \\right)}", ")")
    assert state == (
        "c_{n i l}^{(1)} = c_{\\text{before}, n i l}^{(1)} \\, σ(z_{f, n i l}^{(1)}) + "
        "\\tanh(z_{c, n i l}^{(1)}) \\, σ(z_{i, n i l}^{(1)})"
    )
    assert latex["heat s1"] == "s_{n j}^{(1)} = W_{t, j}^{(1)} \\, t_{n} + W_{x, j}^{(1)} \\, x_{n}"
    assert latex["heat u_xx"].endswith(" = \\frac{\\partial^{2} u_{n}}{\\partial x_{n}^{2}}")
    assert latex["digits loss_n"] == "\\ell_{n} = \\sum_{k} \\left(- v_{n k}^{(2)} \\, y_{n k}\\right)"
    graph = graph_of(lstm.describe(), stabilize(lstm.describe()))
    assert [graph.nodes[name].lines[1] for name in ("z_f1", "last1")] == ["part of z1", "part of h1"]


def test_reasons_that_are_the_same_are_one():
    """The schedule says once why several products in turn are computed as they are."""
    lines = ["tiles of 8 samples", "s1 (2 x 2): ours", "t9 (2 x 2): ours", "t3 (1 x 2): ours", "together 3", "sgd"]
    assert _together(lines) == ["tiles of 8 samples", "s1, t9 (2 x 2): ours", "t3 (1 x 2): ours", "together 3", "sgd"]


def test_many_models_are_shown_by_their_best(perceptron):
    """Of many models or fits a report tells how all ended, and draws the best; none of which is finite is refused."""
    rng = np.random.default_rng(0)
    start, rates = rng.normal(size=(9, 7)), np.linspace(0.01, 0.9, 9)
    X, Y = rng.normal(size=(5, 2)), rng.uniform(size=(9, 5, 1))
    trained = perceptron.train_many(X, Y, start, learning_rate=rates, epochs=6)
    page = nn.report(perceptron_model, trained, (X, Y)).html
    best = int(np.argmin(trained.loss))
    kept = data_of_best((X, Y), trained)
    assert np.array_equal(kept[0], X)
    assert np.array_equal(kept[1], Y[best])
    assert f"Number {best} of them, counted from 0, has the lowest loss, {trained.loss[best]:.4g}" in page
    assert trained._repr_html_() in page
    spread = np.quantile(trained.parameters[:, 0], (0.05, 0.5, 0.95), method="nearest")
    cells = [f"{value:.6g}" for value in (trained.parameters[best, 0], *spread)]
    assert re.findall("<td[^>]*>([^<]*)", trained._repr_html_().split(">w0<")[1])[:4] == cells
    median = np.median(trained.history, axis=1)
    assert f"The median loss goes from {median[0]:.4g} in the first epoch to {median[-1]:.4g} in the last." in page
    trained.loss[:] = np.nan
    with pytest.raises(nn.ModelError, match="none of the models has a finite loss"):
        nn.report(perceptron_model, trained)


def test_fits_show_themselves(tmp_path):
    """The tables and the picture of a fit are its own, also from its file and of the best of many fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", QUICK)
        module = nn.build(enzyme)
    fit = module.fit(concentration, rate, sigma=10.0)
    page = nn.report(enzyme, fit, (concentration, rate)).html
    assert fit._repr_html_() in page
    for low, high in fit.confidence_intervals():
        assert f">{low:.5g}</td>" in page
        assert f">{high:.5g}</td>" in page
    assert "residual / sigma" in page
    fit.save(tmp_path / "fit.npz")
    assert nn.report(enzyme, tmp_path / "fit.npz", (concentration, rate)).html == page
    targets = np.array([rate, [*rate[:-1], 100], np.full(12, np.nan)])
    with pytest.warns(RuntimeWarning, match="1 no_data"):
        many = module.fit_many(concentration, targets)
    page = nn.report(enzyme, many, (concentration, targets)).html
    assert many._repr_html_() in page
    assert many[0]._repr_html_() in page


def test_profiles_are_drawn(tmp_path):
    """A page of profiles is that of their fit, with their table and a picture of each, also from their file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", QUICK)
        module = nn.build(enzyme)
    profiles = module.fit(concentration, rate).profiles()
    page = nn.report(enzyme, profiles).html
    assert profiles._repr_html_() in page
    assert profiles.result._repr_html_() in page
    for name in profiles.names:
        assert f"The profile of {name}" in page
    profiles.save(tmp_path / "profiles.npz")
    assert nn.report(enzyme, tmp_path / "profiles.npz").html == page


def test_long_data_are_thinned():
    """A picture of a hundred thousand samples, or of the losses of many models, leaves the page small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", QUICK)
        module = nn.build(enzyme)
    x = np.linspace(0.01, 2, 100_000)
    fit = module.fit(x, 200 * x / (0.06 + x) + np.cos(999 * x), sigma=np.ones_like(x))
    assert len(nn.report(enzyme, fit).html) < 1_000_000
    many = module.train_many(x[::5000], 200 * x[::5000], np.ones((300, 2)), epochs=200, learning_rate=1e-5)
    assert len(nn.report(enzyme, many).html) < 1_500_000


def test_outputs_are_those_of_predictions():
    """Curves and surfaces show what is predicted, also of networks with equations, or with statistics of a batch."""
    rng = np.random.default_rng(0)
    X, parameters = rng.normal(size=(6, 2)), rng.normal(size=13)
    W_x, W_t, b, V = parameters[:12].reshape(4, 3)
    expected = np.tanh(X[:, :1] * W_x + X[:, 1:] * W_t + b) @ V + parameters[12]
    assert outputs_of(heat.describe(), parameters, X)[:, 0] == pytest.approx(expected)
    program = nn.Sequential([nn.BatchNormalization(epsilon=0.5)], 2, name="normal").describe()
    held = {"gamma1": [2.0, 3.0], "beta1": [0.5, -0.5], "moving_mean1": [1.0, 2.0], "moving_variance1": [0.5, 1.5]}
    output_values = outputs_of(program, np.concatenate([held[tensor.name] for tensor in program.parameters]), X)
    assert output_values == pytest.approx((X - [1, 2]) / np.sqrt([1.0, 2.0]) * [2, 3] + [0.5, -0.5])


def test_who_looks_at_whom(tmp_path, monkeypatch):
    """Weights of attention are drawn for the first sample: those that a call returns; without data, none are."""
    x = nn.Input((4, 3), name="x")
    h, weights = nn.MultiHeadAttention(2, 2)(x, use_causal_mask=True, return_attention_scores=True)
    network = nn.Network(x, nn.Dense(2, "softmax")(h), name="looking")
    program, shown = network.describe(), nn.Network(x, [h, weights], name="shown").describe()
    parameters, X, Y = random_data(program, 3)
    drawn = []
    monkeypatch.setattr("nncodegen.reports.attention.looks", lambda key, title, about, heads: drawn.append(heads))
    assert attention_plots(program, parameters, None) == []
    attention_plots(program, parameters, GivenData(X, Y))
    (heads,) = drawn  # the softmax of classes is no attention
    first = parameters[: shown.parameter_count]
    targets = np.zeros((3, sum(target.size for target in shown.targets)))
    np.testing.assert_allclose(heads, evaluate(shown, first, X, targets)[shown.outputs[1].tensor][0], rtol=1e-13)
    monkeypatch.undo()
    page = nn.report(network, parameters, (X, Y))
    page.save(tmp_path / "looking.html")
    assert f"Who looks at whom: {attending(program)[0].target.tensor}" in (tmp_path / "looking.html").read_text()


def test_the_c_leads_to_its_steps_and_back(compiled):
    """Every step is linked with a line of C that defines it, and that line links to the step.

    But recurrences: what they give lies in the array that they read.
    """
    for stages in compiled.values():
        program, sources = stages["simplify"], stages.sources
        names = [step.target.tensor for step in program.steps]
        text = sources.files[f"{sources.module}.c"]
        shown = code(text, program, names, 10_000)
        assert set(shown.places) == {step.target.tensor for step in program.steps if step.operator not in RECURRENCES}
        lines = {line.anchor: line for line in shown.lines if line.anchor}
        for name, places in shown.places.items():
            for place in places:
                assert f'href="#s-{name}"' in lines[place.anchor].html
        plain = [re.sub("<[^>]*>", "", line.html) for line in shown.lines]
        assert html.unescape("\n".join(plain)) in text


# --- what is given -----------------------------------------------------------------------------------------------


def test_files_of_data_and_of_results(tmp_path, chain):
    """Data come from CSV, by names or in order, or from an archive; a saved result brings its history."""
    pairs = list(zip(concentration, rate, strict=True))
    (tmp_path / "named.csv").write_text("r,note,c\n" + "".join(f"{y},0,{x}\n" for x, y in pairs))
    (tmp_path / "plain.csv").write_text("".join(f"{x},{y}\n" for x, y in pairs))
    np.savez(tmp_path / "data.npz", X=concentration, Y=rate)
    pages = {nn.report(enzyme, [200.0, 0.1], tmp_path / name).html for name in ("named.csv", "plain.csv", "data.npz")}
    assert len(pages) == 1
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(9, 4)), np.arange(9) % 3
    chain.train(X, labels, epochs=7, schedule="cosine").save(tmp_path / "chain.npz")
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    model = nn.Sequential(layers, inputs=4, loss="categorical_crossentropy", name="chain")
    text = nn.report(model, tmp_path / "chain.npz").html
    first, last = (0.01 * (1 + np.cos(np.pi * epoch / 7)) / 2 for epoch in (0, 6))
    assert f"The learning rate goes from {first:.4g} to {last:.4g}." in text
    with pytest.raises(nn.ModelError, match="another model"):
        nn.report(model, tmp_path / "chain.npz", precision="float32")


def test_columns_of_several_values(tmp_path):
    """Values of an input of several are found by x[0] or x0, in any order; if some are missing, they are named."""
    program = nn.Sequential([nn.Dense(2)], inputs=3, name="three").describe()
    for header in ("y1,x[2],x0,note,y0,x[1]", "y[1],x2,x[0],note,y[0],x1"):
        (tmp_path / "named.csv").write_text(f"{header}\n5,3,1,0,4,2\n")
        data = data_of(tmp_path / "named.csv", program)
        assert (data.X.tolist(), data.Y.tolist()) == ([[1, 2, 3]], [[4, 5]])
    (tmp_path / "named.csv").write_text("x0,x2,y0,y1\n1,3,4,5\n")
    with pytest.raises(nn.ModelError, match=r"the table has no column x\[1\]; it has x\[0\], x\[2\], y\[0\], y\[1\]"):
        data_of(tmp_path / "named.csv", program)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([[3.0, 1, 9, 2]], columns=["x[2]", "x[0]", "other", "x[1]"])
    assert data_of(frame, program).X.tolist() == [[1, 2, 3]]


def test_labels_of_sequences(tmp_path):
    """Sequences of labels are data as they are targets of a training: one class index, or -1, for each step."""
    tokens = nn.Input(3, name="tokens")
    h = nn.Dense(4)(nn.LSTM(2, return_sequences=True)(nn.Embedding(4, 2)(tokens)))
    program = nn.Network(tokens, h, "sparse_categorical_crossentropy_from_logits", name="spoken").describe()
    X, Y = np.array([[0, 1, 2], [3, 2, 1]]), np.array([[1, 2, 3], [2, -1, 0]])
    there = (Y >= 0)[..., None]
    expected = (np.eye(4)[Y] * there * (3 / there.sum(axis=1, keepdims=True))).reshape(2, 12)
    np.savez(tmp_path / "labels.npz", X=X.astype(float), Y=Y.astype(float))
    np.savetxt(tmp_path / "labels.csv", np.hstack([X, Y]), delimiter=",")
    forms = [
        (X, Y),
        (X, Y[..., None]),
        (X.tolist(), Y.tolist()),
        (X, {"y": Y}),
        (X, expected),
        (X, expected.reshape(2, 3, 4)),
    ]
    for data in (*forms, tmp_path / "labels.npz", tmp_path / "labels.csv"):
        np.testing.assert_allclose(data_of(data, program).Y, expected)
    with pytest.raises(nn.ModelError, match=r"y\[0, 1\] is 9.*labels 0 to 3, or -1 for a step without a target"):
        data_of((X, np.array([[1, 9, 0], [0, 0, 0]])), program)


def test_what_is_no_model():
    """A report of something else says that it is a report which cannot be made."""
    with pytest.raises(nn.ModelError, match="a dict cannot be shown in a report: give a"):
        nn.report({})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("1,2,3\n4,5,6\n", "has 3 columns; enzyme has 1 inputs and 1 targets"),
        ("c,r\n1,x\n", "row 1 of the data, column r: 'x' is no number"),
        ("c,r\n1,2\n3\n", "row 2 of the data: 1 cells, where the first row has 2"),
        ("", "has no rows of numbers"),
    ],
)
def test_tables_that_are_no_data(data, message, tmp_path):
    """What is wrong with a table is said with its row and column."""
    (tmp_path / "data.csv").write_text(data)
    with pytest.raises(nn.ModelError, match=re.escape(message)):
        nn.report(enzyme, None, tmp_path / "data.csv")


def test_certificates_are_shown_and_compared(tmp_path):
    """The certificate of the model stands in the page; that of another model is refused, and so is what is none."""
    identity = nn.compile_model(enzyme, until="describe")["describe"].identity
    row = {"quantity": "d_V", "kind": "saturated", "error": 0.51, "condition": 3.25, "bound": 9.0, "verdict": "holds"}
    step = {"step": "t1[n] = K + c[n]", "error": 0.5, "condition": 1.0, "bound": 4.0, "verdict": "holds"}
    description = {
        "name": "enzyme", "precision": "float64", "identity": identity, "version": "0.1.0", "compiler": "gcc <12>",
        "flags": ["-O3"], "machine": "CPU", "variants": ["avx2"], "reference": "the formulas", "digits": 50,
        "points": {"ordinary": 8, "huge": 2}, "rows": 4, "date": "2026-01-01", "figures": [row], "steps": [step],
        "faults": [], "module": "0", "seed": 0, "compared": "each step", "left_out": ["penalties"], "program": {},
    }  # fmt: skip
    path = tmp_path / "enzyme.certificate.json"
    path.write_text(json.dumps(description))
    page = nn.report(enzyme, certificate=path).html
    assert "It holds: outputs, loss and every derivative" in page
    assert "at 10 points: 8 ordinary, 2 huge." in page
    assert "<td>saturated</td>" in page
    assert "<li>1 figure in the table: 1 hold, 0 wrong</li>" in page
    assert "with parameters 5 to 50 times as large" in page
    assert "Not examined: penalties." in page
    assert "gcc &lt;12&gt;" in page
    lost = {
        **description,
        "figures": [row, {**row, "kind": "tiny", "error": 1e300, "bound": 1e300, "verdict": "digits lost"}],
    }
    page = nn.report(enzyme, certificate=lost).html
    assert "It holds with exceptions: outputs" in page
    assert "<li>2 figures in the table: 1 hold, 1 with digits lost, 0 wrong</li>" in page
    assert "Digits lost (tiny: d_V). The formula cancels" in page
    wrong = {
        **description,
        "faults": [{"stage": "simplify", "step": "t1", "kind": "huge", "error": 1e9, "message": "a sign"}],
    }
    assert "Wrong since the stage simplify, in the step t1: a sign" in nn.report(enzyme, certificate=wrong).html
    with pytest.raises(nn.ModelError, match="certificate is that of another model"):
        nn.report(enzyme, certificate={**description, "identity": "other"})
    with pytest.raises(nn.ModelError, match="no certificate"):
        nn.report(enzyme, certificate={"identity": identity})


def test_the_command_writes_a_page(commands, tmp_path):
    """The command writes a report, replaces one of its own, and leaves any other file as it is."""
    (tmp_path / "line.py").write_text(
        "import nncodegen as nn, sympy\nx, y, a = sympy.symbols('x y a')\nmodel = nn.Model('line', x, y, {a: 1}, a*x)\n"
    )
    np.savez(tmp_path / "line.npz", parameters=np.array([2.0]))
    (tmp_path / "line.csv").write_text("x,y\n1,2\n2,4\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = ["--data", "line.csv", "--parameters", "line.npz"]
    for _ in range(2):
        done = commands.run(["report", "line.py", *options, "-o", "line.html"], tmp_path, environment)
        assert done.returncode == 0, done.stderr
        assert "written to line.html" in done.stdout
    assert (tmp_path / "line.html").read_text().startswith("<!doctype html>")
    done = commands.run(["report", "line.py", "-o", "line.csv"], tmp_path, environment)
    assert done.returncode == 1
    assert "is no report of nncodegen, and is left as it is" in done.stderr
    assert (tmp_path / "line.csv").read_text() == "x,y\n1,2\n2,4\n"


# --- in a browser ------------------------------------------------------------------------------------------------

WIDER = "document.documentElement.scrollWidth - innerWidth"
HIDDEN = """(() => {
  const seen = (element) => element.getBoundingClientRect().width > 5 && element.getBoundingClientRect().height > 5;
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility() && !seen(e));
  return shown("math, figure svg, .graph svg, .graph text, h1, h2, h3").map((e) => e.outerHTML.slice(0, 200));
})()"""
"""What is there but has no size."""
COUNTS = """({ math: document.querySelectorAll("math").length,
  plots: document.querySelectorAll("figure svg path").length,
  nodes: document.querySelectorAll(".graph rect").length })"""
CLIPPED = """[...document.querySelectorAll("main *")].filter((e) => e.checkVisibility() &&
  !e.closest(".scroll, .tall, pre, .graph, math, svg") && e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => e.outerHTML.slice(0, 200))"""
"""What reaches beyond the window, though nothing can be scrolled there."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser."""
    pytest.importorskip("websocket")
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@in_chromium
@pytest.mark.parametrize("name", ["perceptron", "enzyme", "digits", "plane", "chain"])
def test_the_page_fits_every_window(name, pages, page):
    """From a telephone to a wide screen, in light and dark, all is there, nothing overflows, the console is silent."""
    page.said.clear()
    page.show(1024)
    page.open(pages[name].as_uri())
    for width in WIDTHS:
        for dark in (False, True):
            page.show(width, dark=dark)
            assert page.evaluate(WIDER) <= 0, width
            assert page.evaluate(CLIPPED) == [], width
            assert page.evaluate(HIDDEN) == [], width
            ink = page.evaluate("getComputedStyle(document.body).color")
            assert (int(re.search(r"\d+", ink)[0]) > 128) is dark
    counts = page.evaluate(COUNTS)
    assert counts["math"] > 20
    assert counts["nodes"] >= 5
    assert counts["plots"] > 20 or name in ("digits", "chain")
    assert page.said == []


@in_chromium
def test_the_notes_of_a_fit_are_seen_on_a_telephone(pages, page):
    """The table with chi2 and how the fit ended is as wide as the window of a telephone at most."""
    page.show(360)
    page.open(pages["enzyme"].as_uri())
    notes = "[...document.querySelectorAll('.own table:not(:has(th))')]"
    assert page.evaluate(f"{notes}.some((table) => table.textContent.includes('chi2'))")
    assert page.evaluate(f"{notes}.every((table) => table.scrollWidth <= table.closest('.own').clientWidth + 1)")


@in_chromium
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install axe-core")
@pytest.mark.parametrize("name", ["perceptron", "enzyme"])
def test_the_page_is_accessible(name, pages, page):
    """axe-core finds nothing wrong on a telephone in the dark and on a wide screen, folded and unfolded."""
    page.show(360, dark=True)
    page.open(pages[name].as_uri())
    page.evaluate(f"{AXE.read_text()}; 0")
    assert page.evaluate(VIOLATIONS) == []
    page.show(1920)
    if name == "enzyme":  # all formulas and all of the C, where that is short
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; }); 0")
    assert page.evaluate(VIOLATIONS) == []


VIOLATIONS = """axe.run({ resultTypes: ["violations"] }).then(({ violations }) => violations.map(({ id, nodes }) =>
  `${id}: ${nodes[0].html.slice(0, 200)}`))"""


@in_chromium
@pytest.mark.skipif(not dict(compilers()), reason="no compiler for WebAssembly")
def test_the_page_trains_the_perceptron(pages, page):
    """The button trains the perceptron in the page, from 0.649864 to 0.999453, and says what is wrong with a number."""
    page.said.clear()
    page.show(1024)
    page.open(pages["perceptron"].as_uri())
    page.evaluate("document.querySelector('.train button').click()")
    page.wait_until("document.querySelector('[data-status]').textContent")
    said = page.evaluate("document.querySelector('[data-status]').textContent")
    assert said == "Trained in 999 epochs: the output went from 0.649864 to 0.999453."
    assert page.evaluate("document.querySelectorAll('.train polyline').length") == 1
    page.evaluate("document.querySelector('.train select').value = 'adam'")
    page.evaluate("document.querySelector('.train button').click()")
    page.wait_until("document.querySelector('.wrong').textContent")
    assert "adam updates all parameters at once" in page.evaluate("document.querySelector('.wrong').textContent")
    assert page.said == []


@in_chromium
def test_links_unfold_what_they_lead_to(pages, page):
    """A link to a line of C or to a step opens the part that holds it; a formula can be copied as LaTeX."""
    page.show(1024)
    page.open(f"{pages['perceptron'].as_uri()}#s-t17")
    page.wait_until("document.querySelector('#s-t17').checkVisibility()")
    page.evaluate("document.querySelector('#s-t17 a').click()")
    page.wait_until("document.querySelector(location.hash).checkVisibility() && location.hash.startsWith('#c')")
    assert "t17" in page.evaluate("document.querySelector(location.hash).textContent")
    assert page.evaluate("document.querySelectorAll('details.latex pre').length") == page.evaluate(
        "document.querySelectorAll('details.latex button').length"
    )
    assert page.evaluate("document.querySelector('details.latex pre').textContent").startswith(r"\text{output} =")


@in_chromium
@pytest.mark.thorough
def test_pictures_of_all_pages(pages, page):
    """Every page is accessible, from a telephone to a wide screen; pictures are kept for those who look."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    for name, path in pages.items():
        page.show(1024)
        page.open(path.as_uri())
        if AXE.is_file():
            page.evaluate(f"{AXE.read_text()}; 0")
        for width in WIDTHS:
            for dark in (False, True):
                page.show(width, dark=dark)
                if AXE.is_file() and (width, dark) in ((360, True), (1024, False), (1920, True)):
                    assert page.evaluate(VIOLATIONS) == []
                picture = PICTURES / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                page.picture(picture)
                assert picture.stat().st_size > 10_000
