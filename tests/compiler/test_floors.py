"""The architecture: imports point downwards, and no stage imports another."""

import ast

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "nncodegen"
FLOORS = {
    "errors": 0, "functions": 0, "quotients": 0, "ir": 0, "infinities": 0, "derivatives": 0, "numbering": 0, "rules": 0,
    "targets": 0, "files": 0, "printable": 0,
    "describe": 1, "stabilize": 1, "differentiate": 1, "simplify": 1, "schedule": 1, "emit": 1, "build": 1,
    "check": 2, "pipeline": 2, "userfile": 2,
    "perceptron": 3, "network": 3, "generated": 3, "__init__": 3, "bench": 4, "estimators": 4, "table": 4,
    "cli": 5, "__main__": 6,
}  # fmt: skip
TYPES_OF = {("emit", "schedule"), ("build", "emit")}
"""A stage may know the type that the one before it gives, and nothing more."""


def files():
    return sorted(path for path in PACKAGE.rglob("*.py"))


def name_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            if node.module and node.module.split(".")[0] == "nncodegen":
                parts = node.module.split(".")[1:]
                names = [alias.name if alias.name in FLOORS else "__init__" for alias in node.names]
                yield from [parts[0]] if parts else names
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("nncodegen."))


def test_every_module_has_a_floor():
    """A new module is given its floor here."""
    assert {name_of(path) for path in files()} == set(FLOORS)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    """A module imports lower floors alone; on floor 0, its neighbours; a stage no other, but for a type."""
    own = name_of(path)
    for other in imports(path):
        if other == own or (own, other) in TYPES_OF or FLOORS[own] == FLOORS[other] == 0:
            continue
        assert FLOORS[other] < FLOORS[own], f"{path} imports {other}"


def test_the_order_stands_in_one_tuple():
    """The stages run in the order of the design."""
    from nncodegen.pipeline import STAGES

    names = [stage.__name__ for stage in STAGES]
    assert names == ["describe", "stabilize", "differentiate", "simplify", "schedule", "emit", "build"]
