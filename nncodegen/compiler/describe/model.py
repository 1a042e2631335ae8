"""Models given as formulas: outputs, loss and parameters as SymPy expressions and symbols."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sympy import Add, Expr, Pow, S, Symbol

from nncodegen.compiler.describe.base import ModelBase
from nncodegen.compiler.describe.checks import bounded, check_expression, check_large, check_name, check_piece
from nncodegen.compiler.describe.grammar import CONSTANTS, Read, as_expression, read_in_order
from nncodegen.compiler.describe.noise import OUTPUT, Noise, likelihood_steps, negative_log_density, read_noise
from nncodegen.compiler.describe.noise import Given as GivenNoise
from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.describe.pieces import cut
from nncodegen.compiler.describe.ties import Given, read_quantities, read_ties
from nncodegen.compiler.describe.written import formula_text, written
from nncodegen.compiler.ir import SAMPLE, Element, Initial, Program, Step, Tensor
from nncodegen.compiler.ir.graphs import contains, graph_of, replaced, symbols_of
from nncodegen.compiler.ir.names import unused
from nncodegen.compiler.ir.program import FitTask, Task
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.facts import CurveTerm, name_of
from nncodegen.runtime.python.ground.markup import listed


class Model(ModelBase):
    """Any formula: ``output`` and ``loss`` as expressions of inputs, targets and parameters.

    inputs and targets are symbols, one for each column of X and of Y, or names, as a list or a text such as "x1 x2".
    parameters maps symbols to their initial values; those that occur in the output may be given by name, and those of a
    curve of ``nncodegen.curves`` may be left out: a fit computes its start from the data then. The fits of such a model
    have the bounds of its curves. output is an expression, a text, such a curve, or a tuple of them; if
    it is left out, the loss is the output. The loss is that of one sample: training minimizes its mean over the
    samples. If it is left out, it is the sum of (output - target)**2 over the outputs: a problem of least squares,
    which ``fit`` solves. A formula without inputs and targets is minimized as it stands. optimizers are additional
    update rules. ties maps parameters to formulas of others, {"b": "2*a"}, which stand in their places; they have no
    initial values. derived maps names to formulas of parameters, {"half_life": "log(2)/k"}. The result of a fit has
    both with their errors (``FitResult.derived``). noise says how targets are distributed about the outputs: the
    formula of a standard deviation, or a distribution such as nn.noise.laplace(formula), one for each output or one for
    all, in which ``output`` is the output itself. Its parameters are estimated with all others: the loss is then
    the negative logarithm of the likelihood. own are the names of the parameters that each group of samples has
    for itself where ``fit`` has groups. Raises ModelError, which names the symbol or the expression that is
    wrong.
    """

    kind = "a formula"

    @bounded("the model")
    def __init__(
        self,
        name: str,
        inputs: Sequence[Symbol | str] | Symbol | str = (),
        targets: Sequence[Symbol | str] | Symbol | str = (),
        parameters: Mapping[Symbol | str, float] | None = None,
        output: Expr | str | Sequence[Expr | str] | None = None,
        loss: Expr | str | None = None,
        optimizers: Sequence[Optimizer] = (),
        ties: Given | None = None,
        derived: Given | None = None,
        own: Sequence[Symbol | str] | Symbol | str = (),
        noise: GivenNoise | Sequence[GivenNoise] | None = None,
    ) -> None:
        super().__init__(name, optimizers)
        typical = getattr(output, "typical", None)  # a curve by name has values of its own
        starts_from_data = parameters is None and typical is not None
        noises = self._noises(noise, output, loss)
        scales = tuple(each.scale for each in noises)
        known = _Known((output, loss, scales, *(ties.values() if isinstance(ties, Mapping) else ())))
        self.inputs = _symbols(inputs, "inputs", known)
        self.targets = _symbols(targets, "targets", known)
        if parameters is None and typical is not None:
            tied = {name_of(key) for key in ties or ()}
            parameters = {key: value for key, value in typical.items() if key not in tied}
        self.parameters = _parameters(parameters, name, known)
        self._check_names()
        self.ties = read_ties(ties, tuple(self.parameters), known.symbol)
        for symbol in self.ties:
            known.check(symbol.name)
        taken = (*self.inputs, *self.targets, *self.parameters)
        self.quantities = read_quantities(self.ties, derived, tuple(self.parameters), taken)
        self.own = self._own(own)
        symbols = (*taken, *self.ties)
        if loss is None and (output is None or not self.targets):
            raise ModelError(
                f"{name} has no loss: give the expression that training minimizes; or targets and an output, "
                f"for a problem of least squares"
            )
        formulas = loss if output is None else output
        outputs = formulas if isinstance(formulas, tuple | list) else [formulas]
        if not outputs:
            raise ModelError(f"{name} has an empty tuple of outputs: give at least one expression, or none at all")
        role = f"the {'loss' if output is None else 'output'} of {name}"
        self.outputs = tuple(_expression(value, symbols, role, self.ties) for value in outputs)
        self._in_order = tuple(_in_order(value, symbols, self.ties) for value in outputs)
        self.noise = self._read_noise(noises, symbols)
        self.loss = self._loss(loss, symbols)
        self.curves = self._curves_of(outputs if output is not None else ())
        self.starts_from_data = starts_from_data and self._is_least_squares()
        self._check_constants()
        used = {*symbols_of(*self.outputs)} if output is not None else set()
        for symbol in self.targets:
            if symbol in used:
                raise ModelError(
                    f"the output of {name} depends on the target {symbol.name}, which is not known when predicting"
                )
        self._program = self._describe()

    def describe(self) -> Program:
        """Return the formula as a Program: steps for the outputs, the loss of one sample, and its mean."""
        return replace(self._program, name=self.name)

    def with_errors(self) -> Model:
        """Return the model that has the change of each input as a further parameter, which is 0.

        The derivatives by these parameters are those by the inputs, which a fit with errors in the inputs needs.
        """
        taken = {symbol.name for symbol in (*self.inputs, *self.targets, *self.parameters)}
        changes: list[Symbol] = []
        for symbol in self.inputs:
            changes.append(Symbol(unused(f"change_of_{symbol.name}", taken)))
            taken.add(changes[-1].name)
        moved = {x: x + change for x, change in zip(self.inputs, changes, strict=True)}
        model = Model(
            f"{self.name}_with_errors",
            self.inputs,
            self.targets,
            {**self.parameters, **dict.fromkeys(changes, 0.0)},
            tuple(
                Read(replaced(output, moved), None if typed is None else replaced(typed, moved))
                for output, typed in zip(self.outputs, self._in_order, strict=True)
            ),
        )
        task = model._program.task
        fits = replace(task.fits, input_shifts=len(changes))
        model._program = replace(model._program, task=replace(task, fits=fits))
        return model

    def __repr__(self) -> str:
        outputs = ", ".join(map(formula_text, self.outputs))
        parameters = ", ".join(symbol.name for symbol in self.parameters)
        output = f"output {outputs}, " if outputs else ""
        return f"<Model {written(self.name)}: {output}loss {formula_text(self.loss)}, parameters {parameters}>"

    def _describe(self) -> Program:
        names = [symbol.name for symbol in (*self.inputs, *self.targets, *self.parameters)]
        real: dict[Symbol, Element] = {symbol: Element(symbol.name) for symbol in self.parameters}
        real |= {symbol: Element(symbol.name, (SAMPLE,)) for symbol in (*self.inputs, *self.targets)}
        several = len(self.outputs) > 1
        outputs = tuple(
            Element(unused(f"output{k + 1}" if several else "output", names), (SAMPLE,))
            for k in range(len(self.outputs))
        )
        weight = Element(unused("weight", names), (SAMPLE,))
        if self.noise:
            return self._with_likelihood(names, real, outputs, weight)
        sample_loss = Element(unused("loss_n", names), (SAMPLE,))
        loss = Element(unused("loss", names))
        graph = graph_of((*self.outputs, self.loss))
        as_typed: tuple[Expr | None, ...] = ()
        if graph.is_large:
            steps = cut(graph, real, (*outputs, sample_loss), (*names, weight.tensor, loss.tensor))
            last = next(step for step in steps if step.target == sample_loss)
            of_outputs = _if_of_outputs(last, (*outputs, *(real[symbol] for symbol in self.targets)))
        else:
            formulas = [value.xreplace(real) for value in (*self.outputs, self.loss)]
            typed = [None if value is None else value.xreplace(real) for value in self._in_order]
            as_typed = tuple(
                None if output == formula else output for output, formula in zip(typed, formulas, strict=False)
            )
            steps = [Step(element, formula) for element, formula in zip((*outputs, sample_loss), formulas, strict=True)]
            of_outputs = _of_outputs(outputs, formulas, [real[s] for s in (*self.inputs, *self.parameters)])
        return self._program_of(
            (*steps, Step(loss, sample_loss * weight, "sum", (SAMPLE,))),
            outputs,
            real,
            weight,
            Task(
                least_squares=self._is_least_squares(),
                loss_of_outputs=of_outputs,
                outputs_as_typed=as_typed,
            ),
        )

    def _with_likelihood(
        self, names: Sequence[str], real: Mapping[Symbol, Element], outputs: tuple[Element, ...], weight: Element
    ) -> Program:
        """Return the program of outputs whose targets have a noise."""
        taken = {*names, *(output.tensor for output in outputs)}
        graph = graph_of(self.outputs)
        steps = (
            cut(graph, real, outputs, (*names, weight.tensor))
            if graph.is_large
            else [Step(output, value.xreplace(real)) for output, value in zip(outputs, self.outputs, strict=True)]
        )
        taken |= {step.target.tensor for step in steps}
        scales = [
            noise.scale.xreplace({**real, OUTPUT: output} if OUTPUT not in real else real)
            for noise, output in zip(self.noise, outputs, strict=True)
        ]
        targets = [real[target] for target in self.targets]
        free = partial(unused, taken=taken)
        of_noise, likelihood = likelihood_steps(self.noise, outputs, scales, targets, S.One, free)
        typed = [
            None if value is None or value == output else value.xreplace(real)
            for value, output in zip(self._in_order, self.outputs, strict=True)
        ]
        as_typed = () if graph.is_large else tuple(typed)
        task = Task(outputs_as_typed=as_typed, fits=FitTask(likelihood=likelihood))
        return self._program_of((*steps, *of_noise), outputs, real, weight, task)

    def _program_of(
        self,
        steps: tuple[Step, ...],
        outputs: tuple[Element, ...],
        real: Mapping[Symbol, Element],
        weight: Element,
        task: Task,
    ) -> Program:
        """Return the program of steps whose last one is the loss."""
        known = [*real.values(), weight, *(step.target for step in steps)]
        for step in steps:  # check again, now that all symbols are known to be real
            check_piece(step.expression, known, self.name)
        fits = replace(
            task.fits,
            quantities=self.quantities,
            own=self.own,
            curves=self.curves,
            starts_from_data=self.starts_from_data,
        )
        return Program(
            name=self.name,
            inputs=tuple(Tensor(symbol.name, (None,)) for symbol in self.inputs),
            targets=tuple(Tensor(symbol.name, (None,)) for symbol in self.targets),
            parameters=tuple(
                Tensor(symbol.name, (), Initial("constant", value)) for symbol, value in self.parameters.items()
            ),
            weight=Tensor(weight.tensor, (None,)),
            steps=steps,
            outputs=outputs,
            loss=steps[-1].target,
            task=replace(task, fits=fits),
        )

    def _curves_of(self, outputs: Sequence[Any]) -> tuple[CurveTerm, ...]:
        """Return the terms of those outputs that are curves by name."""
        names = [symbol.name for symbol in self.inputs]
        return tuple(
            term
            for place, output in enumerate(outputs)
            if hasattr(output, "typical")
            for term in output.facts(names, place)
        )

    def _noises(self, noise: Any, output: Any, loss: Any) -> tuple[Noise, ...]:
        """Return the noise of each output as it is given; none without noise. Raises ModelError."""
        if noise is None:
            return ()
        if loss is not None or output is None:
            wrong = "has no output" if output is None else "has a loss: leave that out, for the noise says what it is"
            raise ModelError(f"noise says how targets are distributed about outputs, and {self.name} {wrong}")
        count = len(output) if isinstance(output, tuple | list) else 1
        return read_noise(noise, ["output"] if count == 1 else [f"output{k + 1}" for k in range(count)], self.name)

    def _read_noise(self, noises: Sequence[Noise], symbols: Sequence[Symbol]) -> tuple[Noise, ...]:
        """Return the noise of each output with its scale as an expression, in which outputs are symbols."""
        role = f"the noise of {self.name}"
        outputs = [] if any(symbol.name == OUTPUT.name for symbol in symbols) else [OUTPUT]
        read = []
        for each in noises:
            scale = _expression(each.scale, (*symbols, *outputs), role, self.ties)
            for target in self.targets:
                if target in {*symbols_of(scale)}:
                    raise ModelError(f"{role} depends on the target {target.name}: write output for what is expected")
            read.append(Noise(each.kind, scale))
        return tuple(read)

    def _loss(self, loss: Any, symbols: Sequence[Symbol]) -> Expr:
        """Return the loss of a sample: as it is given, of a likelihood, or the sum of squares."""
        if loss is not None:
            return _expression(loss, symbols, f"the loss of {self.name}", self.ties)
        squares = self._squares()
        return squares if not self.noise else self._negative_log_likelihood()

    def _negative_log_likelihood(self) -> Expr:
        """Return the loss of outputs with noise, as a formula of the symbols of the model."""
        return Add(
            *(
                negative_log_density(noise, output, replaced(noise.scale, {OUTPUT: output}), target)
                for noise, output, target in zip(self.noise, self.outputs, self.targets, strict=True)
            )
        )

    def _own(self, own_names: Sequence[Symbol | str] | Symbol | str) -> tuple[str, ...]:
        """Return the names of own parameters, in their order. Raises ModelError for a name that is no parameter."""
        names = [name_of(key) for key in ([own_names] if isinstance(own_names, str | Symbol) else own_names)]
        known = [symbol.name for symbol in self.parameters]
        for name in names:
            if name not in known:
                raise ModelError(
                    f"own of {self.name} names {name!r}, which is no parameter; there are: {', '.join(known)}"
                )
        return tuple(name for name in known if name in names)

    def _squares(self) -> Expr:
        """Return the default loss, a sum of squares. Raise ModelError if targets and outputs differ in number."""
        if len(self.targets) != len(self.outputs):
            raise ModelError(
                f"{self.name} has {len(self.targets)} targets and {len(self.outputs)} outputs: without a loss, each "
                f"output needs the target that it is fitted to; or give the loss"
            )
        return Add(*((output - target) ** 2 for output, target in zip(self.outputs, self.targets, strict=True)))

    def _is_least_squares(self) -> bool:
        """Return whether the loss is a number times the sum of (output - target)**2, one target for each output."""
        if len(self.targets) != len(self.outputs):
            return False
        squares = (self._squares(), Add(*(Pow(y - f, 2) for f, y in zip(self.outputs, self.targets, strict=True))))
        factor, rest = self.loss.as_coeff_Mul()
        loss_root, *square_roots = graph_of((rest, *squares)).roots
        return bool(factor > 0 and loss_root in square_roots)

    def _check_constants(self) -> None:
        """Raise ModelError if a symbol occurs nowhere, but a number of SymPy's with its name does: E or pi."""
        formulas = (*self.outputs, self.loss)
        used = {*symbols_of(*formulas)}
        for symbol in (*self.inputs, *self.parameters):
            constant = CONSTANTS.get(symbol.name)
            if constant is None or symbol in used:
                continue
            if any(contains(formula, type(constant)) for formula in formulas):
                raise ModelError(
                    f"{self.name} has {symbol.name} as a symbol, but its formula has SymPy's number {symbol.name} "
                    f"({float(constant):.4}) in its place: write it with Symbol({symbol.name!r}), or as a text"
                )

    def _check_names(self) -> None:
        roles: dict[str, str] = {}
        for role in ("inputs", "targets", "parameters"):
            for symbol in getattr(self, role):
                if symbol.name in roles:
                    raise ModelError(
                        f"the name {symbol.name} is given twice, in {roles[symbol.name]} and in {role}: rename one"
                    )
                roles[symbol.name] = role


def _of_outputs(outputs: Sequence[Element], formulas: Sequence[Expr], excluded: Sequence[Element]) -> Expr | None:
    """Return the loss, the last of the formulas, as a function of the outputs; None if it needs any of ``excluded``.

    The formulas before it are those of the outputs. SymPy has merged the sums and products of an output with those
    around it: where an output does not occur unchanged in the loss, ``subs`` looks for its parts.
    """
    *of_outputs, loss = formulas
    pairs = list(zip(of_outputs, outputs, strict=True))
    written = loss.xreplace(dict(pairs))
    if written.has(*excluded):
        written = loss.subs(pairs)
    return None if written.has(*excluded) else written


def _if_of_outputs(step: Step, outputs: Collection[Element]) -> Expr | None:
    """Return the loss of a sample if it reads nothing but outputs and targets, else None."""
    return step.expression if {*step.operands} <= {*outputs} else None


_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*(?!\w*\s*\()")
"""A name in the text of a formula that is none of a function."""


class _Known:
    """The symbols of formulas, which may be given as texts, by their names."""

    def __init__(self, formulas: Sequence[Any]) -> None:
        self._parts = [
            part for formula in formulas for part in (formula if isinstance(formula, tuple | list) else [formula])
        ]
        self._parts = [part._sympy_() if hasattr(part, "_sympy_") else part for part in self._parts]  # curves by name
        self._formulas = [part for part in self._parts if isinstance(part, Expr)]
        self._symbols = {symbol.name: symbol for symbol in symbols_of(*self._formulas)}

    def symbol(self, name: str) -> Symbol:
        """Return the symbol that a name stands for: that of the formulas, or a new one."""
        return self._symbols.get(name) or Symbol(name)

    def check(self, name: str) -> None:
        """Raise ModelError for a parameter, given by its name, that does not occur in the formulas."""
        texts = [part for part in self._parts if isinstance(part, str)]
        number = CONSTANTS.get(name)
        if name in self._symbols or any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for text in texts):
            return
        if number is not None and any(contains(formula, type(number)) for formula in self._formulas):
            return  # _check_constants raises a more specific error
        there = sorted({*self._symbols, *(word for text in texts for word in _NAME.findall(text))})
        raise ModelError(
            f"the parameter {name!r} occurs neither in the output nor in the loss: leave it out, or write it into one "
            f"of them; their names are: {listed(there) or 'none'}"
        )


def _symbols(symbols_or_names: Any, role: str, known: _Known) -> tuple[Symbol, ...]:
    """Return the symbols for symbols or names; names may be a list, or one text that contains all."""
    wrong = f"{role} must be symbols, such as sympy.Symbol('x'), or names, such as 'x', not "
    if not isinstance(symbols_or_names, Symbol | Iterable):
        raise ModelError(f"{wrong}{symbols_or_names!r}")
    if isinstance(symbols_or_names, str):
        symbols_or_names = re.split(r"[\s,]+", symbols_or_names.strip(" ,"))
    symbols = []
    for each in (symbols_or_names,) if isinstance(symbols_or_names, Symbol) else symbols_or_names:
        if not isinstance(each, Symbol | str) or not each:
            raise ModelError(f"{wrong}{each!r}")
        symbols.append(known.symbol(each) if isinstance(each, str) else each)
        check_name(symbols[-1].name, f"a name of the {role}")
    return tuple(symbols)


def _parameters(initial: Mapping[Symbol | str, float] | None, name: str, known: _Known) -> dict[Symbol, float]:
    if not initial:
        raise ModelError(f"{name} has no parameters: give parameters={{symbol: initial value, ...}}")
    if not isinstance(initial, Mapping):
        raise ModelError(f"parameters must map symbols to initial values, not be a {type(initial).__name__}")
    values = {}
    for key in initial:
        if isinstance(key, str) and key:
            known.check(key)
    for symbol, value in zip(_symbols(list(initial), "parameters", known), initial.values(), strict=True):
        try:
            values[symbol] = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"the initial value of {symbol.name} must be a number, not {value!r}") from error
        if not math.isfinite(values[symbol]):
            raise ModelError(f"the initial value of {symbol.name} must be finite, not {value!r}")
    return values


def _expression(value: Any, symbols: Sequence[Symbol], role: str, ties: Mapping[Symbol, Expr]) -> Expr:
    """Return the expression that a user gave, with the formulas of tied parameters in their places."""
    expression = as_expression(value, {symbol.name: symbol for symbol in symbols}, role)
    if ties and isinstance(expression, Expr):
        expression = replaced(expression, ties)
    graph = graph_of([expression]) if isinstance(expression, Expr) else None
    if graph is None or not graph.is_large:
        return check_expression(expression, symbols, role)
    check_large(graph, symbols, role)
    return expression


def _in_order(value: Any, symbols: Sequence[Symbol], ties: Mapping[Symbol, Expr]) -> Expr | None:
    """Return a formula that was given as text with its products in their order, and tied parameters replaced.

    None where no text is known.
    """
    if isinstance(value, str):
        value = Read(S.Zero, read_in_order(value, {symbol.name: symbol for symbol in symbols}))
    ordered = value.in_order if isinstance(value, Read) else None
    return ordered if ordered is None else replaced(ordered, ties)
