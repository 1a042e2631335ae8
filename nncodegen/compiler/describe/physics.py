"""Networks that solve equations: losses with derivatives of the outputs by the inputs, each over its own samples.

All terms share one axis of samples. Each sample belongs to one term. Each term has a *scale* at every sample: for the
term of the sample it is the square root of the sample's factor in the loss, for the other terms it is 0. The residual
of a sample is the sum of all residuals times their scales, and its loss is the square of that, so that to the compiler
it is a problem of least squares like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from numbers import Integral
from typing import Any, TypeVar

from sympy import Add, Derivative, Eq, Expr, Mul, Piecewise, S, Symbol
from sympy.core.function import AppliedUndef

from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.describe.assembly import Assembly
from nncodegen.compiler.describe.call import Shape, count
from nncodegen.compiler.describe.checks import check_expression, check_name, check_size
from nncodegen.compiler.describe.equations import (
    applied,
    check_functions,
    derivative_step,
    derivatives_of,
    laplacians,
    name_of,
    sampled,
)
from nncodegen.compiler.describe.initial_values import Given, with_initial
from nncodegen.compiler.describe.layer_uses import Uses
from nncodegen.compiler.describe.unknowns import parameters_of, symbols_of
from nncodegen.compiler.describe.unroll import is_separable, unroll
from nncodegen.compiler.ir import SAMPLE, Element, Equation, Program, Step, Tensor, Term
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.ir.program import Task
from nncodegen.compiler.passes.higher_derivatives import Z, is_smooth
from nncodegen.compiler.passes.infinities import is_total
from nncodegen.errors import ModelError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Mean:
    """A term of ``losses`` that is minimized itself, in the mean over its samples, and not squared."""

    expression: Expr


class Physics:
    """The equations of a network: functions of symbols, and the terms of its loss; ``Network`` documents them."""

    def __init__(
        self,
        name: str,
        inputs: Any,
        outputs: Any,
        losses: Any,
        parameters: Mapping[Symbol, float] | None = None,
        targets: Sequence[Symbol] | Symbol = (),
    ) -> None:
        self.name = name
        self.inputs = symbols_of(inputs, "inputs")
        if not self.inputs:
            raise ModelError(f"{name} has no inputs: give the symbols that its outputs are functions of")
        self.functions, self.formulas = _outputs(outputs, self.inputs, name)
        self.parameters = parameters_of(parameters)
        self.terms = _terms(losses, name)
        self.parts = {
            term: tuple(self._expression(part, f"the loss {term!r} of {name}") for part in parts)
            for term, parts in self.terms.items()
        }
        self.targets = self._targets(symbols_of(targets, "targets"))
        self._check_names()

    def check_layers(self, layers: Iterable[Any], outer: str = "") -> None:
        """Raise ModelError for an activation whose derivatives jump, up to the highest order of the equations."""
        highest = self.highest
        for number, layer in enumerate(layers, start=1):
            activation = getattr(layer, "activation", None)
            formula = ACTIVATIONS.get(activation) if isinstance(activation, str) else None
            if formula is not None and highest and not is_smooth(formula(Z), highest):
                raise ModelError(
                    f"layer {outer}{number} of {self.name} has the activation {activation}, which has no continuous "
                    f"derivative of order {highest}, as its losses need: use a smooth one, such as tanh"
                )
            self.check_layers(getattr(layer, "deep", ()), f"{outer}{number}_")

    @property
    def highest(self) -> int:
        """Return the highest order of a derivative."""
        return max((node.derivative_count for node in derivatives_of(self._expressions)), default=0)

    @property
    def _expressions(self) -> tuple[Expr, ...]:
        return tuple(expression for parts in self.parts.values() for expression in parts)

    def _expression(self, part: Any, role: str) -> Expr:
        """Return the checked expression of a part of a term."""
        expression = applied(part.expression if isinstance(part, Mean) else part, role)
        check_functions(expression, self.functions, self.inputs, role)
        return expression

    def _targets(self, ordered: tuple[Symbol, ...]) -> dict[str, tuple[Symbol, ...]]:
        """Return the targets of each term: its symbols that are neither inputs nor parameters, in their order."""
        known = {*self.inputs, *self.parameters}
        read = {term: {s for part in parts for s in part.free_symbols} - known for term, parts in self.parts.items()}
        every = sorted({symbol for symbols in read.values() for symbol in symbols}, key=str)
        for symbol in ordered:
            if symbol not in every:
                raise ModelError(f"the target {symbol} occurs in no loss of {self.name}")
        order = [*ordered, *(symbol for symbol in every if symbol not in ordered)]
        return {term: tuple(symbol for symbol in order if symbol in symbols) for term, symbols in read.items()}

    def _check_names(self) -> None:
        """Raise ModelError for a name that is given twice, and for parameters that occur in no equation."""
        roles = {
            "inputs": self.inputs,
            "parameters": tuple(self.parameters),
            "outputs": self.functions,
            "targets": tuple(dict.fromkeys(s for symbols in self.targets.values() for s in symbols)),
        }
        role_of: dict[str, str] = {}
        for role, named in roles.items():
            for entry in named:
                name = entry.func.__name__ if isinstance(entry, AppliedUndef) else str(entry)
                if name in role_of:
                    raise ModelError(f"the name {name} is given twice, in {role_of[name]} and in {role}: rename one")
                role_of[name] = role
        for symbol in self.parameters:
            if not any(part.has(symbol) for part in (*self._expressions, *self.formulas)):
                raise ModelError(f"the parameter {symbol} occurs in no loss of {self.name}")

    def describe(
        self, layers: Iterable[Any], uses: Uses, network: Assembly, counts: Sequence[int], initial: Given | None
    ) -> Program:
        """Return the program of layers, and of the losses of their outputs.

        ``uses`` are those of the layers, which are put together in ``network``; ``counts`` has the number of functions
        that each output of the network holds. Initial values are given for whole parameters of the layers, by name, or
        in one flat array for the parameters of the program.
        """
        self.check_layers(layers)
        by_name = initial if isinstance(initial, Mapping) else None
        whole = with_initial((*uses.parameters.values(), *self._unknowns()), by_name, self.name)
        of_layers, unknowns = whole[: len(uses.parameters)], whole[len(uses.parameters) :]
        parameters, steps, raw = self._network(uses, network, counts, of_layers)
        taken = {step.target.tensor for step in steps} | {tensor.name for tensor in parameters}
        self._check_names_of_layers(taken)
        names = {*taken, *(str(s) for s in (*self.inputs, *self.parameters)), *_names(self.functions)}
        names |= {str(symbol) for symbols in self.targets.values() for symbol in symbols}
        real: dict[Expr, Expr] = {symbol: sampled(symbol.name) for symbol in self.inputs}
        real |= {symbol: Element(symbol.name) for symbol in self.parameters}
        outputs = tuple(map(sampled, _names(self.functions)))
        before = {**real, **dict(zip(self.functions, raw, strict=True))}
        formulas = [formula.xreplace(before) for formula in self.formulas]
        all_steps = _with_outputs(steps, outputs, formulas)
        for formula in formulas:
            check_expression(formula, [*before.values()], f"the outputs of {self.name}")
        real |= dict(zip(self.functions, outputs, strict=True))
        real |= {symbol: sampled(symbol.name) for symbols in self.targets.values() for symbol in symbols}
        written, derived, parts_of_sums = self._derivatives(real, all_steps, names)
        parts_of = self._parts(written, all_steps, names)
        scales = {term: sampled(take(f"scale_{term}", names)) for term in self.parts}
        residuals, loss, weight = self._losses(
            written, parts_of, scales, all(map(_is_total, formulas)), all_steps, names
        )
        target_names = tuple(dict.fromkeys(symbol.name for symbols in self.targets.values() for symbol in symbols))
        return Program(
            name=self.name,
            inputs=tuple(Tensor(symbol.name, (None,)) for symbol in self.inputs),
            targets=tuple(Tensor(name, (None,)) for name in (*(s.tensor for s in scales.values()), *target_names)),
            parameters=with_initial((*parameters, *unknowns), initial if by_name is None else None, self.name),
            weight=Tensor(weight.tensor, (None,)),
            steps=tuple(all_steps),
            outputs=outputs,
            loss=loss,
            noise=tuple(source for part in uses.parts for source in part.noise),
            extents=_of_steps(network.extents, all_steps),
            task=Task(
                terms=tuple(
                    Term(
                        term,
                        scale.tensor,
                        tuple(s.name for s in self.targets[term]),
                        tuple(e.tensor for e in parts_of[term]),
                    )
                    for term, scale in scales.items()
                ),
                fields=(
                    *outputs,
                    *derived,
                    *(step.target for step in parts_of_sums),
                    *(element for elements in parts_of.values() for element in elements),
                ),
                field_steps=parts_of_sums,
                residuals=residuals,
            ),
        )

    def _unknowns(self) -> tuple[Tensor, ...]:
        """Return the unknown coefficients as tensors."""
        from_values = self.parameters.items()
        return tuple(Tensor(symbol.name, (), initial, penalized=False) for symbol, initial in from_values)

    def _network(
        self, uses: Uses, network: Assembly, counts: Sequence[int], tensors: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Step, ...], tuple[Element, ...]]:
        """Return the parameters and steps of the layers, and the elements of their outputs.

        Inputs and outputs are split into one element for each name, and so are ``tensors``, the parameters.
        """
        names = _names(self.functions)
        functions = _split(self.functions, counts)
        for group, shape in zip(functions, uses.shapes, strict=True):
            self._check_units(group, shape)
        steps, values = network.steps, dict[Element, tuple[Element, ...]]()
        for x, symbols in zip(network.inputs, _split(self.inputs, map(count, uses.input_shapes)), strict=True):
            self._check_noise(x, steps, uses)
            first = unroll(
                steps, tensors, x.indices[1], [s.name for s in symbols], {x: tuple(sampled(s.name) for s in symbols)}
            )
            steps, tensors, values = first.steps, first.parameters, values | first.values
        for output, unit_names in zip(
            (result.element for result in network.outputs), _split(names, counts), strict=True
        ):
            if output in values:
                continue
            end = output.indices[1]
            noisy = any(e.tensor in uses.noise and end in e.indices for step in steps for e in step.operands)
            if noisy or not all(is_separable(step, end) for step in steps):
                values[output] = tuple(Element(f"{output.tensor}_{name}", (SAMPLE,)) for name in unit_names)
                selected = (Equation(end, (), k) for k in range(len(unit_names)))
                steps += tuple(
                    Step(value, output, "sum", (end,), (place,))
                    for value, place in zip(values[output], selected, strict=True)
                )
            else:
                last = unroll(steps, tensors, end, unit_names, {})
                steps, tensors, values = last.steps, last.parameters, values | last.values
        return tensors, steps, tuple(value for output in network.outputs for value in values[output.element])

    def _check_units(self, functions: Sequence[AppliedUndef], shape: Shape) -> None:
        """Raise ModelError unless an output of the layers holds one value for each of its functions."""
        names = ", ".join(map(str, functions))
        role = f"the last layer of {self.name}" if len(functions) == len(self.functions) else f"the layer of {names}"
        if len(shape) != 1:
            raise ModelError(f"{role} has the shape {shape}, not a number of units")
        if shape[0] != len(functions):
            raise ModelError(
                f"{role} has {shape[0]} units, but there are {len(functions)} outputs ({names}): it needs a unit for "
                f"each"
            )

    def _check_noise(self, x: Element, steps: Sequence[Step], uses: Uses) -> None:
        """Raise ModelError for noise on an input."""
        for element in (element for step in steps for element in step.operands):
            if element.tensor in uses.noise and x.indices[1] in element.indices:
                raise ModelError(
                    f"layer {uses.noise[element.tensor]} of {self.name} puts noise on its inputs, by which it is "
                    f"differentiated"
                )

    def _check_names_of_layers(self, taken: set[str]) -> None:
        unknowns = (*self.inputs, *self.parameters, *(s for symbols in self.targets.values() for s in symbols))
        for name in (*map(str, unknowns), *_names(self.functions)):
            if name in taken:
                raise ModelError(f"a tensor of the layers of {self.name} is called {name}, too: rename the symbol")

    def _derivatives(
        self, real: dict[Expr, Expr], steps: list[Step], names: set[str]
    ) -> tuple[dict[str, tuple[Expr, ...]], tuple[Element, ...], tuple[Step, ...]]:
        """Return the terms written with elements, and the elements of the derivatives; steps for these are added.

        The last result is the steps for the parts of sums of derivatives, which the terms do not need.
        """
        sums = laplacians(self._expressions, self.functions)
        zeros = {node: value for node, value in sums.items() if value == 0}
        by_derivative: dict[Expr, Element] = {}
        expressions = [expression.xreplace(zeros) for expression in self._expressions]
        for node in derivatives_of(expressions):
            name = f"{node.expr.func.__name__}_sum" if node in sums else name_of(node, self.inputs)
            element = sampled(take(name, names))
            steps.append(derivative_step(element, sums.get(node, node), real))
            by_derivative[node] = element
        everything = {**real, **by_derivative}
        written = {
            term: tuple(self._written(part.xreplace(zeros), by_derivative, everything, term) for part in parts)
            for term, parts in self.parts.items()
        }
        parts = derivatives_of([value for value in sums.values() if value != 0])
        each = ((sampled(take(name_of(node, self.inputs), names)), node) for node in parts)
        return (
            written,
            tuple(by_derivative.values()),
            tuple(derivative_step(element, node, real) for element, node in each),
        )

    def _parts(
        self, written: dict[str, tuple[Expr, ...]], steps: list[Step], names: set[str]
    ) -> dict[str, tuple[Element, ...]]:
        """Return the elements of the terms before they are squared; steps for them are added."""
        by_term = {}
        for term, expressions in written.items():
            several = len(expressions) > 1
            named = [f"{term}{k}" if several else term for k in range(1, len(expressions) + 1)]
            by_term[term] = tuple(sampled(take(name, names)) for name in named)
            steps += [Step(element, value) for element, value in zip(by_term[term], expressions, strict=True)]
        return by_term

    def _written(self, part: Expr, derivatives: Mapping[Expr, Expr], real: dict[Expr, Expr], term: str) -> Expr:
        expression = part.xreplace(derivatives).xreplace(real)
        return check_expression(expression, [*real.values()], f"the loss {term!r} of {self.name}")

    def _losses(
        self,
        written: dict[str, tuple[Expr, ...]],
        parts: dict[str, tuple[Element, ...]],
        scales: dict[str, Element],
        total: bool,
        steps: list[Step],
        names: set[str],
    ) -> tuple[tuple[Element, ...], Element, Element]:
        """Return the residuals, the loss and the weight; the steps for them are added.

        The residuals are empty if a term is a ``Mean``. A formula that may be infinite is not evaluated at the
        samples of other terms.
        """
        rows: dict[int, list[Expr]] = {}
        means: list[Expr] = []
        for term, expressions in written.items():
            scale = scales[term]
            for k, expression in enumerate(expressions):
                mean = isinstance(self.terms[term][k], Mean)
                factor = scale**2 if mean else scale
                if total and _is_total(expression):
                    value = parts[term][k] * factor
                else:
                    value = Piecewise((S.Zero, Eq(scale, 0)), (expression * factor, True))
                (
                    means if mean else rows.setdefault(sum(not isinstance(p, Mean) for p in self.terms[term][:k]), [])
                ).append(value)
        residuals = tuple(
            sampled(take(f"residual{k + 1}" if len(rows) > 1 else "residual", names)) for k in range(len(rows))
        )
        steps += [Step(element, Add(*rows[k])) for k, element in enumerate(residuals)]
        sample_loss, weight = sampled(take("loss_n", names)), sampled(take("weight", names))
        steps.append(Step(sample_loss, Add(*(element**2 for element in residuals), *means)))
        loss = Element(take("loss", names))
        steps.append(Step(loss, sample_loss * weight, "sum", (SAMPLE,)))
        return () if means else residuals, loss, weight


def _is_total(expression: Expr) -> bool:
    """Return whether an expression and its derivatives are finite for all finite values of its elements."""
    if expression.is_number or not expression.args:
        return True
    varying = [part for part in expression.args if not part.is_number]
    inner = expression.func(*varying) if isinstance(expression, Add | Mul) else expression
    return is_total(inner) if not isinstance(inner, Add) else all(map(_is_total, inner.args))


def _with_outputs(steps: Sequence[Step], outputs: Sequence[Element], formulas: Sequence[Expr]) -> list[Step]:
    """Return steps that end with the outputs. A step whose value is an output is renamed, not copied."""
    kept_steps = list(steps)
    defined: dict[Expr, Step] = {step.target: step for step in steps}
    renamed: dict[Expr, Expr] = {}
    last: list[Step] = []
    for u, formula in zip(outputs, formulas, strict=True):
        copies: list[Expr] = []
        while formula in defined and formula not in renamed:
            step = defined[formula]
            if step.expression not in defined or step.over or step.where:
                renamed[formula] = u
                break
            kept_steps.remove(step)
            copies.append(formula)
            formula = step.expression
        else:
            last.append(Step(u, formula))
        renamed |= dict.fromkeys(copies, renamed.get(formula, formula))
    return [
        replace(step, target=renamed.get(step.target, step.target), expression=step.expression.xreplace(renamed))
        for step in (*kept_steps, *last)
    ]


def _split(values: Sequence[Value], counts: Iterable[int]) -> list[Sequence[Value]]:
    """Return values in groups, of which each has the given number of them."""
    left = iter(values)
    return [list(islice(left, number)) for number in counts]


def _of_steps(extents: Iterable[tuple[str, int]], steps: Sequence[Step]) -> tuple[tuple[str, int], ...]:
    """Return the sizes of the indices that steps still have."""
    left = {
        index for step in steps for index in (*step.indices, *(i for equation in step.where for i in equation.indices))
    }
    return tuple((index, size) for index, size in extents if index in left)


def _names(functions: Sequence[AppliedUndef]) -> list[str]:
    return [function.func.__name__ for function in functions]


def _outputs(outputs: Any, inputs: Sequence[Symbol], name: str) -> tuple[tuple[AppliedUndef, ...], tuple[Expr, ...]]:
    """Return the functions, and the formula of each from the outputs of the layers; by default these outputs."""
    several = (outputs,) if isinstance(outputs, Expr) else outputs
    example = 'outputs=u with u = sympy.Function("u")(' + ", ".join(map(str, inputs)) + ")"
    if not isinstance(several, Iterable) or not tuple(several):
        raise ModelError(f"{name} needs functions of its inputs as outputs, such as {example}, not {outputs!r}")
    functions = tuple(several)
    for function in functions:
        if not isinstance(function, AppliedUndef) or function.args != tuple(inputs):
            raise ModelError(
                f"an output of {name} is a function of all inputs in their order: {example}; not {function!r}"
            )
        check_name(function.func.__name__, "the name of an output")
    formulas = tuple(outputs[function] for function in functions) if isinstance(outputs, Mapping) else functions
    for function, formula in zip(functions, formulas, strict=True):
        if isinstance(formula, Expr):
            check_size(formula, f"the output {function}")
        if not isinstance(formula, Expr) or not formula.has(*functions) or formula.has(Derivative):
            raise ModelError(
                f"the output {function} must be a formula of what the network gives, which it calls {function}, such "
                f"as {{u: x*(1 - x)*u}}, and without derivatives; not {formula!r}"
            )
        check_functions(formula, functions, inputs, f"the output {function}")
    return functions, formulas


def physics_of(
    name: str, inputs: Any, outputs: Any, losses: Any, parameters: Any, targets: Any, loss: Any
) -> Physics | None:
    """Return the equations of a network whose inputs are symbols; None for one with a number of inputs and a loss."""
    if losses is None and outputs is None:
        if parameters or targets:
            raise ModelError(f"{name} has parameters or targets of equations: give its losses by name")
        return None
    if isinstance(inputs, Integral):
        raise ModelError(f"{name} has outputs or losses of symbols: give its inputs as symbols as well")
    if loss != "mse":
        raise ModelError(f"{name} has losses by name: leave out loss")
    return Physics(name, inputs, outputs, losses, parameters, targets)


def _terms(losses: Any, name: str) -> dict[str, tuple[Any, ...]]:
    """Return the parts of each term, by its name."""
    if not isinstance(losses, Mapping) or not losses:
        raise ModelError(
            f'{name} needs losses by name, such as losses={{"equation": u.diff(t) - u.diff(x, 2), "data": u - y}}, '
            f"not {losses!r}"
        )
    terms = {}
    for key, value in losses.items():
        check_name(key, "the name of a loss")
        terms[key] = tuple(value) if isinstance(value, tuple | list) else (value,)
        if not terms[key]:
            raise ModelError(f"the loss {key!r} of {name} is empty: give an expression")
    return terms
