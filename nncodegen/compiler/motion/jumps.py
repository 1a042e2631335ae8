"""Jumps of states at the times of a sample, such as doses: what each state becomes there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Expr, Symbol

from nncodegen.compiler.ir.graphs import symbols_of
from nncodegen.compiler.motion.before import before
from nncodegen.compiler.motion.equations import Reader, left_side, shown, symbol
from nncodegen.compiler.motion.networks import calls_of
from nncodegen.errors import ModelError

EXAMPLE = 'jumps={"depot": "depot + amount"}'


def read_jumps(jumps: Any, reader: Reader, states: Sequence[Symbol], model: str) -> dict[Symbol, Expr]:
    """Return the formula that each state with a jump becomes, of all symbols as they are before the jump.

    Raise ModelError for a name that is no state, and for a formula that reads earlier values or networks.
    """
    if jumps is None:
        return {}
    if not isinstance(jumps, Mapping):
        raise ModelError(
            f"jumps of {model} maps states to what they become at each time of a sample, as in {EXAMPLE}, not {jumps!r}"
        )
    formulas: dict[Symbol, Expr] = {}
    for key, formula in jumps.items():
        name, order = left_side(key, f"a key of jumps of {model}")
        label, state = shown(name, order), symbol(name, order)
        if state not in states:
            there = ", ".join(shown(*left_side(state, "")) for state in states)
            raise ModelError(f"jumps of {model} has {label}, which is no state; these are: {there}")
        if state in formulas:
            raise ModelError(f"jumps of {model} has {label} twice: write both changes in one formula")
        value = reader.read(formula, f"the jump of {label} of {model}")
        for node in value.atoms(before):
            raise ModelError(f"the jump of {label} of {model} has {node}: it reads what states are just before it")
        for call in calls_of([value]):
            raise ModelError(
                f"the jump of {label} of {model} has {call}: networks are for equations and for what is observed"
            )
        formulas[state] = value
    return formulas


def read_by(jumps: Mapping[Symbol, Expr]) -> set[Symbol]:
    """Return the symbols that jumps read."""
    return {*symbols_of(*jumps.values())}
