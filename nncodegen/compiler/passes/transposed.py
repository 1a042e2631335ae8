"""The derivatives of a weighted sum of rates, which the reverse of steps in time reads.

The reverse of a step of a Runge-Kutta method goes back through its stages. At each of them, it has a factor for each
rate, and asks for the derivatives of the sum of all rates times their factors, by the states, by what is given, and by
the weights of networks: one reverse sweep over the steps that compute the rates, whatever the number of weights is.
Where states jump at a time, it goes back through the formulas of what they become there, which have no networks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from sympy import Add

from nncodegen.compiler.ir import Element, Program, Step, needed
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.ir.places import program_of
from nncodegen.compiler.ir.systems import INTEGRATE, Formulas, System, Transposed
from nncodegen.compiler.passes.linearize import slope
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep


def with_transposed(program: Program) -> Program:
    """Return a program in which systems with networks have what the reverse of their steps reads."""
    return replace(program, steps=tuple(map(_with_transposed, program.steps)))


def _with_transposed(step: Step) -> Step:
    """Return a step whose system, if it has networks, has what the reverse of its steps reads."""
    if step.operator != INTEGRATE or not step.expression.system.weights:
        return step
    return replace(step, expression=step.expression.of(transposed(step.expression.system)))


@lru_cache(maxsize=100)
def transposed(system: System) -> System:
    """Return a system with the derivatives of the sum of its rates, each times a factor, and of that of its jumps."""
    taken = {*system.taken, *(step.target.tensor for step in system.steps)}
    factors = tuple(Element(take(f"{state.tensor}_factor", taken)) for state in system.states)
    total = Add(*(factor * rate for factor, rate in zip(factors, system.rates, strict=True)))
    by = (*system.states, *system.given, *system.weights)
    inputs = (system.time, *system.fixed, *system.course, *factors)
    program = program_of(system, Formulas((total,), system.steps), inputs, by)
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    loss = split(program.steps, numbering)[program.outputs[0]]
    values = reverse_sweep(program, needed(numbering.steps, [loss]), loss, numbering)
    sums = Formulas(values, needed(numbering.steps, values))
    jumps = tuple(
        Add(*(factor * slope(jump, variable) for factor, jump in zip(factors, system.jumps.values, strict=True)))
        for variable in (*system.states, *system.given)
        if system.jumps.values
    )
    return replace(system, transposed=Transposed(factors, sums, Formulas(jumps)))
