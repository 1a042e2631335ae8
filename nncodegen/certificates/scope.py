"""The parts of a module that its certificate does not examine, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nncodegen.certificates.layer_definitions import Defined
from nncodegen.certificates.updates_and_hessians import LARGEST_HESSIAN, WHOLE
from nncodegen.compiler.ir import Companion, Program


def left_out(
    described: Program, companions: Iterable[Companion], steps: bool, network: Defined | None = None
) -> tuple[str, ...]:
    """Return the parts of a model that are not examined; ``steps`` says whether its steps were compared one by one.

    ``network`` are its layers with their definitions, if it has any.
    """
    return tuple(_left_out(described, {companion.name for companion in companions}, steps, network))


def left_out_of_function(hessian: bool, steps: bool) -> tuple[str, ...]:
    """Return the parts of a function that are not examined; ``steps`` says whether its steps were compared."""
    return (
        *(() if steps else ("the steps one by one, which have very many values",)),
        *(("the Hessian at branches, where first derivatives may jump",) if hessian else ()),
        "the nesting of arguments and results, and threads",
    )


def _left_out(described: Program, companions: set[str], steps: bool, network: Defined | None) -> Iterator[str]:
    if network and network.as_written:
        yield f"what is taken as you wrote it, since nothing else defines it: {', '.join(network.as_written)}"
    if not steps:
        yield "the steps one by one, which have very many values"
    elif described.statistics:
        yield "one by one, the steps that need the statistics of a batch"
    if described.noise:
        yield "updates, as there is noise in training"
    else:
        yield "updates after the first, but for plain gradient descent"
    yield "penalties, clipping, weights of samples, and metrics"
    if "hessian" in companions and described.parameter_count > LARGEST_HESSIAN:
        yield "the whole Hessian, of which one product is examined"
    elif "hessian" in companions and described.parameter_count > WHOLE:
        yield f"other rows of the Hessian than {WHOLE}, which are drawn"
    if "fitting" in companions:
        yield "fits and fit_many, but for the rows and products that they ask for"
