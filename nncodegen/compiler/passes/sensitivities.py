"""Derivatives of a model for optimal control: those of its outputs by its inputs, not those of its loss.

The Jacobian has a row for each output. Rows have indices separate from those of the units: seeded with an identity
matrix, one reverse sweep gives all rows, and values that do not depend on the row are computed once. The adjoint is the
gradient of the outputs times their seeds; its Jacobian is the Hessian of that sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sympy import Add, Mul

from nncodegen.compiler.ir import ROW, SAMPLE, Element, Program, Tensor, needed
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep
from nncodegen.errors import ProgramError


@dataclass(frozen=True)
class Jacobian:
    """A program whose outputs are derivatives.

    ``entries`` has, for each function and, within that, for each variable, the derivative, with the index of the
    samples, those of the function as rows, and those of the variable; or None where the function does not depend on the
    variable. The last of the program's parameters are ``identities``: matrices of ones and zeros, which connect the
    rows with the functions.
    """

    program: Program
    entries: tuple[Element | None, ...]
    identities: tuple[str, ...]


def adjoint(program: Program, variables: tuple[Tensor, ...]) -> tuple[Program, tuple[Element | None, ...]]:
    """Return the program of the derivatives of its outputs times their seeds, and these: one per variable, or None.

    ``program`` is stabilized; variables are among its inputs and parameters. The targets of the returned program are
    the seeds, one for each output of the program, of the same shape.
    """
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    known = split(needed(program.steps, program.outputs), numbering)
    outputs = [known.get(output, output) for output in program.outputs]
    seeds = [Element(numbering.fresh(f"seed{number}"), output.indices) for number, output in enumerate(outputs, 1)]
    parts = []
    for output, seed in zip(outputs, seeds, strict=True):
        over = tuple(index for index in output.indices if index != SAMPLE)
        parts.append(numbering.define(output * seed, None, (SAMPLE,), "sum" if over else None, over))
    total = numbering.define(Add(*parts), "total", (SAMPLE,))
    slopes = _sweep(program, variables, total, (), numbering)
    targets = tuple(Tensor(seed.tensor, tuple(program.sizes[index] for index in seed.indices)) for seed in seeds)
    return _of(replace(program, targets=targets), slopes, numbering), slopes


def jacobian(program: Program, variables: tuple[Tensor, ...]) -> Jacobian:
    """Return the derivatives of all outputs of a program by variables, which are among its inputs and parameters."""
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    known = split(needed(program.steps, program.outputs), numbering)
    identities: dict[str, Element] = {}
    entries: list[Element | None] = []
    row = _row(program)
    for output in program.outputs:
        function = known.get(output, output)
        own_indices = tuple(index for index in function.indices if index != SAMPLE)
        for index in own_indices:
            if index not in identities:
                identities[index] = Element(numbering.fresh(f"identity_{index}"), (f"{row}_{index}", index))
        rows = tuple(identities[index].indices[0] for index in own_indices)
        if own_indices:
            seeded = Mul(function, *(identities[index] for index in own_indices))
            function = numbering.define(seeded, None, (SAMPLE, *rows), "sum", own_indices)
        entries += _sweep(program, variables, function, rows, numbering)
    matrices = tuple(Tensor(identity.tensor, (program.sizes[index],) * 2) for index, identity in identities.items())
    extents = tuple((identity.indices[0], program.sizes[index] or 0) for index, identity in identities.items())
    whole = replace(program, parameters=(*program.parameters, *matrices), extents=(*program.extents, *extents))
    derived = _of(whole, entries, numbering)
    return Jacobian(derived, tuple(entries), tuple(identity.tensor for identity in identities.values()))


def _row(program: Program) -> str:
    """Return the beginning of the names of rows: each Jacobian of a Jacobian has separate rows."""
    level = 1
    while any(index.startswith(f"{ROW}{level}_" if level > 1 else f"{ROW}_") for index in program.sizes):
        level += 1
    return f"{ROW}{level}" if level > 1 else ROW


def _sweep(
    program: Program, variables: tuple[Tensor, ...], function: Element, rows: tuple[str, ...], numbering: Numbering
) -> tuple[Element | None, ...]:
    """Return the derivatives of a function, which may have rows, by variables; None for those that are 0."""
    steps = needed(numbering.steps, [function])
    read: dict[str, Element] = {function.tensor: function}
    for operand in (operand for step in steps for operand in step.operands):
        if read.setdefault(operand.tensor, operand) != operand:
            raise ProgramError(f"{operand.tensor} has no derivatives: {operand} and {read[operand.tensor]} are read")
    read_variables = tuple(variable for variable in variables if variable.name in read)
    varied = tuple(
        replace(variable, trained=True) for variable in read_variables
    )  # also variables that no training changes
    derivatives = reverse_sweep(
        replace(program, parameters=varied, steps=steps), steps, function, numbering, True, rows
    )
    zeros = {step.target for step in numbering.steps if step.expression == 0}
    slopes = {
        variable: slope for variable, slope in zip(read_variables, derivatives, strict=True) if slope not in zeros
    }
    return tuple(slopes.get(variable) for variable in variables)


def _of(program: Program, results: Iterable[Element | None], numbering: Numbering) -> Program:
    """Return the program whose outputs are the results that are not None."""
    outputs = tuple(element for element in results if element is not None)
    return replace(program, steps=needed(numbering.steps, outputs), outputs=outputs, loss=None)
