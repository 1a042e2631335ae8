"""The site of documents: nothing is missing in it, and what was built can be read from a file, without a network.

The tests of what was built need a site: NNCODEGEN_SITE says where it lies, after ``python3 -m sphinx -W docs site``.
"""

import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
import sympy

import nncodegen as nn
from nncodegen import estimators
from nncodegen.cli.commands import command
from nncodegen.compiler.describe import grammar
from tests.support import ROOT

DOCS = ROOT / "docs"
SITE = Path(os.environ.get("NNCODEGEN_SITE", "nowhere"))
CHROMIUM = shutil.which("chromium")
REFERENCE = "\n".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.md")))
EXAMPLES = sorted((DOCS / "gallery").glob("*.py"))
CLASSES = (
    nn.Model, nn.Sequential, nn.Network, nn.Graph, nn.Call, nn.Module, nn.Result, nn.ManyResult, nn.FitResult,
    nn.ManyFits, nn.Progress, nn.Program, estimators.NNClassifier, estimators.NNRegressor, estimators.FormulaRegressor,
    estimators.DynamicsRegressor,
)  # fmt: skip
"""Those whose methods people call."""
INNER = {"ManyFits.put", "ManyFits.arrays", "ManyFits.leave", "ManyFits.done"}
"""Methods that are public in Python, but only for other parts of nncodegen."""

INHERITED = {"FormulaRegressor.set_params", "DynamicsRegressor.set_params"}
"""Methods of all estimators of scikit-learn, which only take old names of parameters besides."""

built = pytest.mark.skipif(not SITE.is_dir(), reason="NNCODEGEN_SITE names no site that was built")


# --- what the sources of the site hold ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", nn.__all__)
def test_every_name_is_in_the_reference(name):
    """Every public name has its documentation there, and an example beside it."""
    entry = rf"^\.\. auto(class|function|exception|method):: nncodegen\.{name}(\(|$)"
    assert len(re.findall(entry, REFERENCE, flags=re.MULTILINE)) == 1
    code = "\n".join(re.findall(r"^```py(?:thon)?\n(.*?)^```", REFERENCE, flags=re.MULTILINE | re.DOTALL))
    made_by = {
        "Module": r"nn\.build",
        "Program": "program",
        "Exported": "written",
        "FitProgress": r"progress\.iterations",
        "FitResult": "fitted",
        "Identifiability": r"nn\.identifiability",
        "Certificate": "certificate",
        "Report": r"nn\.report",
        "ManyFits": "fit_many",
        "ManyResult": "train_many",
        "Progress": "progress",
        "Result": "result",
    }
    assert re.search(made_by.get(name, rf"nn\.{name}\b"), code)


def test_every_function_of_a_module_is_in_the_reference():
    """The page about the module names each of its functions in an entry of its own, and calls it."""
    text = (DOCS / "reference" / "module.md").read_text()
    for name, _ in inspect.getmembers(nn.Module, inspect.isfunction):
        if not name.startswith("_"):
            assert f".. automethod:: nncodegen.Module.{name}\n" in text
            assert f".{name}(" in text


def test_the_gallery_has_nineteen_examples():
    """They are numbered, their first words are a title in the form that the gallery needs, and each draws something."""
    assert [path.name[:3] for path in EXAMPLES] == [f"{number:02}_" for number in range(1, 20)]
    for path in EXAMPLES:
        first, title, line, *_ = path.read_text().splitlines()
        assert (first, set(line), len(line)) == ('"""', {"="}, len(title))
        assert "plt.show()" in path.read_text()


@pytest.fixture(scope="module")
def listed():
    """The module that lists the functions of formulas for the site."""
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        return importlib.import_module("functions")
    finally:
        sys.path.pop(0)


def test_all_functions_of_formulas_are_listed(listed):
    """The list has each function that a formula may call once, and says what it is; a formula may call all of them."""
    names = [name for group in listed.groups().values() for name in group]
    inner = {name for name in grammar.NAMES if listed.is_primitive(name)}
    assert Counter(names) == Counter(set(grammar.NAMES) - inner)
    x, y = sympy.symbols("x y")
    for call, meaning, _ in listed.rows(names):
        assert meaning, call
        name = call.partition("(")[0]
        if name in ("And", "Or", "Not", "Xor", "ITE", "Eq", "Ne", "Piecewise"):
            continue
        arguments = ", ".join(["x/2", "x/3", "x/4"][: 1 + call.count(",") - call.count("...")])
        nn.Model("listed", inputs=x, targets=y, parameters={"a": 1}, output=f"a*{name}({arguments})")


def test_derivatives_of_listed_functions(listed):
    """What the list says of a derivative is what differences of the function give, but for what is held constant."""
    values = {"x": 0.4, "y": 0.7, "z": 0.4, "u": 0.4, "v": 0.7, "b": 1.5, "c": 2.0, "slope": 0.1, "alpha": 0.5}
    symbols = {name: sympy.Symbol(name, real=True) for name in values}
    checked = 0
    for call, _, derivative in listed.rows([name for group in listed.groups().values() for name in group]):
        if call.startswith("constant"):
            assert derivative == "0"
        elif derivative and not call.startswith(("acosh", "Sqrt", "Cbrt")):  # from 1 on; no values in SymPy
            first = call.partition("(")[2].rstrip(")").split(", ")[0]
            function = grammar.parse(call, symbols, "a listed function")

            def at(shift, function=function, first=first):
                return function.subs({symbols[name]: value + shift * (name == first) for name, value in values.items()})

            difference = float((at(1e-5) - at(-1e-5)).evalf() / 2e-5)
            said = grammar.parse(derivative, symbols, "a derivative")
            said = float(said.subs({symbols[name]: value for name, value in values.items()}).evalf())
            assert said == pytest.approx(difference, rel=1e-5, abs=1e-9), call
            checked += 1
    assert checked > 40


# --- what was built ----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The links, the anchors and the pictures of a page, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.loads, self.without_text = [], {"top"}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        by_name = dict(attributes)
        self.anchors |= {by_name[name] for name in ("id", "name") if by_name.get(name)}
        if tag == "a" and "href" in by_name:
            self.links.append(by_name["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in by_name:
            self.loads.append(by_name["src"])
        if tag == "link" and by_name.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(by_name["href"])
        thumbnail = "_thumb." in by_name.get(
            "src", ""
        )  # of others, it is empty where a text beside the picture says it
        if tag == "img" and (by_name.get("alt") is None or (thumbnail and not by_name["alt"])):
            self.without_text.append(by_name.get("src"))


@pytest.fixture(scope="module")
def pages():
    return {path: Page(path) for path in sorted(SITE.rglob("*.html")) if "_static" not in path.parts}


@built
def test_results_are_listed_once():
    """What the text of a class lists of its results is not listed again among its members."""
    text = (SITE / "reference" / "results.html").read_text()
    classes = re.split(r'id="nncodegen\.(?=\w+")', text)[1:]
    assert len(classes) >= 5
    for class_name in classes:
        members = set(re.findall(r'id="nncodegen\.\w+\.(\w+)"', class_name))
        listed = re.findall(r'<dt>(<code class="docutils .*?)</dt>', class_name.partition('<dl class="py')[0])
        assert not members & {name for row in listed for name in re.findall(r'"pre">(\w+)<', row)}


@built
def test_no_broken_link(pages):
    """Every link to another page leads to one, and to an anchor on it where it names one."""
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or not link:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            exists = target.is_file() and (target.suffix != ".html" or target in pages)
            if not exists or (parts.fragment and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert not broken


@built
def test_nothing_comes_from_elsewhere(pages):
    """Pages load scripts, styles and pictures from the site alone; every picture says what it shows."""
    for path, page in pages.items():
        for load in page.loads:
            parts = urlsplit(load)
            assert not parts.scheme or parts.scheme == "data", (path, load)
            assert parts.scheme or (path.parent / unquote(parts.path)).exists(), (path, load)
        assert not page.without_text, path


@built
def test_examples_were_executed():
    """Each has a picture that was drawn when the site was built, and shows no error."""
    for path in EXAMPLES:
        text = (SITE / "examples" / f"{path.stem}.html").read_text()
        assert re.search(rf"_images/sphx_glr_{path.stem}_\d+\.svg", text), path.stem
        assert "Traceback" not in text
        assert "Warning: " not in text


@built
def test_commands_are_told():
    """The page of commands has every option of each, and nothing that is put in only when help is printed."""
    text = (SITE / "reference" / "commands.html").read_text()
    for name, subcommand in command.commands.items():
        for parameter in subcommand.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert f'id="cmdoption-nncodegen-{name}-{option.lstrip("-")}"' in text, (name, option)
    assert "@" not in re.sub(r"<[^>]*>", "", text[text.index("<article") : text.index("</article")])


@built
def test_every_method_is_in_the_inventory():
    """What people call of each class has an entry, or a row in the table of the docstring of its class."""
    inventory = pytest.importorskip("sphinx.util.inventory").InventoryFile.loads(
        (SITE / "objects.inv").read_bytes(), uri=""
    )
    known = {entry for kind in inventory.data.values() for entry in kind}
    for cls in CLASSES:
        home = "nncodegen.estimators" if cls.__module__.startswith("nncodegen.estimators") else "nncodegen"
        for name, member in vars(cls).items():
            called = f"{cls.__name__}.{name}"
            documented = inspect.isfunction(member) or isinstance(member, property)
            if documented and not name.startswith("_") and called not in INNER | INHERITED:
                row = re.compile(rf"^(?:\w+, )*{name}(?:, \w+)*,?(?:  |$)", re.MULTILINE)
                assert f"{home}.{called}" in known or row.search(inspect.getdoc(cls)), called
    assert {f"nncodegen.{name}" for name in nn.__all__} <= known


def browse(address, folder, *options):
    """The text of a page after its scripts have ended, with the tags."""
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder}",
        "--no-first-run",
        "--allow-file-access-from-files",
        "--virtual-time-budget=20000",
        *options,
        "--dump-dom",
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@built
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize(("word", "page"), [("pendulum", "09_pendulum"), ("fit_many", "guide/many")])
def test_search_without_a_server(word, page, tmp_path):
    """Opened as a file, the page of the search finds what there is."""
    text = browse(f"{(SITE / 'search.html').resolve().as_uri()}?q={word}", tmp_path)
    assert re.search(rf'<a href="[^"]*{page}\.html', text)


def measured(names, width, expression, folder):
    """Values of an expression of JavaScript over the document of each page, by name, in a frame of a width."""
    probe = """<pre id="found"></pre><script>
async function measure() {
    const frame = document.createElement("iframe");
    frame.style.cssText = "width: WIDTHpx; height: 800px; border: 0";
    document.body.append(frame);
    for (const name of NAMES) {
        await new Promise((done) => { frame.onload = done; frame.src = name; });
        const page = frame.contentDocument;
        document.getElementById("found").textContent += `${name} ${EXPRESSION}\\n`;
    }
}
addEventListener("load", measure);
</script>"""
    for word, text in (("WIDTH", str(width)), ("NAMES", str(names)), ("EXPRESSION", expression)):
        probe = probe.replace(word, text)
    file = SITE.resolve() / "probe.html"
    file.write_text(f"<!DOCTYPE html><body>{probe}</body>")
    try:
        text = browse(file.as_uri(), folder)
    finally:
        file.unlink()
    by_name = dict(re.findall(r"^(?:<.*>)?([\w./-]+\.html) (\d+)$", text, flags=re.MULTILINE))
    assert len(by_name) == len(names)
    return {name: int(value) for name, value in by_name.items()}


@built
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_pages_are_as_wide_as_a_telephone(pages, tmp_path):
    """On a screen of 390 pixels, no page of the site is wider than the screen."""
    names = [path.relative_to(SITE).as_posix() for path in pages if "sources" not in path.parts]
    widths = measured(names, 390, "page.documentElement.scrollWidth", tmp_path)
    assert {name: width for name, width in widths.items() if width > 390} == {}


@built
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_tables_fit_beside_the_contents(pages, tmp_path):
    """On a screen of 1300 pixels, all columns of the tables and all formulas are seen."""
    names = [path.relative_to(SITE).as_posix() for path in pages if "sources" not in path.parts]
    boxes = "[...page.querySelectorAll('.table-wrapper, .formula')]"
    beyond = f"Math.max(0, ...{boxes}.map((e) => e.scrollWidth - e.clientWidth))"
    assert {name: more for name, more in measured(names, 1300, beyond, tmp_path).items() if more > 1} == {}


@built
def test_formulas_have_a_font(pages):
    """The site has the font that its style names, with the signs of its formulas."""
    font = SITE / "_static" / "formulas.woff"
    assert f'url("{font.name}")' in (SITE / "_static" / "style.css").read_text()
    assert 10_000 < font.stat().st_size < 150_000
