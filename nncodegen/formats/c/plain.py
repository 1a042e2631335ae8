"""NAME.c and NAME.h: the texts of a model in plain C."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import isfinite
from textwrap import wrap
from typing import Any

from nncodegen.compiler.emit.lines import WIDTH, Lines, wrapped
from nncodegen.compiler.emit.names import identifier
from nncodegen.compiler.emit.systems import emit_plain_systems
from nncodegen.compiler.emit.weighted import emit_plain_weighted
from nncodegen.compiler.ir import Tensor, slices_of
from nncodegen.formats.c.dialects import BESIDES, exported
from nncodegen.formats.c.functions import Function, functions
from nncodegen.formats.c.kernels import HELPERS
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.one_lane import solver_text
from nncodegen.formats.c.runtime_headers import runtime_text
from nncodegen.formats.c.stepwise import step_functions, step_source
from nncodegen.formats.export.first_line import HEAD

NEEDS_LIBM = ("half_expm1", "normal", "generate")
"""The helpers that call functions of the C library in the precision of the model."""

EIGHT = re.compile(r"(\[|\+ )([7-9]|\d\d+)\] [-+*]?= ")
"""A statement that writes the last of eight neighbors, or a later one: a compiler may make a vector of them."""

INLINE = """\
#ifdef __GNUC__
#define INLINE static inline __attribute__((unused))
#else
#define INLINE static inline
#endif
#define RARE INLINE"""


def source(model: PlainModel) -> str:
    """Return the text of NAME.c."""
    helpers: dict[str, None] = {}
    bodies = Lines()
    if model.systems:
        for emit in emit_plain_systems, emit_plain_weighted:
            emit(model.systems, model.request.precision, exported(model.request.options.libm), helpers, bodies)
    if model.step:
        bodies.include(str(step_source(model, helpers)))
    for function in _all_functions(model, helpers):
        bodies.add(*_comment(function), *wrapped(function.head, "[,(]")[:-1])
        with bodies.function(wrapped(function.head, "[,(]")[-1]):
            function.body(bodies)
        bodies.add("")
    lines = Lines()
    callers = str(bodies).rstrip("\n")
    lines.add(HEAD, "", f'#include "{model.name}.h"', "", *_prelude(model, helpers, callers), "")
    lines.include(callers)
    lines.add(*constants(model))
    return str(lines)


def _all_functions(model: PlainModel, helpers: dict[str, None]) -> Iterator[Function]:
    """Yield all functions in the order of the header, those of steps last."""
    yield from functions(model, helpers)
    if model.step:
        yield from step_functions(model)


def _prelude(model: PlainModel, helpers: dict[str, None], callers: str) -> Iterator[str]:
    """Yield the lines before the functions: the floating-point type, the library of mathematics, helpers.

    ``callers`` is the text that follows, with the functions of the model.
    """
    libm, systems = model.request.options.libm, model.systems
    inline = bool(systems or not libm or "functions" in helpers)
    yield from ["#include <math.h>"] * libm
    yield from ["#include <stdint.h>"] * inline
    yield from short_vectors(model, callers)
    yield from ("", f"typedef {model.real} real;")
    if libm and any(name in helpers for name in NEEDS_LIBM):
        yield f"#define LIBM(function) function{'##f' if model.real == 'float' else ''}"
    if inline:
        yield from ("", *INLINE.splitlines())
    if not libm:
        yield from ("", *runtime_text(model.mathematics))
    if "functions" in helpers:
        yield from ("", *runtime_text("plain/plus_times"))
        yield from ("", *runtime_text(f"math/functions{model.request.precision[-2:]}"))
    roots = ["root"] if systems and not libm and model.real == "float" else []
    defined = BESIDES if "functions" in helpers else ()
    yield from helper_texts([*(helper for helper in helpers if helper not in defined), *roots])
    if systems:
        yield from (["#undef sqrt", "#define sqrt(x) root_of(x)"] if roots else [])
        parts = ["plain/solving", *(f"solve/{part}" for part in ("controller", "equations", "times", "solve"))]
        parts += ["solve/rosenbrock"] * any(system.implicit for system in systems)
        parts += ["solve/solve_reverse"] * any(system.transposed is not None for system in systems)
        yield from ("", *solver_text(parts, model.request.precision[-2:], callers))


def short_vectors(model: PlainModel, text: str) -> Iterator[str]:
    """Yield the lines that ask for shorter vectors, where a text has some that GCC may get wrong."""
    if model.real == "double" and EIGHT.search(text):
        yield from ("", *runtime_text("plain/short_vectors"))


def helper_texts(helpers: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the helpers that printed text calls."""
    for part in dict.fromkeys(part for helper in helpers for part in HELPERS.get(helper, ())):
        yield from ("", *runtime_text(f"plain/{part}"))


def constants(model: PlainModel) -> Iterator[str]:
    """Yield the definition of the parameters that are written as constants."""
    if model.constants is None:
        return
    yield from ("", f"/* {model.about_constants} */")
    yield f"const real {model.name}_parameters[{len(model.constants)}] = {{"
    yield from numbers(model.constants, model.real)
    yield "};"


def numbers(values: Any, real: str) -> list[str]:
    """Return indented lines of constants of C with all their digits."""
    suffix = "F" if real == "float" else ""
    texts = ", ".join(f"{value!s}{suffix}" if isfinite(value) else f"0.0{suffix}/0.0{suffix}" for value in values)
    return wrap(texts, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _comment(function: Function) -> list[str]:
    """Return the comment before a function, as lines."""
    return ("/* " + "\n   ".join(function.about) + " */").splitlines()


NOISE = "any number, which decides on the random numbers of a sample; of several samples, each has the next number"
"""The description of the argument for random numbers in the header."""

# --- the header --------------------------------------------------------------------------------------------------


def header(model: PlainModel) -> str:
    """Return the text of NAME.h."""
    guard = f"{model.upper}_H"
    lines = Lines()
    lines.add(HEAD, "", *_about(model), "", f"#ifndef {guard}", f"#define {guard}", "", "#include <stddef.h>")
    numbers = (model.program.noise and model.train) or model.step
    lines.add(*(["#include <stdint.h>"] if numbers else []))
    lines.add("", "#ifdef __cplusplus", 'extern "C" {', "#endif", "")
    lines.add("/* How many values there are of each kind. */", "enum {")
    lines.add(",\n".join(f"    {model.upper}_{name} = {size}" for name, size in model.sizes.items()), "};", "")
    if model.constants is not None:
        lines.add(f"/* {model.about_constants} */")
        lines.add(f"extern const {model.real} {model.name}_parameters[{model.upper}_PARAMETERS];", "")
    for function in _all_functions(model, {}):
        head = re.sub(r"\breal\b", model.real, function.head) + ";"
        lines.add(*_comment(function), *wrapped(head, "[,(]"), "")
    lines.add("#ifdef __cplusplus", "}", "#endif", "", "#endif")
    return str(lines)


def _about(model: PlainModel) -> list[str]:
    """Return the comment that describes the arguments and results of the model, in their order."""
    program = model.program
    null_text = f"NULL for {model.name}_parameters" + (", but not in updates" if model.train else "")
    work = f"{model.upper}_PREDICT_WORK values to predict"
    work += f", {model.upper}_TRAIN_WORK for losses and gradients" if model.train else ""
    work += f", {model.upper}_STEP_WORK for steps of sequences" if model.step else ""
    rows = [
        *((name, texts if texts != ["none"] else ["none: NULL"]) for name, texts in columns(model).items()),
        ("parameters", [*listed(program.parameters, ()), *([null_text] if model.trained else [])]),
        *([("gradient", [f"{model.upper}_PARAMETERS values, in the order of the parameters"])] if model.train else []),
        *([("noise", [NOISE])] if model.train and program.noise else []),
        ("work", [f"{work}; what is in them does not matter; NULL where that is 0"]),
    ]
    lines = [
        f"/* {model.name}: {model.request.precision}, matrices row by row. No memory is allocated, nothing is kept",
        "   between calls, and calls with separate work memory may run at the same time. Arrays do not",
        "   overlap, and are not NULL where nothing is said of it.",
        "",
    ]
    for name, texts in rows:
        lines_of_text = wrapped("; ".join(texts), "[,;]" if name != "noise" else "")
        lines += [f"   {name if not number else '':<12}{text.strip()}" for number, text in enumerate(lines_of_text)]
    return [*lines[:-1], f"{lines[-1]} */"]


def columns(model: PlainModel) -> dict[str, list[str]]:
    """Return the meaning of inputs, outputs and targets, by position, in texts that are safe in a comment."""
    groups = {"inputs": listed(model.program.inputs, model.request.subject.inputs), "outputs": _outputs(model)}
    return {**groups, "targets": listed(model.program.targets, ())} if model.train else groups


def listed(tensors: Iterable[Tensor], meanings: tuple[str, ...]) -> list[str]:
    """Return the shape and the offset of consecutive tensors; or what columns mean, where that is given."""
    if meanings:
        return [f"{number}: {_safe(text)}" for number, text in enumerate(meanings)]
    texts = []
    for tensor, part in slices_of(tensors):
        sizes = "".join(f"[{size}]" for size in tensor.shape if size is not None)
        texts.append(f"{identifier(tensor.name)}{sizes} at {part.start}")
    return texts or ["none"]


def _outputs(model: PlainModel) -> list[str]:
    if model.request.subject.outputs:
        return listed((), model.request.subject.outputs)
    return listed(model.program.output_tensors, ())


def _safe(text: str) -> str:
    """Return a user's text for a comment: in ASCII, and without the characters that begin or end one."""
    return " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *").encode("ascii", "replace").decode()
