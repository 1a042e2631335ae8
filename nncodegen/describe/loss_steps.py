"""The steps of a loss that is given by name, or as a function of one output and its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sympy
from sympy import Add, Expr, exp

from nncodegen.describe.activations import ACTIVATIONS, SOFTMAX
from nncodegen.describe.functions import call
from nncodegen.describe.losses import LOSSES, Loss
from nncodegen.errors import ModelError
from nncodegen.ir import SAMPLE, Element, Step


class Output(NamedTuple):
    """An output: the element that holds it, and the same as a formula.

    The loss is written with the formula, so that a logarithm in it can cancel an exponential in the formula.
    """

    element: Element
    formula: Expr


def entry_of(loss: Any) -> Loss:
    """What is known about a loss. Raises ModelError where there is none of this name."""
    if callable(loss):
        return Loss(loss)
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ModelError(f"there is no loss {loss!r}; there are: {', '.join(LOSSES)}, or a function (output, target)")
    return LOSSES[loss]


def targets_of(outputs: Sequence[Output], free: Callable[[str], str] = str) -> tuple[Element, ...]:
    """The target of each output: y, or y1, y2 and so on."""
    names = ["y"] if len(outputs) == 1 else [f"y{k}" for k in range(1, len(outputs) + 1)]
    return tuple(Element(free(name), output.element.indices) for name, output in zip(names, outputs, strict=True))


def loss_steps(
    loss: Loss, outputs: Sequence[Output], size: int, number: int, free: Callable[[str], str] = str
) -> tuple[Step, ...]:
    """The steps from outputs, which have ``size`` values together, to the loss.

    ``number`` is that of the layer which a link would be. ``free`` gives a name in place of one that is taken.
    """
    steps: list[Step] = []
    formulas = [output.formula for output in outputs]
    if loss.link != "linear":
        if loss.link == SOFTMAX and len(outputs) > 1:
            raise ModelError("a softmax of logits needs an output in one piece, not several; use another loss")
        suffixes = [f"_{k}" for k in range(1, len(outputs) + 1)] if len(outputs) > 1 else [""]
        formulas = [
            _linked(loss.link, output, free(f"logits{suffix}"), free(f"v{number}{suffix}"), steps)
            for output, suffix in zip(outputs, suffixes, strict=True)
        ]
    p, t = sympy.symbols("output target", real=True)
    value = call(loss.function, [p, t], "the loss")
    parts = []
    for formula, y in zip(formulas, targets_of(outputs, free), strict=True):
        part = value.xreplace({p: formula, t: y})
        parts.append((part / size if loss.total == "mean" else part, y.indices[1:]))
    one = Element(free("loss_n"), (SAMPLE,))
    if len(parts) == 1 and parts[0][1]:
        steps.append(Step(one, parts[0][0], "sum", parts[0][1]))
    else:
        steps += _sum_of(one, parts, free)
    return (*steps, Step(Element(free("loss")), one * Element(free("weight"), (SAMPLE,)), "sum", (SAMPLE,)))


def _sum_of(one: Element, parts: Sequence[tuple[Expr, tuple[str, ...]]], free: Callable[[str], str]) -> list[Step]:
    """The steps that add up the losses of several outputs, each summed over its indices."""
    steps, terms = [], []
    for k, (part, over) in enumerate(parts, start=1):
        if over:
            steps.append(Step(Element(free(f"loss_n{k}"), (SAMPLE,)), part, "sum", over))
            part = steps[-1].target
        terms.append(part)
    return [*steps, Step(one, Add(*terms))]


def _linked(link: str, output: Output, logits: str, logarithm: str, steps: list[Step]) -> Expr:
    """What a link makes of an output that is a logit; its steps are added, with these names."""
    z = Element(logits, output.element.indices)
    steps.append(Step(z, output.formula))
    if link != SOFTMAX:
        return ACTIVATIONS[link](z)
    if not z.indices[1:]:
        raise ModelError("a softmax of logits needs an output of several columns")
    v = Element(logarithm, z.indices)
    steps.append(Step(v, z, "log_softmax", z.indices[1:]))
    return exp(v)
