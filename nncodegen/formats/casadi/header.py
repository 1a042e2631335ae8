"""NAME.h, which describes arguments, results, compilation and use of the functions; and the Makefile."""

from __future__ import annotations

from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.formats.c.plain import listed
from nncodegen.formats.casadi.entries import CasadiModel
from nncodegen.formats.export.first_line import EXPORTED, HEAD

TYPES = """\
#ifndef casadi_real
#define casadi_real double
#endif
#ifndef casadi_int
#define casadi_int long long int
#endif"""

EVALUATION = "(const casadi_real **arg, casadi_real **res, casadi_int *iw, casadi_real *w, int mem)"
SIZES = "(casadi_int *sz_arg, casadi_int *sz_res, casadi_int *sz_iw, casadi_int *sz_w)"
HEADS = (
    "int {}" + EVALUATION, "casadi_int {}_n_in(void)", "casadi_int {}_n_out(void)",
    "const char *{}_name_in(casadi_int i)", "const char *{}_name_out(casadi_int i)",
    "const casadi_int *{}_sparsity_in(casadi_int i)", "const casadi_int *{}_sparsity_out(casadi_int i)",
    "int {}_work" + SIZES, "int {}_work_bytes" + SIZES,
    "casadi_real {}_default_in(casadi_int i)", "int {}_alloc_mem(void)", "int {}_init_mem(int mem)",
    "void {}_free_mem(int mem)", "int {}_checkout(void)", "void {}_release(int mem)", "void {}_incref(void)",
    "void {}_decref(void)",
)  # fmt: skip
"""The declarations that CasADi needs for each function; {} is its name."""


def header(model: CasadiModel) -> str:
    """Return the text of NAME.h."""
    guard = f"{model.upper}_H"
    lines = Lines()
    lines.add(HEAD, "", *_about(model), "", f"#ifndef {guard}", f"#define {guard}", "", *TYPES.splitlines(), "")
    lines.add("#ifdef __cplusplus", 'extern "C" {', "#endif", "")
    for function in model.functions:
        arguments = ", ".join(argument.name for argument in function.arguments)
        results = ", ".join(result.name for result in function.results)
        lines.add(f"/* {function.about}", *(f"   {line}" for line in wrapped(f"({arguments}) -> ({results})", "[,(]")))
        lines.extend_last(" */")
        for head in HEADS:
            lines.add(*wrapped(f"{head.format(function.name)};", "[,(]"))
        lines.add("")
    lines.add("#ifdef __cplusplus", "}", "#endif", "", "#endif")
    return str(lines)


def _about(model: CasadiModel) -> list[str]:
    """Return the comment that says how the file is compiled and used, and what x, p and y hold."""
    subject, name = model.request.subject, model.name
    rows = {"x": listed(model.program.inputs, subject.inputs)}
    if "p" in model.variables:
        rows["p"] = listed(model.program.parameters, ())
    rows["y"] = listed(model.program.output_tensors, subject.outputs)
    lines = [
        f"/* {name}: a function for CasADi 3.6 and later, with exact first and second derivatives, in double.",
        "",
        f"       cc -O2 -shared -fPIC {name}.c -o {name}.so -lm        (or: make)",
        f'       {name} = casadi.external("{name}", "./{name}.so")     in Python',
        f"       y = {name}({', '.join(model.variables)})",
        "",
        f"   acados calls it in the expressions of a model: it links lib{name}.so (make lib{name}.so). What it calls",
        "   directly it wants compiled with -Dcasadi_int=int. Threads may call these functions at the same time.",
        "",
    ]
    for row, texts in rows.items():
        lines_of_text = wrapped("; ".join(texts), "[,;]")
        lines += [f"   {row if not number else '':<4}{text.strip()}" for number, text in enumerate(lines_of_text)]
    return [*lines[:-1], f"{lines[-1]} */"]


def makefile(model: CasadiModel) -> str:
    """Return a Makefile: ``make`` compiles the library that CasADi loads."""
    name = model.name
    return f"""\
# {EXPORTED}
CFLAGS ?= -O2
CFLAGS += -std=c99 -fPIC
{name}.so lib{name}.so: {name}.c {name}.h
\t$(CC) $(CFLAGS) -shared {name}.c -o $@ -lm
"""
