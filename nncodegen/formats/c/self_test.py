"""NAME_test.c: a program that compares the results of the C with those of the formulas, evaluated with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncodegen.compiler.check import random_data
from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.ir import Program, evaluate
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.plain import numbers
from nncodegen.formats.export.first_line import HEAD
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.programs import of_outputs

SAMPLES = 3

CANDIDATES = 50
"""The number of random samples from which those are chosen whose values are all finite."""

TOLERANCES = {"float64": "1e-11", "float32": "2e-5"}
"""The allowed error, relative to the largest of the compared values."""

COMPARE = """\
static int failures = 0;

/* Counts a failure if values are not near what is expected: relative to the largest of these, or to 1. Where
   the formulas have no finite value, any will do. */
static void compare(const char *what, const real *found, const real *expected, size_t count)
{
    real error = 0, scale = 1;
    for (size_t k = 0; k < count; k++) {
        if (expected[k] - expected[k] != 0)
            continue;
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
static void add_up(const real *gradient, real *found)
{
    for (size_t c = 0; c < CLASSES; c++)
        found[c] = 0;
    for (size_t p = 0; p < PARAMETERS; p++)
        found[p % CLASSES] += gradient[p]*(real) (1 + p/CLASSES % 7);
}"""

CLASSES = 32


def self_test(model: PlainModel) -> str:
    """Return the text of the test program."""
    name, upper = model.name, model.upper
    tables = tables_of(model, model.train)
    if model.step:
        tables["probabilities"] = _probabilities(tables["outputs"], model)
    if model.program.noise:  # noise is in every gradient
        tables.pop("sums", None)
    lines = begun(model, tables, f"{upper}_PARAMETERS", "stdio")
    size = max(size for kind, size in model.sizes.items() if kind.endswith("_WORK"))
    arrays = [f"work[{size or 1}]", f"found_outputs[SAMPLES*{upper}_OUTPUTS]"]
    arrays += [f"state[{upper}_STATE]", "found_probabilities[SAMPLES*STEPS*PROBABILITIES]"] if model.step else []
    arrays += ["found_gradient[PARAMETERS]", "found_sums[CLASSES]"] if "sums" in tables else []
    if model.step:
        counts = ", ".join(f"{size} = {upper}_{size}" for size in ("STATE", "PROBABILITIES"))
        lines.add(f"enum {{ STEPS = {upper}_INPUTS, {counts} }};", "")
    lines.add(*(f"static real {array};" for array in arrays), "", *COMPARE.splitlines(), "")
    lines.add(*([*SUMS.splitlines(), ""] if "sums" in tables else []))
    X, Y = ("inputs" if "inputs" in tables else "NULL"), ("targets" if "targets" in tables else "NULL")
    with lines.function("int main(void)"):
        parameters = parameters_of(model, tables)
        lines.add(f"{name}_predict_batch({parameters}, SAMPLES, {X}, found_outputs, work);")
        lines.add(f'compare("outputs", found_outputs, outputs, SAMPLES*{upper}_OUTPUTS);')
        if model.step:
            with lines.block("for (size_t n = 0; n < SAMPLES*STEPS; n++)"):
                with lines.block("for (size_t k = 0; n % STEPS == 0 && k < STATE; k++)"):
                    lines.add("state[k] = 0;")
                to = "found_probabilities + n*PROBABILITIES"
                lines.add(f"{name}_step({parameters}, (size_t) inputs[n], state, {to}, work);")
            lines.add('compare("steps", found_probabilities, probabilities, SAMPLES*STEPS*PROBABILITIES);')
        if model.train:
            lines.add("real loss_found = 0;")
            with lines.block("for (size_t n = 0; n < SAMPLES; n++)"):
                at = [
                    f"{array} + n*{upper}_{kind}" if array != "NULL" else array
                    for array, kind in ((X, "INPUTS"), (Y, "TARGETS"))
                ]
                lines.add(f"loss_found += {name}_loss({parameters}, {', '.join(at)}, work)/SAMPLES;")
            lines.add('compare("loss", &loss_found, loss, 1);')
        if "sums" in tables:
            lines.add(
                f"loss_found = {name}_loss_and_gradient({parameters}, SAMPLES, {X}, {Y}, NULL, found_gradient, work);",
                "add_up(found_gradient, found_sums);",
                'compare("loss, with the gradient", &loss_found, loss, 1);',
                'compare("gradient", found_sums, sums, CLASSES);',
            )
        lines.add("return failures > 0;")
    return str(lines)


def _probabilities(outputs: Any, model: PlainModel) -> Any:
    """Return the probabilities of the next token at each step, given outputs that are these, or logits."""
    assert model.step
    rows = outputs.reshape(-1, model.sizes["PROBABILITIES"]).astype(float)
    if model.step[0].stepwise and model.step[0].stepwise.of_logits:
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
        rows = rows / rows.sum(axis=1, keepdims=True)
    return rows.astype(outputs.dtype)


def begun(model: PlainModel, tables: dict[str, Any], parameters: str, *headers: str) -> Lines:
    """Return the text of a test up to the tables of its data; ``parameters`` is their number, as an expression in C."""
    lines = Lines()
    lines.add(HEAD, "", f'#include "{model.name}.h"', "", *(f"#include <{header}.h>" for header in headers), "")
    lines.add(f"typedef {model.real} real;", "", f"#define TOLERANCE ((real) {TOLERANCES[model.request.precision]})")
    lines.add(f"enum {{ SAMPLES = {SAMPLES}, PARAMETERS = {parameters}, CLASSES = {CLASSES} }};", "")
    for table, content in tables.items():
        lines.add(f"static const real {table}[{content.size}] = {{", *numbers(content.ravel(), model.real), "};", "")
    return lines


def parameters_of(model: PlainModel, tables: dict[str, Any]) -> str:
    """Return the parameters in the calls of a test: a table of the test or the model, or NULL."""
    if not model.program.parameters:
        return "NULL"
    return "parameters" if "parameters" in tables else f"{model.name}_parameters"


def tables_of(model: PlainModel, train: bool = True) -> dict[str, Any]:
    """Return the data of a test and the expected results, by name."""
    program, precision = model.program, model.request.precision
    parameters = start_of(program) if model.constants is None else model.constants
    formulas = [stabilize(of_outputs(program))]
    formulas += [model.differentiated] if train else []  # without noise, if it is not given
    X, Y = _data(model, formulas, parameters)
    tables = {"inputs": X, "outputs": _outputs(model, formulas[0], parameters, X)}
    if model.constants is None and len(parameters):
        tables["parameters"] = parameters
    if train:
        loss, gradient = _loss_and_gradient(formulas[1], parameters, X, Y)
        tables |= {"targets": Y, "loss": loss}
    if train and len(parameters):
        places = np.arange(len(gradient))
        tables["sums"] = np.bincount(places % CLASSES, gradient * (1 + places // CLASSES % 7), CLASSES)
    return {name: np.asarray(table, precision) for name, table in tables.items() if table is not None}


def _data(model: PlainModel, formulas: list[Program], parameters: Any) -> tuple[Any, Any]:
    """Return random inputs and targets; samples for which all compared values are finite come first."""
    every = [
        None if data is None else data.astype(model.request.precision)
        for data in random_data(model.program, CANDIDATES)
    ]
    chosen: list[int] = []
    for number in range(CANDIDATES):
        X, Y = (None if data is None else data[number : number + 1] for data in every)
        values = [_outputs(model, formulas[0], parameters, X)]
        values += _loss_and_gradient(formulas[1], parameters, X, Y) if len(formulas) > 1 else ()
        if all(np.isfinite(value).all() for value in values):
            chosen.append(number)
        if len(chosen) == SAMPLES:
            break
    others = (number for number in range(CANDIDATES) if number not in chosen)
    rows = [*chosen, *others][:SAMPLES]
    X, Y = (None if data is None else data[rows] for data in every)
    return X, Y


def _outputs(model: PlainModel, formulas: Program, parameters: Any, X: Any) -> Any:
    """Return the outputs of samples, as NumPy evaluates the formulas."""
    values, samples = evaluate(formulas, parameters.astype(float), X), SAMPLES if X is None else len(X)
    widths = [(values[element.tensor], model.program.count(element.indices)) for element in model.program.outputs]
    return np.concatenate([_columns(value, samples, width) for value, width in widths], axis=1)


def _loss_and_gradient(formulas: Program, parameters: Any, X: Any, Y: Any) -> tuple[Any, Any]:
    """Return the loss and the gradient, as NumPy evaluates the formulas."""
    values = evaluate(formulas, parameters.astype(float), X, Y)
    gradient = [values[e.tensor].ravel() for e in formulas.gradient]
    return values[formulas.in_training.loss.tensor], np.concatenate(gradient or [np.empty(0)])


def _columns(value: Any, samples: int, width: int) -> Any:
    """Return the values of an output for each sample, (samples, width)."""
    return np.broadcast_to(value, (samples, *np.shape(value)[1:])).reshape(samples, width)
