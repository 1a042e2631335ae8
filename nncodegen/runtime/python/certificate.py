"""The certificate of a module: how far its numbers are from exact ones, and where that was looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

HOLDS, DIGITS_LOST, OUT_OF_RANGE, WRONG = "holds", "digits lost", "out of range", "wrong"
"""What is said of a figure: its error is explained by the condition of the function; or by digits that the formula
itself loses between its steps; or values between them cannot be represented; or nothing explains it."""

DEFINITIONS = "definitions"
"""The quantity of a figure that compares the described program with the definitions of layers and losses."""


@dataclass(frozen=True)
class Figure:
    """The worst error of a quantity at all points of a kind.

    quantity     an output, the loss, or the derivative of the loss by a parameter: "d_W1"; or what the module has
                 besides: "update of adam", "jacobian", "hessian"
    kind         of the points: "ordinary", "saturated", "huge", "tiny" or "at branches"
    error        the norm of found - exact, in units in the last place of the norm of what is exact
    condition    by how many such units the exact result changes where all arguments do by one unit in their last place
    bound        the error that is allowed for that
    verdict      "holds"; "digits lost", where the error is above what the condition explains, but not above what
                 rounding does to the steps of the formula; "out of range", where values between the steps cannot be
                 represented; "wrong"
    """

    quantity: str
    kind: str
    error: float
    condition: float
    bound: float
    verdict: str = HOLDS


@dataclass(frozen=True)
class StepFigure:
    """The worst error of a step of the compiled program, which is computed again from the operands that it had.

    error and bound are in units in the last place of its norm, ``step`` is its text.
    """

    step: str
    error: float
    condition: float
    bound: float
    verdict: str = HOLDS


@dataclass(frozen=True)
class Fault:
    """Something that is wrong: the stage that made it so, the step where it begins, at which kind of points, and what.

    ``error`` is in units in the last place.
    """

    stage: str
    step: str
    kind: str
    error: float
    message: str

    def __str__(self) -> str:
        return f"wrong since the stage {self.stage}, in the step\n    {self.step}\n{self.message}"


@dataclass(frozen=True)
class Certificate:
    """What was found when a module's numbers were compared with exact ones, to fifty digits.

    name, precision    of the model
    identity           the hash of what the model computes: ``verify`` compares it with the module's own
    module             the SHA-256 of the module's file
    version            of nncodegen
    compiler, flags    what the module was compiled with
    machine, variants  the CPU, and the kernels of the module that were examined on it
    reference          what the exact values were computed from: the user's formulas, layers or program
    digits             of the exact values that are certain
    points             how many were drawn, by kind, each with so many ``rows`` of samples
    seed               that they were drawn from
    date               when, in UTC
    figures            the errors of outputs, loss and derivatives, for each kind of points
    steps              the errors of the steps of the program
    compared           which steps were compared, and how
    left_out           what a module does that is not examined
    faults             what is wrong, if anything
    program            the model as it was described, from which ``verify`` computes all of this again
    """

    name: str
    precision: str
    identity: str
    module: str
    version: str
    compiler: str
    flags: tuple[str, ...]
    machine: str
    variants: tuple[str, ...]
    reference: str
    digits: int
    points: Mapping[str, int]
    rows: int
    seed: int
    date: str
    figures: tuple[Figure, ...]
    steps: tuple[StepFigure, ...] = ()
    compared: str = ""
    left_out: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    program: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        verdicts = [figure.verdict for figure in self.figures] + [step.verdict for step in self.steps]
        return not self.faults and WRONG not in verdicts

    @property
    def worst(self) -> Figure | None:
        """The figure that comes nearest to its bound, among those that have one."""
        told = [figure for figure in self.figures if figure.verdict != OUT_OF_RANGE]
        return max(told, key=lambda figure: figure.error / figure.bound, default=None)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.points.items())
        lines = [
            f"certificate of {self.name}, {self.precision}: {'holds' if self.holds else 'DOES NOT HOLD'}",
            "",
            f"model      {self.identity}",
            f"module     {self.module}",
            f"compiled   by nncodegen {self.version} with {self.compiler}",
            f"examined   {', '.join(self.variants)} on {self.machine}, {self.date}",
            f"against    {self.reference}, to {self.digits} digits",
            f"at points  {counts}; {self.rows} samples each, seed {self.seed}",
            "",
            *_table(self.figures),
        ]
        lines += [f"\nsteps: {_summary(self.steps)}"] if self.steps else []
        lines += [self.compared] if self.compared else []
        lines += [f"not examined: {'; '.join(self.left_out)}"] if self.left_out else []
        lines += [f"\n{fault}" for fault in self.faults]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        rows = "".join(
            f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in _cells(figure))}</tr>" for figure in self.figures
        )
        title = f"certificate of {_escaped(self.name)}, {self.precision}: {'holds' if self.holds else 'does not hold'}"
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def to_json(self) -> str:
        """The certificate as JSON. Its first line says that nncodegen wrote it."""
        text = json.dumps({"about": ABOUT, **asdict(self)}, indent=1, allow_nan=False, default=str)
        return text.replace('{\n "about"', '{ "about"', 1) + "\n"

    @staticmethod
    def from_json(text: str) -> Certificate:
        """The certificate in a text. Raises ValueError where it is none."""
        try:
            read = json.loads(text)
            rows = {"figures": Figure, "steps": StepFigure, "faults": Fault}
            known = {one.name: read[one.name] for one in fields(Certificate)}
            known |= {name: tuple(kind(**row) for row in known[name]) for name, kind in rows.items()}
            return Certificate(**known | {name: tuple(known[name]) for name in ("flags", "variants", "left_out")})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"this is no certificate that nncodegen {VERSION} has written: {error!r}") from error


VERSION = 3
"""The number of the format, which changes with the members of a certificate."""

ABOUT = f"Generated by nncodegen: the certificate of a module, format {VERSION}"

COLUMNS = ("quantity", "points", "error in ulp", "condition", "bound", "")


def _cells(figure: Figure) -> tuple[str, ...]:
    numbers = (f"{number:.3g}" for number in (figure.error, figure.condition, figure.bound))
    return figure.quantity, figure.kind, *numbers, figure.verdict


def _table(figures: tuple[Figure, ...]) -> list[str]:
    rows = [COLUMNS, *map(_cells, figures)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(COLUMNS))]
    return [
        "  ".join(
            cell.ljust(width) if k in (0, 1, 5) else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _summary(steps: tuple[StepFigure, ...]) -> str:
    worst = max(steps, key=lambda one: one.error / one.bound)
    return (
        f"the worst of {len(steps)}, {worst.error:.3g} ulp with condition {worst.condition:.3g}, is\n    {worst.step}"
    )


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def file_of(module: Path) -> Path:
    """The file of the certificate of a module, which stands beside it: NAME.certificate.json."""
    return module.with_name(f"{module.name.split('.')[0]}.certificate.json")


def certificate_beside(module: str | None) -> Certificate | None:
    """The certificate beside the file of a module; None where there is none, or where it is that of another file."""
    if module is None:
        return None
    try:
        found = Certificate.from_json(file_of(Path(module)).read_text(encoding="utf-8"))
        return found if found.module == digest_of(Path(module)) else None
    except (OSError, ValueError):
        return None
