"""Choice of the weights that lie transposed while they are trained.

The caller stores the weights of a layer as ``W[j, i]``, with the inputs i contiguous. Where features run innermost, the
product ``s[n, j] = sum(i) W[j, i]*x[n, i]`` reads them with the units j contiguous, from a copy that is made for every
batch. Their gradient ``d_W[j, i] = sum(n) d[n, j]*x[n, i]`` can be computed in either order. But with i contiguous it
reads vectors of x, which may lie across two cache lines in the array of the caller, and are copied first then. So a
training transposes the weights when it begins, updates them in that order, and transposes them back when it ends.

This pays if no other product reads the weights in the order of the caller, as the gradient by the inputs of a layer
does: so for first layers, whose inputs need no gradient. And it pays if the weights stay in the first-level cache: from
slower caches, x is read faster in rows than in columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step, Tensor
from nncodegen.compiler.schedule.layout import CACHE, Layout, bytes_of, is_product, names_of, weights_of


def choose_transposed(program: Program, layout: Layout, choices: Mapping[str, object]) -> Layout:
    """Return a layout with the parameters, and their gradients, that lie transposed in a training.

    ``choices`` overrides it: {"transposed": True or False, for all that can, or a list of parameters}. Raises
    ModelError for invalid choices.
    """
    matrices = [(p, g) for p, g in zip(program.parameters, program.gradient, strict=False) if len(p.shape) == 2]
    able = {p.name: (step, g) for p, g in matrices if (step := _forward(p, g, program, layout))}
    usual = (name for name, (step, _) in able.items() if _pays(step, program, layout))
    wanted = names_of("transposed", choices, able, usual, "parameter", "lie transposed")
    asked = choices.get("transposed") is not None
    chosen = [name for name in able if name in wanted]
    gradients = [able[name][1].tensor for name in chosen]
    reasons = (_reason(name, step, program, name in wanted, asked) for name, (step, _) in able.items())
    return replace(layout, transposed=(*chosen, *gradients), reasons=(*layout.reasons, *reasons))


def _forward(parameter: Tensor, gradient: Element, program: Program, layout: Layout) -> Step | None:
    """Return the only step that reads a matrix of parameters: the product of a layer whose units fill whole vectors.

    Return None if other steps read it, or if its product or its gradient is not computed in blocks.
    """
    readers = [s for s in program.steps if parameter.name in {operand.tensor for operand in s.operands}]
    slope = [s for s in program.steps if s.target == gradient and is_product(s) and s.target.tensor not in layout.blas]
    if len(readers) != 1 or not slope or not is_product(readers[0]) or readers[0].target.tensor in layout.blas:
        return None
    units, size = _units(readers[0], program)
    innermost = units in layout.features and gradient.indices[0] == units
    return readers[0] if innermost and layout.padded(size) == size else None


def _pays(step: Step, program: Program, layout: Layout) -> bool:
    """Return whether the weights of a product stay in the first-level cache, in blocks of several vectors."""
    _, size = _units(step, program)
    return bytes_of(weights_of(step, program), program) < CACHE and size > layout.padding


def _units(step: Step, program: Program) -> tuple[str, int]:
    """Return the index of the units that a product computes, and their number."""
    (units,) = (index for index in step.target.indices if index != SAMPLE)
    return units, program.sizes[units] or 1


def _reason(name: str, step: Step, program: Program, chosen: bool, asked: bool) -> str:
    why = "as asked for" if asked else f"for its {weights_of(step, program):,} weights"
    return f"{name}: {'transposed while it is trained' if chosen else 'as people see it'}, {why}"
