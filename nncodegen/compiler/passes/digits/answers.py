"""Answers of searches, kept as bytes: what one process has found, the next one need not search again.

They are pickles, which need the same trust as the compiled modules in whose folder they are. An answer that cannot be
read, or is that to another question, is found again.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Protocol

import sympy

from nncodegen.compiler.passes.digits.formed import Answer, Question

DEPENDENCIES = ("sympy", "mpmath", "numpy")
"""The packages on whose versions it may depend what a search finds."""

DIGEST = 32
"""The bytes of the digest with which a kept answer begins."""


class Store(Protocol):
    """A place for bytes, by name, in which what has been written may be missing or damaged later."""

    def read(self, name: str) -> bytes:
        """Return the bytes of a name; empty where there are none."""

    def write(self, name: str, content: bytes) -> None:
        """Keep the bytes of a name, if that is possible."""


class Answers:
    """The answers that other processes have found, in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, question: Question, answer: Callable[[Question], Answer]) -> Answer:
        """Return the answer to a question; find it and keep it if there is none."""
        name = _name(question)
        known = _read(self._store.read(name), question)
        if known is None:
            known = answer(question)
            self._store.write(name, _written(question, known))
        return known


def _name(question: Question) -> str:
    """Return a name for a question: the hash of its text, and of the versions of what is used to answer it."""
    texts = [question.name, *map(sympy.srepr, (question.written, question.form, question.typed)), repr(question.starts)]
    texts += [question.choice, question.precision, *map(version, DEPENDENCIES)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]


def _written(question: Question, answer: Answer) -> bytes:
    """Return a question with its answer as bytes."""
    held = io.BytesIO()
    _Pickler(held).dump((question, answer))
    content = held.getvalue()
    return hashlib.sha256(content).digest() + content


def _read(content: bytes, question: Question) -> Answer | None:
    """Return the answer in some bytes, if they are undamaged and answer this question."""
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        return None
    asked, answer = pickle.loads(content[DIGEST:])
    return answer if asked == question and isinstance(answer, Answer) else None


class _Pickler(pickle.Pickler):
    """Writes the classes that are made for single functions, such as f(x)/x, by what makes them."""

    def reducer_override(self, value: Any) -> Any:
        """Return the function that makes a class, with its arguments."""
        made_by = getattr(value, "made_by", None) if isinstance(value, type) else None
        return NotImplemented if made_by is None else made_by
