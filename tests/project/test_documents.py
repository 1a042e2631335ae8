"""The code in all documents runs as printed and prints what they say; links, names and formulas in them are right."""

import ast
import contextlib
import inspect
import io
import itertools
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nncodegen.cli.commands import command
from nncodegen.compiler.describe.initializers import INITIALIZERS
from nncodegen.compiler.describe.losses import LOSSES
from nncodegen.perceptron import X, Y
from tests.support import ROOT
from tests.support.compilers import QUICK

README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
INSTALLING = "python3 -m pip install "
COMMAND = re.compile(r"python3? -m nncodegen (.*?)(?: > (\S+))?$")
"""A line that calls nncodegen: its arguments, and the file to which it is printed."""
USAGE = re.compile(r"\[[A-Z.-]|\bN$")
"""What tells a line that shows how a command is called from one that calls it."""
NEEDS = {"docs/guide/webassembly.md": ("node", "wasm-ld")}
"""The programs that the commands of a document call, besides those that every machine with nncodegen has."""
LONG = {
    f"docs/guide/{name}.md"
    for name in ("certificate", "deployment", "fitting", "many", "networks", "physics", "report", "scikit-learn",
                 "sequences", "tables", "training")
}  # fmt: skip
"""Guides that compile many models, and take seconds each. Their features have tests of their own."""
FEW = "--layers 4 --epochs 20"
"""What is added to ``fit``, so that it tries little."""


def blocks(path):
    """The fenced blocks of a document: their languages, their texts, and what stands between a block and the next."""
    parts = re.split(r"^```([\w{}-]*)\n(.*?)^```\n?", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return list(zip(parts[1::3], parts[2::3], parts[3::3], strict=True))


def lines_of(text):
    """The lines of a block of a shell, in which a backslash at an end joins the next line."""
    return re.sub(r" *\\\n *", " ", text).splitlines()


def usage_lines():
    return [
        line
        for path in DOCUMENTS
        for language, text, _ in blocks(path)
        if language == "sh"
        for line in lines_of(text)
        if USAGE.search(line)
    ]


def said(text):
    """What a block says that it prints: comments after calls of print, on their last line or on the line below."""
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "print":
            for line in (
                lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode(),
                *lines[node.end_lineno :][:1],
            ):
                if re.match(r" *# ", line):
                    yield line.lstrip(" #")
                    break


def run_python(text, names):
    """Runs a block, and compares what it prints with what its comments say. Returns what none of them says."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(text, "document", "exec"), names)
    expected = list(said(text))
    if expected:
        assert output.getvalue().splitlines() == expected
        return None
    return output.getvalue() or None


def shown_as_pattern(text):
    """Return the pattern of what a block shows: a line of three dots stands for any lines, three dots for any text."""
    lines = [re.escape(line).replace(re.escape("..."), ".*") for line in text.splitlines(keepends=True)]
    return "".join("(?s:.*)" if line.strip() == ".*" else line for line in lines)


def run_shell(text, commands):
    """Runs the lines of a block as a shell does; files that they write hold something. Returns what is printed.

    Calls of nncodegen are no processes of their own, of which each would have to import it. C is not optimized.
    """
    lines = [line for line in lines_of(text) if not USAGE.search(line) and not line.startswith(INSTALLING)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    printed = ""
    for calls, some in itertools.groupby(lines, lambda line: bool(COMMAND.match(line))):
        if calls:
            printed += "".join(run_command(line, commands, environment) for line in some)
        else:
            script = ["bash", "-e", "-c", re.sub(r"(?<= )-O[23](?= )", "-O0", "\n".join(some))]
            done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            printed += done.stdout
    return printed


def run_command(line, commands, environment):
    """Runs a line that calls nncodegen; returns what it prints to no file."""
    arguments, file = COMMAND.match(line).groups()
    few = FEW.split() if arguments.startswith("fit ") else []
    done = commands.run([*shlex.split(arguments), *few], Path.cwd(), environment)
    assert done.returncode == 0, done.stderr
    if file is None:
        return done.stdout
    assert done.stdout.count("\n") > 1
    Path(file).write_text(done.stdout)
    return ""


def write_tables():
    """The tables that the documents call DATA.csv and OTHER.csv."""
    rows = [f"{k % 7},{(k * k) % 11},{'yes' if k % 7 > 3 else 'no'}" for k in range(60)]
    Path("DATA.csv").write_text("\n".join(["width,height,NAME", *rows, ""]))
    Path("OTHER.csv").write_text("width,height\n1,2\n6,3\n")


@pytest.mark.parametrize(
    ("name", "compiler"),
    [
        *(pytest.param(name, QUICK, id=name, marks=[pytest.mark.thorough] if name in LONG else []) for name in NAMES),
        pytest.param(README.name, None, id="README.md as people run it", marks=pytest.mark.thorough),
    ],
)
def test_code(name, compiler, commands, tmp_path, monkeypatch):
    """Blocks run in order: Python as printed, shell commands without an error, C as they compile it.

    A first comment that names a file says where a block is written. A text that follows commands is what they print.
    Modules are compiled without optimization; with --thorough, those of the README also as people get them, and those
    of long guides.
    """
    missing = [program for program in NEEDS.get(name, ()) if not shutil.which(program)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if compiler:
        monkeypatch.setenv("CC", compiler)
    if "import casadi" in (ROOT / name).read_text():
        pytest.importorskip("casadi")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)  # pictures are drawn, and shown to nobody
    write_tables()
    names, printed = {"__name__": "document"}, None
    for language, text, after in blocks(ROOT / name):
        file = re.match(r"(?:# |/\* )([\w.]+)(?: \*/)?\n", text)
        if file:
            Path(file[1]).write_text(text)
        if language == "python":
            printed = run_python(text, names)
        elif language == "sh":
            output = run_shell(text, commands)
            printed = None if after.strip() else output
        elif language == "text" and printed is not None:
            assert re.search(f"{shown_as_pattern(text)}$", printed)
            printed = None
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


CODE = ("python", "py", "sh", "bash", "c", "js")
COLUMNS = 88
"""The characters of a line for which a page of the site has room."""


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_code_fits_its_box(name):
    """Code in documents is read without scrolling sideways."""
    for language, text, _ in blocks(ROOT / name):
        if language in CODE:
            assert [line for line in text.splitlines() if len(line) > COLUMNS] == []


def test_two_commands():
    """The set-up is two commands, the ones that CI runs."""
    text = README.read_text()
    commands = [
        "python3 -m pip install . && python3 -m nncodegen build",
        "python3 -m pip install '.[test]' && python3 -m pytest -n auto --dist loadfile",
    ]
    for line in commands:
        assert text.count(f"\n{line}\n") == 1
    assert len(re.findall(r"^python3 -m pip install .* && ", text, flags=re.MULTILINE)) == 2  # what .ci/run looks for


def test_length_of_the_readme():
    """The README is short enough to be read."""
    assert len(README.read_text().splitlines()) <= 200


@pytest.mark.parametrize("line", usage_lines())
def test_usage(line):
    """A line that shows how a command is called names options that the command has."""
    name = re.match(r"python -m nncodegen (\w+)", line)[1]
    known = {option for parameter in command.commands[name].params for option in parameter.opts}
    assert set(re.findall(r"--[a-z0-9-]+", line)) <= known


def test_all_extras():
    """The page on installing says of every extra what it is for."""
    page = (ROOT / "docs" / "start" / "install.md").read_text()
    listed = re.search(
        r"^\[project.optional-dependencies\]\n(.*?)^\[",
        (ROOT / "pyproject.toml").read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )[1]
    for extra in re.findall(r"^(\w+) = ", listed, flags=re.MULTILINE):
        assert f"`[{extra}]`" in page


def test_all_options_of_train(chain):
    """The guide tells of every argument of ``train`` that has a name, and of every optimizer."""
    text = (ROOT / "docs" / "guide" / "training.md").read_text()
    for name in inspect.signature(chain.train).parameters:
        assert re.search(rf"\b{name}\b", text), name
    for optimizer in chain.optimizers:
        assert re.search(rf"\b{optimizer}\b", text), optimizer


def test_all_names():
    """The guide tells of every loss and initializer that has a name; activations have a table."""
    text = (ROOT / "docs" / "guide" / "models.md").read_text()
    assert ":::{activations}" in (ROOT / "docs" / "reference" / "models.md").read_text()
    for name in (*LOSSES, *INITIALIZERS):
        assert re.search(rf"\b{name.replace('crossentropy_from_logits', 'crossentropy')}\b", text), name


# --- what documents point to -------------------------------------------------------------------------------------


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links(name):
    """Every relative link points to a file, and to a heading where it names one; paths that are named exist."""
    path = ROOT / name
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose):
        pointed = (path.parent / target) if target else path
        assert pointed.exists(), target
        assert not anchor or anchor in anchors(pointed), f"{target}#{anchor}"
    for named in re.findall(r"`((?:nncodegen|tests|docs|generated)/[\w/.-]*\w)/?`", prose):
        assert (ROOT / named).exists() or "generated" in named, named


def documents_linked(path):
    """The documents that one leads to: by links, and by its tables of contents."""
    text = path.read_text()
    tables = "\n".join(re.findall(r"^:::\{toctree\}\n(.*?)^:::$", text, flags=re.MULTILINE | re.DOTALL))
    listed = [f"{line}.md" for line in re.findall(r"^[\w./*-]+$", tables, flags=re.MULTILINE)]
    matches = [other for name in listed if "*" in name for other in path.parent.glob(name)]
    names = [*re.findall(r"\]\(([\w./-]+\.md)", text), *(name for name in listed if "*" not in name)]
    return {*matches, *((path.parent / name).resolve() for name in names)}


def test_every_document_is_linked():
    """The README leads to every document, and so does the first page of the site to all that are part of it."""
    for first, all_of_them in ((README, DOCUMENTS), (ROOT / "docs" / "index.md", DOCUMENTS[2:])):
        reached, left = set(), [first]
        while left:
            popped = left.pop()
            reached.add(popped)
            left += [other for other in documents_linked(popped) if other not in reached and other.exists()]
        assert set(all_of_them) <= reached


def test_all_headers():
    """The page about the C that all models share names each of its headers."""
    text = (ROOT / "docs" / "runtime-c.md").read_text()
    for header in (ROOT / "nncodegen" / "runtime" / "c").rglob("*.h"):
        assert f"/{header.name})" in text, header.name


# --- the perceptron, stage by stage ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(commands, tmp_path_factory):
    return commands.run(["show"], tmp_path_factory.mktemp("show"), dict(os.environ)).stdout


@pytest.mark.parametrize("stage", ["describe", "stabilize", "differentiate", "simplify", "schedule"])
def test_stages_of_the_perceptron(stage, shown):
    """What the documents show of each stage is what ``show`` prints, line for line."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    printed = shown.split(f"--- {stage}: ")[1].split("\n--- ")[0].splitlines()
    match = re.search(rf"^\*\*{stage}\*\*.*?^```text\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[1]
    for line in match.splitlines():
        if line.strip() and line.strip() != "...":
            assert line in printed


def test_picture_of_the_perceptron(perceptron):
    """The formulas in the picture of the README are the output, the loss and the gradient of the perceptron."""
    root = ElementTree.parse(ROOT / "docs" / "perceptron.svg").getroot()
    written = {"value": "", "derivative": ""}
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        kind, text = element.get("class"), element.text
        if kind in written and " " in text:
            continues = text.startswith(" ") or written[kind].endswith("=")
            written[kind] += text.strip() if continues else f"\n{text.strip()}"
    statements = {}
    for statement in "".join(written.values()).split("\n")[1:]:
        name, _, formula = statement.partition("=")
        statements[name.strip()] = formula.strip()
    parameters = perceptron.initial_parameters()
    values = dict(zip(perceptron.parameter_names, parameters, strict=True))
    values |= dict(zip(("x1", "x2", "y"), (*X[0], *Y[0]), strict=True))
    values |= {"sigmoid": lambda z: 1 / (1 + math.exp(-z)), "log": math.log}
    while statements:
        ready = [name for name in statements if set(re.findall(r"[a-z]\w*", statements[name])) <= set(values)]
        assert ready, statements
        for name in ready:
            values[name] = eval(statements.pop(name), values)
    loss, gradient = perceptron.loss_and_gradient(parameters, X, Y)
    assert float(values["f5"]) == pytest.approx(perceptron.predict(parameters, X)[0, 0], rel=1e-14)
    assert float(values["loss"]) == pytest.approx(loss, rel=1e-14)
    derivatives = [float(values[f"d_{name}"]) for name in perceptron.parameter_names]
    assert derivatives == pytest.approx(gradient, rel=1e-13)
