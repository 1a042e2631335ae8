"""Small programs with every value in a separate variable: a formula, or a network written out as one.

Single samples are trained in registers (see ``registers``), and many models of a formula at once in the lanes of
vectors (see ``formulas``). Batches of a network are left to its blocks, whose vectors are filled by samples, and many
models of it to loops over its units (see ``layers``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

from nncodegen.compiler.ir import REDUCTIONS, SAMPLE, Element, Program, Step, Tensor
from nncodegen.compiler.schedule.formulas import formula_group
from nncodegen.compiler.schedule.kernel import Kernel
from nncodegen.compiler.schedule.layout import Layout, choose_layout
from nncodegen.compiler.schedule.loops import make_kernel
from nncodegen.compiler.schedule.registers import Registers, in_registers
from nncodegen.compiler.schedule.side_by_side import SideBySide
from nncodegen.compiler.schedule.tree_walks import steps_in

STATEMENTS = 400
"""Number of statements of a gradient up to which it is written for registers: beyond, it does not fit into them."""

PARAMETERS = 64
"""Number of parameters of a network up to which it is written out: beyond, the units of its layers fill vectors
better."""


def choose_unrolled(program: Program, layout: Layout, gradient: Kernel) -> tuple[Registers | None, SideBySide | None]:
    """Return the scalar forms of a program, given the kernel of its gradient; None if too long, or of no use."""
    formula = not program.layered
    if not program.parameters:
        return None, None  # nothing is updated
    if not all(REDUCTIONS[step.operator or "sum"].written for step in program.steps if step.operator in REDUCTIONS):
        return None, None  # a reduction has no form of a few terms
    if not formula:
        small = program.parameter_count <= PARAMETERS
        if not small or program.batch or program.moves or program.noise or layout.transposed or layout.blas:
            return None, None
        program = written_out(program)
        outputs = program.outputs if gradient.outputs else ()
        gradient = make_kernel(
            program, choose_layout(program, {}), "gradient", (), (program.required_loss, *program.gradient), outputs
        )
    if sum(1 for tree in gradient.trees.in_order for _ in steps_in(tree)) > STATEMENTS:
        return None, None
    group = formula_group(program, gradient) if formula else None
    return in_registers(program, gradient), group


def written_out(program: Program) -> Program:
    """Return the program with a scalar for each value of its tensors, which may still have the index of the samples."""
    return replace(
        program,
        inputs=tuple(_tensors(program.inputs)),
        targets=tuple(_tensors(program.targets)),
        parameters=tuple(_tensors(program.parameters)),
        steps=tuple(part for step in program.steps for part in _parts(step, program)),
        outputs=tuple(_elements(program.outputs, program)),
        gradient=tuple(_elements(program.gradient, program)),
    )


def _name(tensor: str, numbers: Iterable[object]) -> str:
    return " ".join([tensor, *map(str, numbers)])


def _tensors(tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the declaration of each value, in row-major order."""
    for tensor in tensors:
        sizes = [size for size in tensor.shape if size is not None]
        for numbers in product(*map(range, sizes)):
            yield replace(tensor, name=_name(tensor.name, numbers), shape=(None,) * (None in tensor.shape))


def _elements(elements: Iterable[Element], program: Program) -> Iterator[Element]:
    """Yield each value of some tensors, in row-major order."""
    for element in elements:
        yield from (_at(element, numbers) for numbers in _numbers(element.indices, program))


def _numbers(indices: Iterable[str], program: Program) -> Iterator[dict[str, int]]:
    """Yield the values of all indices but the samples, in row-major order."""
    features = [index for index in indices if index != SAMPLE]
    for numbers in product(*(range(program.sizes[index] or 1) for index in features)):
        yield dict(zip(features, numbers, strict=True))


def _at(element: Element, numbers: dict[str, int]) -> Element:
    """Return the scalar for certain values of the indices of an element."""
    name = _name(element.tensor, (numbers[index] for index in element.indices if index != SAMPLE))
    return Element(name, [SAMPLE] if SAMPLE in element.indices else [])


def _parts(step: Step, program: Program) -> Iterator[Step]:
    """Yield a step for each value of a target; its reductions are written out, except a sum over samples."""
    over = tuple(index for index in step.over if index == SAMPLE)
    for numbers in _numbers(step.target.indices, program):
        terms = []
        for reduced in _numbers(step.over, program):
            values = {operand: _at(operand, numbers | reduced) for operand in step.operands}
            terms.append(step.expression.xreplace(values))
        value = REDUCTIONS[step.operator or "sum"].written(*terms)
        yield Step(_at(step.target, numbers), value, step.operator if over else None, over)
