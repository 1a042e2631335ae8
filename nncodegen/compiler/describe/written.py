"""Texts of layers and models, as they are printed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import islice
from typing import Any

from sympy import Expr, preorder_traversal

MOST_LAYERS = 12
"""The largest number of layers that are all printed; of more, only the first and the last are."""

MOST_PARTS = 200
"""The largest number of symbols, numbers and operations of a formula that is printed."""


def written(value: Any) -> str:
    """Write a value as an argument: a text in double quotes, a function by its name."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        inside = ", ".join(map(written, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    name = getattr(value, "__name__", None)
    return name if callable(value) and isinstance(name, str) else repr(value)


def layer_text(layer: Any) -> str:
    """Write a layer as the call that makes it: arguments that have their default are left out."""
    arguments, in_order = [], True
    declared: list[Field[Any]] = (
        sorted(fields(layer), key=lambda entry: bool(entry.kw_only)) if is_dataclass(layer) else []
    )
    for field in declared:
        value = getattr(layer, field.name)
        default: Any = field.default_factory() if field.default_factory is not MISSING else field.default
        if not field.repr or (type(value) is type(default) and value == default):
            in_order = False
        else:
            arguments.append(written(value) if in_order and not field.kw_only else f"{field.name}={written(value)}")
    if not is_dataclass(layer) and layer.name:
        arguments.append(f"name={written(layer.name)}")
    return f"{type(layer).__name__}({', '.join(arguments)})"


def listed(layers: Iterable[Any]) -> str:
    """Write layers in a list; if they are more than MOST_LAYERS, only the first and the last."""
    texts = [repr(layer) for layer in layers]
    if len(texts) > MOST_LAYERS:
        half = MOST_LAYERS // 2
        texts = [*texts[:half], f"... {len(texts) - 2 * half} more", *texts[-half:]]
    return f"[{', '.join(texts)}]"


def formula_text(formula: Expr) -> str:
    """Write a formula as text, or only that it is long."""
    parts = sum(1 for _ in islice(preorder_traversal(formula), MOST_PARTS + 1))
    return str(formula) if parts <= MOST_PARTS else "a long formula"
