"""NAME_test.c: a program that compares what the C computes with what the formulas give, evaluated with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncodegen.check import random_data
from nncodegen.emit.lines import Lines
from nncodegen.emit.model import HEAD
from nncodegen.export.c.model import PlainModel
from nncodegen.export.c.plain import numbers
from nncodegen.export.initial import start_of
from nncodegen.export.programs import of_loss, of_outputs
from nncodegen.ir import evaluate
from nncodegen.passes.differentiate import differentiate
from nncodegen.passes.stabilize import stabilize

SAMPLES = 3

TOLERANCES = {"float64": "1e-11", "float32": "2e-5"}
"""The error that is allowed, relative to the largest of the values that are compared."""

COMPARE = """\
static int failures = 0;

/* Counts a failure if values are not near what is expected: relative to the largest of these, or to 1. */
static void compare(const char *what, const real *found, const real *expected, size_t count)
{
    real error = 0, scale = 1;
    for (size_t k = 0; k < count; k++) {
        const real difference = found[k] - expected[k], size = expected[k] < 0 ? -expected[k] : expected[k];
        if (!(difference <= error && -difference <= error))
            error = difference < 0 ? -difference : difference;
        if (size > scale)
            scale = size;
    }
    const int right = error <= scale*TOLERANCE;
    failures += !right;
    printf("%s: %s, error %.1e\\n", what, right ? "right" : "WRONG", (double) (error/scale));
}"""


SUMS = """\
/* Sums over every CLASSES-th derivative, with different weights: a wrong derivative changes one of them. */
static void add_up(const real *gradient, real *sums)
{
    for (size_t c = 0; c < CLASSES; c++)
        sums[c] = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        sums[p % CLASSES] += gradient[p]*(real) (1 + p/CLASSES % 7);
}"""

CLASSES = 32


def self_test(model: PlainModel) -> str:
    """The text of the test."""
    lines, name, upper = Lines(), model.name, model.upper
    tables = tables_of(model, model.train)
    if model.program.noise:  # which is in every gradient
        tables.pop("sums", None)
    lines.add(HEAD, "", f'#include "{name}.h"', "", "#include <stdio.h>", "", f"typedef {model.real} real;", "")
    lines.add(f"#define TOLERANCE ((real) {TOLERANCES[model.request.precision]})")
    lines.add(f"enum {{ SAMPLES = {SAMPLES}, PARAMETERS = {upper}_PARAMETERS, CLASSES = {CLASSES} }};", "")
    for table, content in tables.items():
        lines.add(f"static const real {table}[{content.size}] = {{", *numbers(content.ravel(), model.real), "};", "")
    size = max([model.outputs.work, *([model.loss.work, model.gradient.work] if model.train else [])])
    found = [f"work[{size or 1}]", f"found_outputs[SAMPLES*{upper}_OUTPUTS]"]
    found += ["found_gradient[PARAMETERS]", "found_sums[CLASSES]"] if "sums" in tables else []
    lines.add(*(f"static real {array};" for array in found), "", *COMPARE.splitlines(), "")
    lines.add(*([*SUMS.splitlines(), ""] if "sums" in tables else []))
    X, Y = ("inputs" if "inputs" in tables else "NULL"), ("targets" if "targets" in tables else "NULL")
    with lines.function("int main(void)"):
        parameters = "parameters" if "parameters" in tables else f"{name}_parameters"
        lines.add(f"{name}_predict_batch({parameters}, SAMPLES, {X}, found_outputs, work);")
        lines.add(f'compare("outputs", found_outputs, outputs, SAMPLES*{upper}_OUTPUTS);')
        if model.train:
            lines.add("real found_loss = 0;")
            with lines.block("for (size_t n = 0; n < SAMPLES; n++)"):
                at = [f"{array} + n*{upper}_{kind}" if array != "NULL" else array
                      for array, kind in ((X, "INPUTS"), (Y, "TARGETS"))]  # fmt: skip
                lines.add(f"found_loss += {name}_loss({parameters}, {', '.join(at)}, work)/SAMPLES;")
            lines.add('compare("loss", &found_loss, loss, 1);')
        if "sums" in tables:
            lines.add(
                f"found_loss = {name}_loss_and_gradient({parameters}, SAMPLES, {X}, {Y}, NULL, found_gradient, work);",
                "add_up(found_gradient, found_sums);",
                'compare("loss, with the gradient", &found_loss, loss, 1);',
                'compare("gradient", found_sums, sums, CLASSES);',
            )
        lines.add("return failures > 0;")
    return str(lines)


def tables_of(model: PlainModel, train: bool = True) -> dict[str, Any]:
    """What the test is given and expects, by name."""
    program, precision = model.program, model.request.precision
    X, Y = (None if data is None else data.astype(precision) for data in random_data(program, SAMPLES))
    given = start_of(program) if model.constants is None else model.constants
    values = evaluate(stabilize(of_outputs(program)), given.astype(float), X)
    outputs = [_columns(values[element.tensor], program.count(element.indices)) for element in program.outputs]
    tables = {"inputs": X, "outputs": np.concatenate(outputs, axis=1)}
    if model.constants is None:
        tables["parameters"] = given
    if train:
        loss, gradient = _expected(model, given, X, Y)
        tables |= {"targets": Y, "loss": loss}
        places = np.arange(len(gradient))
        tables["sums"] = np.bincount(places % CLASSES, gradient * (1 + places // CLASSES % 7), CLASSES)
    return {name: np.asarray(table, precision) for name, table in tables.items() if table is not None}


def _expected(model: PlainModel, parameters: Any, X: Any, Y: Any) -> tuple[Any, Any]:
    """The loss and the gradient, as NumPy evaluates the formulas."""
    at_rest = of_loss(model.program)
    derived = differentiate(stabilize(at_rest), False)
    values = evaluate(derived, parameters.astype(float), X, Y)
    gradient = np.concatenate([values[element.tensor].ravel() for element in derived.gradient])
    return values[derived.loss.tensor], gradient


def _columns(value: Any, width: int) -> Any:
    """The values of an output for each sample, (SAMPLES, width)."""
    return np.broadcast_to(value, (SAMPLES, *np.shape(value)[1:])).reshape(SAMPLES, width)
