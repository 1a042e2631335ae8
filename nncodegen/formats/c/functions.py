"""The functions of a model in plain C: their comments, heads and bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.schedule.plain import OneSample
from nncodegen.formats.c.kernels import PlainEmitter
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.rules import RuleWriter

Body = Callable[[Lines], None]


@dataclass(frozen=True)
class Function:
    """A function of C. In ``head`` and in comments, real is the type of all values."""

    about: tuple[str, ...]
    head: str
    body: Body = field(repr=False)


def functions(model: PlainModel, helpers: dict[str, None]) -> Iterator[Function]:
    """Yield all functions in the order of the header. ``helpers`` collects what they call, when they are written."""
    yield from _predicting(model, helpers)
    if model.train:
        yield from _training(model, helpers)
        for rule in model.rules:
            writer = RuleWriter(rule, model.name, model.request.precision, model.request.options.libm, helpers)
            yield Function(writer.about, writer.head, writer.write)


def _predicting(model: PlainModel, helpers: dict[str, None]) -> Iterator[Function]:
    name = model.name

    def batch(lines: Lines) -> None:
        with lines.block("for (size_t n = 0; n < samples; n++)"):
            rows = ", ".join(_row(model, array) for array in ("inputs", "outputs"))
            lines.add(f"{name}_predict(parameters, {rows}, work);")

    yield Function(
        ("The outputs of one sample.",),
        f"void {name}_predict(const real *parameters, const real *inputs, real *outputs, real *work)",
        kernel_body(model, model.outputs, helpers),
    )
    yield Function(
        ("The outputs of samples, one after the other.",),
        f"void {name}_predict_batch(const real *parameters, size_t samples, const real *inputs, real *outputs, "
        "real *work)",
        batch,
    )


def _training(model: PlainModel, helpers: dict[str, None]) -> Iterator[Function]:
    name, upper = model.name, model.upper
    noise = ", uint64_t noise" if model.program.noise else ""
    of_sample = "noise + n, " if model.program.noise else ""

    def batch(lines: Lines) -> None:
        lines.add("real loss = 0, total = weights ? 0 : (real) samples;")
        with lines.block("for (size_t n = 0; weights && n < samples; n++)"):
            lines.add("total += weights[n];")
        with lines.block(f"for (size_t p = 0; p < {upper}_PARAMETERS; p++)"):
            lines.add("gradient[p] = 0;")
        with lines.block("for (size_t n = 0; n < samples; n++)"):
            lines.add(
                f"loss += {name}_add_gradient(parameters, {_row(model, 'inputs')}, {_row(model, 'targets')},",
                f"    (weights ? weights[n] : 1)/total, gradient, {of_sample}work);",
            )
        lines.add("return loss;")

    yield Function(
        ("The loss of one sample.",),
        f"real {name}_loss(const real *parameters, const real *inputs, const real *targets, real *work)",
        kernel_body(model, model.loss, helpers, returns=True),
    )
    yield Function(
        (
            "Adds the derivatives of the loss of one sample, times its weight, to the gradient; returns the loss times",
            "the weight.",
        ),
        f"real {name}_add_gradient(const real *parameters, const real *inputs, const real *targets, real weight, "
        f"real *gradient{noise}, real *work)",
        kernel_body(model, model.gradient, helpers, returns=True),
    )
    yield Function(
        (
            "The mean loss of samples, one after the other, and its gradient. weights: one for each sample, or NULL",
            "where all count the same.",
        ),
        f"real {name}_loss_and_gradient(const real *parameters, size_t samples, const real *inputs, "
        f"const real *targets, const real *weights, real *gradient{noise}, real *work)",
        batch,
    )


def _row(model: PlainModel, array: str) -> str:
    """Return the pointer to the values of sample n; an empty array may be NULL, and is returned without an offset."""
    kind = array.upper()
    return f"{array} + n*{model.upper}_{kind}" if model.sizes[kind] else array


def kernel_body(model: PlainModel, kernel: OneSample, helpers: dict[str, None], returns: bool = False) -> Body:
    """Return a writer of the body of a function for one sample, which may return the loss."""

    def body(lines: Lines) -> None:
        emitter = PlainEmitter(kernel, model.request.options.libm, helpers, lines, model.systems)
        names = ("parameters", "inputs", "work", *(["targets"] if returns else []))
        lines.add(*(f"(void) {name};" for name in names if name not in emitter.arguments))
        if model.trained and "parameters" in emitter.arguments:
            with lines.block("if (!parameters)"):
                lines.add(f"parameters = {model.name}_parameters;")
        emitter.emit()
        if returns:
            lines.add(f"return {emitter.name(kernel.program.required_loss)};")

    return body
