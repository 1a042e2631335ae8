"""The parameters that enter a formula linearly: least squares gives them without a start.

A formula is an affine function of some parameters together if the derivative by each of them depends on none of them
(G. H. Golub, V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate, 1973).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nncodegen.compiler.ir import Element, Program, Step


def linear_of(program: Program, steps: Iterable[Step], derivatives: Sequence[Element]) -> tuple[str, ...]:
    """Return the names of parameters in which the outputs of a formula are affine together, in their order.

    ``derivatives`` are those of the outputs by each parameter, which ``steps`` define. Where only one of two can be
    among them, as in a*b*x, it is the first. A network has none: its parameters are arrays, and it draws its start.
    """
    if program.layered:
        return ()
    parameters = [tensor.name for tensor in program.parameters]
    reads: dict[str, frozenset[str]] = {name: frozenset([name]) for name in parameters}
    for step in steps:
        reads[step.target.tensor] = frozenset().union(*(reads.get(operand.tensor, ()) for operand in step.operands))
    linear: dict[str, None] = {}
    factors: set[str] = set()  # the parameters that these are multiplied with
    for name, derivative in zip(parameters, derivatives, strict=True):
        read = reads.get(derivative.tensor, frozenset())
        if name not in read and name not in factors and linear.keys().isdisjoint(read):
            linear[name] = None
            factors |= read
    return tuple(linear)
