"""The findings of the stages about a model, which pass beside its program from one stage to the next.

Companions are derived when they are first asked for: a build that leaves them for later asks for none but the fit, of
which a module knows some facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from nncodegen.compiler.ir import Companion, Program
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.passes.augment import has_second_derivatives
from nncodegen.compiler.passes.differentiate import prepare, with_sizes_of
from nncodegen.compiler.passes.fitting import fit_of
from nncodegen.compiler.passes.hessian import hessian
from nncodegen.compiler.passes.simplify import counts_of_operations, simplify
from nncodegen.compiler.passes.stepwise import stepwise, why_not_stepwise
from nncodegen.compiler.passes.tangent import fields, with_field_steps
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.facts import NO_TOKENS, WITHOUT_FIT

OF_A_BATCH = (
    "the rows of a fit are of single samples, and its BatchNormalization needs statistics of them all (with "
    "frozen=True it does not)"
)

NOTHING = "it has no parameters, so there is nothing to fit"
VALUES = "it has no loss, so there is nothing to fit"


@dataclass(frozen=True)
class Companions:
    """The programs that are derived from a model's and not needed for training: each is compiled separately.

    With ``fit``, these are those for fits, the Hessian, the fields of the model and the steps of a sequence; by
    default, only formulas have the first two. A formula that does not allow a fit has no companion for it; with
    ``fit``, asking for it raises ModelError. With ``only_fit``, all others are left for later.
    """

    program: Program
    """The stabilized program that they are derived from."""
    fit: bool | None = None
    only_fit: bool = False

    @cached_property
    def prepared(self) -> Program:
        """Return the program in the form that derivatives are taken of."""
        return prepare(self.program)

    @cached_property
    def _fit(self) -> Companion | str:
        """Return the companion for fits, or the reason why there is none. Raises ModelError."""
        program = self.prepared
        never = NOTHING if not program.parameters else VALUES if program.loss is None else ""
        never = never or (OF_A_BATCH if program.statistics else "")
        if not never and not self._asked:
            return WITHOUT_FIT
        result = never or fit_of(program)
        if isinstance(result, Companion):
            return self._whole(result)
        if self.fit:
            raise ModelError(f"{program.name} cannot be fitted: {result}; build it without fit=True")
        return result

    @property
    def _asked(self) -> bool:
        """Return whether fits, and what is made with them, are asked for."""
        by_default = not self.program.layered or self.program.task.fits.has_fit_by_default
        return by_default if self.fit is None else self.fit

    @property
    def fitting(self) -> Companion | None:
        """Return the companion for fits, if there is one. Raises ModelError."""
        return self._fit if isinstance(self._fit, Companion) else None

    @property
    def not_fitted(self) -> str:
        """Return the reason why there is no companion for fits; empty if there is one. Raises ModelError."""
        return "" if isinstance(self._fit, Companion) else self._fit

    @cached_property
    def _steps(self) -> Companion | str:
        """Return the companion for the steps of a sequence, or the reason why there is none."""
        return stepwise(self.prepared)

    @cached_property
    def not_generated(self) -> str:
        """Return the reason why there is no companion for the steps of a sequence; empty if there is one."""
        reason = why_not_stepwise(self.prepared) if self.only_fit else self._steps
        return reason if isinstance(reason, str) else ""

    @cached_property
    def derived(self) -> tuple[Companion, ...]:
        """Return all companions as they are derived. Raises ModelError."""
        fitting = (self.fitting,) if self.fitting else ()
        return fitting if self.only_fit else (*fitting, *map(self._whole, self._others()))

    def _others(self) -> Iterator[Companion]:
        """Yield the companions for the Hessian, the fields, and the steps of a sequence, those that there are."""
        program = self.prepared
        if program.parameters and not program.statistics:
            if self._asked and program.loss is not None and all(map(has_second_derivatives, systems_of(program.steps))):
                yield hessian(program)
            if program.task.fields:
                yield fields(with_field_steps(self.program) if self.program.task.field_steps else program)
        if isinstance(self._steps, Companion):
            yield self._steps

    def _whole(self, companion: Companion) -> Companion:
        """Return a companion whose program has the sizes of all of its indices."""
        return replace(companion, program=with_sizes_of(companion.program, self.prepared))

    @cached_property
    def simplified(self) -> tuple[Companion, ...]:
        """Return all companions in primitives of C, with the counts of their operations. Raises ModelError."""
        return tuple(map(simplified, self.derived))


def simplified(companion: Companion) -> Companion:
    """Return a companion in primitives of C, with the counts of its operations."""
    program = simplify(companion.program)
    return replace(companion, program=program, operations=counts_of_operations(companion.program, program))


@dataclass(frozen=True)
class Findings:
    """The findings of the stages: what they have derived from a program beside its gradient, or learned about it."""

    companions: Companions | None = None
    lazy: bool = False
    """True if companions are compiled when they are first used."""
    operations: tuple[int, int] | None = None
    """Two counts for one sample. First, the operations of the results written out as formulas, or of the separate steps
    of windows, sequences and deep networks, or 0 if that number has no meaning; second, the operations of the
    simplified steps."""
    digits_report: tuple[str, ...] = ()
    """The work of the search for forms that keep more digits, and the bits that are lost, a sentence for each."""

    @property
    def fitting(self) -> Companion | None:
        """Return the companion for fits, if there is one."""
        return self.companions.fitting if self.companions else None

    @property
    def not_fitted(self) -> str:
        """Return the reason why there is no companion for fits; empty if there is one."""
        return self.companions.not_fitted if self.companions else WITHOUT_FIT

    @property
    def not_generated(self) -> str:
        """Return the reason why there is no companion for the steps of a sequence; empty if there is one."""
        return self.companions.not_generated if self.companions else NO_TOKENS

    def companions_after(self, stage: str) -> tuple[Companion, ...]:
        """Return the companions as they are after a stage, those that are compiled now. Raises ModelError."""
        if self.companions is None:
            return ()
        if stage == "differentiate":
            return self.companions.derived
        return self.companions.simplified if stage == "simplify" and not self.lazy else ()

    def show(self, program: Program, companions: tuple[Companion, ...] = ()) -> str:
        """Return a program as text, with what is known of it, and its companions after it."""
        parts = [program.show(self._notes(program, self.operations))]
        parts += [
            f"-- {each.name}: {each.about}\n\n{each.program.show(self._notes(each.program, each.operations))}"
            for each in companions
        ]
        return "\n".join(parts)

    def _notes(self, program: Program, operations: tuple[int, int] | None) -> Iterator[str]:
        """Yield lines about a program: its operations, and before it is differentiated, its digits."""
        if operations:
            before, after = operations
            how = "before" if program.layered else "written out as formulas"
            yield f"{'operations':<12}{f'{before} {how}, ' if before else ''}{after} in these steps"
        if not program.gradient:
            yield from (f"{'digits':<12}{sentence}" for sentence in self.digits_report)


NO_FINDINGS = Findings()
"""The findings about a program that no model has: it has no companions."""
