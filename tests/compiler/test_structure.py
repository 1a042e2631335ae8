"""The architecture: imports point downwards, no stage imports another, and files and functions stay short."""

import ast
import json
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import nncodegen
import nncodegen.compiler.describe
from tests.support import ROOT

PACKAGE = ROOT / "nncodegen"
EMBEDDED = PACKAGE / "runtime" / "python"
"""What travels inside of modules, where its package has another name."""

HOUSE = (
    "runtime generated",
    "errors",
    "compiler",
    "noise perceptron",
    "certificates curves formats structural",
    "estimators functions",
    "reports table",
    "__init__",
    "bench",
    "cli",
    "__main__",
)
"""The rooms of each floor, from the ground: a room imports rooms of lower floors alone, those for types included."""

COMPILER = (
    "__init__ escape limits moved without_gc",
    "ir lazy_imports",
    "check passes slow typeset",
    "notebook schedule trial",
    "emit",
    "building describe naming",
    "motion",
    "pipeline",
    "show",
)
"""The floors within the compiler, likewise."""

WITHIN = ("ground", "native", "arguments", "evaluation", "results", "fitting", "training")
"""The rooms of the runtime in Python, from the ground; what a module offers stands above them."""

FLOORS = {room: number for number, rooms in enumerate(HOUSE) for room in rooms.split()}
IN_COMPILER = {room: number for number, rooms in enumerate(COMPILER) for room in rooms.split()}

STAGES = ("describe", "stabilize", "differentiate", "simplify", "schedule", "emit", "building")

TYPES_OF = {("emit", "schedule"), ("building", "emit")}
"""A stage knows the types that the one before it gives, and nothing more of any other."""


def files():
    return sorted(path for path in PACKAGE.rglob("*.py"))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parts_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts


def stage(parts):
    """The stage, or other room of the compiler, that a module belongs to: each pass is a room of its own here."""
    if parts[0] != "compiler":
        return None
    return parts[2] if parts[1:2] == ("passes",) and len(parts) > 2 else parts[1] if len(parts) > 1 else None


def imports(path):
    """The names of the modules of nncodegen that a file imports, without the first part."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.is_relative_to(EMBEDDED), f"{path} has a relative import"
            if node.level == 0 and node.module and node.module.split(".")[0] == "nncodegen":
                parts = tuple(node.module.split(".")[1:])
                if parts in {(), ("compiler",)}:
                    rooms = IN_COMPILER if parts else FLOORS
                    yield from ((*parts, alias.name if alias.name in rooms else "__init__") for alias in node.names)
                else:
                    yield parts
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".")[1:] for alias in node.names if alias.name.startswith("nncodegen."))
            yield from map(tuple, names)


def test_every_module_has_a_floor():
    """A new room is given its floor here."""
    parts = [parts_of(path) for path in files()]
    assert {first for first, *_ in parts} == set(FLOORS)
    assert {rest[0] for first, *rest in parts if first == "compiler"} == set(IN_COMPILER)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    """A module imports lower floors alone, and a stage no other, but for the types of the one before it."""
    here = parts_of(path)
    for there in imports(path):
        if there[0] != here[0]:
            assert FLOORS[there[0]] < FLOORS[here[0]], f"{path} imports {'.'.join(there)}"
        elif here[0] == "compiler" and there[1] != here[1]:
            assert IN_COMPILER[there[1]] < IN_COMPILER[here[1]], f"{path} imports {'.'.join(there)}"
        user, used = stage(here), stage(there)
        if user != used and user in STAGES and used in STAGES:
            assert (user, used) in TYPES_OF, f"the stage {user} imports {used}"


def modules():
    """The modules of the package, by name, each with its file."""
    named = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files()}
    return {name.removesuffix(".__init__"): path for path, name in named.items()}


def imported(name, path, known):
    """The modules that a module imports, those for types included."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else None
            origin = ".".join(part for part in (above, node.module) if part)
            for alias in node.names:
                yield from [module for module in (f"{origin}.{alias.name}", origin) if module in known][:1]


def named_in_texts(path, known):
    """The modules that a file names in texts: it imports them by these, or finds data beside them (``files``)."""
    tree = ast.parse(path.read_text())
    data = {
        argument
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "files"
        for argument in node.args
    }
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in data}
    return {text for text in texts if isinstance(text, str) and text in known} - {"nncodegen"}


def test_no_circle_of_imports():
    """Modules can be read one after the other: each imports only what stands before it, by its name as well."""
    known = modules()
    assert "nncodegen.compiler.ir.program" in imported(
        "nncodegen.compiler.ir.evaluate", known["nncodegen.compiler.ir.evaluate"], known
    )
    order = TopologicalSorter(
        {name: {*imported(name, path, known), *named_in_texts(path, known)} - {name} for name, path in known.items()}
    )
    assert len([*order.static_order()]) == len(known)


def test_rooms_of_the_runtime():
    """A room of the runtime imports itself and lower ones, those for types included."""
    known = modules()
    within = {name: path for name, path in known.items() if path.is_relative_to(EMBEDDED) and path.parent != EMBEDDED}

    def floor(name):
        return WITHIN.index(name.split(".")[3])

    assert {floor(name) for name in within} == {*range(len(WITHIN))}
    for name, path in within.items():
        for other in imported(name, path, known):
            assert other in within, f"{name} imports {other}"
            assert floor(other) <= floor(name), f"{name} imports {other}"


def test_helpers_come_from_support():
    """A file of tests imports nothing of another, and neither do the programs that it runs."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        others = re.findall(r"^ *(?:from|import) +(tests(?:\.\w+)*)", path.read_text(), re.MULTILINE)
        assert {".".join(other.split(".")[:2]) for other in others} <= {"tests.support"}, path


def test_pages_name_what_is_there():
    """The page of the architecture leads to each room, and that of what tests share to each file."""
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists() and path.name != "runtime"]
    assert [name for name in rooms if f"](../nncodegen/{name})" not in architecture] == []
    shared = ROOT / "tests" / "support"
    page = (shared / "README.md").read_text()
    names = [path.name for path in shared.iterdir() if not path.name.startswith("__") and path.name != "README.md"]
    assert [name for name in names if f"({name})" not in page] == []


def test_functions_hide_no_rooms():
    """A name that a package offers is never that of a room in it: it would hide the room."""
    for path in PACKAGE.rglob("__init__.py"):
        rooms = {each.parent.name for each in path.parent.glob("*/__init__.py")}
        offered = {
            alias.asname or alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not rooms & (offered | {*(nncodegen.__all__ if path.parent == PACKAGE else ())}), path


def test_the_order_stands_in_one_tuple():
    """The stages run in the order of the design."""
    from nncodegen.compiler.pipeline import STAGES

    names = [stage.__name__ for stage in STAGES]
    assert names == ["describe", "stabilize", "differentiate", "simplify", "schedule", "emit", "build"]


def test_the_runtime_stands_alone():
    """What travels inside of modules imports NumPy and the standard library, and nothing of the compiler."""
    for path in (PACKAGE / "runtime").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            others = [name for name in named if name.split(".")[0] == "nncodegen" and "runtime" not in name.split(".")]
            assert not others, f"{path} imports {', '.join(others)}"
        assert named_in_texts(path, modules()) <= {"nncodegen.errors"}, path


def test_the_package_imports_what_is_used():
    """``import nncodegen`` waits for nothing; each name, or module, of it is imported when it is first used."""
    program = """
import sys
import nncodegen as nn
assert not {"sympy", "numpy", "nncodegen.compiler.pipeline"} & {*sys.modules}
nn.BuildError
assert "sympy" not in sys.modules
nn.Model
assert {"sympy", "nncodegen.compiler.describe"} <= {*sys.modules}
assert not {"nncodegen.certificates", "nncodegen.reports", "nncodegen.formats.export"} & {*sys.modules}
nn.curves
from nncodegen import *
assert {*nn.__all__} <= {*globals()} and {*nn.__all__} <= {*dir(nn)}
try:
    nn.Modell
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("module 'nncodegen' has no attribute 'Modell'\n", "")


@pytest.mark.parametrize("package", [nncodegen, nncodegen.compiler.describe], ids=lambda package: package.__name__)
def test_names_come_from_the_modules_that_type_checkers_read(package):
    """The imports for type checkers, and the table by which names are found, say the same, and dir has all names."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    for_checkers = {
        alias.asname or alias.name: node.module.removeprefix(f"{package.__name__}.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert for_checkers == package._HOMES
    assert {*for_checkers} <= {*package.__all__} <= {*dir(package)}


def test_durations_are_those_of_the_files_of_tests():
    """By durations.json, the longest files of tests begin first: it names none that is gone, and nine in ten of all."""
    measured = {*json.loads((ROOT / "tests" / "durations.json").read_text())}
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    renewed = "python -m pytest -n auto --dist loadfile --store-durations"
    assert not measured - files, f"{renewed} forgets these"
    assert len(files - measured) <= len(files) / 10, f"{renewed} measures these: {sorted(files - measured)}"
