"""The certificate of a module: the measured errors of its numbers against exact ones."""

from __future__ import annotations

import hashlib
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .markup import listed

HOLDS, DIGITS_LOST, OUT_OF_RANGE, WRONG = "holds", "digits lost", "out of range", "wrong"
"""The verdicts: the error is explained by the condition of the function; or by digits that the formula itself loses
between its steps; or intermediate values cannot be represented; or nothing explains it."""

METHOD = "method"
"""In place of a stage, the origin of an error that a method has by itself, however exactly its steps are computed."""

TABLE = "table"
"""In place of a stage, the table of coefficients of a method, which misses a condition of its order."""

DEFINITIONS = "definitions"
"""The quantity of the figure that compares the described program with the definitions of layers and losses."""


@dataclass(frozen=True)
class Figure:
    """The largest error of a quantity at all points of a kind.

    quantity     an output, the loss, the derivative of the loss by a parameter ("d_W1"), or another result of the
                 module: "update of adam", "jacobian", "hessian"
    kind         the kind of the points: "ordinary", "saturated", "huge", "tiny" or "at branches"
    error        the norm of found - exact, in units in the last place of the norm of the exact result
    condition    the change of the exact result, in such units, if all arguments change by one unit in their last place
    bound        the error that this condition allows
    verdict      "holds"; "digits lost" if the error is above what the condition explains, but not above the effect of
                 rounding on the steps of the formula; "out of range" if intermediate values cannot be represented;
                 "wrong"
    place        the time at which the error is largest, for equations of motion whose steps are chosen

    For these, errors are in units of the tolerance instead, and the kind of the points is "ordinary" or "long".
    """

    quantity: str
    kind: str
    error: float
    condition: float
    bound: float
    verdict: str = HOLDS
    place: str = ""


@dataclass(frozen=True)
class StepFigure:
    """The largest error of a step of the compiled program, which is recomputed from the operands that it had.

    error and bound are in units in the last place of its norm, ``step`` is its text.
    """

    step: str
    error: float
    condition: float
    bound: float
    verdict: str = HOLDS


@dataclass(frozen=True)
class Fault:
    """An error that was found: the stage that made it, the step where it begins, the kind of points, a message.

    ``error`` is in units in the last place.
    """

    stage: str
    step: str
    kind: str
    error: float
    message: str

    def __str__(self) -> str:
        return f"{self.begin}, in the step\n    {self.step}\n{self.message}"

    @property
    def begin(self) -> str:
        """Return where the error begins, in words."""
        others = {METHOD: "not solved to the tolerance", TABLE: "solved with a wrong coefficient"}
        return others.get(self.stage, f"wrong since the stage {self.stage}")


@dataclass(frozen=True)
class CertifiedBuild:
    """The module that a certificate is of, and what it was built from and with.

    name, precision    of the model
    identity           the hash of what the model computes: ``verify`` compares it with the module's own
    module             the SHA-256 of the module's file
    version            the version of nncodegen
    compiler, flags    the compiler and its flags for the module
    """

    name: str
    precision: str
    identity: str
    module: str
    version: str
    compiler: str
    flags: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """Return lines about the module."""
        return [
            f"model      {self.identity}",
            f"module     {self.module}",
            f"compiled   by nncodegen {self.version} with {self.compiler}",
        ]


@dataclass(frozen=True)
class Conditions:
    """Where, when and against what a module was examined.

    machine, variants  the CPU, and the kernels of the module that were examined on it
    reference          the source of the exact values: the user's formulas, layers or program
    digits             the number of digits of the exact values that are certain
    points             the number of points drawn, by kind, with ``rows`` samples each
    seed               the seed of these points
    date               the date, in UTC
    compared           the steps that were compared, and how
    left_out           the parts of the module that are not examined
    method             the method and its tolerances, for equations of motion whose steps are chosen: then errors are in
                       units of the tolerance, not in units in the last place
    """

    machine: str
    variants: tuple[str, ...]
    reference: str
    digits: int
    points: Mapping[str, int]
    rows: int
    seed: int
    date: str
    compared: str = ""
    left_out: tuple[str, ...] = ()
    method: str = ""

    @property
    def lines(self) -> list[str]:
        """Return lines about the examination."""
        counts = ", ".join(f"{count} {kind}" for kind, count in self.points.items())
        return [
            f"examined   kernels for {', '.join(self.variants)} on {self.machine}, {self.date}",
            f"against    {self.reference}, to {self.digits} digits",
            *([f"solved by  {self.method}"] if self.method else []),
            f"at points  {counts}; {self.rows} samples each, seed {self.seed}",
        ]


@dataclass(frozen=True)
class Certificate:
    """The result of comparing a module's numbers with exact ones, to fifty digits.

    build       the module, and what it was built from and with; its members are attributes of the certificate, too
    conditions  where, when and against what the module was examined, likewise
    figures     the errors of outputs, loss and derivatives, for each kind of points
    steps       the errors of the steps of the program
    kept        what the search for forms that keep their digits has done, and the bits that are still lost
    faults      the errors that were found, if any
    program     the described model, from which ``verify`` computes everything again
    """

    build: CertifiedBuild
    conditions: Conditions
    figures: tuple[Figure, ...]
    steps: tuple[StepFigure, ...] = ()
    kept: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    program: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Return the name of the model."""
        return self.build.name

    @property
    def precision(self) -> str:
        """Return the precision of the model."""
        return self.build.precision

    @property
    def identity(self) -> str:
        """Return the hash of what the model computes."""
        return self.build.identity

    @property
    def module(self) -> str:
        """Return the SHA-256 of the module's file."""
        return self.build.module

    @property
    def version(self) -> str:
        """Return the version of nncodegen."""
        return self.build.version

    @property
    def compiler(self) -> str:
        """Return the compiler of the module."""
        return self.build.compiler

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the flags of the compiler."""
        return self.build.flags

    @property
    def machine(self) -> str:
        """Return the CPU on which the module was examined."""
        return self.conditions.machine

    @property
    def variants(self) -> tuple[str, ...]:
        """Return the kernels of the module that were examined."""
        return self.conditions.variants

    @property
    def reference(self) -> str:
        """Return the source of the exact values."""
        return self.conditions.reference

    @property
    def digits(self) -> int:
        """Return the number of digits of the exact values that are certain."""
        return self.conditions.digits

    @property
    def points(self) -> Mapping[str, int]:
        """Return the number of points drawn, by kind."""
        return self.conditions.points

    @property
    def rows(self) -> int:
        """Return the number of samples at each point."""
        return self.conditions.rows

    @property
    def seed(self) -> int:
        """Return the seed of the points."""
        return self.conditions.seed

    @property
    def date(self) -> str:
        """Return the date, in UTC."""
        return self.conditions.date

    @property
    def compared(self) -> str:
        """Return the steps that were compared, and how."""
        return self.conditions.compared

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return the parts of the module that are not examined."""
        return self.conditions.left_out

    @property
    def method(self) -> str:
        """Return the method whose steps are chosen, and its tolerances; empty without one."""
        return self.conditions.method

    @property
    def members(self) -> dict[str, Any]:
        """Return what the certificate states, by name, as its file has it."""
        return {name: getattr(self, name) for name in MEMBERS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read a pickle; those of version 0.2 have the members of all parts side by side."""
        if "build" not in state:
            state = _with_parts(state)
        self.__dict__.update(state)

    @property
    def holds(self) -> bool:
        """Return whether no error was found."""
        verdicts = [figure.verdict for figure in self.figures] + [step.verdict for step in self.steps]
        return not self.faults and WRONG not in verdicts

    @property
    def verdict(self) -> str:
        """Return the verdict in a few words: "holds", "holds with exceptions" or "does not hold".

        An exception is a figure that lost digits or is out of range: every program that evaluates the formula in this
        precision does that.
        """
        if not self.holds:
            return "does not hold"
        return "holds with exceptions" if any(figure.verdict != HOLDS for figure in self.figures) else "holds"

    @property
    def worst(self) -> Figure | None:
        """Return the figure that comes nearest to its bound, among those that have one."""
        bounded = [figure for figure in self.figures if figure.verdict != OUT_OF_RANGE]
        return max(bounded, key=lambda figure: figure.error / figure.bound, default=None)

    @property
    def counts(self) -> tuple[str, ...]:
        """Return the number of figures of each verdict, and of steps, in words."""
        counts = [_counted(self.figures, "figure in the table", "figures in the table")]
        return (*counts, _counted(self.steps, "step", "steps")) if self.steps else tuple(counts)

    @property
    def exceptions(self) -> tuple[str, ...]:
        """Return the figures and wrong steps that do not hold, grouped by verdict, each with its meaning."""
        exceptions = []
        meanings = {**MEANINGS, WRONG: BEYOND} if self.method else MEANINGS
        for verdict, meaning in meanings.items():
            names: dict[str, list[str]] = {}
            for figure in self.figures:
                if figure.verdict == verdict:
                    names.setdefault(figure.kind, []).append(figure.quantity)
            examples = [f"{kind}: {listed(quantities, TOLD)}" for kind, quantities in names.items()]
            steps = [step.step.partition(" = ")[0] for step in self.steps if step.verdict == verdict == WRONG]
            examples += [f"steps: {listed(steps, TOLD)}"] if steps else []
            exceptions += [f"{verdict} ({'; '.join(examples)}). {meaning}"] if examples else []
        return tuple(exceptions)

    @property
    def terms(self) -> tuple[tuple[str, str], ...]:
        """Return the terms of the table, each with its meaning."""
        kinds = {figure.kind for figure in self.figures}
        quantities = [figure.quantity for figure in self.figures]
        known = [
            (name, meaning)
            for name, meaning in QUANTITIES.items()
            if any(quantity.startswith(name) for quantity in quantities)
        ]
        if self.method:
            kinds_told = "; ".join(f"{kind}: {meaning}" for kind, meaning in SPANS.items() if kind in kinds)
            return (*TOLERANCES, ("points", kinds_told), *known)
        digits = -math.log10(EPSILONS[self.precision])
        error = (
            f"how far the module is from the exact value, in units in the last place (ulp): 1 ulp is the spacing of "
            f"{self.precision} numbers there, about the {digits:.0f}th digit. Of an array, the norm of the differences"
        )
        points = "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items() if kind in kinds)
        return (("error", error), ("condition", CONDITION), ("bound", BOUND), ("points", points), *known)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns of the table."""
        return (*COLUMNS[:2], "error in tolerances", *COLUMNS[3:], "worst at") if self.method else COLUMNS

    @property
    def rows_of_table(self) -> list[tuple[str, ...]]:
        """Return the rows of the table, as texts."""
        return [(*cells(figure), *([figure.place] if self.method else [])) for figure in self.figures]

    def __str__(self) -> str:
        verdict = self.verdict if self.holds else self.verdict.upper()
        lines = [
            f"certificate of {self.name}, {self.precision}: {verdict}",
            *self.counts,
            *(_wrapped(each) for each in self.exceptions),
            *(f"\n{fault}" for fault in self.faults),
            "",
            *self.build.lines,
            *self.conditions.lines,
            "",
            *_table(self.columns, self.rows_of_table),
            "",
            *(_wrapped(f"{name:<13}{meaning}", " " * 13) for name, meaning in self.terms),
        ]
        lines += [f"\n{_summary(self.steps)}"] if self.steps else []
        lines += [_wrapped(self.compared)] if self.compared else []
        lines += [_wrapped(f"forms of {sentence}") for sentence in self.kept]
        lines += [_wrapped(f"not examined: {'; '.join(self.left_out)}")] if self.left_out else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in self.columns)
        rows = "".join(
            f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in self.rows_of_table
        )
        counts = _escaped(" ".join(f"{each}." for each in self.counts))
        title = f"certificate of {_escaped(self.name)}, {self.precision}: {self.verdict}. {counts}"
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def to_json(self) -> str:
        """Return the certificate as JSON. Its first line says that nncodegen wrote it."""
        text = json.dumps({"about": ABOUT, **self.members}, indent=1, allow_nan=False, default=_as_json)
        return text.replace('{\n "about"', '{ "about"', 1) + "\n"

    @staticmethod
    def from_json(text: str) -> Certificate:
        """Return the certificate in a text. Raises ValueError if it holds none."""
        try:
            read = {"kept": (), "method": "", **json.loads(text)}  # version 3 has no forms, version 4 no method
            rows = {"figures": Figure, "steps": StepFigure, "faults": Fault}
            members = {name: read[name] for name in MEMBERS}
            members |= {name: tuple(kind(**row) for row in members[name]) for name, kind in rows.items()}
            members |= {name: tuple(members[name]) for name in ("flags", "variants", "kept", "left_out")}
            return Certificate(**_with_parts(members))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"this is no certificate that nncodegen {VERSION} has written: {error!r}") from error


MEMBERS = (
    "name", "precision", "identity", "module", "version", "compiler", "flags", "machine", "variants", "reference",
    "digits", "points", "rows", "seed", "date", "figures", "steps", "compared", "kept", "left_out", "faults",
    "program", "method",
)  # fmt: skip
"""The members of a certificate in its file, in their order."""


def _with_parts(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a certificate, given its members side by side."""
    parts = {
        "build": CertifiedBuild(**{each.name: members[each.name] for each in fields(CertifiedBuild)}),
        "conditions": Conditions(**{each.name: members[each.name] for each in fields(Conditions)}),
    }
    inner = {each.name for part in (CertifiedBuild, Conditions) for each in fields(part)}
    return {**parts, **{name: value for name, value in members.items() if name not in inner}}


def _as_json(value: Any) -> Any:
    """Return a figure or fault as a dictionary, and anything else as text."""
    return asdict(value) if isinstance(value, Figure | StepFigure | Fault) else str(value)


VERSION = 5
"""The number of the format; it changes with the members of a certificate."""

ABOUT = f"Generated by nncodegen: the certificate of a module, format {VERSION}"

COLUMNS = ("quantity", "points", "error in ulp", "condition", "bound", "verdict")

SMALLEST = 0.001
"""Positive numbers below this are shown as less than it: smaller fractions of an ulp say no more."""

TOLD = 8
"""The number of exceptions of a kind that are named before the table, which has them all."""

LARGEST = 1e300
"""Replaces an error that is not a number, and a missing bound."""

EPSILONS = {"float64": 2.0**-52, "float32": 2.0**-23}

MEANINGS = {
    WRONG: "Nothing explains these errors: neither the condition, nor rounding, nor the range of the numbers.",
    DIGITS_LOST: "The formula cancels between its steps, or passes through values too small to be held: where each "
    "step is rounded in another way, the result moves as far. That is no fault of the module; another form of the "
    "formula, or float64 in place of float32, may keep the digits.",
    OUT_OF_RANGE: "A value on the way is larger than the largest number of this precision, so that what follows is "
    "infinite or not a number. That is no fault of the module; smaller parameters, inputs or learning rates avoid it.",
}
"""The meanings of the verdicts of figures that do not simply hold."""

BEYOND = "These results are further than 100 units of the tolerance from those of the exact solution."
"""The meaning of a figure that is wrong, for equations whose steps are chosen."""

CONDITION = (
    "by how many ulp the exact value itself moves where all parameters, inputs and targets move by 1 ulp at most: "
    "rounding of arguments is magnified by that in every program"
)

BOUND = (
    "16 ulp, and 16 more for each unit of condition: a smaller error holds. Where digits are lost, what rounding of "
    "the steps explains; where a value is out of range, none"
)

TOLERANCES = (
    (
        "error",
        "how far the module is from the exact solution of the equations, in units of the tolerance: the unit of a "
        "state is atol + rtol*|u|, with its largest |u| at the times of the sample. That of another result is what "
        "changes of all states by a unit make of it; that of a derivative, the same with the derivatives of the "
        "states. The worst of all samples, times and outputs counts. This is an error of the method, which was "
        "observed at these points: a multiple of the tolerance, no bound for other points, and no rounding in ulp",
    ),
    (
        "condition",
        "by how many units the exact states move where the initial ones move by a unit each: equations magnify the "
        "errors of all steps like that, whatever the method",
    ),
    ("bound", "100 units of the tolerance: a smaller error holds"),
)
"""The terms of a certificate of equations whose steps are chosen."""

SPANS = {
    "ordinary": "parameters about the initial ones, and times until a tenth to three times the time in which the "
    "states at the start would change as a whole",
    "long": "the same, with times until 3 to 30 times of it",
}
"""The kinds of points of equations whose steps are chosen."""

KINDS = {
    "ordinary": "about the initial parameters",
    "saturated": "with parameters 5 to 50 times as large",
    "huge": "with parameters or inputs 10**2 to 10**5 times as large",
    "tiny": "with parameters or inputs 10**-3 to 10**-12 times as large",
    "at branches": "where a condition, an absolute value or a maximum changes over, or next to that",
}
"""The kinds of points."""

QUANTITIES = {
    DEFINITIONS: "outputs and loss of the described program beside definitions of layers and losses that the compiler "
    "has no part in. Both are exact, so that the error is next to 0, or there is a fault",
    "d_": "before the name of a parameter: the derivative of the loss by it",
    "update": "parameters after an update of an optimizer with the learning rate 1",
    "jacobian": "derivatives of the outputs by all parameters; of a function, each of those by the arguments asked for",
    "hessian": "second derivatives of the loss: the product with a vector, and the matrix; of a function, each of "
    "those by the arguments asked for",
    "jvp": "the derivatives of a function along a direction",
    "vjp": "the derivatives of the sum of the values of a function, each times a factor",
    "derivatives": "derivatives of an output by inputs",
}
"""The meanings of quantities, by the beginnings of their names; the others are outputs and losses."""


def _counted(rows: Sequence[Figure | StepFigure], singular: str, many: str) -> str:
    """Return the number of rows, and of those with each verdict, in words."""
    verdicts = [row.verdict for row in rows]
    counts = [f"{verdicts.count(HOLDS)} hold", f"{verdicts.count(WRONG)} wrong"]
    words = {DIGITS_LOST: f"with {DIGITS_LOST}", OUT_OF_RANGE: OUT_OF_RANGE}
    counts[1:1] = [f"{n} {word}" for verdict, word in words.items() if (n := verdicts.count(verdict))]
    return f"{len(rows)} {singular if len(rows) == 1 else many}: {', '.join(counts)}"


def _wrapped(text: str, indent: str = "    ") -> str:
    return textwrap.fill(text, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def number(value: float, otherwise: str) -> str:
    """Return a number of a figure as text; ``otherwise`` if it is ``LARGEST``, which replaces a missing number."""
    if value >= LARGEST:
        return otherwise
    return f"<{SMALLEST}" if 0 < value < SMALLEST else f"{value:.3g}"


def cells(figure: Figure | StepFigure) -> tuple[str, ...]:
    """Return a row of the table: the quantity and the kind of points, or a step; the numbers; the verdict."""
    bound = number(figure.bound, "none")
    if isinstance(figure, StepFigure) and figure.verdict == OUT_OF_RANGE:
        return figure.step, "no number", "no number", bound, figure.verdict
    names = (figure.quantity, figure.kind) if isinstance(figure, Figure) else (figure.step,)
    error, condition = number(figure.error, "no number"), number(figure.condition, "no number")
    return *names, error, condition, bound, figure.verdict


def _table(columns: tuple[str, ...], those: Sequence[tuple[str, ...]]) -> list[str]:
    rows = [columns, *those]
    widths = [max(len(row[k]) for row in rows) for k in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if k in (2, 3, 4) else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _summary(steps: tuple[StepFigure, ...]) -> str:
    """Return the worst of the steps in words, and a note about those that are out of range."""
    known = [step for step in steps if step.verdict != OUT_OF_RANGE]
    lines = []
    if known:
        worst = max(known, key=lambda step: step.error / step.bound)
        error, bound = number(worst.error, "no number"), number(worst.bound, "none")
        lines = [f"steps: the worst of {len(steps)} has an error of {error} ulp, bound {bound}:", f"    {worst.step}"]
    beyond = beyond_range(steps)
    return "\n".join([*lines, *([_wrapped(beyond)] if beyond else [])])


def beyond_range(steps: Sequence[StepFigure]) -> str:
    """Return a sentence about the steps that are out of range; an empty text if there are none."""
    beyond = [step.step.partition(" = ")[0] for step in steps if step.verdict == OUT_OF_RANGE]
    ways = "which does not matter where what follows from them holds in the table, as 1/(1 + exp(1000)) is 0"
    return f"steps that are out of range at some points: {listed(beyond, TOLD)}, {ways}" if beyond else ""


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def file_of(module: Path) -> Path:
    """Return the path of a module's certificate, which is next to it: NAME.certificate.json."""
    return module.with_name(f"{module.name.split('.')[0]}.certificate.json")


def certificate_beside(module: str | None) -> Certificate | None:
    """Return the certificate next to the file of a module; None if there is none, or it belongs to another file."""
    if module is None:
        return None
    try:
        certificate = Certificate.from_json(file_of(Path(module)).read_text(encoding="utf-8"))
        return certificate if certificate.module == digest_of(Path(module)) else None
    except (OSError, ValueError):
        return None
