"""Prints a table for each measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from rich.console import Console
from rich.table import Table

from nncodegen.bench.accuracy.measuring import Loss
from nncodegen.bench.measuring import MeasuringSettings, Timing
from nncodegen.bench.nist import PRECISE, RIGHT, Scores
from nncodegen.bench.peers import PEERS
from nncodegen.bench.solving import ERROR


@dataclass
class Measurement:
    """The results of one case of a workload in one precision.

    ``flops`` is for one step, None where steps are not counted; ``peak`` is for one second.
    """

    workload: str
    case: str
    precision: str
    what: str
    step: str
    flops: int | None
    peak: float
    tolerance: float
    threads: int
    timings: list[Timing]
    absent: dict[str, str]

    @property
    def title(self) -> str:
        """Return workload, case and precision in one line."""
        return ", ".join(filter(None, [self.workload, self.case, self.precision]))

    def ratio(self, timing: Timing) -> float:
        """Return the ratio of medians: how many times as long as nncodegen a peer takes."""
        return timing.quartile(2) / self.timings[0].quartile(2)

    def speed(self, timing: Timing) -> float | None:
        """Return the operations a second of a peer, None where operations are not counted."""
        return None if self.flops is None else self.flops / timing.quartile(2)

    def as_json(self) -> dict[str, Any]:
        """Return the measurement as plain data for JSON, with its medians and ratios."""
        return asdict(self) | {
            "timings": [
                asdict(timing)
                | {
                    "minimum": timing.quartile(0),
                    "quartiles": [timing.quartile(k) for k in (1, 3)],
                    "median": timing.quartile(2),
                    "ratio": self.ratio(timing),
                    "steps_a_second": 1 / timing.quartile(2),
                    "flops_a_second": speed,
                    "share_of_peak": None if speed is None else speed / self.peak,
                }
                for timing, speed in zip(self.timings, map(self.speed, self.timings), strict=True)
            ]
        }


def print_machine(
    console: Console, machine: dict[str, Any], settings: MeasuringSettings, peaks: dict[str, float]
) -> None:
    """Print the machine, the versions and the peak performance."""
    cores = f"{settings.threads} core{'s' if settings.threads > 1 else ''}"
    console.print(f"{machine['date'][:10]}, {machine['cpu']}, {cores} of {machine['cores']}, {machine['compiler']}")
    named = {name: number for name, number in machine["versions"].items() if number}
    console.print(", ".join(f"{name} {number}" for name, number in named.items()))
    measured = ", ".join(f"{peak / 1e9:.0f} GFLOP/s in {precision}" for precision, peak in peaks.items())
    if measured:
        console.print(f"peak of fused multiply-adds, measured: {measured}")
    if settings.quick:
        console.print("--quick: smaller tasks than the texts below say, and short runs; do not quote these figures")


def print_measurement(console: Console, measured: Measurement) -> None:
    """Print the time of a step of each peer, the ratios, and the peers that are missing."""
    console.print(f"\n[bold]{measured.title}[/bold]: {measured.what}; times are for one {measured.step}")
    counted = () if measured.flops is None else ("GFLOP/s", "of peak")
    table = _table("peer", "min", "median", "quartiles", "ratio", "build", "first call", "steps/s", *counted, "differs")
    for timing in measured.timings:
        middle, speed = timing.quartile(2), measured.speed(timing)
        shares = () if speed is None else (short(speed / 1e9), f"{100 * speed / measured.peak:.2g} %")
        ours = timing is measured.timings[0]
        table.add_row(
            PEERS[timing.peer].title,
            _time(timing.quartile(0)),
            _time(middle),
            f"{_time(timing.quartile(1))} - {_time(timing.quartile(3))}",
            "1" if ours else short(measured.ratio(timing)),
            _time(timing.build),
            _time(timing.first_call),
            f"{short(1 / middle)}",
            *shares,
            "" if ours else f"{timing.difference:.0e}" if timing.difference else "0",
            style="bold" if ours else None,
        )
    console.print(table)
    for timing in measured.timings:
        if timing.part:
            console.print(f"{timing.peer}: only {timing.part} in each run")
    if measured.threads > 1:
        for timing in measured.timings:
            if not PEERS[timing.peer].threads:
                console.print(f"{timing.peer}: always on one thread")
    print_absent(console, measured.absent)


def print_absent(console: Console, absent: dict[str, str]) -> None:
    """Print the peers that are missing, grouped by reason."""
    for reason in dict.fromkeys(absent.values()):
        console.print(f"{', '.join(name for name in absent if absent[name] == reason)}: {reason}", markup=False)


def print_builds(console: Console, precision: str, rows: list[dict[str, Any]]) -> None:
    """Print the stages of every build in milliseconds, cold and from the cache."""
    console.print(f"\n[bold]build, {precision}[/bold]: medians in ms; cold with an empty cache, cached with a full one")
    stages = list(rows[0]["stages"])
    table = _table("model", "", *stages, "min", "median")
    for row in rows:
        numbers = [*row["stages"].values(), row["minimum"], row["median"]]
        table.add_row(row["model"], row["kind"], *(f"{1e3 * seconds:,.0f}" for seconds in numbers))
    console.print(table)


def print_growth(console: Console, precision: str, rows: list[dict[str, Any]]) -> None:
    """Print the time of a build, the size of the C and the time of a sample's gradient for each size."""
    console.print(f"\n[bold]growth, {precision}[/bold]: 16 inputs, one output; loss and gradient of 1,024 samples")
    table = _table("", "size", "parameters", "build", "of it C compiler", "bytes of C", "a sample")
    for number, row in enumerate(rows):
        first = number == 0 or rows[number - 1]["axis"] != row["axis"]
        table.add_row(
            row["axis"] if first else "",
            f"{row['size']:,}",
            f"{row['parameters']:,}",
            _time(row["build"]),
            _time(row["seconds"]["build"]),
            f"{row['bytes']:,}",
            _time(row["sample"]),
        )
    console.print(table)


def print_functions(console: Console, measured: dict[str, Any], what: str) -> None:
    """Print the time of a call of each function, and that of making it, for nncodegen and its peers."""
    console.print(f"\n[bold]lambdify[/bold]: {what}; processor time, ratios to nncodegen, time until the first result")
    names = [*measured["versions"]]
    console.print(", ".join(f"{name} {number}" for name, number in measured["versions"].items()))
    table = _table("", *names)
    for row in measured["rows"]:
        ours = row["seconds"][names[0]]
        cells = []
        for name in names:
            taken = row["seconds"].get(name)
            ratio = "" if taken is None or name == names[0] else f" ({taken / ours:.2f})"
            cells.append("failed" if taken is None else f"{_time(taken)}{ratio}\n{_time(row['made'][name])}")
        table.add_row(row["case"], *cells)
    console.print(table)
    for row in measured["rows"]:
        for name, reason in row["failed"].items():
            console.print(f"{row['case']}, {name}: {reason[:200]}", markup=False)


def print_profiles(console: Console, measured: dict[str, Any], what: str) -> None:
    """Print the times of profiles, those of peers and how far apart intervals are; then times in units of fits."""
    console.print(f"\n[bold]profiles[/bold]: {what}; ratios to nncodegen, largest distance in widths of intervals")
    names = [*measured["versions"]]
    console.print(", ".join(f"{name} {number}" for name, number in measured["versions"].items()))
    table = _table("", *names)
    for row in measured["rows"]:
        ours = row["seconds"][names[0]]
        cells = [_time(ours)]
        for name in names[1:]:
            taken = row["seconds"].get(name)
            apart = f"\n{row['apart'][name]:.1e} apart" if name in row["apart"] else ""
            cells.append("failed" if taken is None else f"{_time(taken)} ({taken / ours:.1f}){apart}")
        table.add_row(row["problem"], *cells)
    console.print(table)
    for name in names[1:]:
        ratios = [row["seconds"][name] / row["seconds"][names[0]] for row in measured["rows"] if name in row["seconds"]]
        if ratios:
            console.print(f"{name}: {median(ratios):.1f} times as long in the median, {min(ratios):.1f} at least")
    table = _table("", "a fit", "all profiles", "ratio", "points of a profile")
    for row in measured["together"]:
        times = _time(row["fit"]), _time(row["profiles"]), f"{row['ratio']:.0f}"
        table.add_row(row["what"], *times, f"{row['points']:g}")
    console.print(table)


def print_solutions(console: Console, precision: str, rows: list[dict[str, Any]], what: str) -> None:
    """Print the time and the result of each training, and the median time of those that reached ERROR."""
    console.print(f"\n[bold]solution, {precision}[/bold]: {what}")
    table = _table("seed", "time", "rounds", "relative error", "loss")
    for row in rows:
        error = f"{row['errors'][-1]:.1e}"
        table.add_row(f"{row['seed']}", _time(row["seconds"]), f"{len(row['errors'])}", error, f"{row['loss']:.1e}")
    console.print(table)
    reached = [row["seconds"] for row in rows if row["errors"][-1] <= ERROR]
    middle = f", after {_time(median(reached))} in the median" if reached else ""
    console.print(f"{len(reached)} of {len(rows)} have reached {ERROR}{middle}")


def print_nist(console: Console, precision: str, rows: list[Scores], what: str) -> None:
    """Print how many results of each peer are right, how long a fit takes, and where a peer raised errors."""
    count = len(rows[0].fits)
    console.print(f"\n[bold]nist, {precision}[/bold]: {what}, {count} fits; digits of the worst parameter")
    table = _table(
        "peer", f"{RIGHT} digits", f"{PRECISE} digits", f"errors, {RIGHT} digits", "mean digits", "median", "ratio"
    )
    for row in rows:
        ours = row is rows[0]
        timed = ("", "") if math.isnan(row.seconds) else (_time(row.seconds), short(row.ratio(rows[0])))
        table.add_row(
            PEERS[row.peer].title,
            f"{row.solved()}",
            f"{row.solved(PRECISE)}",
            f"{row.errors}",
            f"{row.mean_digits:.1f}",
            timed[0],
            "1" if ours else timed[1],
            style="bold" if ours else None,
        )
    console.print(table)
    for row in rows:
        wrong = [score for score in row.fits if score.reason]
        if wrong:
            wrong_fit = wrong[0]
            start = f"{wrong_fit.problem} from start {wrong_fit.start}"
            where = f"{len(wrong)} of {count} fits raised an error, first {start}"
            console.print(f"{row.peer}: {where}: {wrong_fit.reason}", markup=False)


def print_accuracy(console: Console, rows: Mapping[str, list[Loss]], what: str) -> None:
    """Print the mean bits that the problems of each set lose, and how many lose more than they do as written."""
    console.print(f"\n[bold]accuracy, float64[/bold]: {what}")
    table = _table("problems", "number", "of", "as written", "JAX", "nncodegen", "below 5", "worse than written")
    for name, losses in rows.items():
        for kind in ("values", "slopes"):
            losses_of_kind = [getattr(loss, kind) for loss in losses if "nncodegen" in getattr(loss, kind)]
            means = {
                peer: _mean([lost[peer] for lost in losses_of_kind if peer in lost]) for peer in ("written", "JAX")
            }
            lost_here = [lost["nncodegen"] for lost in losses_of_kind]
            worse = [lost for lost in losses_of_kind if "written" in lost and lost["nncodegen"] > lost["written"] + 1]
            table.add_row(
                name,
                f"{len(losses_of_kind)}",
                "value" if kind == "values" else "derivative",
                means["written"],
                means["JAX"],
                _mean(lost_here),
                f"{sum(lost < 5 for lost in lost_here)}",
                f"{len(worse)}" if kind == "values" else "",
            )
    console.print(table)
    for losses in rows.values():
        for loss in losses:
            lost = loss.values["nncodegen"]
            if lost >= 5 or lost > loss.values["written"] + 1:
                console.print(f"{loss.name}: {loss.values['written']:.1f} bits as written, {lost:.1f} compiled")


def _mean(numbers: list[float]) -> str:
    return f"{fmean(numbers):.2f}" if numbers else ""


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _time(seconds: float) -> str:
    """Return a time with three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 0.9995:  # anything that is rounded to 1 or more
            return f"{short(seconds * factor)} {unit}"
    return f"{short(seconds * 1e9)} ns"


def short(value: float) -> str:
    """Return a number with three digits, without exponent and trailing zeros: 12,300 or 0.0123 or 5."""
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = f"{round(value, digits):,.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
