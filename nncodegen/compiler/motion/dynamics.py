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
from nncodegen.compiler.describe.noise import OUTPUT, Noise, likelihood_steps, read_noise
from nncodegen.compiler.describe.noise import Given as GivenNoise
from nncodegen.compiler.describe.optimizers import Optimizer
from nncodegen.compiler.ir import SAMPLE, Element, Initial, Program, Step, Tensor, needed
from nncodegen.compiler.ir.evaluate import outcomes
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.compiler.ir.names import take, unused
from nncodegen.compiler.ir.program import FitTask, Likelihood, Task
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
from nncodegen.runtime.python.arguments.one_matrix import check_times
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

    noise says how targets are distributed about the outputs: the formula of a standard deviation of all that the model
    knows, its outputs among them, or a distribution such as nn.noise.laplace(formula); one for all outputs, in which
    ``output`` is the output itself, or one for each, in a list or by their names. Its parameters are estimated with all
    others: the loss is then the negative logarithm of the likelihood.

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
        noise: GivenNoise | Sequence[GivenNoise] | Mapping[str, GivenNoise] | None = None,
        name: str = "dynamics",
        optimizers: Sequence[Optimizer] = (),
    ) -> None:
        super().__init__(name, optimizers)
        self.time = _names([time], f"the time of {name}")[0]
        self.equations = read_equations(equations, name, self.time)
        self.differential = any(equation.order for equation in self.equations)
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
        self.steps = (
            None
            if steps is None
            else _count(steps, "steps", 1, f"the number of steps of {name} from a time to the next")
        )
        self._check_options(method, steps, start, interpolation)
        self.start = None if start is None else float(start)
        self._check_chosen(rtol, atol, max_steps)
        self.rtol = _tolerance(RTOL if rtol is None else rtol, "rtol", name)
        self.atol = _tolerance(ATOL if atol is None else atol, "atol", name)
        most = MOST_CHOSEN_STEPS if max_steps is None else max_steps
        self.max_steps = _count(most, "max_steps", 1, f"the largest number of steps of a trajectory of {name}")
        self.method, self.interpolation = method, interpolation
        self.loss = usual_name(loss)
        if noise is not None and self.loss != "mse":
            raise ModelError(f"noise says what the loss of {name} is: leave out loss={loss!r}")
        self._check_names()
        self._read(initial, observed, jumps, noise)
        self._program = self._describe()

    @property
    def states(self) -> tuple[str, ...]:
        """Return the names of the states, with those of derivatives that the equations make states as well: u, u'."""
        return tuple(
            shown(equation.name, order) for equation in self._moving for order in range(max(equation.order, 1))
        )

    @property
    def rates(self) -> dict[Symbol, Expr]:
        """Return the rate of each state, formulas of states, parameters, inputs, columns and the time.

        Abbreviations are replaced, and equations of higher order are several of first order. Without differential
        equations, there are none: ``successors`` has the formulas then.
        """
        return self._first_order()[0] if self.differential else {}

    @property
    def successors(self) -> dict[Symbol, Expr]:
        """Return the value of each state at a time, where equations lead from time to time.

        A formula may have ``before``, and states of the same time that come before its own in this order.
        """
        if self.differential:
            return {}
        formulas = {Symbol(equation.name): self._rights[equation.name] for equation in self._moving}
        return {state: formulas[state] for state in _ordered(formulas, self.name)}

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
        outcomes = self._outcomes(flat, data) if module is None else self._outcomes_of(module, flat, data)
        return advised(outcomes, isinstance(METHODS[self.method], RungeKutta))

    def _outcomes(self, parameters: Any, X: Any) -> Sequence[str]:
        """Return how the steps end that NumPy takes."""
        return outcomes(self._program, parameters, X)

    def _outcomes_of(self, module: Any, parameters: Any, X: Any) -> Sequence[str]:
        """Return how the steps of a compiled module end."""
        if module._model.facts.identity != identity_of(described(self, module.precision)):
            raise ModelError(f"the module {module.name} computes another model than {self.name}: build this one")
        outcomes = outcomes_in(module.predict(parameters, X))
        untold = [n for n, outcome in enumerate(outcomes) if outcome == UNTOLD]
        for n, outcome in zip(untold, self._outcomes(parameters, X[untold]) if untold else (), strict=True):
            outcomes[n] = outcome
        return outcomes

    def __repr__(self) -> str:
        lefts = ", ".join(equation.left for equation in self.equations)
        how = f"{self.times} times"
        if self.differential:
            steps = f"with {self.steps} steps between" if self.steps else f"to rtol={self.rtol:g} at"
            how = f"{self.method} {steps} {how}"
        parameters = ", ".join((*self.parameters, *(parameter.name for parameter in self.networks.parameters)))
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
            able = ", ".join(candidate.name for candidate in METHODS.values() if isinstance(candidate, RungeKutta))
            raise ModelError(
                f"{method} chooses its steps by an estimate of their error: leave out the steps of {name}, or give a "
                f"method that takes a number of them: {able}"
            )
        if self.steps and self.times * self.steps > MOST_STEPS:
            raise ModelError(f"{name} has {self.times} times {self.steps} steps, more than {MOST_STEPS:,}")

    def _check_chosen(self, *options: object) -> None:
        """Raise ModelError for options of steps that are chosen where none are."""
        if any(option is not None for option in options) and not (self.differential and self.steps is None):
            end = "leave them out, or leave out steps" if self.differential else "its equations have none"
            raise ModelError(f"rtol, atol and max_steps of {self.name} are for steps that are chosen: {end}")

    def _check_adaptive(self, method: str) -> None:
        """Raise ModelError where no estimate of the error can choose the steps."""
        if not METHODS[method].errors:
            able = ", ".join(candidate.name for candidate in METHODS.values() if candidate.errors)
            raise ModelError(
                f"{method} has no estimate of its error, by which the steps of {self.name} could be chosen: give their "
                f"number from a time to the next, such as steps=10, or the method {able}"
            )

    def _check_names(self) -> None:
        """Raise ModelError for a name that is given twice."""
        roles: dict[str, str] = {}
        names_by_role = {
            "the time": [self.time],
            "inputs": self.inputs,
            "columns": self.columns,
            "parameters": self.parameters,
            "the equations": [equation.name for equation in self.equations],
            "networks": self.networks.names,
            "the weights of networks": [parameter.name for parameter in self.networks.parameters],
        }
        for role, names in names_by_role.items():
            for name in names:
                check_name(name, f"a name in {role} of {self.name}")
                if name in roles:
                    raise ModelError(f"the name {name} of {self.name} is given twice, in {roles[name]} and in {role}")
                roles[name] = role

    # --- formulas ------------------------------------------------------------------------------------------------

    def _read(self, initial: Any, observed: Any, jumps: Any, noise: Any) -> None:
        """Read all formulas."""
        constant = [*map(Symbol, (*self.parameters, *self.inputs))]
        moving = [
            symbol(equation.name, order) for equation in self.equations for order in range(max(equation.order, 1))
        ]
        varying = [*moving, *map(Symbol, self.columns)]
        everything = [*constant, *varying, Symbol(self.time)]
        reader = Reader(everything, [*varying, Symbol(self.time)], self.networks.functions, self.time)
        roles = {equation.name: f"the equation {equation.left} = ... of {self.name}" for equation in self.equations}
        rights = {
            equation.name: reader.read(equation.right, roles[equation.name], everything) for equation in self.equations
        }
        self._check_kinds(rights)
        self._moving = [equation for equation in self.equations if equation.order or not self.differential]
        short = {
            Symbol(equation.name): rights[equation.name] for equation in self.equations if equation not in self._moving
        }
        self._short = _resolved(short, f"the abbreviations of {self.name}")
        self._rights = {equation.name: rights[equation.name].xreplace(self._short) for equation in self._moving}
        self.initial_values = self._read_initial(initial, reader, constant)
        self.observed = self._read_observed(observed, reader)
        self.jumps = self._read_jumps(jumps, reader)
        self.noise = self._read_noise(noise, reader, everything)
        self._check_calls()
        self._check_uses(
            {abbreviation.name: reader.named.pop(roles[abbreviation.name]) for abbreviation in self._short},
            reader.named.values(),
        )

    def _check_uses(self, short: dict[str, set[str]], others: Iterable[set[str]]) -> None:
        """Raise ModelError for a name that no formula reads, not even one in which it cancels.

        ``short`` has the names in abbreviations, each after those that it reads; ``others`` has those in all other
        formulas.
        """
        read = {name for names in others for name in names}
        for abbreviation in reversed(short):
            read |= short[abbreviation] if abbreviation in read else set()
        for kind, names in (("parameter", self.parameters), ("input", self.inputs), ("column", self.columns)):
            for name in names:
                if name not in read:
                    raise ModelError(
                        f"{self.name} does not use its {kind} {name}, which occurs in no equation, no initial value, "
                        f"no jump and nothing observed: leave {name} out, or write it into one of these"
                    )

    def _check_calls(self) -> None:
        """Raise ModelError for calls of networks that do not fit, and for a network that no equation calls."""
        for what, formula in self.initial_values.items():
            for call in calls_of([formula]):
                raise ModelError(
                    f"the initial value of {_told(what)} of {self.name} has {call}: networks are for equations and for "
                    "what is observed"
                )
        called = calls_of([*self._rights.values(), *self.observed.values(), *(noise.scale for noise in self.noise)])
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
        for equation in self.equations:
            looks_back = rights[equation.name].atoms(before)
            if looks_back and self.differential:
                raise ModelError(
                    f"the equation {equation.left} = ... of {self.name} has {next(iter(looks_back))}, but there are "
                    f"derivatives in time as well: equations look back, or have derivatives"
                )

    def _read_initial(self, initial: Any, reader: Reader, constant: Sequence[Symbol]) -> dict[Expr, Expr]:
        """Return the first value of each state; of each thing that ``before`` reads, in equations of times."""
        name = self.name
        if not isinstance(initial, Mapping):
            raise ModelError(
                f'initial maps the states of {name} to their first values, such as {{"u": 1}}, not {initial!r}'
            )
        asked: list[Expr] = [symbol(equation.name, k) for equation in self._moving for k in range(equation.order)]
        asked += [earlier(what, lag) for what, most in self._lags().items() for lag in range(1, most + 1)]
        starts: dict[Expr, Expr] = {}
        for key, value in initial.items():
            what = self._initial_key(key, reader)
            role = f"the initial value of {_told(what)} of {name}"
            if what not in asked and not any(isinstance(node, before) and node.args[0] == what for node in asked):
                there = ", ".join(_told(node) for node in asked) or "none"
                raise ModelError(f"initial of {name} has {_told(what)}, which needs no start; what does: {there}")
            starts[what] = reader.read(value, role, constant)
        for node in asked:
            whole = node.args[0] if isinstance(node, before) else node
            if node not in starts and whole not in starts:
                raise ModelError(
                    f"{_told(node)} of {name} has no start: give it in initial, such as {{{_told(node)!r}: 0}}"
                )
        return starts

    def _read_jumps(self, jumps: Any, reader: Reader) -> dict[Symbol, Expr]:
        """Return what states become at each time."""
        if jumps and not self.differential:
            raise ModelError(
                f"{self.name} has equations from time to time, in which states have no jumps: add them to the equations"
            )
        states = [symbol(equation.name, order) for equation in self._moving for order in range(equation.order)]
        formulas = read_jumps(jumps, reader, states, self.name)
        return {state: formula.xreplace(self._short) for state, formula in formulas.items()}

    def _read_noise(self, noise: Any, reader: Reader, everything: Sequence[Symbol]) -> tuple[Noise, ...]:
        """Return the noise of each output, in which outputs are symbols where no state has their name."""
        if noise is None:
            return ()
        known = {each.name for each in everything}
        outputs = [Symbol(name) for name in (*self.observed, OUTPUT.name) if name not in known]
        read = []
        for name, each in zip(self.observed, read_noise(noise, tuple(self.observed), self.name), strict=True):
            scale = reader.read(each.scale, f"the noise of {name} of {self.name}", [*everything, *outputs])
            if scale.atoms(before):
                raise ModelError(f"the noise of {name} of {self.name} looks back: give it an equation of its own")
            read.append(Noise(each.kind, scale.xreplace(self._short)))
        return tuple(read)

    def _lags(self) -> dict[Symbol, int]:
        """Return how many times back the equations look, for each state and column of which they read ``before``."""
        looks = {node for right in self._rights.values() for node in right.atoms(before)}
        ordered = sorted(looks, key=lambda node: (node.lag, str(node)))
        return {
            what: max(node.lag for node in looks if node.args[0] == what)
            for what in dict.fromkeys(node.args[0] for node in ordered)
        }

    def _initial_key(self, key: Any, reader: Reader) -> Expr:
        """Return what an entry of ``initial`` is for: a state, or an earlier value."""
        if isinstance(key, before) or (isinstance(key, str) and key.lstrip().startswith("before")):
            return reader.read(key, f"a key of initial of {self.name}")
        return symbol(*left_side(key, f"a key of initial of {self.name}"))

    def _read_observed(self, observed: Any, reader: Reader) -> dict[str, Expr]:
        """Return the formulas of the outputs by their names."""
        if observed is None:
            observed = [equation.name for equation in self._moving]
        role = f"what is observed of {self.name}"
        declared = {
            self.time: "the time",
            **dict.fromkeys(self.inputs, "an input"),
            **dict.fromkeys(self.columns, "a column"),
            **dict.fromkeys(self.parameters, "a parameter"),
        }
        if isinstance(observed, Mapping):
            keys = [left_side(key, f"a name of observed of {self.name}") for key in observed]
            for key in keys:
                if (name := _tensor(symbol(*key))) in declared:
                    raise ModelError(
                        f"observed of {self.name} gives an output the name {name}, which is that of "
                        f"{declared[name]}: give it another one"
                    )
            outputs = {
                _tensor(symbol(*key)): reader.read(formula, f"{shown(*key)}, which is observed of {self.name},")
                for key, formula in zip(keys, observed.values(), strict=True)
            }
        else:
            several = (
                [observed] if isinstance(observed, str | Expr) or not isinstance(observed, Iterable) else list(observed)
            )
            formulas = [reader.read(formula, role) for formula in several]
            endings = ["", *range(1, len(several) + 1)][len(several) > 1 :]
            names = self._output_names(formulas, endings, declared)
            outputs = dict(zip(names, formulas, strict=True))
        if len(outputs) < (len(observed) if isinstance(observed, Mapping) else len(formulas)):
            raise ModelError(f"two outputs of {self.name} have one name: give observed as a mapping from names")
        if not outputs:
            raise ModelError(f"nothing is observed of {self.name}: name at least one state or formula")
        for name, formula in outputs.items():
            if formula.atoms(before):
                raise ModelError(
                    f"{name}, which is observed of {self.name}, looks back: give it an equation of its own"
                )
        return {name: formula.xreplace(self._short) for name, formula in outputs.items()}

    def _output_names(self, formulas: Sequence[Expr], endings: Sequence[Any], declared: Collection[str]) -> list[str]:
        """Return the names of outputs that have none: those of states and abbreviations, otherwise free ones."""
        variables = {
            symbol(equation.name, order) for equation in self.equations for order in range(max(equation.order, 1))
        }
        variables = {variable for variable in variables if _tensor(variable) not in declared}
        taken = {*declared, *map(_tensor, variables)}
        wishes = [
            _tensor(formula) if isinstance(formula, Symbol) else f"output{ending}"
            for formula, ending in zip(formulas, endings, strict=False)
        ]
        return [
            wish if formula in variables else take(wish, taken) for formula, wish in zip(formulas, wishes, strict=True)
        ]

    # --- the program ---------------------------------------------------------------------------------------------

    def _describe(self) -> Program:
        """Return the program."""
        declared = (self.time, *self.inputs, *self.columns, *self.parameters)
        targets_named = ["y"] if len(self.observed) == 1 else [f"y_{name}" for name in self.observed]
        weights = [parameter.name for parameter in self.networks.parameters]
        writer = Writer((*declared, *weights, *self.observed, "loss", "loss_n", "weight"))
        targets = [Element(writer.name(name), (SAMPLE, OBSERVATION)) for name in targets_named]
        at: dict[Expr, Expr] = {Symbol(name): Element(name) for name in self.parameters}
        at |= {Symbol(name): Element(name, (SAMPLE,)) for name in self.inputs}
        at |= {Symbol(name): Element(name, (SAMPLE, OBSERVATION)) for name in (self.time, *self.columns)}
        extents = [(OBSERVATION, self.times)]
        if self.differential:
            extents += self._solve(writer, at) if self.steps is None else self._move(writer, at)
        else:
            self._follow(writer, at)
        called = [*self.observed.values(), *(noise.scale for noise in self.noise)]
        self.networks.write(called, writer, OBSERVATION, at, "observed")
        outputs = []
        for name, formula in self.observed.items():
            element = Element(name, (SAMPLE, OBSERVATION))
            outputs.append(Output(element, formula.xreplace(at)))
            if element not in {step.target for step in writer.steps}:
                writer.put(element, outputs[-1].formula)
        size = self.times * len(outputs)
        free = partial(unused, taken={*declared, *weights, *self.observed, *(y.tensor for y in targets)})
        elements = [output.element for output in outputs]
        entry, likelihood = entry_of(self.loss), None
        if self.noise:
            losses, likelihood = self._likelihood(elements, targets, at, size, free)
        else:
            terms = terms_together(entry, [Output(element, element) for element in elements], size)
            losses = loss_steps(terms, targets, 1, free)
        steps = needed((*writer.steps, *losses), [*(output.element for output in outputs), losses[-1].target])
        read = {operand.tensor for step in steps for operand in step.operands}
        has_time = self.differential or self.time in read
        return Program(
            name=self.name,
            inputs=(
                *([Tensor(self.time, (None, self.times))] if has_time else []),
                *(Tensor(name, (None,)) for name in self.inputs),
                *(Tensor(name, (None, self.times)) for name in self.columns),
            ),
            targets=tuple(Tensor(target.tensor, (None, self.times)) for target in targets),
            parameters=(
                *(Tensor(name, (), Initial("constant", value)) for name, value in self.parameters.items()),
                *self.networks.parameters,
            ),
            weight=Tensor(free("weight"), (None,)),
            steps=steps,
            outputs=tuple(output.element for output in outputs),
            loss=losses[-1].target,
            extents=(*extents, *self.networks.extents),
            task=Task(
                fits=FitTask(has_fit_by_default=True, likelihood=likelihood),
                least_squares=self.loss == "mse" and likelihood is None,
                sorted_inputs=(self.time,) if has_time else (),
                output_is_series=True,
                losses_per_sample=size if entry.total == "mean" else 1,
            ),
        )

    def _likelihood(
        self,
        outputs: Sequence[Element],
        targets: Sequence[Element],
        at: Mapping[Expr, Expr],
        size: int,
        free: Callable[[str], str],
    ) -> tuple[tuple[Step, ...], Likelihood]:
        """Return the steps from outputs to a loss that is the negative logarithm of a likelihood, and the latter."""
        by_name = {Symbol(name): output for name, output in zip(self.observed, outputs, strict=True)}
        known = [{**by_name, OUTPUT: output, **at} for output in outputs]
        scales = [noise.scale.xreplace(each) for noise, each in zip(self.noise, known, strict=True)]
        return likelihood_steps(self.noise, outputs, scales, targets, S.One / size, free)

    def _first_order(self) -> tuple[dict[Symbol, Expr], dict[Symbol, str]]:
        """Return the rates of all states, and their names in steps."""
        rates: dict[Symbol, Expr] = {}
        names: dict[Symbol, str] = {}
        for equation in self._moving:
            states = [symbol(equation.name, order) for order in range(equation.order)]
            rates |= dict(zip(states, (*states[1:], self._rights[equation.name]), strict=True))
            names |= {each: _tensor(each) for each in states}
        return rates, names

    def _solve(self, writer: Writer, at: dict[Expr, Expr]) -> list[tuple[str, int]]:
        """Write the path of differential equations, add the states to ``at``, and return the sizes of new indices."""
        rates, names = self._first_order()
        time = at[Symbol(self.time)]
        assert isinstance(time, Element)
        during, course = self._course(writer, at, {*symbols_of(*rates.values())})
        landed = {Symbol(name): Dummy(f"{name}_now") for name in self.columns if Symbol(name) in read_by(self.jumps)}
        course |= {now: at[column] for column, now in landed.items()}
        problem = Problem(
            name=self.name,
            control=Control(METHODS[self.method].table, self.rtol, self.atol, self.max_steps, self.start),
            time=Symbol(self.time),
            rates={state: rate.xreplace(during) for state, rate in rates.items()},
            starts={state: self.initial_values[state] for state in rates},
            names=names,
            parameters=tuple(map(Symbol, self.parameters)),
            inputs=tuple(map(Symbol, self.inputs)),
            networks=self.networks,
            course=course,
            jumps={state: formula.xreplace(landed) for state, formula in self.jumps.items()},
        )
        outputs = {state: output for state in rates if (output := self._output_of(state))}
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
        for column in columns:
            series = at[column]
            assert isinstance(series, Element)
            held = during[column] = Dummy(f"{column}_begin")
            course[held] = begin = writer.earlier(column.name, series, series)
            if linear:
                slope = Dummy(f"{column}_slope")
                interval = time - course[since]
                value = Piecewise(((series - begin) / interval, interval > 0), (S.Zero, True))
                course[slope] = writer.define(slope.name, OBSERVATION, value)
                during[column] = held + (now - since) * slope
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
        starts = {state: self.initial_values[state].xreplace(at) for state in rates}
        call = partial(self.networks.write, rates.values(), writer, grid.index)
        ends = solved(grid, method, rates, starts, names, known, call, self._jumps_at(grid, at))
        for state, end in ends.items():
            at[state] = grid.observed(self._output_of(state) or writer.name(f"{names[state]}_observed"), end)
        return [(STEP, grid.size)] if grid.index == STEP else []

    def _output_of(self, state: Expr) -> str | None:
        """Return the name of the first output that is a state itself, which is that of its values; None without one."""
        return next((name for name, formula in self.observed.items() if formula == state), None)

    def _jumps_at(self, grid: Grid, at: Mapping[Expr, Expr]) -> dict[Symbol, Expr]:
        """Return what states become at each time, formulas of the states and of all else in the steps that lead there.

        Columns and the time have their values at this time.
        """
        known = {Symbol(name): at[Symbol(name)] for name in (*self.parameters, *self.inputs)}
        read = read_by(self.jumps)
        for varying in (Symbol(name) for name in (self.time, *self.columns) if Symbol(name) in read):
            value = at[varying]
            assert isinstance(value, Element)
            known[varying] = grid.landed(varying.name, value)
        return {state: formula.xreplace(known) for state, formula in self.jumps.items()}

    def _during(
        self, grid: Grid, at: Mapping[Expr, Expr], read: set[Symbol], stages: Sequence[Expr]
    ) -> dict[Symbol, list[Expr]]:
        """Return what all symbols except states are at each stage of a step, given the times of stages as parts."""
        known: dict[Symbol, list[Expr]] = {
            Symbol(name): [at[Symbol(name)]] * len(stages) for name in (*self.parameters, *self.inputs)
        }
        if Symbol(self.time) in read:
            now = grid.held(f"{self.time}_now", grid.begin, grid.length)
            known[Symbol(self.time)] = [now + part * grid.length for part in stages]
        for column in (Symbol(name) for name in self.columns if Symbol(name) in read):
            series = at[column]
            assert isinstance(series, Element)
            begin = grid.writer.earlier(column.name, series, series)
            if self.interpolation == HELD:
                known[column] = [grid.held(f"{column.name}_held", begin)] * len(stages)
                continue
            change = grid.writer.define(f"{column.name}_change", OBSERVATION, series - begin)
            change = grid.held(f"{column.name}_step", grid.part(f"{column.name}_part", change))
            value = grid.held(f"{column.name}_now", begin, change)
            known[column] = [value + part * change for part in stages]
        return known

    def _follow(self, writer: Writer, at: dict[Expr, Expr]) -> None:
        """Write equations from time to time, and add what states are at each time to ``at``."""
        order = _ordered({Symbol(equation.name): self._rights[equation.name] for equation in self._moving}, self.name)
        states = {}
        for state in order:
            is_output = self.observed.get(state.name) == state
            wish = (
                state.name
                if is_output
                else writer.name(state.name if state.name not in self.observed else f"{state.name}_state")
            )
            states[state] = Element(wish, (SAMPLE, OBSERVATION))
        at |= states
        for what, most in self._lags().items():
            value = at[what]
            assert isinstance(value, Element)
            name = value.tensor
            for lag in range(1, most + 1):
                node = earlier(what, lag)
                start = self.initial_values[node if node in self.initial_values else what]
                at[node] = value = writer.earlier(f"{name}{lag}" if lag > 1 else name, value, start.xreplace(at))
        for state in order:
            self.networks.write([self._rights[state.name]], writer, OBSERVATION, at, state.name)
            writer.put(states[state], self._rights[state.name].xreplace(at))


def _told(what: Expr) -> str:
    """Return a state or an earlier value as people write it."""
    return str(what).replace(PRIME, "'")


def _tensor(what: Symbol) -> str:
    """Return the name of a state or an output in steps, in C and in results."""
    name: str = what.name
    return name.replace(PRIME, "_prime")


def _names(names: Any, role: str) -> tuple[str, ...]:
    """Return names, which are given as symbols or texts, or all in one text. Raise ModelError for anything else."""
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    if isinstance(names, Symbol) or not isinstance(names, Iterable):
        names = [names]
    texts = []
    for entry in names:
        name = entry.name if isinstance(entry, Symbol) else entry
        if not isinstance(name, str) or not name.isidentifier():
            raise ModelError(f"{role} must be names or symbols, such as 'x', not {entry!r}")
        texts.append(name)
    return tuple(texts)


def _parameters(parameters: Any, name: str) -> dict[str, float]:
    """Return the initial values of the parameters by name."""
    if not parameters:
        return {}
    if not isinstance(parameters, Mapping):
        raise ModelError(f"parameters must map names to initial values, not be a {type(parameters).__name__}")
    values = dict(zip(_names(list(parameters), f"the parameters of {name}"), parameters.values(), strict=True))
    for parameter, value in values.items():
        if not is_finite(value):
            raise ModelError(f"the initial value of {parameter} must be a finite number, not {value!r}")
    return {parameter: float(value) for parameter, value in values.items()}


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


def _finite(name: str, values: Any, shape: tuple[int | None, ...], hint: str) -> Any:
    """Return an array of finite numbers of a shape, in which None is any length. Raise ValueError for anything else."""
    sizes = str(shape).replace("None", "N")
    expected = f"expected {sizes}, {hint}"
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of numbers; {expected}") from error
    if array.ndim != len(shape) or any(
        size not in (None, length) for size, length in zip(shape, array.shape, strict=True)
    ):
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
    for abbreviation in _order(short, role):
        done[abbreviation] = short[abbreviation].xreplace(done)
    return done


def _ordered(rights: Mapping[Symbol, Expr], name: str) -> list[Symbol]:
    """Return states in an order in which each reads, at the same time, only states before it. Raise ModelError."""
    without = {
        state: right.xreplace({node: Dummy() for node in right.atoms(before)}) for state, right in rights.items()
    }
    return _order(without, f"the equations of {name}, at one time,")


def _order(formulas: Mapping[Symbol, Expr], role: str) -> list[Symbol]:
    """Return symbols in an order in which each formula reads only symbols before it. Raise ModelError for a circle."""
    done: list[Symbol] = []
    while len(done) < len(formulas):
        left = [symbol for symbol in formulas if symbol not in done]
        ready = [symbol for symbol in left if not {*symbols_of(formulas[symbol])} & {*left}]
        if not ready:
            raise ModelError(f"{role} go in a circle: {', '.join(symbol.name for symbol in left)}")
        done += ready
    return done
