"""schedule -> **emit** -> build: the only stage that writes C, and a stub with the types of the module."""

from dataclasses import dataclass, replace

from nncodegen.compiler.emit.facts import facts
from nncodegen.compiler.emit.model import (
    emit_companion,
    emit_fits,
    emit_header,
    emit_kernel,
    emit_many,
    emit_module,
    emit_values,
    emit_variants,
)
from nncodegen.compiler.emit.names import MARK, identifier
from nncodegen.compiler.emit.printer import REAL_TYPES
from nncodegen.compiler.emit.stub import emit_stub
from nncodegen.compiler.schedule import Schedule


@dataclass(frozen=True)
class Sources:
    """The sources of a module: its importable name, its floating-point type in C, and the text of each file by name."""

    module: str
    real: str
    files: dict[str, str]
    companions: tuple[str, ...] = ()
    """The files of kernels other than NAME.c; each is a separate translation unit."""

    def __repr__(self) -> str:
        characters = sum(map(len, self.files.values()))
        return f"<Sources of {self.module}, {self.real}: {len(self.files)} files of {characters:,} characters>"

    def show(self) -> str:
        """Return the files and their sizes, as text."""
        return "".join(f"{name}  {len(text.splitlines())} lines\n" for name, text in self.files.items())


def emit(schedule: Schedule) -> Sources:
    """Return the sources of a scheduled program: the kernel, and the files that make it a module.

    A program whose companions are left for later (``Findings.lazy``) has no file of models side by side yet either.
    """
    name = identifier(schedule.program.name)
    if schedule.point:
        return Sources(name, REAL_TYPES[schedule.program.precision][0], {f"{name}.c": emit_values(schedule)})
    texts = {
        f"{name}.c": emit_kernel(schedule),
        f"{name}.h": emit_header(schedule),
        f"{name}_variants.c": emit_variants(schedule),
        f"{name}_module.c": emit_module(schedule),
        f"{name}.pyi": emit_stub(schedule),
    }
    group = schedule.side_by_side
    companions = {f"{name}_many.c": emit_many(schedule, group)} if group and not schedule.findings.lazy else {}
    for each in schedule.companions:
        if each.companion:
            here = replace(each, fits=None) if each.fits_apart else each
            companions[f"{name}_{each.companion.name}.c"] = emit_companion(here, each.companion.name)
        if each.fits_apart:
            companions[f"{name}_fits.c"] = emit_fits(each, each.fits_apart)
    return Sources(name, REAL_TYPES[schedule.program.precision][0], texts | companions, tuple(companions))


__all__ = ["MARK", "Sources", "emit", "facts", "identifier"]
