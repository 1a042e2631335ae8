"""Formulas in the page: set as MathML, with their LaTeX, folded where they are long."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup
from sympy import Expr

from nncodegen.compiler.ir import Program, Step
from nncodegen.compiler.typeset.latex import Latex
from nncodegen.compiler.typeset.notation import Name, Notation
from nncodegen.compiler.typeset.written import as_written
from nncodegen.reports.derivatives import partials
from nncodegen.reports.mathml import mathml

LONG, LONGEST = 40, 400
"""Limits of operations: a formula with more than the first is folded; with more than the second, it is not set."""


@dataclass(frozen=True)
class PrintedFormula:
    """A formula: its title, its MathML, its LaTeX, whether it is folded, its operations, and a note."""

    title: str
    math: Markup
    latex: str
    folded: bool = False
    operations: int = 0
    note: str = ""


class Setter:
    """A typesetter of the formulas of a model in one notation."""

    def __init__(self, *programs: Program) -> None:
        self.notation = Notation(programs)
        self.latex = Latex(self.notation)

    def expression(self, expression: Expr) -> Markup:
        """Return an expression, set in a line of text."""
        return mathml(self.latex.expression(expression))

    def step(self, step: Step) -> Markup:
        """Return a step, set in a line of text."""
        return mathml(self.latex.step(step))

    def symbol(self, name: Name) -> Markup:
        """Return a single name, set in a line of text."""
        return mathml(self.latex.named(name))

    def equation(self, left: str, right: Expr) -> Markup:
        """Return an equation with LaTeX on the left and an expression on the right."""
        return mathml(f"{left} = {self.latex.expression(right)}")

    def formula(self, title: str, step: Step, note: str = "") -> PrintedFormula:
        """Return a step as a displayed formula."""
        operations = int(step.expression.count_ops())
        if operations > LONGEST:
            return PrintedFormula(title, Markup(""), "", True, operations, note)
        latex = self.latex.step(step)
        return PrintedFormula(title, mathml(latex, block=True), latex, operations > LONG, operations, note)


@dataclass(frozen=True)
class Partials:
    """The partial derivative by one parameter: in values of the network, and written out."""

    name: Markup
    plain: str
    size: int
    in_values: PrintedFormula
    written_out: PrintedFormula | None


def training_function(setter: Setter, described: Program, stable: Program) -> list[PrintedFormula]:
    """Return the outputs and the loss of a model, as they were given and in stable form."""
    formulas = []
    outputs = {element.tensor for element in described.outputs}
    if described.layered:
        return [_of_layer(setter, described, step) for step in described.steps]
    for original, kept in zip(described.steps, stable.steps, strict=True):
        is_output = original.target.tensor in outputs
        title = "Output" if is_output else "Loss of a sample" if original.operator is None else "Loss"
        formulas.append(setter.formula(title, original))
        if as_written(original.expression) != as_written(kept.expression):
            formulas.append(setter.formula(f"{title}, in stable form", kept, "what is differentiated and computed"))
    if described.task.loss_of_outputs is not None:
        loss = next((step for step in described.steps if step.target.tensor not in outputs), None)
        if loss is not None and loss.expression != described.task.loss_of_outputs:
            place = next(k for k, each in enumerate(formulas) if each.title.startswith("Loss"))
            short = Step(loss.target, described.task.loss_of_outputs)
            formulas.insert(place, setter.formula("Loss of a sample, in terms of the output", short))
    return formulas


def _of_layer(setter: Setter, program: Program, step: Step) -> PrintedFormula:
    """Return a step of a network as a formula, with the shape of its result."""
    sizes = [str(program.sizes[index] or "samples") for index in step.target.indices]
    role = "the loss" if step.target == program.loss else "the output" if step.target in program.outputs else ""
    note = ", ".join(part for part in (role, " × ".join(sizes) or "one number") if part)
    return setter.formula("", step, note)


def partial_derivatives(setter: Setter, differentiated: Program, most: int) -> list[Partials]:
    """Return the derivatives of the loss by the first ``most`` parameters."""
    formulas = []
    for partial in partials(differentiated)[:most]:
        name = setter.notation.name(partial.parameter.name)
        formulas.append(
            Partials(
                setter.symbol(name),
                partial.parameter.name,
                partial.parameter.size,
                _derivative(setter, "In the values of the steps", partial.in_values, name),
                _derivative(setter, "Written out in inputs and parameters", partial.written_out, name)
                if partial.written_out is not None and partial.written_out != partial.in_values
                else None,
            )
        )
    return formulas


def _derivative(setter: Setter, title: str, step: Step, name: Name) -> PrintedFormula:
    operations = int(step.expression.count_ops())
    if operations > LONGEST:
        return PrintedFormula(title, Markup(""), "", True, operations)
    latex = setter.latex.derivative(step, name)
    return PrintedFormula(title, mathml(latex, block=True), latex, operations > LONG, operations)
