"""``nn.export``: looks up the destination, calls its exporter, and writes the files that this returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nncodegen.compiler.describe import check_digits, describe
from nncodegen.compiler.emit import identifier
from nncodegen.compiler.ir.program import NATIVE, PORTABLE
from nncodegen.compiler.naming import check_free
from nncodegen.errors import ModelError
from nncodegen.formats.export.folder import check_folder, write_files
from nncodegen.formats.export.options import OPTIONS, ExportOptions
from nncodegen.formats.export.request import Exported, Exporter, Request
from nncodegen.formats.export.subject import Exportable, exportable
from nncodegen.runtime.python.arguments.calls import tell_options
from nncodegen.runtime.python.ground.missing import missing_package

if TYPE_CHECKING:
    from nncodegen.runtime.python.arguments.declarations import Option

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Destination:
    """A destination of exports: its module, whose function ``files`` is an Exporter, and its options."""

    module: str
    uses: tuple[str, ...] = ()
    """The uses of the model's name, which must be free for them (``naming.check_free``)."""
    options: tuple[str, ...] = ()
    """The options that not every destination has; those that no destination names here, all have."""
    names: tuple[str, ...] = ()
    """The files that it always writes; {} stands for the name of the model."""


PLAIN = "plain C adds up in another order than a module, and calls functions of the C library"

DESTINATIONS = {
    "c": Destination(
        "nncodegen.formats.c", ("c",), ("train", "libm", "vectors", "cross", "generate", "bits"), ("{}.c", "{}.h")
    ),
    "casadi": Destination("nncodegen.formats.casadi", ("c",), names=("{}.c", "{}.h")),
    "onnx": Destination("nncodegen.formats.onnx.writing", (), ("opset",), ("{}.onnx",)),
    "sdist": Destination("nncodegen.formats.wheel.sdist", ("python",), ("train", "bits")),
    "wasm": Destination("nncodegen.formats.wasm", ("c",), ("train", "libm", "generate"), ("{}.wasm", "{}.js")),
    "wheel": Destination("nncodegen.formats.wheel.wheel", ("python",), ("train", "cross", "bits")),
}
"""The destinations by name. A module is imported when it is needed. A package (sdist, wheel) can always train."""


PACKAGES = ("sdist", "wheel")
"""The destinations that hold a module of Python, which can train."""


def _able(name: str) -> list[str]:
    """Return the destinations that name an option; none if all have it."""
    return [target for target, destination in DESTINATIONS.items() if name in destination.options]


def _documented(function: Function) -> Function:
    """Return ``export`` with the destinations and the options in its documentation."""
    if function.__doc__:  # with python -OO, there are no docstrings
        function.__doc__ = function.__doc__.replace("{targets}", ", ".join(map(repr, DESTINATIONS)))
    tell_options(function, {name: _with_destinations(name, option) for name, option in OPTIONS.items()})
    return function


def _with_destinations(name: str, option: Option) -> Option:
    """Return an option whose description names the destinations that have it, unless all have."""
    able = ", ".join(_able(name))
    return option._replace(meaning=f"{option.meaning}\n(destinations: {able})") if able else option


@_documented
def export(
    model: Any,
    target: str,
    out: str | PathLike[str] | None = None,
    parameters: Any = None,
    train: bool = False,
    precision: str | None = None,
    optimizers: Sequence[str] = ("sgd",),
    libm: bool = True,
    vectors: bool = False,
    cross: str | None = None,
    name: str | None = None,
    digits: str | None = None,
    generate: bool = False,
    bits: str | None = None,
    opset: int | None = None,
) -> Exported:
    """Write a model for use elsewhere: as C, for another runtime, or as a package.

    model       a Model or a Sequential, a fitted estimator, or the trained model of a table
    target      the destination: {targets}
    out         the folder to write to, NAME_TARGET by default; it is created, and files in it are replaced
                only if an earlier export wrote them
    parameters  trained ones, which are written as constants: an array (P,), a mapping from names to arrays,
                a Result or FitResult, or the path of an .npz archive of these
    {options}

    Returns what was written. Raises ModelError for a model that the destination cannot take, BuildError where a
    compiler or the disk fails.
    """
    arguments = locals()
    if target not in DESTINATIONS:
        raise ModelError(f"there is no destination {target!r}; there are: {', '.join(DESTINATIONS)}")
    options = _checked(model, target, {name: arguments[name] for name in OPTIONS})
    if options.vectors and options.generate:
        raise ModelError("C with vectors has no steps of sequences: leave out vectors, or generate")
    subject = exportable(model, options.precision, parameters)
    keeps = "bits" in DESTINATIONS[target].options and (options.vectors or target != "c")
    if options.bits == PORTABLE and not keeps:
        raise ModelError(f'{PLAIN}: give vectors=True as well (--vectors), or leave out bits="portable"')
    promised = (options.bits or subject.bits) == PORTABLE
    subject = replace(subject, bits=PORTABLE if promised and keeps else NATIVE)
    chosen = options.name or subject.model.name
    request = Request(subject, identifier(chosen), options)
    check_digits(request.digits, subject.bits)
    if options.train and not describe(subject.model, subject.precision, request.digits).parameters:
        raise ModelError(
            f"{subject.model.name} has no parameters, so there is nothing to train: export it without train"
        )
    if target in PACKAGES or options.vectors:
        _check_trains(subject)
    check_free(chosen, *DESTINATIONS[target].uses)
    folder = Path(out) if out is not None else Path(f"{request.name}_{target}")
    check_folder(folder, [name.format(request.name) for name in DESTINATIONS[target].names])  # before the work
    exported = _exporter(target)(request)
    write_files(folder, exported.files)
    if promised and not keeps:
        exported = replace(
            exported, report=f"{exported.report}\nresults differ by rounding from those of the estimator"
        )
    return replace(exported, folder=folder)


def _check_trains(subject: Exportable) -> None:
    """Raise ModelError for a function without a loss, where a destination is for models that train."""
    if describe(subject.model, subject.precision).loss is None:
        raise ModelError(
            "a function has no loss: packages, and C with vectors, are of models, which have one; export it as c, "
            "wasm, onnx or casadi, or take its own C, whose loops have vectors (f.c)"
        )


def _checked(model: Any, target: str, values: dict[str, Any]) -> ExportOptions:
    """Return the options of an export. Raises ModelError for a wrong value, and for what the destination has not."""
    for name, option in OPTIONS.items():
        value, check = values[name], option.kind.check_of(option.default)
        if value is option.default:
            continue
        try:
            values[name] = check(model, name, value) if check else value
        except ValueError as error:
            raise ModelError(str(error)) from error
        able, asks = _able(name), values[name] != option.default and (name, values[name]) != ("bits", NATIVE)
        if asks and able and target not in able:
            raise ModelError(
                f"the destination {target} has no {option.flag(name)}: leave it out; these have it: {', '.join(able)}"
            )
    return ExportOptions(values)


def _exporter(target: str) -> Exporter:
    """Return the exporter of a destination. Raises MissingDependencyError for a package that is not installed."""
    try:
        exporter: Exporter = import_module(DESTINATIONS[target].module).files
    except ModuleNotFoundError as error:
        raise missing_package(f"the destination {target}", str(error.name), f"'nncodegen[{target}]'") from error
    return exporter
