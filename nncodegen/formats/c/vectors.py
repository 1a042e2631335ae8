"""The C of compiled modules in one file: fast, with the vectors of a CPU, without threads and fits.

It is what ``build`` compiles, with the headers of the runtime in place of the lines that include them; its functions
are those of a compiled module (see ``entry_points.h``).
"""

from __future__ import annotations

from nncodegen.compiler.building.targets import SAME_BITS_FLAGS
from nncodegen.compiler.describe.describable import Named
from nncodegen.compiler.emit.model import HEAD as BUILT
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.pipeline import compile_model
from nncodegen.formats.c.amalgamation import Held, amalgamated
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.plain import constants, short_vectors
from nncodegen.formats.c.self_test import COMPARE, SUMS, begun, parameters_of, tables_of
from nncodegen.formats.export.first_line import EXPORTED, HEAD

FLAGS = "-O3 -march=native -fopenmp-simd -fno-math-errno -fno-trapping-math"
"""The compiler's options with which loops become vector instructions."""


def vector_files(model: PlainModel) -> dict[str, str]:
    """Return NAME.c, NAME.h, a test of them, and a Makefile."""
    name, request = model.name, model.request
    sources = compile_model(
        Named(request.subject.model, name),
        request.precision,
        until="emit",
        choices={"digits": request.digits},
        fit=False,
        apart=True,  # without companions, which have files of their own
        bits=request.subject.bits,
    ).sources.files
    held: Held = {}
    header = amalgamated(sources[f"{name}.h"], held).replace(BUILT, HEAD, 1)
    guarded: Held = {each: [frozenset()] for each in held}  # the header comes first, and is guarded as a whole
    other = "math/functions64.h" if model.real == "float" else "math/functions32.h"
    head = "\n".join((HEAD, *short_vectors(model, sources[f"{name}.c"])))
    source = amalgamated(sources[f"{name}.c"], guarded, (other,)).replace(BUILT, head, 1)
    if model.constants is not None:
        source += "\n".join(constants(model)) + "\n"
        declared = (
            f"/* {model.about_constants} */\nextern const {model.real} {name}_parameters[{len(model.constants)}];"
        )
        header = header.removesuffix("#endif\n") + f"{declared}\n\n#endif\n"
    return {
        f"{name}.c": source,
        f"{name}.h": header,
        f"{name}_test.c": _test(model),
        "Makefile": _makefile(name, request.subject.bits),
    }


def _test(model: PlainModel) -> str:
    """Return a program that compares outputs, loss and gradient with those of the formulas."""
    name, tables = model.name, tables_of(model)
    lines = begun(model, tables, str(model.program.parameter_count), "stdio", "stdlib")
    outputs = tables["outputs"].size
    derived = "sums" in tables  # otherwise there are no parameters, and the gradient is empty
    gradient = "found_gradient[PARAMETERS], found_sums[CLASSES]" if derived else "found_gradient[1]"
    lines.add(f"static real found_outputs[{outputs}], {gradient};", "")
    lines.add(*COMPARE.splitlines(), "", *([*SUMS.splitlines(), ""] if derived else []))
    X, Y = ("inputs" if "inputs" in tables else "NULL"), ("targets" if "targets" in tables else "NULL")
    at = parameters_of(model, tables)
    with lines.function("int main(void)"):
        lines.add(
            f"void *const work = malloc({name}_work_size());",
            "double mean = 0;",
            "if (!work)",
            "    return 1;",
            f"{name}_predict({at}, {X}, SAMPLES, work, found_outputs, NULL);",
            f'compare("outputs", found_outputs, outputs, {outputs});',
            f"{name}_loss_and_gradient({at}, {X}, {Y}, NULL, SAMPLES, work, &mean, found_gradient, NULL);",
            "const real loss_found = (real) mean;",
            'compare("loss", &loss_found, loss, 1);',
            *(
                ["add_up(found_gradient, found_sums);", 'compare("gradient", found_sums, sums, CLASSES);']
                if derived
                else []
            ),
            "free(work);",
            "return failures > 0;",
        )
    return str(lines)


def _makefile(name: str, bits: str) -> str:
    same = f"CFLAGS += {' '.join(SAME_BITS_FLAGS)} # results depend on neither CPU nor compiler\n"
    return f"""\
# {EXPORTED}
CFLAGS ?= {FLAGS}
CFLAGS += -std=c99 -Wall -Wextra
{same if bits == PORTABLE else ""}\
{name}.o: {name}.c {name}.h
\t$(CC) $(CFLAGS) -c {name}.c
test: {name}.o
\t$(CC) $(CFLAGS) {name}_test.c {name}.o -o {name}_test -lm && ./{name}_test
.PHONY: test
"""
