"""Models as plain formulas: states with their first values and rates, what is observed, and what is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sympy import Expr, Symbol

from nncodegen.compiler.describe import Model
from nncodegen.compiler.describe.hints import PRIME
from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.compiler.motion import Dynamics
from nncodegen.errors import ModelError
from nncodegen.runtime.python.ground.facts import name_of
from nncodegen.runtime.python.ground.markup import listed
from nncodegen.structural.smooth import defined, has_kinks


@dataclass(frozen=True)
class System:
    """A model as formulas.

    parameters and unknown first values, ``first``, map symbols to the numbers near which random points are drawn, if
    that has a meaning; ``known`` are parameters that are no unknowns. ``inputs`` are constants of an experiment,
    ``courses`` vary in time. ``states`` maps each state to its first value, ``rates`` to its rate; where equations lead
    from time to time, it is ``successors`` at each of ``times``, and ``states`` has the first value of all that they
    read of earlier times. ``own`` are parameters that each group of samples has for itself.
    """

    name: str
    parameters: Mapping[Symbol, float]
    outputs: tuple[Expr, ...]
    inputs: tuple[Symbol, ...] = ()
    courses: tuple[Symbol, ...] = ()
    time: Symbol | None = None
    start: float | None = None
    states: Mapping[Expr, Expr] | None = None
    rates: Mapping[Symbol, Expr] | None = None
    successors: Mapping[Symbol, Expr] | None = None
    times: int = 1
    first: Mapping[Symbol, float] | None = None
    known: tuple[Symbol, ...] = ()
    own: tuple[Symbol, ...] = ()

    @cached_property
    def unknowns(self) -> tuple[Symbol, ...]:
        """Return the unknowns, parameters before first values."""
        return (*(symbol for symbol in self.parameters if symbol not in self.known), *(self.first or ()))

    @cached_property
    def formulas(self) -> tuple[Expr, ...]:
        """Return all formulas."""
        several = (self.states or {}, self.rates or {}, self.successors or {})
        return (*(formula for formulas in several for formula in formulas.values()), *self.outputs)

    @cached_property
    def has_kinks(self) -> bool:
        """Return whether a formula has a choice, or a function with a kink."""
        return has_kinks(*self.formulas)

    @cached_property
    def is_generic(self) -> bool:
        """Return whether the first value of each state is an unknown of its own, which nothing else has."""
        firsts = list((self.states or {}).values())
        return len({*firsts}) == len(firsts) and all(
            first in self.unknowns and first not in symbols_of(*(self.rates or {}).values(), *self.outputs)
            for first in firsts
        )

    @property
    def has_inputs(self) -> bool:
        """Return whether experiments differ."""
        return bool(self.inputs or self.courses)


def read(model: Any, known: Any, unknown_initial: Any) -> System:
    """Return a model as formulas. Raises ModelError for models of other kinds, and for names that are not known."""
    if isinstance(model, Model):
        if unknown_initial is not False and unknown_initial != ():
            raise ModelError(f"{model.name} is a formula, without states: leave out unknown_initial")
        system = _of_formula(model)
    elif isinstance(model, Dynamics):
        system = _of_dynamics(model)
    else:
        kind = getattr(model, "kind", type(model).__name__)
        raise ModelError(
            f"identifiability is asked of a formula (nn.Model) or of equations of motion (nn.Dynamics), not of {kind}: "
            "the weights of a network have symmetries that no observation resolves"
        )
    symbols = {symbol.name: symbol for symbol in system.parameters}
    names = _names(known, "known")
    for name in names:
        if name not in symbols:
            raise ModelError(
                f"known has {name!r}, which is no parameter of {system.name}; there are: {listed([*symbols])}"
            )
    system = replace(system, known=tuple(symbols[name] for name in dict.fromkeys(names)))
    system = _with_unknown_firsts(system, unknown_initial) if isinstance(model, Dynamics) else system
    if not system.unknowns:
        raise ModelError(f"{system.name} has no unknown parameters: there is nothing to ask")
    return system


def _names(names: Any, argument: str) -> list[str]:
    """Return names that are given as symbols or texts. Raises ModelError for anything else."""
    if isinstance(names, str):
        names = names.replace(",", " ").split()
    if isinstance(names, Symbol) or not isinstance(names, Iterable):
        names = [names]
    listed_names = [name_of(name) if isinstance(name, str | Symbol) else name for name in names]
    for name in listed_names:
        if not isinstance(name, str):
            raise ModelError(f"{argument} has names or symbols, such as {argument}=['a'], not {name!r}")
    return listed_names


def _of_formula(model: Model) -> System:
    """Return a formula: what is observed is its outputs, or its loss, if some parameters are in the loss alone."""
    outputs = tuple(defined(output) for output in model.outputs)
    if not model.targets:
        raise ModelError(
            f"{model.name} has no targets, so nothing of it is observed: give targets and an output, as for a fit"
        )
    if ({*symbols_of(model.loss)} - {*symbols_of(*model.outputs)}) & {*model.parameters}:
        outputs = (*outputs, defined(model.loss))
    read_by = {*symbols_of(*outputs)}
    inputs = tuple(symbol for symbol in (*model.inputs, *model.targets) if symbol in (*model.inputs, *read_by))
    repeated = tuple(symbol for symbol in model.parameters if symbol.name in model.own)
    return System(model.name, dict(model.parameters), outputs, inputs, own=repeated)


def _of_dynamics(model: Dynamics) -> System:
    """Return equations of motion. Raises ModelError for what they cannot be asked for."""
    if model.networks.all:
        raise ModelError(
            f"{model.name} has a network, {model.networks.names[0]}, in its equations: the weights of a network have "
            "symmetries that no observation resolves; put a formula with parameters in its place, or a column"
        )
    if model.jumps:
        state = str(next(iter(model.jumps))).replace(PRIME, "'")
        raise ModelError(
            f"{model.name} has jumps, of {state}: ask the equations without them, from after a jump on, with its size "
            f'as an input: initial={{"{state}": "amount"}}, inputs="amount"'
        )
    time = Symbol(model.time)
    states = {what: defined(first) for what, first in model.initial_values.items()}
    rates = {state: defined(rate) for state, rate in model.rates.items()}
    system = System(
        model.name,
        {Symbol(name): value for name, value in model.parameters.items()},
        tuple(defined(output) for output in model.observed.values()),
        tuple(Symbol(name) for name in model.inputs),
        tuple(Symbol(name) for name in model.columns),
        start=model.start,
        states={state: states[state] for state in rates} if rates else states,
        rates=rates or None,
        successors={state: defined(formula) for state, formula in model.successors.items()} or None,
        times=model.times,
    )
    return replace(system, time=time) if time in symbols_of(*system.formulas) else system


def _with_unknown_firsts(system: System, unknown: Any) -> System:
    """Return a system in which first values are unknowns: those of states by name, or True for all."""
    assert system.states is not None
    shown = {str(state).replace(PRIME, "'"): state for state in system.states}
    chosen: Any = [*shown] if unknown is True else [] if unknown is False else unknown
    names = _names(chosen, "unknown_initial")
    for name in names:
        if name not in shown:
            raise ModelError(
                f"unknown_initial has {name!r}, which is no state of {system.name}; there are: {listed([*shown])}"
            )
    states, first = dict(system.states), dict[Symbol, float]()
    for name in names:
        state = shown[name]
        value = states[state]
        if value in system.unknowns:
            continue  # it is the parameter of that value
        states[state] = symbol = Symbol(f"{name}(0)")
        first[symbol] = float(value) if value.is_number else 1.0
    return replace(system, states=states, first=first)
