"""The certificate of a module: where it is found, and how the report shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nncodegen.build import kept
from nncodegen.compiler import TARGETS
from nncodegen.emit import Sources, identifier
from nncodegen.errors import BuildError, ModelError
from nncodegen.files import MODULES
from nncodegen.ir import Program
from nncodegen.runtime.python.certificate import Certificate, certificate_beside

MISSING = Markup(
    "There is none beside the built module, in the cache or in generated/{name}: <code>build --certify</code>, or "
    "<code>report --certify</code>, makes one."
)
"""What stands in the place of a certificate."""

_FACTS = (
    ("date", "date"), ("compiler", "compiler"), ("machine", "machine"), ("digits", "exact digits"),
    ("rows", "samples at each point"), ("reference", "compared with"), ("version", "nncodegen"),
)  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A certificate: what it says in a sentence, its facts, and the rows of its tables."""

    verdict: str
    facts: list[tuple[str, str]]
    rows: list[dict[str, str]]
    steps: list[dict[str, str]]
    faults: list[str]
    compared: str
    flags: str


def certificate_of(given: Any, program: Program) -> Shown | None:
    """The certificate of a model: an object that has one as JSON, a mapping, or the path of its file.

    Raises ModelError where it is that of another model, or none.
    """
    if given is None:
        return None
    read = _read(given)
    try:
        if read["identity"] != program.identity:
            raise ModelError(
                f"the certificate is that of another model, or of another precision: {read['name']} in "
                f"{read['precision']}; certify {program.name} anew"
            )
        return _shown(read)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"this is no certificate of a module: it lacks {error}") from error


def find_certificate(sources: Sources, program: Program) -> Certificate | None:
    """The certificate beside the built module of a model, in the cache or in generated/NAME; None where there is none.

    It is that of the very file beside which it stands, and of a module that computes this program.
    """
    for path in _modules(sources, program.name):
        found = certificate_beside(str(path))
        if found is not None and found.identity == program.identity:
            return found
    return None


def _modules(sources: Sources, name: str) -> Iterator[Path]:
    """The files of a built module, as far as they are there."""
    for march in TARGETS:
        with suppress(BuildError):  # without a compiler, nothing was built here; what was may be elsewhere
            path = kept(sources, march)
            if path is not None:
                yield path
    with suppress(OSError):
        yield from (path for path in sorted((Path("generated") / identifier(name)).iterdir()) if path.suffix in MODULES)


def _read(given: Any) -> Mapping[str, Any]:
    if isinstance(given, str | PathLike):
        path = Path(given)
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise ModelError(f"{path} is damaged, or no certificate: {error}") from error
    elif hasattr(given, "to_json"):
        given = json.loads(given.to_json())
    if not isinstance(given, Mapping):
        raise ModelError(f"a certificate must be that of nn.certify or the path of its file, not {given!r}")
    return given


def _shown(read: Mapping[str, Any]) -> Shown:
    rows, steps = ([_row(row) for row in read[name]] for name in ("figures", "steps"))
    faults = [_fault(each) for each in read["faults"]]
    holds = not faults and all(row["verdict"] != "wrong" for row in (*rows, *steps))
    counts = read["points"]
    points = f"{sum(counts.values())} points: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    verdict = (
        f"{'It holds' if holds else 'It does not hold'}: outputs, loss and every derivative of the built machine code "
        f"were compared with exact values at {points}."
    )
    facts = [(title, _readable(str(read[name]))) for name, title in _FACTS if read.get(name)]
    facts += [("kernels", ", ".join(read["variants"]))] if read.get("variants") else []
    compared = str(read.get("compared", ""))
    told = f"{compared[:1].upper()}{compared[1:]}." if compared else ""
    return Shown(verdict, facts, rows, steps, faults, told, " ".join(read.get("flags", ())))


def _readable(text: str) -> str:
    """A date without what computers need; any other text as it is."""
    day, between, time = text.partition("T")
    return f"{day} {time[:5]} UTC" if between and time.endswith("+00:00") else text


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    numbers = {name: f"{float(row[name]):.3g}" for name in ("error", "condition", "bound")}
    texts = {name: str(row[name]) for name in ("quantity", "kind", "step", "verdict") if name in row}
    return {**numbers, **texts}


def _fault(fault: Mapping[str, Any]) -> str:
    return f"Wrong since the stage {fault['stage']}, in the step {fault['step']}: {fault['message']}"
