"""The parts of a model that become C: its kernels, its update rules, its constants."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from nncodegen.compiler.emit.printer import REAL_TYPES
from nncodegen.compiler.emit.stepwise import sizes
from nncodegen.compiler.ir import Companion, Program, Update
from nncodegen.compiler.ir.systems import System, formulas_of, systems_of
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.passes.stepwise import stepwise
from nncodegen.compiler.schedule.plain import OneSample, plan_gradient, plan_loss, plan_outputs, plan_step
from nncodegen.errors import ModelError
from nncodegen.formats.c.library import check_without_library
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.programs import described, differentiated, of_loss, of_outputs, stable
from nncodegen.formats.export.request import Request

FUNCTIONS = ("predict", "predict_batch", "loss", "add_gradient", "loss_and_gradient", "parameters")
"""The functions of every model; no optimizer may have one of these names."""

OF_STEPS = ("step", "generate")
"""The functions of a model that can generate sequences, likewise."""


class PlainModel:
    """A model for plain C; everything follows from the request."""

    mathematics = "plain/no_libm"
    """The header of the runtime that is used where the library of mathematics is not."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.name, self.upper, self.train = request.name, request.name.upper(), request.options.train
        self.real = REAL_TYPES[request.precision][0]
        self.program = described(request)
        self.step = _step_of(self.program) if request.options.generate else None
        """The companion for one step of a sequence, and its loops, if sequences are to be generated."""
        if not request.options.libm:
            self._check_without_library()

    def _check_without_library(self) -> None:
        """Raise ModelError if a function is needed that only the C library has."""
        steps = [*self.outputs.program.steps, *(self.derived.steps if self.train else ())]
        steps += self.step[1].program.steps if self.step else ()
        check_without_library(self.name, (formula for step in steps for formula in formulas_of(step)))
        for rule in self.rules:
            check_without_library(f"the optimizer {rule.name}", (step.expression for step in rule.steps))

    @cached_property
    def outputs(self) -> OneSample:
        """Return the loops of a prediction."""
        return plan_outputs(stable(of_outputs(self.program), self.program))

    @cached_property
    def loss(self) -> OneSample:
        """Return the loops of the loss."""
        return plan_loss(stable(of_loss(self.program), self.program))

    @cached_property
    def differentiated(self) -> Program:
        """Return the program with its gradient, in the functions of its formulas."""
        return differentiated(self.program)

    @cached_property
    def derived(self) -> Program:
        """Return that program in primitives of C, with every value computed once.

        Raises ModelError for statistics of batches.
        """
        if self.program.statistics:
            raise ModelError(
                f"{self.name} trains with the statistics of batches (BatchNormalization), which plain C, also in "
                f"WebAssembly, does not: export it without training, as C with --vectors, or with frozen=True"
            )
        return simplify(self.differentiated)

    @cached_property
    def gradient(self) -> OneSample:
        """Return the loops of the gradient."""
        return plan_gradient(self.derived)

    @cached_property
    def systems(self) -> tuple[System, ...]:
        """Return the systems of differential equations that its functions solve, each once."""
        kernels = (self.outputs, *((self.loss, self.gradient) if self.train else ()))
        return systems_of(step for kernel in kernels for step in kernel.program.steps)

    @property
    def trained(self) -> bool:
        """Return whether trained parameters are given."""
        return self.request.parameters is not None and bool(self.program.parameters)

    @cached_property
    def constants(self) -> Any:
        """Return the parameters that are written as constants; None without any, as C has no empty arrays.

        They are trained parameters, or those with which a training begins.
        """
        if not self.program.parameters:
            return None
        if self.trained:
            return self.request.parameters
        return start_of(self.program) if self.train else None

    @property
    def about_constants(self) -> str:
        """Return a description of the constants, for a comment."""
        return "The trained parameters." if self.trained else "The parameters with which a training begins."

    @cached_property
    def rules(self) -> tuple[Update, ...]:
        """Return the update rules that were asked for. Raises ModelError for a name that no rule has."""
        if not self.train:
            return ()
        known = {update.name: update for update in self.derived.updates}
        for name in self.request.options.optimizers:
            if name not in known:
                raise ModelError(f"there is no optimizer {name!r}; there are: {', '.join(known)}")
        declared = (*FUNCTIONS, *(OF_STEPS if self.step else ()))
        taken = [name for name in self.request.options.optimizers if name in declared]
        if taken:
            raise ModelError(f"the optimizer {taken[0]} has the name of another function in C: rename it")
        return tuple(known[name] for name in dict.fromkeys(self.request.options.optimizers))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Return the constants in the header: the number of values of each kind."""
        program = self.program
        counts = {
            "INPUTS": sum(tensor.size for tensor in program.inputs),
            "OUTPUTS": program.width(program.outputs),
            "PARAMETERS": program.parameter_count,
            "PREDICT_WORK": self.outputs.work,
        }
        if self.step:
            companion, loops = self.step
            assert companion.stepwise
            of_steps = sizes(companion.program, companion.stepwise)
            counts |= {"TOKENS": companion.stepwise.tokens}
            counts |= {name: of_steps[name] for name in ("POSITIONS", "STATE", "PROBABILITIES")}
            counts["STEP_WORK"] = of_steps["RESULTS"] + loops.work
        if self.train:
            counts["TARGETS"] = sum(tensor.size for tensor in program.targets)
            counts["TRAIN_WORK"] = max(self.loss.work, self.gradient.work)
        return counts


def _step_of(program: Program) -> tuple[Companion, OneSample]:
    """Return the companion for one step of a sequence and its loops. Raise ModelError for a model that has none."""
    companion_or_reason = stepwise(stabilize(program))
    if not isinstance(companion_or_reason, Companion):
        raise ModelError(
            f"{program.name} cannot be computed step by step, so export it without generate: {companion_or_reason}"
        )
    companion = replace(companion_or_reason, program=simplify(companion_or_reason.program))
    return companion, plan_step(companion)
