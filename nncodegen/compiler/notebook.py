"""Models and programs in a notebook: their formulas in LaTeX, their tensors in a table of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nncodegen.compiler.ir import SAMPLE, Program, Step, Tensor
from nncodegen.compiler.ir.display import FORMS
from nncodegen.compiler.typeset.latex import Latex
from nncodegen.compiler.typeset.notation import Notation
from nncodegen.runtime.python.ground.markup import paragraph, table

OPERATIONS = 300
"""The most operations of a formula that is typeset: longer ones are unreadable, and take a browser seconds."""

ROWS, LINES = 40, 200
"""The most tensors of a table, and the most lines of a program, that are shown."""


def model_latex(program: Program) -> str | None:
    """Return the formulas of a model for one sample, in the order of their steps; None where they are long."""
    steps = [step for step in program.steps if SAMPLE not in step.over]  # without the mean over the samples
    return _typeset(program, steps, samples=False)


def program_latex(program: Program) -> str | None:
    """Return the steps of a program with all their indices; None where they are long."""
    return _typeset(program, program.steps, samples=True)


def model_html(program: Program, kind: str) -> str:
    """Return a model as HTML: its formulas and a table of its parameters."""
    count = program.parameter_count
    title = f"{program.name}: {kind} with {count} parameter{'s' * (count != 1)}"
    formulas = model_latex(program)
    parts = [paragraph(title, "b"), escape(formulas) if formulas else "", _tensors(program)]
    return f"<div>{''.join(parts)}</div>"


def program_html(program: Program) -> str:
    """Return a program as HTML: the text that ``show`` gives, cut after LINES lines."""
    lines = program.show().splitlines()
    if len(lines) > LINES:
        lines = [*lines[:LINES], f"... {len(lines) - LINES} more lines"]
    text = "\n".join(lines)
    return f"<div>{paragraph(program.name, 'b')}{paragraph(text, 'pre')}</div>"


FORMS.update(html=program_html, latex=program_latex)


def _tensors(program: Program) -> str:
    """Return a table of inputs, targets and parameters: name, role, shape, and start of a parameter."""
    rows = [
        *((tensor.name, "input", _shape(tensor), "") for tensor in program.inputs),
        *((tensor.name, "target", _shape(tensor), "") for tensor in program.targets),
        *((tensor.name, "parameter", _shape(tensor), _initial(tensor)) for tensor in program.parameters),
    ]
    if len(rows) > ROWS:
        rows = [*rows[:ROWS], (f"... {len(rows) - ROWS} more", "", "", "")]
    return table(("name", "role", "shape", "start"), rows)


def _shape(tensor: Tensor) -> str:
    """Return the sizes of a tensor, for one sample; an empty text for a scalar."""
    return " × ".join(str(size) for size in tensor.shape if size is not None)


def _initial(tensor: Tensor) -> str:
    initial = tensor.initial
    if initial.distribution == "given":
        return "given"
    return f"{initial.scale:g}" if initial.distribution == "constant" else f"{initial.distribution} {initial.scale:.4g}"


def _typeset(program: Program, steps: Sequence[Step], samples: bool) -> str | None:
    """Return the steps as displayed mathematics; None without any, or if they are long."""
    if not steps or sum(int(step.expression.count_ops()) + 1 for step in steps) > OPERATIONS:
        return None
    return f"$${Latex(Notation([program], samples)).aligned(steps)}$$"
