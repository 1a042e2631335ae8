"""The choice among kernels for several CPUs in one library: what calls the entry points of a header.

A library that is made for any CPU of a family holds the kernel several times, compiled for different CPUs, and this
hands every call on to one of them. Compilers can do that by themselves (target_clones), but do not take vector types
and inline functions along, and need the help of glibc.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from nncodegen.emit.header import EntryPoint, entry_points
from nncodegen.emit.names import MARK
from nncodegen.targets import PLAIN, VARIANTS, Variant

HERE = Path(__file__).parent


def emit_variants(header: str, module: str) -> str:
    """The C source of the choice, for a header."""
    functions = entry_points(header, module)
    renamed = (f"#define {module}_{f.name} NNCODEGEN_JOIN({module}_{f.name}, NNCODEGEN_VARIANT)" for f in functions)
    texts = {
        "MARK": MARK, "name": module, "PLAIN": PLAIN, "RENAMED": "\n".join(renamed), "MEMBERS": members(functions),
        "INITIAL": "\n".join(f"    .{f.name} = {module}_{f.name}," for f in functions),
        "KERNELS": ", ".join(f"{module}_kernel_{name}" for name in (*(v.name for v in VARIANTS), PLAIN)),
        "CHOICES": "\n".join(_choice(variant, module) for variant in VARIANTS),
        "CALLS": "\n".join(_call(function, module) for function in functions if function.name != "use"),
        "WITH": " and ".join(map(_with, VARIANTS)),
    }  # fmt: skip
    return re.sub(r"@(\w+)@", lambda mark: texts[mark[1]], (HERE / "variants.c").read_text())


def members(functions: list[EntryPoint]) -> str:
    """The members of a structure with pointers to functions."""
    return "\n".join(_wrapped(f"    {f.result}(*{f.name})({f.parameters});") for f in functions)


def _with(variant: Variant) -> str:
    return f"NNCODEGEN_WITH_{variant.name.upper()}"


def _choice(variant: Variant, module: str) -> str:
    """The statements that choose a variant if it is wanted and the CPU has what it needs."""
    has = " && ".join(f'__builtin_cpu_supports("{feature}")' for feature in variant.features)
    condition = _wrapped(f'    if (strcmp(variant, "{variant.name}") == 0 && {has})')
    return f"#ifdef {_with(variant)}\n{condition}\n        found = &{module}_kernel_{variant.name};\n#endif"


def _call(function: EntryPoint, module: str) -> str:
    """An entry point that hands its call on."""
    head = _wrapped(f"{function.result}{module}_{function.name}({function.parameters})")
    result = "" if function.result == "void " else "return "
    return f"{head}\n{{\n    {result}chosen->{function.name}({function.arguments});\n}}\n"


def _wrapped(line: str) -> str:
    """A line, broken behind commas and operators where it is too long."""
    indent = " " * (len(line) - len(line.lstrip()))
    held = re.sub("(?<![,&]) ", "\0", line.lstrip())
    lines = textwrap.wrap(held, 120, initial_indent=indent, subsequent_indent=indent + "    ", break_long_words=False)
    return "\n".join(lines).replace("\0", " ")
