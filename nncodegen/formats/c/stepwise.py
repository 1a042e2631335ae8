"""The steps of sequences in plain C: the kernel of a step, its state, and the functions that go on with a sequence."""

from __future__ import annotations

from collections.abc import Iterator

from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.compiler.emit.stepwise import KERNEL, declared
from nncodegen.compiler.schedule.extents import ROWS
from nncodegen.formats.c.functions import Function, kernel_body
from nncodegen.formats.c.model import PlainModel
from nncodegen.formats.c.runtime_headers import runtime_text


def step_source(model: PlainModel, helpers: dict[str, None]) -> Lines:
    """Return the sizes of a step, its kernel, and the functions of the runtime that call it."""
    assert model.step
    lines = Lines()
    companion, kernel = model.step
    assert companion.stepwise
    lines.add(*declared(companion.program, companion.stepwise), "", "/* The kernel of one step. */")
    *first, last = wrapped(KERNEL, "[,(]")
    lines.add(*first)
    with lines.function(last):
        lines.add(*([] if companion.stepwise.kept else [f"(void) {ROWS};"]))
        kernel_body(model, kernel, helpers)(lines)
    lines.add("", *(line.replace("static UNUSED", "static") for line in runtime_text("predict/generate")), "")
    helpers["generate" if model.request.options.libm else "functions"] = None
    return lines


def step_functions(model: PlainModel) -> Iterator[Function]:
    """Yield the functions of the steps of sequences."""
    name, upper = model.name, model.upper

    def step(lines: Lines) -> None:
        lines.add("step_forward(parameters, token, state, work, work + STEP_RESULTS);")
        with lines.block("for (size_t k = 0; k < STEP_PROBABILITIES; k++)"):
            lines.add("probabilities[k] = work[k];")

    def generate(lines: Lines) -> None:
        lines.add("uint64_t random = begin_of_seed(seed);")
        with lines.block("for (size_t k = 0; k < STEP_STATE; k++)"):
            lines.add("state[k] = 0;")
        with lines.block("for (size_t n = 0; n < length; n++)"):
            lines.add("step_forward(parameters, (size_t) prompt[n], state, work, work + STEP_RESULTS);")
        lines.add(
            "return go_on(parameters, steps, 0, temperature, top_k, stop, &random, tokens, state, work,",
            "    work + STEP_RESULTS);",
        )

    most = f"At most {upper}_POSITIONS steps are one sequence." if model.sizes["POSITIONS"] else ""
    yield Function(
        (
            f"One step of a sequence: the probabilities of the token after this one, which is below {upper}_TOKENS.",
            "state: 0 before the first step, and changed by each; it is all that is kept of a sequence.",
            *([most] if most else []),
        ),
        f"void {name}_step(const real *parameters, size_t token, real *state, real *probabilities, real *work)",
        step,
    )
    yield Function(
        (
            "Goes on with a sequence after a prompt of at least one token, and returns the number of tokens: steps, or",
            "fewer if stop is drawn, which is not among them (-1: no token stops). Each is drawn by its probability",
            "to the power of 1/temperature; at 0, the most probable one is taken. top_k: how many tokens are drawn",
            "from, the most probable ones (0: all). The seed decides on the random numbers. state: memory for a state.",
            *([f"The prompt and all tokens but the last have at most {upper}_POSITIONS positions."] if most else []),
        ),
        f"size_t {name}_generate(const real *parameters, const int32_t *prompt, size_t length, size_t steps, "
        "real temperature, size_t top_k, int32_t stop, uint64_t seed, int32_t *tokens, real *state, real *work)",
        generate,
    )
