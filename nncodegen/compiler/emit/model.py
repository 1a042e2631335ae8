"""The files of a model in C: its configuration, its kernels, and the code that joins these to the runtime.

Code that is the same for every model is ordinary C, in ``runtime/c``: a model's own files hold the rest and include it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nncodegen.compiler.emit.configuration import (
    configuration,
    configuration_of_many,
    configuration_of_step,
    configuration_of_values,
    offers,
)
from nncodegen.compiler.emit.elements import elements_of
from nncodegen.compiler.emit.facts import facts, pieces
from nncodegen.compiler.emit.fits import emit_rows
from nncodegen.compiler.emit.groups import GroupEmitter
from nncodegen.compiler.emit.kernels import KernelEmitter
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.emit.names import MARK, identifier
from nncodegen.compiler.emit.optimizers import emit_rules, own
from nncodegen.compiler.emit.printer import REAL_TYPES
from nncodegen.compiler.emit.registers import RegistersEmitter
from nncodegen.compiler.emit.single_sample import emit_single_sample
from nncodegen.compiler.emit.stepwise import declared, emit_step_kernel
from nncodegen.compiler.emit.systems import emit_systems
from nncodegen.compiler.emit.values import emit_values_kernels
from nncodegen.compiler.emit.weighted import emit_weighted
from nncodegen.compiler.ir import Program
from nncodegen.compiler.schedule import Schedule, SideBySide
from nncodegen.compiler.schedule.plain import OneSample

HEAD = f"/* {MARK}. Do not edit: change the model and build it again. */"


def emit_header(schedule: Schedule) -> str:
    """Return the header that programs in C include: NAME.h."""
    name, real = identifier(schedule.program.name), REAL_TYPES[schedule.program.precision][0]
    head = [HEAD, "", f"#ifndef {name}_H", f"#define {name}_H", ""]
    head += [f"#define NN_MODEL(name) {name}_##name", f"#define NN_REAL {real}"]
    return "\n".join([*head, *_offers(schedule), '#include "nncodegen/interface.h"', "", "#endif", ""])


def emit_kernel(schedule: Schedule) -> str:
    """Return the kernels, between the two parts of the runtime: NAME.c."""
    program, kernels = schedule.program, Lines()
    emit_systems(program, kernels)
    emit_weighted(schedule, kernels)
    parts: dict[tuple[str, str], str] = {}
    for kernel in schedule.kernels:
        KernelEmitter(elements_of(program, schedule.layout, kernel), kernels, parts).emit()
    emit_single_sample(schedule, kernels)
    if schedule.unrolled:
        RegistersEmitter(schedule.unrolled, kernels).emit()
    _emit_own_rules(program, kernels)
    return _file(schedule, configuration(schedule), kernels, "training")


def emit_many(schedule: Schedule, group: SideBySide) -> str:
    """Return the kernels of a group of models side by side, in the same way: NAME_many.c."""
    kernels = Lines()
    emit_systems(schedule.program, kernels)
    emitter = GroupEmitter(schedule.program, group, kernels)
    emitter.emit()
    _emit_own_rules(schedule.program, kernels)
    return _file(schedule, configuration_of_many(schedule, emitter), kernels, "many")


def emit_values(schedule: Schedule) -> str:
    """Return the kernels of a program of values alone, between the headers that they need: NAME.c."""
    kernels = Lines()
    emit_values_kernels(schedule, kernels)
    lines = Lines()
    lines.add(HEAD, "")
    for about, settings in configuration_of_values(schedule).items():
        lines.add(f"/* {about} */", *(f"#define NN_{key} {value}" for key, value in settings.items()), "")
    lines.add('#include "nncodegen/formula.h"', "")
    lines.include(str(kernels))
    lines.add('#include "nncodegen/values.h"')
    return str(lines)


def _emit_own_rules(program: Program, kernels: Lines) -> None:
    """Write the update rules that not every model has."""
    if rules := own(program.updates):
        emit_rules(rules, len(program.updates) - len(rules), "NN_OWN_RULES", program.precision, kernels)
        kernels.add("")


def emit_companion(schedule: Schedule, name: str) -> str:
    """Return the kernels of a companion of the model, by its name, in the same way: NAME_fitting.c, for example."""
    kernels = Lines()
    (kernel,) = schedule.kernels
    if schedule.companion and schedule.companion.stepwise:
        stepwise = schedule.companion.stepwise
        kernels.add(*declared(schedule.program, stepwise))
        kernels.add(f"enum {{ STEP_TOKENS = {stepwise.tokens}, STEP_WORK = {kernel.memory.arrays} }};")
        kernels.add("")
        emit_step_kernel(OneSample(schedule.program, kernel), kernels)
        kernels.add("")
        return _file(schedule, configuration_of_step(schedule), kernels, name)
    emit_systems(schedule.program, kernels)
    emit_weighted(schedule, kernels)
    KernelEmitter(elements_of(schedule.program, schedule.layout, kernel), kernels).emit()
    if schedule.fits:
        emit_rows(schedule.program, schedule.fits, kernels)
    return _file(schedule, configuration(schedule), kernels, name)


def emit_fits(schedule: Schedule, group: SideBySide) -> str:
    """Return the kernel of the rows of many fits that has a file of its own, in the same way: NAME_fits.c."""
    kernels = Lines()
    emit_systems(schedule.program, kernels)
    emit_rows(schedule.program, group, kernels)
    return _file(schedule, configuration(schedule), kernels, "fits_apart")


def _file(schedule: Schedule, settings_by_about: Mapping[str, Mapping[str, Any]], kernels: Lines, runtime: str) -> str:
    """Return a file of kernels: the model's header, its configuration, the kernels, and the runtime that calls them."""
    lines = Lines()
    lines.add(HEAD, "", f'#include "{identifier(schedule.program.name)}.h"', "")
    for about, settings in settings_by_about.items():
        lines.add(f"/* {about} */", *(f"#define NN_{key} {value}" for key, value in settings.items()), "")
    lines.add('#include "nncodegen/kernel.h"', "")
    lines.include(str(kernels))
    lines.add(f'#include "nncodegen/{runtime}.h"')
    return str(lines)


def emit_variants(schedule: Schedule) -> str:
    """Return the choice among the kernels for several CPUs in one library: NAME_variants.c."""
    return _joined(schedule, ['#include "nncodegen/choice.h"'])


def emit_module(schedule: Schedule) -> str:
    """Return the file that makes a Python module of the kernel: NAME_module.c."""
    lines = [f"    {piece}," for piece in pieces(facts(schedule))]
    named = f"#define NN_PYTHON_MODULE PyInit_{identifier(schedule.program.name)}"
    head = [
        named,
        '#include "nncodegen/module.h"',
        '#include "nncodegen_python.h"',
        "",
        "const char *const nncodegen_facts[] = {",
    ]
    return _joined(schedule, [*head, *lines, "    NULL", "};"])


def _joined(schedule: Schedule, lines: list[str]) -> str:
    name = identifier(schedule.program.name)
    head = [HEAD, "", f'#include "{name}.h"', "", f"#define NN_MODEL(name) {name}_##name"]
    return "\n".join([*head, *_offers(schedule), *lines, ""])


def _offers(schedule: Schedule) -> list[str]:
    """Return which optional functions the model has, as macros."""
    return [f"#define NN_HAS_{what} 1" for what, holds in offers(schedule).items() if holds]
