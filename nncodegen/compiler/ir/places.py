"""The rates of differential equations at one time of one sample, as a program of their own.

Where layers are in the rates, loops over units compute them. This program has no index of the samples: its inputs are
scalars, and its parameters the weights. Stages that take programs thereby take rates, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from nncodegen.compiler.ir.element import Element
from nncodegen.compiler.ir.program import Program, Tensor
from nncodegen.compiler.ir.step import Step, needed
from nncodegen.compiler.ir.systems import Formulas, System


def program_of(system: System, formulas: Formulas, inputs: Iterable[Element], parameters: Iterable[Element]) -> Program:
    """Return the program whose outputs are some formulas of a system, given the names of its inputs and parameters.

    A formula that is not the target of a step, or that is an output already, becomes an output by a step of its own.
    """
    sizes, steps = dict(system.sizes), [*formulas.steps]
    defined, outputs = {step.target for step in steps}, list[Element]()
    for number, value in enumerate(formulas.values):
        target = value
        if not isinstance(value, Element) or value not in defined or value in outputs:
            target = Element(f"result {number}", value.indices if isinstance(value, Element) else ())
            steps.append(Step(target, value))
        outputs.append(target)
    return Program(
        name=system.name,
        inputs=tuple(Tensor(element.tensor) for element in inputs),
        parameters=tuple(
            Tensor(element.tensor, tuple(sizes[index] for index in element.indices)) for element in parameters
        ),
        weight=Tensor("weight"),
        steps=needed(steps, outputs),
        outputs=tuple(outputs),
        extents=system.sizes,
    )
