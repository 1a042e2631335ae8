"""Parts of a compiled module that are compiled when they are first needed: fits, many models, the Hessian, fields.

Only modules that ``nncodegen.build`` has put into its cache have such parts; a module that is written to a folder is
whole. So this file may ask for nncodegen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ground.clock import clock
from ..ground.missing import missing_package
from .builder import find_builder

if TYPE_CHECKING:
    from ..ground.facts import Facts
    from .model import Model


def with_errors(model: Model) -> Model:
    """Return the second model, which fits a model with errors in its inputs.

    Raises ValueError for networks and equations of motion, and where no process has told the formula of the model, from
    which the second one is made, to this one; CompilerNotFoundError for a module without C.
    """
    if model.with_errors is None:
        try:
            builder = find_builder()
        except ImportError:
            builder = None
        facts = model.facts
        _check_formula(model)
        with clock.standing():
            module = builder and builder.module_with_errors(facts.identity, facts.precision, facts.bits)
        if not module:
            model.native.errors_memory(0, 0)  # a module without C says that it has no fits: a second one has none, too
            raise ValueError(
                f"errors in x (sigma_x, profiles, x_standard_errors) are for formulas (nn.Model), of which a second "
                f"module is made; if {model.name} is one, this process has not built it: call nncodegen.build for the "
                f"same model, in {model.precision}, once in this process; what was loaded then works, too"
            )
        model.with_errors = module._model
    return model.with_errors


def fits_with_errors_at_once(model: Model) -> bool:
    """Return whether the second model is there, with what it fits by. Raises ValueError for all but formulas."""
    _check_formula(model)
    return model.with_errors is not None and model.with_errors.native.has("fitting")


def _check_formula(model: Model) -> None:
    if not _is_formula(model.facts):
        raise ValueError(
            f"errors in x (sigma_x, profiles, x_standard_errors) are for formulas (nn.Model), and {model.name} is "
            "none: leave them out"
        )


def _is_formula(facts: Facts) -> bool:
    """Return whether all inputs, outputs and parameters are single numbers, and no inputs are times of a sample."""
    counts = (count for _, count in (*facts.samples.inputs, *facts.samples.outputs))
    return (
        not facts.samples.rising
        and all(count == 1 for count in counts)
        and not any(parameter.shape for parameter in facts.parameters)
    )


def address_of_part(file: str, part: str) -> int:
    """Return the address of the table of the functions of a part, given the file of the module; 0 if it has none.

    The part is compiled if it has not been yet. Raises BuildError if that fails, MissingDependencyError without
    nncodegen.
    """
    try:
        builder = find_builder()
    except ImportError as error:
        what = f"the part {part!r} of {file}, which is compiled when it is first used (not with out=FOLDER),"
        raise missing_package(what, "nncodegen", "nncodegen") from error
    with clock.standing():
        return builder.address_of(file, part)


def check_part(file: str, part: str) -> None:
    """Check a part that has just been compiled, which its module can call now. Raises CheckError if it is wrong."""
    find_builder().check(file, part)
