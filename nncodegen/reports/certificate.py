"""The certificate of a module in a report: how it is found, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nncodegen.compiler.building.build import kept
from nncodegen.compiler.building.compiler import TARGETS
from nncodegen.compiler.building.files import MODULES
from nncodegen.compiler.emit import Sources, identifier
from nncodegen.compiler.ir import Program
from nncodegen.errors import BuildError, ModelError
from nncodegen.runtime.python.ground.certificate import Certificate, Fault, beyond_range, cells, certificate_beside

MISSING = Markup(
    "There is none beside the built module, in the cache or in generated/{name}: <code>build --certify</code>, or "
    "<code>report --certify</code>, makes one."
)
"""The text in place of a missing certificate."""

_FACTS = (
    ("date", "date"),
    ("compiler", "compiler"),
    ("machine", "machine"),
    ("digits", "exact digits"),
    ("rows", "samples at each point"),
    ("reference", "compared with"),
    ("method", "solved by"),
    ("version", "nncodegen"),
)


@dataclass(frozen=True)
class Shown:
    """A certificate as it is shown: sentences, facts, the rows of its tables, and explanations of their terms."""

    verdict: str
    counts: tuple[str, ...]
    exceptions: list[str]
    facts: list[tuple[str, str]]
    rows: list[dict[str, str]]
    steps: list[dict[str, str]]
    faults: list[str]
    terms: tuple[tuple[str, str], ...]
    compared: str
    left_out: str
    flags: str
    method: str


def certificate_of(source: Any, program: Program) -> Shown | None:
    """Return the certificate of a model from an object that has one as JSON, a mapping, or the path of its file.

    Raises ModelError for the certificate of another model, or for what is no certificate.
    """
    if source is None:
        return None
    try:
        certificate = Certificate.from_json(_read(source))
    except ValueError as error:
        raise ModelError(str(error)) from error
    if certificate.identity != program.task.identity:
        raise ModelError(
            f"the certificate is that of another model, or of another precision: {certificate.name} in "
            f"{certificate.precision}; certify {program.name} anew"
        )
    return _shown(certificate)


def find_certificate(sources: Sources, program: Program) -> Certificate | None:
    """Return the certificate beside the built module of a model, in the cache or in generated/NAME; None without one.

    It belongs to exactly the file beside which it stands, and to a module that computes this program.
    """
    for path in _modules(sources, program.name):
        certificate = certificate_beside(str(path))
        if certificate is not None and certificate.identity == program.task.identity:
            return certificate
    return None


def _modules(sources: Sources, name: str) -> Iterator[Path]:
    """Yield the existing files of a built module."""
    for march in TARGETS:
        with suppress(BuildError):  # without a compiler, nothing was built here; the module may be in another place
            path = kept(sources, march)
            if path is not None:
                yield path
    with suppress(OSError):
        yield from (path for path in sorted((Path("generated") / identifier(name)).iterdir()) if path.suffix in MODULES)


def _read(source: Any) -> str:
    """Return the JSON of a certificate."""
    if isinstance(source, str | PathLike):
        path = Path(source)
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise ModelError(f"{path} is damaged, or no certificate: {error}") from error
    if isinstance(source, Certificate):
        return source.to_json()
    if not isinstance(source, Mapping):
        raise ModelError(f"a certificate must be that of nn.certify or the path of its file, not {source!r}")
    return json.dumps(source)


def _shown(read: Certificate) -> Shown:
    counts = ", ".join(f"{count} {kind}" for kind, count in read.points.items())
    verdict = (
        f"It {read.verdict}: outputs, loss and every derivative of the built machine code were compared with exact "
        f"values at {sum(read.points.values())} points: {counts}."
    )
    facts = [(title, _readable(str(value))) for name, title in _FACTS if (value := getattr(read, name))]
    facts += [("kernels", ", ".join(read.variants))] if read.variants else []
    rows = [{**dict(zip(_ROW, cells(figure), strict=True)), "place": figure.place} for figure in read.figures]
    steps = [dict(zip(_STEP, cells(step), strict=True)) for step in read.steps]
    return Shown(
        verdict,
        read.counts,
        list(map(_sentence, read.exceptions)),
        facts,
        rows,
        steps,
        [_fault(fault) for fault in read.faults],
        read.terms,
        " ".join(filter(None, map(_sentence, (read.compared, beyond_range(read.steps))))),
        "; ".join(read.left_out),
        " ".join(read.flags),
        read.method,
    )


_STEP = ("step", "error", "condition", "bound", "verdict")
_ROW = ("quantity", "kind", *_STEP[1:])
"""The names of the cells of a row."""


def _sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _readable(text: str) -> str:
    """Return a date and time in a short form; any other text unchanged."""
    day, between, time = text.partition("T")
    return f"{day} {time[:5]} UTC" if between and time.endswith("+00:00") else text


def _fault(fault: Fault) -> str:
    return f"{fault.begin[:1].upper()}{fault.begin[1:]}, in the step {fault.step}: {fault.message}"
