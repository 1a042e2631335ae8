"""The forms in which notebooks show programs: the rooms that typeset register them here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FORMS: dict[str, Callable[[Any], str | None]] = {}
"""The function that shows a program, by the name of a form: "html" or "latex"."""


def shown(program: Any, form: str) -> str | None:
    """Return a program in a form that a notebook displays; None where nothing is known to show it."""
    show = FORMS.get(form)
    return show(program) if show else None
