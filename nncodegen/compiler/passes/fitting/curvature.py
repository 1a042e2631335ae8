"""The program of the rows of a fit by a loss that is no sum of squares: generalized Gauss-Newton.

The loss of a sample is seen as a function of a few numbers u, the outputs or the arguments of their activations (the
logits of probabilities). With J = du/dparameters, its Hessian is about J^T (d2loss/du2) J: the rest of it holds second
derivatives of u, which are small where u is nearly linear or the loss nearly stationary (Schraudolph, 2002). Where the
loss is convex in u, this matrix has no negative eigenvalue, as a fit requires. A likelihood whose scales are formulas
is not convex: it has expected second derivatives instead (see ``information``).

A row holds the loss of a sample, its derivatives g by each u, the product of its second derivatives by u with a seed
for each u, the guards (see ``guards``), and the derivatives by each parameter of the sum of all u times their seeds.
A single u needs no seeds. After the seeds, there may be a number for each block of outputs, whether its targets are
known (see ``missing_targets``). Recurrences with few parameters have the derivatives of each u by each parameter
instead, as in ``jacobian``; their seeds are for the second derivatives alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sympy import Expr, Function, Mul

from nncodegen.compiler.ir import Companion, Element, Program, Step, Tensor, needed
from nncodegen.compiler.passes.fitting.blocks import block_of
from nncodegen.compiler.passes.fitting.guards import guards_of, with_guards
from nncodegen.compiler.passes.fitting.information import information, needed_given
from nncodegen.compiler.passes.fitting.jacobian import forward_rows, runs_forward
from nncodegen.compiler.passes.fitting.missing_targets import with_known
from nncodegen.compiler.passes.fitting.seeds import NAME, laid_out, seeds_of, shape_of, summed
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.compiler.passes.reverse import reverse_sweep
from nncodegen.runtime.python.ground.markup import listed

ABOUT = (
    "the loss, its first derivatives by each u, its second ones times seeds, and the derivatives of the sum of u times "
    "seeds by the parameters"
)

ABOUT_FORWARD = (
    "the loss, its first derivatives by each u, its second ones times seeds, and the derivatives of all u by each "
    "parameter"
)

Cut = tuple[tuple[Step, ...], tuple[Element, ...], bool]
"""The steps of a program, written with u, the elements of u, and whether these are the outputs."""

WITHOUT_CURVATURE = (
    "its loss has no curvature in {}, so that generalized Gauss-Newton does not apply; use train or minimize"
)

AFFINE = (
    "its loss is affine in {}, where generalized Gauss-Newton has no curvature; use minimize: if the loss is a "
    "negative log-likelihood, hessian there, times the number of values, is the inverse of the covariance"
)


def curvature(program: Program) -> Companion | str:
    """Return the program whose outputs are such rows, or a reason why it cannot be made, as a text.

    The reasons: the loss depends on parameters or inputs in addition to u, or all its second derivatives by one of u
    are 0.
    """
    separating = next((cut for cut in _cuts(program) if _separates(cut[0], cut[1], program)), None)
    if separating is None:
        return "its loss depends on more than the outputs and the targets"
    steps, inner, of_outputs = separating
    numbering = Numbering((tensor.name for tensor in program.declared), to_differentiate=True)
    known = split(steps, numbering)
    u_elements = [known[element] for element in inner]
    sample_loss = next(known[factor] for factor in _terms(program) if factor in known)
    seeds = seeds_of(u_elements, program, numbering)
    tensors = tuple(Tensor(element.tensor, shape_of(element, program)) for element in u_elements)

    def derivatives(value: Element) -> tuple[Element, ...]:
        """Return the derivatives of a scalar by each u."""
        later = needed_given(u_elements, numbering.steps, value)
        swept = reverse_sweep(replace(program, parameters=tensors, steps=later), later, value, numbering)
        return tuple(
            laid_out(slope, element.indices, numbering) for slope, element in zip(swept, u_elements, strict=True)
        )

    gradient = derivatives(summed([sample_loss], [], numbering))
    likelihood = program.task.fits.likelihood
    if likelihood is not None:
        parts = information(sample_loss, gradient, u_elements, seeds, program, numbering)
        sample_loss, kept_values, gradient, products = parts
        block = 1
    else:
        products = derivatives(summed(gradient, seeds, numbering))
        flat = [place for place, product in enumerate(products) if _is_zero(product, numbering.steps)]
        if flat:
            slopes = needed_given(u_elements, numbering.steps, *(gradient[place] for place in flat))
            reason = WITHOUT_CURVATURE if _read(slopes) & {element.tensor for element in u_elements} else AFFINE
            named = inner if inner == program.task.residuals else program.outputs
            only_some = len(flat) < len(u_elements)
            return reason.format(listed([named[place].tensor for place in flat]) if only_some else "the outputs")
        later = needed_given(u_elements, numbering.steps, *products)
        block = block_of(later, seeds, products, program) if seeds else 1
        later = needed_given(u_elements, numbering.steps, sample_loss)
        sample_loss, kept_values = with_known(sample_loss, later, u_elements, block, program, numbering)
    total = summed(u_elements, seeds, numbering)
    guards = guards_of(needed(steps, [program.required_loss]), program)
    before = (sample_loss, *gradient, *products, *with_guards(guards.expressions, known, numbering))
    forward = runs_forward(program)
    rows = (
        forward_rows(program, u_elements, before, numbering)
        if forward
        else reverse_sweep(program, needed(numbering.steps, [total]), total, numbering, each_sample=True)
    )
    results = (*before, *rows)
    derived = replace(
        program,
        targets=(*program.targets, *(Tensor(each.tensor, shape_of(each, program)) for each in (*seeds, *kept_values))),
        steps=needed(numbering.steps, (*results, total)),
        outputs=results,
        loss=total,
        task=program.task.of_derived,
    )
    count = sum(program.count(element.indices) for element in u_elements)
    return Companion(
        NAME,
        ABOUT_FORWARD if forward else ABOUT,
        derived,
        count,
        curved=True,
        of_outputs=of_outputs,
        guards=guards.texts,
        forward=forward,
        block=block,
        apart=program.width(kept_values),
        noise=likelihood.kinds if likelihood else (),
    )


def _is_zero(element: Element, steps: Sequence[Step]) -> bool:
    """Return whether steps define an element as 0, or as a copy of one that is 0."""
    defined = next((step.expression for step in steps if step.target.tensor == element.tensor), None)
    return _is_zero(defined, steps) if isinstance(defined, Element) else defined == 0


def _cuts(program: Program) -> Iterator[Cut]:
    """Yield the choices of u: the steps of the program, written with u, and its elements.

    A likelihood says them itself. If the program has residuals, they are tried first. Then come the outputs, where the
    loss holds their formula; then the arguments of their activations; then the outputs in the loss as it was described.
    """
    if program.task.fits.likelihood is not None:
        yield program.steps, (*program.task.fits.likelihood.locations, *program.task.fits.likelihood.log_scales), False
        return
    if program.task.residuals:
        yield program.steps, program.task.residuals, False
    of_outputs = [step for step in program.steps if step.target in program.outputs]
    formulas = {step.target: step.expression for step in of_outputs if not step.over}
    renamed = [formulas.get(output, output) for output in program.outputs]
    outputs = [new if _is_same(new, old) else old for new, old in zip(renamed, program.outputs, strict=True)]
    yield tuple(_written_with(formulas, program)), tuple(outputs), True
    yield from _by_arguments(of_outputs, program)
    if program.task.loss_of_outputs is not None:
        (loss_step,) = (step for step in program.steps if step.target in _terms(program))
        as_described = replace(loss_step, expression=program.task.loss_of_outputs)
        yield tuple(as_described if step is loss_step else step for step in program.steps), program.outputs, True


def _is_same(formula: Expr, output: Element) -> bool:
    """Return whether the formula of an output is another element, with its values in the same order."""
    return isinstance(formula, Element) and formula.indices == output.indices


def _by_arguments(of_outputs: Sequence[Step], program: Program) -> Iterator[Cut]:
    """Yield the arguments of the activations of the outputs as u, if every output has one."""
    inner: list[Element] = []
    defined: dict[Element, Expr] = {}
    for step in of_outputs:
        call = isinstance(step.expression, Function) and len(step.expression.args) == 1
        argument = step.expression if step.over else step.expression.args[0] if call else None
        if argument is None:
            return
        if isinstance(argument, Element):
            inner.append(argument)
        else:
            inner.append(Element(f"{step.target.tensor} argument", step.target.indices))
            defined[inner[-1]] = argument
    yield tuple(_written_with(defined, program)), tuple(inner), False


def _written_with(defined: dict[Element, Expr], program: Program) -> Iterator[Step]:
    """Yield the steps of a program with elements in place of their formulas, each defined before its first use."""
    replaced = {formula: element for element, formula in defined.items() if not formula.is_Atom}
    replaced |= {-formula: -element for formula, element in replaced.items()}
    copies = {formula: element for element, formula in defined.items() if _is_copy(formula, element)}
    copied: dict[Expr, Expr] = {}  # those that are defined before a step
    missing = {element: formula for element, formula in defined.items() if element not in program.outputs}
    for step in program.steps:
        for element in [element for element, formula in missing.items() if step.expression.has(formula)]:
            yield Step(element, missing.pop(element))
        if step.target in defined:
            copied |= {formula: element for formula, element in copies.items() if element == step.target}
            yield step
        else:
            yield replace(step, expression=_replaced(step.expression, replaced).xreplace(copied))


def _is_copy(formula: Expr, element: Element) -> bool:
    """Return whether an element has the values of another one in another order."""
    return isinstance(formula, Element) and formula.indices != element.indices


def _replaced(expression: Expr, replaced: dict[Expr, Expr]) -> Expr:
    """Return an expression with some parts replaced; a product also where it is part of a larger product."""
    written: Expr = expression.xreplace(replaced)
    for part, element in replaced.items():
        if isinstance(part, Mul):
            written = written.subs(part, element)
    return written


def _separates(steps: Sequence[Step], inner: Sequence[Element], program: Program) -> bool:
    """Return whether the loss depends on nothing but u and the targets."""
    outside = {tensor.name for tensor in (*program.inputs, *program.parameters)}
    later = needed_given(inner, steps, program.required_loss)
    read = _read(later)
    return not read & outside and all(element.tensor in read for element in inner)


def _read(steps: Iterable[Step]) -> set[str]:
    """Return the names of the tensors that steps read."""
    return {operand.tensor for step in steps for operand in step.operands}


def _terms(program: Program) -> tuple[Expr, ...]:
    """Return the factors of the loss, before it is summed: that of one sample, and its weight."""
    last = next(step for step in program.steps if step.target == program.required_loss)
    return tuple(last.expression.args)
