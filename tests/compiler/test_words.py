"""The words of the package and of its documents: every sentence is understood at once."""

import ast
import re

from tests.support import ROOT

PACKAGE = ROOT / "nncodegen"
MADE = ROOT / "docs" / "examples"
"""The pages that the site makes of the gallery."""

SLOW = re.compile(r"(?i)(?<!stays )(?<!left )\bbehind\b|\bso many\b|\bwhat is wanted\b|\bnumbers? something\b")
"""*Behind* where it means after, and other words that readers have to translate."""

QUESTIONS = ("What ", "Whether ", "How ", "The same ")
"""Docstrings say what a function does, and what a value is: none begins with one of these."""

WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def test_words():
    """No sentence of the package, its C, its pages and its documents has a word that has to be read twice."""
    files = [path for kind in ("py", "pyx", "pxi", "c", "h", "js", "html") for path in PACKAGE.rglob(f"*.{kind}")]
    files += [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.py")]
    files = [path for path in files if MADE not in path.parents]
    lines = [(path, line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(str(path), line) for path, line in lines if SLOW.search(line)] == []


def test_docstrings():
    """No docstring of a module, class, function or value begins as a question does."""
    files = [path for path in (*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.py")) if MADE not in path.parents]
    nodes = [(path.name, node) for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    docstrings = [
        (name, str(docstring.value.value))
        for name, node in nodes
        if isinstance(node, WITH_DOCSTRINGS)
        for docstring in node.body
        if isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    ]
    assert len(docstrings) > 3000
    assert [docstring for docstring in docstrings if docstring[1].startswith(QUESTIONS)] == []
