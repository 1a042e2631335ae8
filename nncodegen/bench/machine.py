"""Describes the machine, the compiler, and the versions of everything that takes part."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nncodegen import __version__
from nncodegen.bench.measuring import MeasuringSettings
from nncodegen.bench.peers import PEERS
from nncodegen.bench.processes import available_cores
from nncodegen.compiler.building.compiler import find_compiler

DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Distributions whose names differ from those of their modules."""


def describe_machine(settings: MeasuringSettings, peers: tuple[str, ...]) -> dict[str, Any]:
    """Return date, CPU, cores, system, compiler and versions, for the report and for JSON."""
    compiler = find_compiler()
    said = subprocess.run([*compiler.command, "--version"], capture_output=True, text=True, check=False).stdout
    needed = {name for peer in peers for name in PEERS[peer].needs} | {"numpy", "sympy", "cython"}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "pinned_to": available_cores()[: settings.threads] if hasattr(os, "sched_setaffinity") else None,
        "system": platform.platform(),
        "compiler": (said.splitlines() or ["unknown"])[0],
        "compiler_command": shlex.join([*compiler.command, *compiler.target]),
        "python": platform.python_version(),
        "versions": {"nncodegen": __version__} | {name: _version(name) for name in sorted(needed)},
    }


def cpu_model() -> str:
    """Return the name of the CPU, as the operating system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model", "cpu model")):
                return line.split(":", 1)[1].strip()
    if platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _version(module: str) -> str | None:
    try:
        return version(DISTRIBUTIONS.get(module, module))
    except PackageNotFoundError:
        return None
