"""The size of exported C on a microcontroller: weights, memory and, if a cross compiler is installed, code."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.export.workbench import Workbench, workbench

CROSS = "arm-none-eabi-"
"""The prefix of the tools for Arm's microcontrollers."""

CPU = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
"""Options for a Cortex-M4 with arithmetic in single precision."""

OPTIONS = ("-std=c99", "-O2", "-ffunction-sections", "-fdata-sections", "-fstack-usage")


@dataclass(frozen=True)
class Size:
    """Bytes of code with its tables, without the weights; bytes of stack; functions of C libraries that are called."""

    code: int
    stack: int
    calls: tuple[str, ...]


def report(model: PlainModel, files: Mapping[str, str]) -> str:
    """Return a few lines for the user about the sizes, given the texts of an export."""
    width = np.dtype(model.request.precision).itemsize
    sizes = {kind: width * count for kind, count in model.sizes.items()}
    lines = [f"weights      {sizes['PARAMETERS']:,} bytes: {model.sizes['PARAMETERS']:,} of {model.request.precision}"]
    roots: dict[str, tuple[tuple[str, ...], int, int]] = {}
    roots["predict"] = ((f"{model.name}_predict",), sizes["PREDICT_WORK"], sizes["OUTPUTS"])
    if model.step:
        roots["generate"] = ((f"{model.name}_generate",), sizes["STEP_WORK"], sizes["STATE"])
    if model.train:
        rules = tuple(f"{model.name}_{rule.name}" for rule in model.rules[:1])
        roots["train"] = ((f"{model.name}_add_gradient", *rules), sizes["TRAIN_WORK"], 0)
    measured = measure(files, [names for names, *_ in roots.values()])
    if not measured:
        lines += [f"to {what:<9} {work:,} bytes of work memory" for what, (_, work, _) in roots.items()]
        return "\n".join([*lines, f"code is measured where {CROSS}gcc is on PATH"])
    for (what, (names, work, outputs)), size in zip(roots.items(), measured, strict=True):
        held = "state" if what == "generate" else "outputs"
        parts = [f"work {work:,}", f"stack {size.stack:,}", *([f"{held} {outputs:,}"] if outputs else [])]
        besides = f", not counting {', '.join(size.calls)}" if size.calls else ""
        functions = f" ({', '.join(names)})" if what == "train" else ""
        lines.append(f"to {what:<9} {size.code:,} bytes of code{functions}{besides}")
        lines.append(f"{'':<12} {work + size.stack + outputs:,} bytes of memory: {', '.join(parts)}")
    return "\n".join([*lines, "as GCC compiles it for a Cortex-M4 with -O2"])


def measure(files: Mapping[str, str], roots: Iterable[tuple[str, ...]]) -> list[Size]:
    """Return the size of each group of functions with everything they call; an empty list without a compiler."""
    tools = {tool: shutil.which(CROSS + tool) for tool in ("gcc", "ld", "nm", "objdump")}
    if not all(tools.values()):
        return []
    with workbench(files) as bench:
        source = next(file for file in files if file.endswith(".c") and not file.endswith("_test.c"))
        try:
            _run(bench, tools["gcc"], *CPU, *OPTIONS, "-c", source, "-o", "model.o")
            stacks = _stacks(bench.folder)
            return [_linked(bench, tools, names, stacks) for names in roots]
        except (OSError, subprocess.CalledProcessError):  # the compiler lacks a library, or does not work
            return []


def _run(bench: Workbench, *command: str | None) -> str:
    """Run a command and return its output; raise CalledProcessError if it fails."""
    done = bench.run(*(word for word in command if word))
    done.check_returncode()
    return done.stdout


def _stacks(folder: Path) -> dict[str, int]:
    """Return the bytes of stack of each function, from the files that GCC wrote beside the object."""
    lines = [line.split("\t") for file in folder.glob("*.su") for line in file.read_text().splitlines()]
    return {where.rsplit(":", 1)[1]: int(size) for where, size, _ in lines}


def _linked(
    bench: Workbench, tools: Mapping[str, str | None], names: tuple[str, ...], stacks: Mapping[str, int]
) -> Size:
    """Return the size of a model with only some functions kept. Stack of helpers counts as if all called each other."""
    first, *others = names
    wanted = [word for name in others for word in ("-u", name)]
    _run(bench, tools["ld"], "-r", "--gc-sections", "-e", first, *wanted, "model.o", "-o", "linked.o")
    symbols = [line.split() for line in _run(bench, tools["nm"], "-S", "linked.o").splitlines()]
    sizes = {words[-1]: int(words[1], 16) for words in symbols if len(words) == 4}
    code = sum(size for name, size in sizes.items() if not name.endswith("_parameters"))
    called = {line.split()[-1] for line in _run(bench, tools["objdump"], "-r", "linked.o").splitlines() if line}
    calls = sorted({_library(words[-1]) for words in symbols if words[-2] == "U" and words[-1] in called})
    helpers = sum(stacks.get(_function(name), 0) for name in sizes if name not in names)
    return Size(code, max(stacks.get(name, 0) for name in names) + helpers, tuple(calls))


def _library(symbol: str) -> str:
    """Return the name of a library's function for the user; the compiler's functions for double are arithmetic."""
    return "arithmetic in double" if re.match("__aeabi_(d|.*2d$)", symbol) else symbol


def _function(symbol: str) -> str:
    """Return the function that a symbol is a part of: GCC names some parts like maximum.part.0."""
    return re.sub(r"\.(part|constprop|isra|lto_priv)\.\d+|\.\d+", "", symbol)
