"""Models whose outputs follow from equations of motion: differential equations, and equations from time to time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import index
from typing import Any

import numpy as np
from sympy import Dummy, Expr, Float, Piecewise, S, Symbol

from nncodegen.compiler.describe import describe as described
from nncodegen.compiler.describe import identity_of
from nncodegen.compiler.describe.base import ModelBase
from nncodegen.compiler.describe.checks import bounded, check_name, is_finite
from nncodegen.compiler.describe.hints import PRIME
from nncodegen.compiler.describe.loss_steps import Output, entry_of, loss_steps, terms_together
from nncodegen.compiler.describe.losses import usual_name
from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.ir import SAMPLE, Element, Initial, Program, Tensor, needed
from nncodegen.compiler.ir.evaluate import outcomes
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.compiler.ir.names import take, unused
from nncodegen.compiler.ir.program import FitTask, Task
from nncodegen.compiler.ir.systems import Control
from nncodegen.compiler.motion.adaptive import Problem, path_of
from nncodegen.compiler.motion.before import before, earlier
from nncodegen.compiler.motion.equations import Given, Reader, left_side, read_equations, shown, symbol
from nncodegen.compiler.motion.jumps import read_by, read_jumps
from nncodegen.compiler.motion.method import RungeKutta
from nncodegen.compiler.motion.methods import METHODS
from nncodegen.compiler.motion.methods.tsit5 import TSIT5
from nncodegen.compiler.motion.networks import Networks, calls_of
from nncodegen.compiler.motion.steps import OBSERVATION, STEP, Grid, Writer, solved
from nncodegen.errors import ModelError
from nncodegen.runtime.python.arguments.joined import check_times
from nncodegen.runtime.python.ground.outcomes import UNTOLD, Outcomes, advised, outcomes_in

MOST_STEPS = 10_000_000
"""The largest number of steps of a trajectory."""

RTOL, ATOL, MOST_CHOSEN_STEPS = 1e-6, 1e-9, 100_000
"""The tolerances of steps that are chosen, and their largest number, where a model does not say others."""

HELD, LINEAR = INTERPOLATIONS = ("held", "linear")
"""The courses of columns between two times: the value at the time before, or a straight line."""

OneLoss = str | Callable[[Any, Any], Any]


class Dynamics(ModelBase):
    """States that follow equations of motion, and what is observed of them at ``times`` times.

    equations are differential, "u' = (a - b*v)*u", of any order, or lead from each time to the next, "u = a*before(u)":
    texts, in a list or one text with semicolons, or a mapping such as {u.diff(t): (a - b*v)*u} with functions of time
    of SymPy. An equation without a derivative among differential ones, "r = k*u", is an abbreviation. initial maps
    states (and u' of an equation of second order) to their values at the first time; in equations from time to time,
    to what ``before`` gives there: "u" for all earlier times that are read, or each, "before(u)", "before(u, 2)". These
    are numbers or formulas of parameters and inputs. parameters maps names or symbols to their values at the start of a
    training or a fit.

    inputs are names of numbers that each sample has; columns are names of numbers that it has at each time, between
    which they are held (the value at the time before counts) or linear, as ``interpolation`` says. observed are the
    outputs: names or formulas of states, parameters, inputs, columns and the time; in a mapping, each under its name.
    By default these are all states, without derivatives such as u'. Each output has a value at each time. loss is a
    loss by name or a function (output, target), of which the mean over times and outputs is taken.

    networks maps names to networks with one input, Sequential or Network, which equations and observables call as
    functions, "v' = -u + force(u, v)"; a tuple of names is for one of several outputs. Their weights are parameters of
    the model, force_W1 and so on. The methods "auto" and "rodas5p" take a few units, and refuse more of them.

    jumps maps states to what they become at each time of a sample, such as {"depot": "depot + amount"} with the column
    amount, 0 where there is no dose: formulas of states as they are just before, parameters, inputs, columns and the
    time. What is observed at a time is before its jump, also at the first time; to observe what is after it, repeat the
    time in a further row, and to have a jump at a time without an observation, let that be NaN in Y.

    X has, for each sample, its times in ascending order (the input ``time``, in SymPy's equations the argument of the
    functions), then inputs, then columns. Equations from time to time have the times only if they read them.

    method is "tsit5", "rodas5p" for stiff equations, whose rates differ by orders of magnitude, "auto", which decides
    for each step which of these it is, or "rk4". Without ``steps``, the steps of the first three are chosen so that
    their estimated errors are at most atol + rtol*|u| (by default 1e-9 and 1e-6), at most max_steps of them (100,000);
    a trajectory that takes more, or whose values leave the range of numbers, is NaN from there on. ``steps`` is a
    number of equal steps of "tsit5" or "rk4" from each time to the next instead; the error falls with it to the power
    of 5 or 4: compare the results for twice as many. The initial values are those at the first time of a sample, or at
    the time ``start`` before it. Raises ModelError.
    """

    kind = "equations of motion"

    @bounded("the equations")
    def __init__(
        self,
        equations: Given,
        initial: Mapping[Any, Any],
        parameters: Mapping[Any, float] | None = None,
        *,
        times: int,
        inputs: Sequence[Any] | str = (),
        columns: Sequence[Any] | str = (),
        observed: Any = None,
        loss: OneLoss = "mse",
        method: str = "tsit5",
        steps: int | None = None,
        rtol: float | None = None,
        atol: float | None = None,
        max_steps: int | None = None,
        start: float | None = None,
        time: Any = "t",
        interpolation: str = HELD,
        networks: Mapping[Any, Any] | None = None,
        jumps: Mapping[Any, Any] | None = None,
        name: str = "dynamics",
        optimizers: Sequence[Optimizer] = (),
    ) -> None:
        super().__init__(name, optimizers)
        self.time = _names([time], f"the time of {name}")[0]
        self.equations = read_equations(equations, name, self.time)
        self.differential = any(one.order for one in self.equations)
        self.inputs = _names(inputs, f"the inputs of {name}")
        self.columns = _names(columns, f"the columns of {name}")
        self.parameters = _parameters(parameters, name)
        self.networks = Networks(networks, name)
        if not isinstance(times, str) and hasattr(times, "__len__"):
            count = len(times)
            raise ModelError(
                f"times of {name} is the number of times of each sample: give times={count}, and the {count} times "
                f"themselves as columns of X, {self.time}[0] to {self.time}[{count - 1}], which may differ between "
                "samples"
            )
        self.times = _count(times, "times", 1, f"the number of times of {name}")
        self.steps = None if steps is None else _count(
            steps, "steps", 1, f"the number of steps of {name} from a time to the next"
        )  # fmt: skip
        self._check_options(method, steps, start, interpolation)
        self.start = None if start is None else float(start)
        self._check_chosen(rtol, atol, max_steps)
        self.rtol = _tolerance(RTOL if rtol is None else rtol, "rtol", name)
        self.atol = _tolerance(ATOL if atol is None else atol, "atol", name)
        most = MOST_CHOSEN_STEPS if max_steps is None else max_steps
        self.max_steps = _count(most, "max_steps", 1, f"the largest number of steps of a trajectory of {name}")
        self.method, self.interpolation = method, interpolation
        self.loss = usual_name(loss)
        self._check_names()
        self._read(initial, observed, jumps)
        self._program = self._describe()

    @property
    def states(self) -> tuple[str, ...]:
        """Return the names of the states, with those of derivatives that the equations make states as well: u, u'."""
        return tuple(shown(one.name, order) for one in self._moving for order in range(max(one.order, 1)))

    def describe(self) -> Program:
        """Return the model as a Program: a recurrence over the steps, what is observed, and the loss."""
        return replace(self._program, name=self.name)

    def outcomes(self, parameters: Any, X: Any, module: Any = None) -> Outcomes:
        """Return for each sample how its chosen steps ended: "solved", or why values are NaN from some time on.

        Then it is "too many steps" (more than max_steps: the text says what to do about it), "steps too short" (where a
        solution leaves the range of numbers, or its rate jumps) or "times before the start". The tuple of these texts
        has arrays ``status``, ``success`` and ``message``, (N,), as many fits have them.

        parameters has shape (P,), X (N, inputs). Without ``module``, NumPy takes these steps again, in double
        precision, which is slow. With the compiled module of the model, the outcomes are those of its predictions: they
        take the time of ``predict``, and NumPy's only for trajectories whose predictions are NaN without a reason, as
        may be those of observed functions. ``module.outcomes`` tells the same without the model, but for these.

        Raises ModelError for a number of steps, for equations from time to time and for the module of another model,
        and ValueError for data that ``predict`` does not take.
        """
        if not self.differential:
            raise ModelError(f"{self.name} chooses no steps: its equations have no derivatives")
        if self.steps is not None:
            raise ModelError(f"{self.name} chooses no steps: it has outcomes without steps=...")
        flat = _finite("parameters", parameters, (self._program.parameter_count,), "such as initial_parameters()")
        columns = sum(tensor.size for tensor in self._program.inputs)
        data = _finite("X", X, (None, columns), "a row of times and inputs for each sample")
        check_times(self.time, data[:, : self.times], 0)
        found = self._outcomes(flat, data) if module is None else self._outcomes_of(module, flat, data)
        return advised(found, isinstance(METHODS[self.method], RungeKutta))

    def _outcomes(self, parameters: Any, X: Any) -> Sequence[str]:
        """Return how the steps end that NumPy takes."""
        return outcomes(self._program, parameters, X)

    def _outcomes_of(self, module: Any, parameters: Any, X: Any) -> Sequence[str]:
        """Return how the steps of a compiled module end."""
        if module._model.facts.identity != identity_of(described(self, module.precision)):
            raise ModelError(f"the module {module.name} computes another model than {self.name}: build this one")
        found = outcomes_in(module.predict(parameters, X))
        untold = [n for n, one in enumerate(found) if one == UNTOLD]
        for n, one in zip(untold, self._outcomes(parameters, X[untold]) if untold else (), strict=True):
            found[n] = one
        return found

    def __repr__(self) -> str:
        lefts = ", ".join(one.left for one in self.equations)
        how = f"{self.times} times"
        if self.differential:
            steps = f"with {self.steps} steps between" if self.steps else f"to rtol={self.rtol:g} at"
            how = f"{self.method} {steps} {how}"
        parameters = ", ".join((*self.parameters, *(one.name for one in self.networks.parameters)))
        return f"<Dynamics {self.name!r}: {lefts}; {how}; parameters {parameters}>"

    # --- checks --------------------------------------------------------------------------------------------------

    def _check_options(self, method: Any, steps: Any, start: Any, interpolation: Any) -> None:
        """Raise ModelError for a method, a start or an interpolation that does not exist, or has no meaning here."""
        name = self.name
        if method not in METHODS:
            raise ModelError(f"there is no method {method!r}; there are: {', '.join(METHODS)}")
        if interpolation not in INTERPOLATIONS:
            raise ModelError(f"interpolation is {' or '.join(map(repr, INTERPOLATIONS))}, not {interpolation!r}")
        if interpolation != HELD and not (self.columns and self.differential):
            missing = "it has none" if self.differential else "its equations lead from time to time"
            raise ModelError(
                f"interpolation={interpolation!r} is the course of columns of {name} between its times, and {missing}: "
                f"leave it out"
            )
        if start is not None and not is_finite(start):
            raise ModelError(f"the start of {name} is the time of its initial values, a finite number, not {start!r}")
        if not self.differential and (steps not in (None, 1) or start is not None):
            raise ModelError(
                f'{name} has no derivative on the left side of an equation, as in "u\' = -k*u": leave out '
                f"steps and start, which are those of differential equations"
            )
        if not self.differential and method != TSIT5.name:
            raise ModelError(
                f"{name} has equations from time to time, for which there are no methods: leave out method={method!r}"
            )
        if self.differential and self.steps is None:
            self._check_adaptive(method)
        elif self.differential and not isinstance(METHODS[method], RungeKutta):
            able = ", ".join(one.name for one in METHODS.values() if isinstance(one, RungeKutta))
            raise ModelError(
                f"{method} chooses its steps by an estimate of their error: leave out the steps of {name}, or give a "
                f"method that takes a number of them: {able}"
            )
        if self.steps and self.times * self.steps > MOST_STEPS:
            raise ModelError(f"{name} has {self.times} times {self.steps} steps, more than {MOST_STEPS:,}")

    def _check_chosen(self, *given: object) -> None:
        """Raise ModelError for options of steps that are chosen where none are."""
        if any(one is not None for one in given) and not (self.differential and self.steps is None):
            end = "leave them out, or leave out steps" if self.differential else "its equations have none"
            raise ModelError(f"rtol, atol and max_steps of {self.name} are for steps that are chosen: {end}")

    def _check_adaptive(self, method: str) -> None:
        """Raise ModelError where no estimate of the error can choose the steps."""
        if not METHODS[method].errors:
            able = ", ".join(one.name for one in METHODS.values() if one.errors)
            raise ModelError(
                f"{method} has no estimate of its error, by which the steps of {self.name} could be chosen: give their "
                f"number from a time to the next, such as steps=10, or the method {able}"
            )

    def _check_names(self) -> None:
        """Raise ModelError for a name that is given twice."""
        roles: dict[str, str] = {}
        given = {
            "the time": [self.time], "inputs": self.inputs, "columns": self.columns, "parameters": self.parameters,
            "the equations": [one.name for one in self.equations], "networks": self.networks.names,
            "the weights of networks": [one.name for one in self.networks.parameters],
        }  # fmt: skip
        for role, names in given.items():
            for one in names:
                check_name(one, f"a name in {role} of {self.name}")
                if one in roles:
                    raise ModelError(f"the name {one} of {self.name} is given twice, in {roles[one]} and in {role}")
                roles[one] = role

    # --- formulas ------------------------------------------------------------------------------------------------

    def _read(self, initial: Any, observed: Any, jumps: Any) -> None:
        """Read all formulas."""
        constant = [*map(Symbol, (*self.parameters, *self.inputs))]
        moving = [symbol(one.name, order) for one in self.equations for order in range(max(one.order, 1))]
        varying = [*moving, *map(Symbol, self.columns)]
        everything = [*constant, *varying, Symbol(self.time)]
        reader = Reader(everything, [*varying, Symbol(self.time)], self.networks.functions, self.time)
        roles = {one.name: f"the equation {one.left} = ... of {self.name}" for one in self.equations}
        rights = {one.name: reader.read(one.right, roles[one.name], everything) for one in self.equations}
        self._check_kinds(rights)
        self._moving = [one for one in self.equations if one.order or not self.differential]
        short = {Symbol(one.name): rights[one.name] for one in self.equations if one not in self._moving}
        self._short = _resolved(short, f"the abbreviations of {self.name}")
        self._rights = {one.name: rights[one.name].xreplace(self._short) for one in self._moving}
        self.initial_values = self._read_initial(initial, reader, constant)
        self.observed = self._read_observed(observed, reader)
        self.jumps = self._read_jumps(jumps, reader)
        self._check_calls()
        self._check_uses({one.name: reader.named.pop(roles[one.name]) for one in self._short}, reader.named.values())

    def _check_uses(self, short: dict[str, set[str]], others: Iterable[set[str]]) -> None:
        """Raise ModelError for a name that no formula reads, not even one in which it cancels.

        ``short`` has the names in abbreviations, each after those that it reads; ``others`` has those in all other
        formulas.
        """
        read = {name for names in others for name in names}
        for one in reversed(short):
            read |= short[one] if one in read else set()
        for kind, names in (("parameter", self.parameters), ("input", self.inputs), ("column", self.columns)):
            for one in names:
                if one not in read:
                    raise ModelError(
                        f"{self.name} does not use its {kind} {one}, which occurs in no equation, no initial value, no "
                        f"jump and nothing observed: leave {one} out, or write it into one of these"
                    )

    def _check_calls(self) -> None:
        """Raise ModelError for calls of networks that do not fit, and for a network that no equation calls."""
        for what, formula in self.initial_values.items():
            for call in calls_of([formula]):
                raise ModelError(
                    f"the initial value of {_told(what)} of {self.name} has {call}: networks are for equations and for "
                    "what is observed"
                )
        called = calls_of([*self._rights.values(), *self.observed.values()])
        for call in called:
            self.networks.check(call, f"a formula of {self.name}")
        read = {call.func.__name__ for call in called}
        for inner in self.networks.all:
            for name in inner.names:
                if name not in read:
                    there = f"{name}({', '.join(self.states[:1] * inner.inputs)})"
                    raise ModelError(f"no equation of {self.name} has the network {name}: call it, as in {there}")

    def _check_kinds(self, rights: Mapping[str, Expr]) -> None:
        """Raise ModelError where derivatives in time and earlier times are mixed."""
        for one in self.equations:
            looks_back = rights[one.name].atoms(before)
            if looks_back and self.differential:
                raise ModelError(
                    f"the equation {one.left} = ... of {self.name} has {next(iter(looks_back))}, but there are "
                    f"derivatives in time as well: equations look back, or have derivatives"
                )

    def _read_initial(self, given: Any, reader: Reader, constant: Sequence[Symbol]) -> dict[Expr, Expr]:
        """Return the first value of each state; of each thing that ``before`` reads, in equations of times."""
        name = self.name
        if not isinstance(given, Mapping):
            raise ModelError(
                f'initial maps the states of {name} to their first values, such as {{"u": 1}}, not {given!r}'
            )
        asked: list[Expr] = [symbol(one.name, k) for one in self._moving for k in range(one.order)]
        asked += [earlier(what, lag) for what, most in self._lags().items() for lag in range(1, most + 1)]
        found: dict[Expr, Expr] = {}
        for key, value in given.items():
            what = self._initial_key(key, reader)
            role = f"the initial value of {_told(what)} of {name}"
            if what not in asked and not any(isinstance(one, before) and one.args[0] == what for one in asked):
                there = ", ".join(_told(one) for one in asked) or "none"
                raise ModelError(f"initial of {name} has {_told(what)}, which needs no start; what does: {there}")
            found[what] = reader.read(value, role, constant)
        for one in asked:
            whole = one.args[0] if isinstance(one, before) else one
            if one not in found and whole not in found:
                raise ModelError(
                    f"{_told(one)} of {name} has no start: give it in initial, such as {{{_told(one)!r}: 0}}"
                )
        return found

    def _read_jumps(self, given: Any, reader: Reader) -> dict[Symbol, Expr]:
        """Return what states become at each time."""
        if given and not self.differential:
            raise ModelError(
                f"{self.name} has equations from time to time, in which states have no jumps: add them to the equations"
            )
        states = [symbol(one.name, order) for one in self._moving for order in range(one.order)]
        found = read_jumps(given, reader, states, self.name)
        return {state: formula.xreplace(self._short) for state, formula in found.items()}

    def _lags(self) -> dict[Symbol, int]:
        """Return how many times back the equations look, for each state and column of which they read ``before``."""
        looks = {node for right in self._rights.values() for node in right.atoms(before)}
        ordered = sorted(looks, key=lambda node: (node.lag, str(node)))
        return {what: max(node.lag for node in looks if node.args[0] == what)
                for what in dict.fromkeys(node.args[0] for node in ordered)}  # fmt: skip

    def _initial_key(self, key: Any, reader: Reader) -> Expr:
        """Return what an entry of ``initial`` is for: a state, or an earlier value."""
        if isinstance(key, before) or (isinstance(key, str) and key.lstrip().startswith("before")):
            return reader.read(key, f"a key of initial of {self.name}")
        return symbol(*left_side(key, f"a key of initial of {self.name}"))

    def _read_observed(self, given: Any, reader: Reader) -> dict[str, Expr]:
        """Return the formulas of the outputs by their names."""
        if given is None:
            given = [one.name for one in self._moving]
        role = f"what is observed of {self.name}"
        declared = {
            self.time: "the time", **dict.fromkeys(self.inputs, "an input"),
            **dict.fromkeys(self.columns, "a column"), **dict.fromkeys(self.parameters, "a parameter"),
        }  # fmt: skip
        if isinstance(given, Mapping):
            keys = [left_side(key, f"a name of observed of {self.name}") for key in given]
            for key in keys:
                if (name := _tensor(symbol(*key))) in declared:
                    raise ModelError(
                        f"observed of {self.name} gives an output the name {name}, which is that of "
                        f"{declared[name]}: give it another one"
                    )
            found = {
                _tensor(symbol(*key)): reader.read(one, f"{shown(*key)}, which is observed of {self.name},")
                for key, one in zip(keys, given.values(), strict=True)
            }
        else:
            several = [given] if isinstance(given, str | Expr) or not isinstance(given, Iterable) else list(given)
            formulas = [reader.read(one, role) for one in several]
            endings = ["", *range(1, len(several) + 1)][len(several) > 1 :]
            names = self._output_names(formulas, endings, declared)
            found = dict(zip(names, formulas, strict=True))
        if len(found) < (len(given) if isinstance(given, Mapping) else len(formulas)):
            raise ModelError(f"two outputs of {self.name} have one name: give observed as a mapping from names")
        if not found:
            raise ModelError(f"nothing is observed of {self.name}: name at least one state or formula")
        for one, formula in found.items():
            if formula.atoms(before):
                raise ModelError(f"{one}, which is observed of {self.name}, looks back: give it an equation of its own")
        return {one: formula.xreplace(self._short) for one, formula in found.items()}

    def _output_names(self, formulas: Sequence[Expr], endings: Sequence[Any], declared: Collection[str]) -> list[str]:
        """Return the names of outputs that have none: those of states and abbreviations, otherwise free ones."""
        own = {symbol(one.name, order) for one in self.equations for order in range(max(one.order, 1))}
        own = {one for one in own if _tensor(one) not in declared}
        taken = {*declared, *map(_tensor, own)}
        wishes = [
            _tensor(one) if isinstance(one, Symbol) else f"output{ending}"
            for one, ending in zip(formulas, endings, strict=False)
        ]
        return [wish if one in own else take(wish, taken) for one, wish in zip(formulas, wishes, strict=True)]

    # --- the program ---------------------------------------------------------------------------------------------

    def _describe(self) -> Program:
        """Return the program."""
        declared = (self.time, *self.inputs, *self.columns, *self.parameters)
        targets_named = ["y"] if len(self.observed) == 1 else [f"y_{one}" for one in self.observed]
        weights = [one.name for one in self.networks.parameters]
        writer = Writer((*declared, *weights, *self.observed, "loss", "loss_n", "weight"))
        targets = [Element(writer.name(one), (SAMPLE, OBSERVATION)) for one in targets_named]
        at: dict[Expr, Expr] = {Symbol(one): Element(one) for one in self.parameters}
        at |= {Symbol(one): Element(one, (SAMPLE,)) for one in self.inputs}
        at |= {Symbol(one): Element(one, (SAMPLE, OBSERVATION)) for one in (self.time, *self.columns)}
        extents = [(OBSERVATION, self.times)]
        if self.differential:
            extents += self._solve(writer, at) if self.steps is None else self._move(writer, at)
        else:
            self._follow(writer, at)
        self.networks.write(self.observed.values(), writer, OBSERVATION, at, "observed")
        outputs = []
        for one, formula in self.observed.items():
            element = Element(one, (SAMPLE, OBSERVATION))
            outputs.append(Output(element, formula.xreplace(at)))
            if element not in {step.target for step in writer.steps}:
                writer.put(element, outputs[-1].formula)
        size = self.times * len(outputs)
        free = partial(unused, taken={*declared, *weights, *self.observed, *(y.tensor for y in targets)})
        elements = [Output(one.element, one.element) for one in outputs]
        entry = entry_of(self.loss)
        losses = loss_steps(terms_together(entry, elements, size), targets, 1, free)
        found = needed((*writer.steps, *losses), [*(one.element for one in outputs), losses[-1].target])
        read = {operand.tensor for step in found for operand in step.operands}
        has_time = self.differential or self.time in read
        return Program(
            name=self.name,
            inputs=(
                *([Tensor(self.time, (None, self.times))] if has_time else []),
                *(Tensor(one, (None,)) for one in self.inputs),
                *(Tensor(one, (None, self.times)) for one in self.columns),
            ),
            targets=tuple(Tensor(one.tensor, (None, self.times)) for one in targets),
            parameters=(
                *(Tensor(one, (), Initial("constant", value)) for one, value in self.parameters.items()),
                *self.networks.parameters,
            ),
            weight=Tensor(free("weight"), (None,)),
            steps=found,
            outputs=tuple(one.element for one in outputs),
            loss=losses[-1].target,
            extents=(*extents, *self.networks.extents),
            task=Task(
                fits=FitTask(has_fit_by_default=True),
                least_squares=self.loss == "mse",
                sorted_inputs=(self.time,) if has_time else (),
                output_is_series=True,
                losses_per_sample=size if entry.total == "mean" else 1,
            ),
        )

    def _first_order(self) -> tuple[dict[Symbol, Expr], dict[Symbol, str]]:
        """Return the rates of all states, and their names in steps."""
        rates: dict[Symbol, Expr] = {}
        names: dict[Symbol, str] = {}
        for one in self._moving:
            own = [symbol(one.name, order) for order in range(one.order)]
            rates |= dict(zip(own, (*own[1:], self._rights[one.name]), strict=True))
            names |= {each: _tensor(each) for each in own}
        return rates, names

    def _solve(self, writer: Writer, at: dict[Expr, Expr]) -> list[tuple[str, int]]:
        """Write the path of differential equations, add the states to ``at``, and return the sizes of new indices."""
        rates, names = self._first_order()
        time = at[Symbol(self.time)]
        assert isinstance(time, Element)
        during, course = self._course(writer, at, {*symbols_of(*rates.values())})
        landed = {Symbol(one): Dummy(f"{one}_now") for one in self.columns if Symbol(one) in read_by(self.jumps)}
        course |= {now: at[one] for one, now in landed.items()}
        problem = Problem(
            name=self.name,
            control=Control(METHODS[self.method].table, self.rtol, self.atol, self.max_steps, self.start),
            time=Symbol(self.time),
            rates={one: rate.xreplace(during) for one, rate in rates.items()},
            starts={one: self.initial_values[one] for one in rates},
            names=names,
            parameters=tuple(map(Symbol, self.parameters)),
            inputs=tuple(map(Symbol, self.inputs)),
            networks=self.networks,
            course=course,
            jumps={one: formula.xreplace(landed) for one, formula in self.jumps.items()},
        )
        outputs = {one: output for one in rates if (output := self._output_of(one))}
        states, extents = path_of(problem, writer, time, at, outputs)
        at |= states
        return extents

    def _course(
        self, writer: Writer, at: Mapping[Expr, Expr], read: set[Symbol]
    ) -> tuple[dict[Symbol, Expr], dict[Symbol, Expr]]:
        """Return what columns are between two times, as formulas of symbols that are constant there, and these symbols.

        The latter have their values at the time to which the interval leads.
        """
        time, now = at[Symbol(self.time)], Symbol(self.time)
        assert isinstance(time, Element)
        during: dict[Symbol, Expr] = {}
        course: dict[Symbol, Expr] = {}
        columns = [Symbol(name) for name in self.columns if Symbol(name) in read]
        linear = bool(columns) and self.interpolation == LINEAR
        if linear:
            since = Dummy(f"{self.time}_begin")
            course[since] = writer.earlier(self.time, time, time if self.start is None else Float(self.start))
        for one in columns:
            column = at[one]
            assert isinstance(column, Element)
            held = during[one] = Dummy(f"{one}_begin")
            course[held] = begin = writer.earlier(one.name, column, column)
            if linear:
                slope = Dummy(f"{one}_slope")
                interval = time - course[since]
                value = Piecewise(((column - begin) / interval, interval > 0), (S.Zero, True))
                course[slope] = writer.define(slope.name, OBSERVATION, value)
                during[one] = held + (now - since) * slope
        return during, course

    def _move(self, writer: Writer, at: dict[Expr, Expr]) -> list[tuple[str, int]]:
        """Write the steps of differential equations, add the states to ``at``, and return the sizes of new indices."""
        method = METHODS[self.method]
        time = at[Symbol(self.time)]
        assert isinstance(time, Element)
        assert isinstance(method, RungeKutta)
        assert self.steps
        grid = Grid(writer, self.times, self.steps, time, self.start)
        rates, names = self._first_order()
        known = self._during(grid, at, {*symbols_of(*rates.values())}, method.times)
        starts = {one: self.initial_values[one].xreplace(at) for one in rates}
        call = partial(self.networks.write, rates.values(), writer, grid.index)
        ends = solved(grid, method, rates, starts, names, known, call, self._jumps_at(grid, at))
        for one, end in ends.items():
            at[one] = grid.observed(self._output_of(one) or writer.name(f"{names[one]}_observed"), end)
        return [(STEP, grid.size)] if grid.index == STEP else []

    def _output_of(self, state: Expr) -> str | None:
        """Return the name of the first output that is a state itself, which is that of its values; None without one."""
        return next((name for name, formula in self.observed.items() if formula == state), None)

    def _jumps_at(self, grid: Grid, at: Mapping[Expr, Expr]) -> dict[Symbol, Expr]:
        """Return what states become at each time, formulas of the states and of all else in the steps that lead there.

        Columns and the time have their values at this time.
        """
        known = {Symbol(one): at[Symbol(one)] for one in (*self.parameters, *self.inputs)}
        read = read_by(self.jumps)
        for one in (Symbol(name) for name in (self.time, *self.columns) if Symbol(name) in read):
            value = at[one]
            assert isinstance(value, Element)
            known[one] = grid.landed(one.name, value)
        return {state: formula.xreplace(known) for state, formula in self.jumps.items()}

    def _during(
        self, grid: Grid, at: Mapping[Expr, Expr], read: set[Symbol], stages: Sequence[Expr]
    ) -> dict[Symbol, list[Expr]]:
        """Return what all symbols except states are at each stage of a step, given the times of stages as parts."""
        known: dict[Symbol, list[Expr]] = {
            Symbol(one): [at[Symbol(one)]] * len(stages) for one in (*self.parameters, *self.inputs)
        }
        if Symbol(self.time) in read:
            now = grid.held(f"{self.time}_now", grid.begin, grid.length)
            known[Symbol(self.time)] = [now + part * grid.length for part in stages]
        for one in (Symbol(name) for name in self.columns if Symbol(name) in read):
            column = at[one]
            assert isinstance(column, Element)
            begin = grid.writer.earlier(one.name, column, column)
            if self.interpolation == HELD:
                known[one] = [grid.held(f"{one.name}_held", begin)] * len(stages)
                continue
            change = grid.writer.define(f"{one.name}_change", OBSERVATION, column - begin)
            change = grid.held(f"{one.name}_step", grid.part(f"{one.name}_part", change))
            value = grid.held(f"{one.name}_now", begin, change)
            known[one] = [value + part * change for part in stages]
        return known

    def _follow(self, writer: Writer, at: dict[Expr, Expr]) -> None:
        """Write equations from time to time, and add what states are at each time to ``at``."""
        order = _ordered({Symbol(one.name): self._rights[one.name] for one in self._moving}, self.name)
        states = {}
        for one in order:
            is_output = self.observed.get(one.name) == one
            wish = (
                one.name
                if is_output
                else writer.name(one.name if one.name not in self.observed else f"{one.name}_state")
            )
            states[one] = Element(wish, (SAMPLE, OBSERVATION))
        at |= states
        for what, most in self._lags().items():
            value = at[what]
            assert isinstance(value, Element)
            name = value.tensor
            for lag in range(1, most + 1):
                node = earlier(what, lag)
                start = self.initial_values[node if node in self.initial_values else what]
                at[node] = value = writer.earlier(f"{name}{lag}" if lag > 1 else name, value, start.xreplace(at))
        for one in order:
            self.networks.write([self._rights[one.name]], writer, OBSERVATION, at, one.name)
            writer.put(states[one], self._rights[one.name].xreplace(at))


def _told(what: Expr) -> str:
    """Return a state or an earlier value as people write it."""
    return str(what).replace(PRIME, "'")


def _tensor(what: Symbol) -> str:
    """Return the name of a state or an output in steps, in C and in results."""
    name: str = what.name
    return name.replace(PRIME, "_prime")


def _names(given: Any, role: str) -> tuple[str, ...]:
    """Return names, which are given as symbols or texts, or all in one text. Raise ModelError for anything else."""
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    if isinstance(given, Symbol) or not isinstance(given, Iterable):
        given = [given]
    found = []
    for one in given:
        name = one.name if isinstance(one, Symbol) else one
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError(f"{role} must be names or symbols, such as 'x', not {one!r}")
        found.append(name)
    return tuple(found)


def _parameters(given: Any, name: str) -> dict[str, float]:
    """Return the initial values of the parameters by name."""
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise ModelError(f"parameters must map names to initial values, not be a {type(given).__name__}")
    found = dict(zip(_names(list(given), f"the parameters of {name}"), given.values(), strict=True))
    for one, value in found.items():
        if not is_finite(value):
            raise ModelError(f"the initial value of {one} must be a finite number, not {value!r}")
    return {one: float(value) for one, value in found.items()}


def _count(value: Any, word: str, least: int, role: str) -> int:
    """Return a whole number. Raise ModelError for anything else."""
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:  # of a list of times, a float or an array with more than one number
        number = None
    if number is None or number < least:
        raise ModelError(f"{role} is a whole number from {least} on: {word}={value!r} is none")
    return number


def _tolerance(value: Any, word: str, name: str) -> float:
    """Return a tolerance. Raise ModelError for anything but a positive number."""
    if not is_finite(value) or not value > 0:
        raise ModelError(
            f"{word} of {name} is a positive number, such as 1e-6, not {value!r}: the error of each step is at most "
            "atol + rtol*|u|"
        )
    return float(value)


def _finite(name: str, values: Any, shape: tuple[int | None, ...], told: str) -> Any:
    """Return an array of finite numbers of a shape, in which None is any length. Raise ValueError for anything else."""
    sizes = str(shape).replace("None", "N")
    expected = f"expected {sizes}, {told}"
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of numbers; {expected}") from error
    if array.ndim != len(shape) or any(size not in (None, own) for size, own in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name} has the shape {array.shape}; {expected}")
    if None in shape and not array.size:
        raise ValueError(f"{name} is empty; {expected}, and at least one sample")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(int(k) for k in wrong[0])
        raise ValueError(f"{name}[{', '.join(map(str, place))}] is {array[place]}; {expected}, all finite")
    return array


def _resolved(short: Mapping[Symbol, Expr], role: str) -> dict[Symbol, Expr]:
    """Return abbreviations in which no other is left. Raise ModelError where they go in a circle."""
    done: dict[Symbol, Expr] = {}
    for one in _order(short, role):
        done[one] = short[one].xreplace(done)
    return done


def _ordered(rights: Mapping[Symbol, Expr], name: str) -> list[Symbol]:
    """Return states in an order in which each reads, at the same time, only states before it. Raise ModelError."""
    without = {one: right.xreplace({node: Dummy() for node in right.atoms(before)}) for one, right in rights.items()}
    return _order(without, f"the equations of {name}, at one time,")


def _order(formulas: Mapping[Symbol, Expr], role: str) -> list[Symbol]:
    """Return symbols in an order in which each formula reads only symbols before it. Raise ModelError for a circle."""
    done: list[Symbol] = []
    while len(done) < len(formulas):
        left = [one for one in formulas if one not in done]
        ready = [one for one in left if not {*symbols_of(formulas[one])} & {*left}]
        if not ready:
            raise ModelError(f"{role} go in a circle: {', '.join(one.name for one in left)}")
        done += ready
    return done
