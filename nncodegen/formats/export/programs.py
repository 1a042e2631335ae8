"""The programs that destinations translate: for predictions, for the loss, and for training."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.describe import describe
from nncodegen.compiler.ir import RECURRENCES, Program, needed
from nncodegen.compiler.ir.systems import INTEGRATE
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.passes.tangent import tangent
from nncodegen.compiler.schedule.loops import without_noise
from nncodegen.errors import ModelError
from nncodegen.formats.export.request import Request


def described(request: Request) -> Program:
    """Return the model as a program, under the name of the export."""
    return replace(describe(request.subject.model, request.precision, request.digits), name=request.name)


def check_steps(program: Program, destination: str, recurs: bool = True) -> None:
    """Raise ModelError for differential equations whose steps are chosen at run time, by an estimate of their error.

    A number of steps is a recurrence: ``recurs`` says whether the destination has these.
    """
    for step in program.steps:
        if step.operator == INTEGRATE:
            advice = "give it a number of steps from a time to the next, such as steps=10; or " if recurs else ""
            raise ModelError(
                f"{destination} has no steps that are chosen by an estimate of their error, as those of {program.name} "
                f"are: {advice}export a wheel, C or WebAssembly"
            )


def without_moves(program: Program, destination: str) -> Program:
    """Return the program unchanged. Raises ModelError for recurrences, and for windows and gathered rows in it."""
    check_steps(program, destination, recurs=False)
    for step in program.steps:
        if step.operator in RECURRENCES:
            raise ModelError(
                f"{destination} knows no recurrences (recurrent layers, steps of equations of motion), as the one of "
                f"{step.expression} in {program.name}: export to plain C or ONNX"
            )
        if step.where:
            raise ModelError(
                f"{destination} does not know how {step.target} of {program.name} is made, which is {step.definition}: "
                f"it knows layers whose values are sums and formulas without such windows, pieces or gathered rows"
            )
    return program


def of_outputs(program: Program) -> Program:
    """Return the described program without targets, loss and noise: only the steps that its outputs need."""
    at_rest = _at_rest(program)
    return replace(at_rest, targets=(), steps=needed(at_rest.steps, program.outputs), loss=None)


def of_loss(program: Program) -> Program:
    """Return the described program without outputs and noise: only the steps that its loss needs."""
    at_rest = _at_rest(program)
    return replace(at_rest, outputs=(), steps=needed(at_rest.steps, [program.required_loss]))


def _at_rest(program: Program) -> Program:
    """Return the program outside of training: without noise, statistics of a batch, and update rules."""
    program = program.at_rest
    return replace(program.without_updates, steps=tuple(without_noise(program)), noise=())


def stable(program: Program, whole: Program) -> Program:
    """Return a described program in stable forms, without derivatives by inputs, with every value computed once.

    It is a part of ``whole``, which has all outputs.
    """
    return simplify(tangent(stabilize(program, whole)))


def differentiated(program: Program) -> Program:
    """Return the described program in stable forms, with the derivatives of its loss, and without outputs."""
    return differentiate(stabilize(replace(program, outputs=()), program))
