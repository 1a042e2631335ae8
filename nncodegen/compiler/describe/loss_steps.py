"""The steps of a loss that is given by name, or as a function of one output and its target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sympy
from sympy import Add, Expr, exp

from nncodegen.compiler.describe.activations import ACTIVATIONS, SOFTMAX
from nncodegen.compiler.describe.functions import call
from nncodegen.compiler.describe.losses import LOSSES, SAME, Loss
from nncodegen.compiler.ir import SAMPLE, Element, Step
from nncodegen.compiler.ir.functions import plain_conditions
from nncodegen.errors import ModelError


class Output(NamedTuple):
    """An output: the element that holds it, and its value as a formula.

    The loss is written with the formula, so that a logarithm in the loss can cancel an exponential in the formula.
    """

    element: Element
    formula: Expr


def entry_of(loss: Any) -> Loss:
    """Return the entry of a loss. Raise ModelError where no loss has this name."""
    if callable(loss):
        return Loss(loss)
    if not isinstance(loss, str) or loss not in LOSSES:
        there = ", ".join((*LOSSES, *SAME))
        raise ModelError(f"there is no loss {loss!r}; there are: {there}, or a function (output, target)")
    return LOSSES[loss]


class Term(NamedTuple):
    """The contribution of one output to the loss: scale*(the sum of a loss function over its values).

    ``classes`` are the indices that a softmax of logits is over.
    """

    loss: Loss
    output: Output
    scale: Expr
    classes: tuple[str, ...]


def values_of_mean(terms: Sequence[Term]) -> int:
    """Return the number of values of a sample of whose losses the loss is the mean; 1 if it is no such mean."""
    scales = {term.scale for term in terms}
    inverse = 1 / scales.pop() if len(scales) == 1 else sympy.S.One
    return int(inverse) if inverse.is_Integer else 1


def term_of(loss: Loss, output: Output, shape: tuple[int, ...], weight: Any = 1) -> Term:
    """Return the term of an output with the given shape: the mean over its values, or the sum over its last axis."""
    values = shape if loss.total == "mean" else shape[:-1]
    return Term(loss, output, sympy.sympify(weight) / math.prod(values), output.element.indices[1:][-1:])


def terms_together(loss: Loss, outputs: Sequence[Output], size: int) -> list[Term]:
    """Return the terms of outputs with ``size`` values in total: the loss is the mean, or sum, over all values."""
    if loss.link == SOFTMAX and len(outputs) > 1:
        raise ModelError("a softmax of logits needs an output in one piece, not several; use another loss")
    scale = sympy.Integer(1) / (size if loss.total == "mean" else 1)
    return [Term(loss, output, scale, output.element.indices[1:]) for output in outputs]


def targets_of(outputs: Sequence[Output], free: Callable[[str], str] = str) -> tuple[Element, ...]:
    """Return the target of each output: y, or y1, y2 and so on."""
    names = ["y"] if len(outputs) == 1 else [f"y{k}" for k in range(1, len(outputs) + 1)]
    return tuple(Element(free(name), output.element.indices) for name, output in zip(names, outputs, strict=True))


def loss_steps(
    terms: Sequence[Term], targets: Sequence[Element], number: int, free: Callable[[str], str] = str
) -> tuple[Step, ...]:
    """Return the steps from outputs to the loss.

    The link from logits counts as one more layer, with the number ``number``. ``free`` returns an unused name in place
    of one that is taken.
    """
    steps: list[Step] = []
    suffixes = [f"_{k}" for k in range(1, len(terms) + 1)] if len(terms) > 1 else [""]
    formulas = [
        _linked(term, free(f"logits{suffix}"), free(f"v{number}{suffix}"), steps)
        for term, suffix in zip(terms, suffixes, strict=True)
    ]
    p, t = sympy.symbols("output target", real=True)
    parts = []
    for term, formula, y in zip(terms, formulas, targets, strict=True):
        value = call(term.loss.function, [p, t], "the loss").xreplace({p: formula, t: y})
        parts.append((term.scale * plain_conditions(value), y.indices[1:]))
    return (*steps, *steps_of_mean(parts, free))


def steps_of_mean(
    parts: Sequence[tuple[Expr, tuple[str, ...]]], free: Callable[[str], str], apart: bool = False
) -> list[Step]:
    """Return the steps to the loss of a sample, and to its mean over samples.

    Each part is the loss of an output with the indices that it is summed over. With ``apart``, each part of several has
    a step of its own, also without such indices.
    """
    sample_loss = Element(free("loss_n"), (SAMPLE,))
    if len(parts) == 1 and parts[0][1]:
        steps = [Step(sample_loss, parts[0][0], "sum", parts[0][1])]
    else:
        steps = _sum_of(sample_loss, parts, free, apart and len(parts) > 1)
    return [*steps, Step(Element(free("loss")), sample_loss * Element(free("weight"), (SAMPLE,)), "sum", (SAMPLE,))]


def _sum_of(
    sample_loss: Element, parts: Sequence[tuple[Expr, tuple[str, ...]]], free: Callable[[str], str], apart: bool
) -> list[Step]:
    """Return the steps that add up the losses of several outputs, each summed over its indices."""
    steps, terms = [], []
    for k, (part, over) in enumerate(parts, start=1):
        if over or apart:
            steps.append(Step(Element(free(f"loss_n{k}"), (SAMPLE,)), part, "sum" if over else None, over))
            part = steps[-1].target
        terms.append(part)
    return [*steps, Step(sample_loss, Add(*terms))]


def _linked(term: Term, logits: str, logarithm: str, steps: list[Step]) -> Expr:
    """Return an output in the form that the loss function expects. For a logit, add the steps of the link.

    ``logits`` and ``logarithm`` are the names of the tensors of these steps.
    """
    link, output = term.loss.link, term.output
    if link == "linear":
        return output.formula
    z = Element(logits, output.element.indices)
    steps.append(Step(z, output.formula))
    if link != SOFTMAX:
        return ACTIVATIONS[link](z)
    if not term.classes:
        raise ModelError("a softmax of logits needs an output of several columns")
    v = Element(logarithm, z.indices)
    steps.append(Step(v, z, "log_softmax", term.classes))
    return exp(v)
