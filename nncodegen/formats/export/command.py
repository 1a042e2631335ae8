"""``nn.export``: looks up the destination, calls its exporter, and writes the files that this returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from nncodegen.compiler.describe import check_bits, check_digits, describe
from nncodegen.compiler.emit import identifier
from nncodegen.compiler.ir.program import DEFAULT, NATIVE, OFF, PORTABLE
from nncodegen.compiler.naming import check_free
from nncodegen.errors import ModelError
from nncodegen.formats.export.folder import check_folder, write_files
from nncodegen.formats.export.request import Exported, Exporter, Request
from nncodegen.formats.export.subject import exportable
from nncodegen.runtime.python.ground.missing import missing_package


@dataclass(frozen=True)
class Destination:
    """A destination of exports: its module, whose function ``files`` is an Exporter, and its options."""

    module: str
    uses: tuple[str, ...] = ()
    """The uses of the model's name, which must be free for them (``naming.check_free``)."""
    options: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The files that it always writes; {} stands for the name of the model."""


PLAIN = "plain C adds up in another order than a module, and calls functions of the C library"

DESTINATIONS = {
    "c": Destination(
        "nncodegen.formats.c", ("c",), ("train", "no-libm", "vectors", "cross", "generate", "bits"), ("{}.c", "{}.h")
    ),
    "casadi": Destination("nncodegen.formats.casadi", ("c",), names=("{}.c", "{}.h")),
    "onnx": Destination("nncodegen.formats.onnx.writing", (), ("opset",), ("{}.onnx",)),
    "sdist": Destination("nncodegen.formats.wheel.sdist", ("python",), ("train", "bits")),
    "wasm": Destination("nncodegen.formats.wasm", ("c",), ("train", "no-libm", "generate"), ("{}.wasm", "{}.js")),
    "wheel": Destination("nncodegen.formats.wheel.wheel", ("python",), ("train", "cross", "bits")),
}
"""The destinations by name. A module is imported when it is needed. A package (sdist, wheel) can always train."""


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

    model is a Model or a Sequential, a fitted estimator, or the trained model of a table. target is one of
    ``DESTINATIONS``. out is the folder to write to, NAME_TARGET by default; it is created, and files in it are replaced
    only if an earlier export wrote them. parameters are trained ones, which are written as constants: an array (P,), a
    mapping from names to arrays, a Result or FitResult, or the path of an .npz archive of these. With ``train``, what
    is written can train, too, by the named optimizers. precision is "float64" or "float32", by default the model's own.
    With ``libm=False``, C calls no function of another library; with ``vectors``, it is the fast one of ``build``, not
    the small one. cross names another machine to make binaries for, such as "aarch64-linux-gnu". name takes the place
    of the model's own; a name that is taken where the files are used, such as numpy, is refused. digits is how much a
    form of a formula may cost that keeps more digits: "off", "fast" or "best", as for ``build``; by default it is
    "fast", and "off" where bits are portable, which go without the others. With ``generate``, what is written can
    continue sequences of tokens step by step, as ``module.generate`` does. With ``bits="portable"``, packages, and C
    with ``vectors``, have the bits of a module that is built so; by default bits are those of an estimator, where the
    destination can keep them: the report says where it cannot. opset is the version of the operators of ONNX: 13, or
    23, which has operators for attention.

    Returns what was written. Raises ModelError for a model that the destination cannot take, BuildError where a
    compiler or the disk fails.
    """
    if target not in DESTINATIONS:
        raise ModelError(f"there is no destination {target!r}; there are: {', '.join(DESTINATIONS)}")
    used = {"train": train, "no-libm": not libm, "vectors": vectors, "cross": cross is not None, "generate": generate}
    used["opset"] = opset is not None
    used["bits"] = check_bits(bits) == PORTABLE
    for option in (name for name, is_given in used.items() if is_given and name not in DESTINATIONS[target].options):
        able = ", ".join(name for name, other in DESTINATIONS.items() if option in other.options)
        raise ModelError(f"the destination {target} has no --{option}: leave it out; these have it: {able}")
    if vectors and generate:
        raise ModelError("C with vectors has no steps of sequences: leave out vectors, or generate")
    subject = exportable(model, precision, parameters)
    keeps = "bits" in DESTINATIONS[target].options and (vectors or target != "c")
    if bits == PORTABLE and not keeps:
        raise ModelError(f'{PLAIN}: give vectors=True as well (--vectors), or leave out bits="portable"')
    promised = (bits or subject.bits) == PORTABLE
    subject = replace(subject, bits=PORTABLE if promised and keeps else NATIVE)
    if digits is None:
        digits = OFF if subject.bits == PORTABLE else DEFAULT
    check_digits(digits, subject.bits)
    if train and not describe(subject.model, subject.precision, digits).parameters:
        raise ModelError(
            f"{subject.model.name} has no parameters, so there is nothing to train: export it without train"
        )
    chosen = name or subject.model.name
    check_free(chosen, *DESTINATIONS[target].uses)
    request = Request(
        subject, identifier(chosen), train, tuple(optimizers), libm, vectors, cross, digits, generate, opset
    )
    folder = Path(out) if out is not None else Path(f"{request.name}_{target}")
    check_folder(folder, [name.format(request.name) for name in DESTINATIONS[target].names])  # before the work
    exported = _exporter(target)(request)
    write_files(folder, exported.files)
    if promised and not keeps:
        exported = replace(
            exported, report=f"{exported.report}\nresults differ by rounding from those of the estimator"
        )
    return replace(exported, folder=folder)


def _exporter(target: str) -> Exporter:
    """Return the exporter of a destination. Raises MissingDependencyError for a package that is not installed."""
    try:
        exporter: Exporter = import_module(DESTINATIONS[target].module).files
    except ModuleNotFoundError as error:
        raise missing_package(f"the destination {target}", str(error.name), f"'nncodegen[{target}]'") from error
    return exporter
