"""NAME.c: the kernels of a model, and the functions that CasADi calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.compiler.schedule.plain import OneSample
from nncodegen.formats.c.kernels import PlainEmitter
from nncodegen.formats.c.plain import NEEDS_LIBM, helper_texts, numbers
from nncodegen.formats.casadi.entries import KINDS, CasadiModel, Function
from nncodegen.formats.casadi.header import EVALUATION, SIZES
from nncodegen.formats.casadi.matrices import Matrix, Pattern
from nncodegen.formats.export.first_line import HEAD

EXPORT = """\
#if defined(_WIN32) || defined(__CYGWIN__)
#define EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif"""

MEMORY = """\
/* What CasADi asks of functions that keep something between calls, which these do not. */
#define WITHOUT_MEMORY(function) \\
    EXPORT int function##_alloc_mem(void) { return 0; } \\
    EXPORT int function##_init_mem(int mem) { (void) mem; return 0; } \\
    EXPORT void function##_free_mem(int mem) { (void) mem; } \\
    EXPORT int function##_checkout(void) { return 0; } \\
    EXPORT void function##_release(int mem) { (void) mem; } \\
    EXPORT void function##_incref(void) { } \\
    EXPORT void function##_decref(void) { } \\
    EXPORT casadi_real function##_default_in(casadi_int i) { (void) i; return 0; }"""


def source(model: CasadiModel) -> str:
    """Return the text of NAME.c."""
    helpers: dict[str, None] = {}
    bodies = Lines()
    kernels = _kernels(model)
    for kernel in dict.fromkeys(kernels.values()):
        kernel.write(helpers, bodies)
    patterns = {pattern: f"{model.name}_pattern_{number}" for number, pattern in enumerate(_patterns(model), 1)}
    for function in model.functions:
        _function(model, function, kernels, bodies)
        _facts(function, patterns, kernels, bodies)
    lines = Lines()
    lines.add(HEAD, "", f'#include "{model.name}.h"', "", "#include <math.h>", "#include <stddef.h>", "")
    lines.add(*EXPORT.splitlines(), "", *MEMORY.splitlines(), "", "typedef casadi_real real;")
    lines.add(*(["#define LIBM(function) function"] if any(name in helpers for name in NEEDS_LIBM) else []))
    lines.add(*helper_texts(helpers), "", *_constants(model, kernels))
    lines.add("/* Shapes; then 1 where all entries are stored, or the begin of each column, and the rows. */")
    for pattern, name in patterns.items():
        texts = ", ".join(map(str, pattern.compressed))
        lines.add(*wrapped(f"static const casadi_int {name}[{len(pattern.compressed)}] = {{{texts}}};", "[,]"))
    lines.add("")
    lines.include(str(bodies).rstrip("\n"))
    return str(lines)


def _constants(model: CasadiModel, kernels: Mapping[str, Kernel]) -> Iterator[str]:
    """Yield the trained parameters, and an array of zeros for arguments that are NULL."""
    read = {name for kernel in kernels.values() for name in kernel.given}
    if "parameters" in read and model.constants is not None:
        yield "/* The trained parameters. */"
        yield f"static const real {model.name}_parameters[{len(model.constants)}] = {{"
        yield from (*numbers(model.constants, "double"), "};", "")
    if read & model.kinds:
        arguments = (argument for function in model.functions for argument in function.arguments)
        longest = max(argument.pattern.size for argument in arguments)
        yield "/* What stands for an argument that is NULL. */"
        yield from (f"static const real {model.name}_zeros[{longest}];", "")


def _patterns(model: CasadiModel) -> Iterable[Pattern]:
    """Return all patterns, once each."""
    patterns: dict[Pattern, None] = {}
    for function in model.functions:
        patterns |= dict.fromkeys(argument.pattern for argument in function.arguments)
        patterns |= dict.fromkeys(result.matrix.pattern for result in function.results)
    return patterns


# --- kernels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kernel:
    """A function of the file that computes a matrix: its name, its loops, and the arguments that they need."""

    name: str
    plan: OneSample
    given: tuple[str, ...]

    def write(self, helpers: dict[str, None], lines: Lines) -> None:
        """Write the function."""
        arguments = ", ".join(f"{'const ' * (each in KINDS.values())}real *{each}" for each in self.given)
        with lines.function(f"static void {self.name}({arguments})"):
            PlainEmitter(self.plan, True, helpers, lines).emit()
        lines.add("")


def _kernels(model: CasadiModel) -> dict[str, Kernel]:
    """Return the kernel of each result that needs one, by the name of the result; equal results share a kernel."""
    kernels: dict[str, Kernel] = {}
    for result in (result for function in model.functions for result in function.results):
        plan = result.matrix.kernel
        if plan is None:
            continue
        same = next((kernel for kernel in kernels.values() if kernel.plan == plan), None)
        used = PlainEmitter(plan, True, {}, Lines()).arguments
        arguments = tuple(name for name in (*KINDS.values(), "outputs", "work") if name in used)
        kernels[result.name] = same or Kernel(f"{model.name}_{result.name}", plan, arguments)
    return kernels


# --- what CasADi calls and asks ----------------------------------------------------------------------------------


def _function(model: CasadiModel, function: Function, kernels: Mapping[str, Kernel], lines: Lines) -> None:
    """Write the function that CasADi calls for the results."""
    own_kernels = [kernels.get(result.name) for result in function.results]
    read = {name for kernel in own_kernels if kernel for name in kernel.given}
    lines.add(f"/* {function.about} */")
    with lines.function(f"EXPORT int {function.name}{EVALUATION}"):
        for number, argument in enumerate(function.arguments):
            kind = KINDS.get(argument.name, "")
            if kind in read:
                lines.add(f"const real *const {kind} = arg[{number}] ? arg[{number}] : {model.name}_zeros;")
        if "parameters" in read and model.constants is not None:
            lines.add(f"const real *const parameters = {model.name}_parameters;")
        unused = {"arg": not read & model.kinds, "res": not read, "iw": True, "w": "work" not in read, "mem": True}
        lines.add(*(f"(void) {each};" for each, known in unused.items() if known), "")
        for number, (kernel, result) in enumerate(zip(own_kernels, function.results, strict=True)):
            if kernel or result.matrix.cleared:
                _result(f"res[{number}]", kernel, result.matrix, lines)
        lines.add("return 0;")
    lines.add("")


def _result(place: str, kernel: Kernel | None, matrix: Matrix, lines: Lines) -> None:
    """Write the computation of a result, which runs if the caller asks for it."""
    with lines.block(f"if ({place})"):
        if matrix.cleared:
            with lines.block(f"for (size_t k = 0; k < {matrix.pattern.size}; k++)"):
                lines.add(f"{place}[k] = 0;")
        if kernel:
            named = {"outputs": place, "work": "w"}
            lines.add(f"{kernel.name}({', '.join(named.get(each, each) for each in kernel.given)});")


def _facts(function: Function, patterns: Mapping[Pattern, str], kernels: Mapping[str, Kernel], lines: Lines) -> None:
    """Write the functions that tell CasADi about a function: names, patterns, and sizes of memory."""
    name = function.name
    arguments = [(argument.name, patterns[argument.pattern]) for argument in function.arguments]
    results = [(result.name, patterns[result.matrix.pattern]) for result in function.results]
    lines.add(f"WITHOUT_MEMORY({name})", "")
    for side, listed in (("in", arguments), ("out", results)):
        lines.add(f"EXPORT casadi_int {name}_n_{side}(void) {{ return {len(listed)}; }}", "")
        _choice(f"EXPORT const char *{name}_name_{side}(casadi_int i)", [f'"{text}"' for text, _ in listed], lines)
        _choice(f"EXPORT const casadi_int *{name}_sparsity_{side}(casadi_int i)", [text for _, text in listed], lines)
    work = max((kernels[result].plan.work for result, _ in results if result in kernels), default=0)
    sizes = {"sz_arg": len(arguments), "sz_res": len(results), "sz_iw": 0, "sz_w": work}
    _work(f"EXPORT int {name}_work{SIZES}", {key: str(size) for key, size in sizes.items()}, lines)
    types = ("real *", "real *", "casadi_int", "real")
    in_bytes = [f"(casadi_int) ({size}*sizeof({kind}))" for size, kind in zip(sizes.values(), types, strict=True)]
    _work(f"EXPORT int {name}_work_bytes{SIZES}", dict(zip(sizes, in_bytes, strict=True)), lines)


def _choice(head: str, values: list[str], lines: Lines) -> None:
    """Write a function that returns one of some values by its index, or NULL."""
    with lines.function(head), lines.block("switch (i)"):
        lines.add(*(f"case {number}: return {value};" for number, value in enumerate(values)))
        lines.add("default: return 0;")
    lines.add("")


def _work(head: str, sizes: dict[str, str], lines: Lines) -> None:
    """Write a function that returns the sizes of the memory that must be provided."""
    with lines.function(head):
        for name, size in sizes.items():
            with lines.block(f"if ({name})"):
                lines.add(f"*{name} = {size};")
        lines.add("return 0;")
    lines.add("")
