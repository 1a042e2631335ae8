"""schedule -> **emit** -> build: the only stage that writes text in C and Cython."""

from dataclasses import dataclass

from nncodegen.emit.c import emit_c, emit_header
from nncodegen.emit.cython import emit_pyx
from nncodegen.emit.names import MARK, identifier
from nncodegen.emit.variants import emit_variants
from nncodegen.schedule import Schedule


@dataclass(frozen=True)
class Sources:
    """The sources of a module: its importable name, and the text of each file by name."""

    module: str
    files: dict[str, str]

    def show(self) -> str:
        """The files and their sizes, as text."""
        return "".join(f"{name}  {len(text.splitlines())} lines\n" for name, text in self.files.items())


def emit(schedule: Schedule) -> Sources:
    """The sources of a scheduled program: ``name.c``, ``name.h``, ``name_variants.c`` and ``name.pyx``."""
    name = identifier(schedule.program.name)
    header = emit_header(schedule)
    texts = {
        f"{name}.c": emit_c(schedule), f"{name}.h": header, f"{name}_variants.c": emit_variants(header, name),
        f"{name}.pyx": emit_pyx(schedule),
    }  # fmt: skip
    return Sources(name, texts)


__all__ = ["MARK", "Sources", "emit", "identifier"]
