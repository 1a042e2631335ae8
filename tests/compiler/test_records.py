"""Records and signatures stay small enough to be seen at once."""

import ast
import functools

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "nncodegen"

MOST = 16
"""The largest number of fields of a record, and of arguments of a constructor or private function."""

EXCEPTIONS = {
    "runtime/module.py:Module": "the public attributes of a module",
    "runtime/python/arguments/options.py:CheckedOptions": "the table of the options of a training",
    "runtime/python/arguments/fit_options.py:CheckedFitOptions": "the table of the options of a fit",
    "compiler/motion/dynamics.py:Dynamics.__init__": "a public signature",
    "estimators/classifier.py:NNClassifier.__init__": "a public signature, which scikit-learn reads",
    "estimators/regressor.py:NNRegressor.__init__": "a public signature, which scikit-learn reads",
}
"""Records, constructors and functions that have more, each with the reason."""


@functools.cache
def trees():
    """The syntax tree of each file, by its path within the package."""
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def words(annotation):
    """The names in an annotation, which may be written as a text."""
    text = "" if annotation is None else ast.unparse(annotation).strip("'\"")
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def fields(record):
    """The fields of a record, each with the names in its annotation."""
    declared = [part for part in record.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)]
    named = {part.target.id: words(part.annotation) for part in declared}
    return {name: kinds for name, kinds in named.items() if "ClassVar" not in kinds}


@functools.cache
def records():
    """The classes with fields, by file and name."""
    return {
        f"{path}:{node.name}": fields(node)
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and fields(node)
    }


@functools.cache
def takers():
    """The records and functions that have, or take, each kind of thing, by its name."""
    by = {}
    for record, declared in records().items():
        for kind in set().union(*declared.values()):
            by.setdefault(kind, set()).add(record)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for argument in arguments(node):
                    for kind in words(argument.annotation):
                        by.setdefault(kind, set()).add(f"{path}:{node.name} {node.lineno}")
    return by


def arguments(function):
    """The arguments of a function, without the object of a method."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return named[1:] if named and named[0].arg in ("self", "cls") else named


def size(record):
    """The number of the fields of a record, with those of a record in it that nothing else has or takes."""
    count = 0
    for kinds in records()[record].values():
        only = [f"{record.partition(':')[0]}:{kind}" for kind in kinds if takers()[kind] == {record}]
        inner = [other for other in only if other in records() and other != record]
        count += size(inner[0]) if inner else 1
    return count


def signatures():
    """The number of the arguments of each constructor and private function."""
    for path, tree in trees().items():
        methods = {
            id(each): f"{node.name}." for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in node.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("_"):
                yield f"{path}:{methods.get(id(node), '')}{node.name}", len(arguments(node))


def test_records_stay_small():
    """A record has at most 16 fields, those of parts of its own included; a signature has as many arguments."""
    large = {name for name in records() if size(name) > MOST} | {name for name, count in signatures() if count > MOST}
    assert large == {*EXCEPTIONS}


@pytest.mark.parametrize(("name", "least"), [("ground/facts.py:Facts", 10), ("ground/certificate.py:Certificate", 5)])
def test_fields_are_counted(name, least):
    """The count sees the fields of tuples with names and of dataclasses, and parts that others take count as one."""
    assert least <= size(f"runtime/python/{name}") <= MOST
