"""The system of differential equations of the sensitivities: the derivatives of a path by what is given.

For du/dt = f(t, u, g), the derivatives S = du/dg follow dS/dt = df/du*S + df/dg. They are further states, which choose
the steps together with u: the error of those by each g has a norm of its own, and the largest of all norms counts. So
a derivative is that of the steps with their lengths held fixed, and no less accurate than u. Where u becomes j(u, g) at
a time, S becomes dj/du*S + dj/dg.

The second derivatives times a direction v of g are the changes of S where g moves along v: states of a further system,
at most as many as there were, whatever the number of g is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from sympy import Add, Expr, S

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.names import take
from nncodegen.compiler.ir.systems import Formulas, Linear, System
from nncodegen.compiler.passes.linearize import change, slope, slopes_of
from nncodegen.errors import ModelError

MOST = 1000
"""The largest number of states together with their sensitivities: their rates lie on the stack of a thread. Where there
are more sensitivities, they are solved for in parts, each together with the states."""


def parts_of(states: int, given_count: int, index: str) -> tuple[tuple[str, int, int], ...]:
    """Return the parts of what is given by which a path is derived at once: the index, first and number of each.

    One part has the index of what is given. There are several where all derivatives together are very many: each has a
    solution of its own, with its steps.
    """
    count = -(-given_count // max(1, MOST // states - 1))
    size = -(-given_count // count)
    if count == 1:
        return ((index, 0, given_count),)
    firsts = range(0, given_count, size)
    return tuple((f"{index}{number}", first, min(size, given_count - first)) for number, first in enumerate(firsts, 1))


@lru_cache(maxsize=100)
def augmented(system: System, first: int, count: int) -> System:
    """Return the system whose path has the derivatives of another path by ``count`` of ``given``, from one on.

    Raise ModelError for a system that has derivatives itself, and for very many states.
    """
    size = len(system.states)
    if system.first:
        raise ModelError(f"{system.name} has no second derivatives: its steps follow an estimate of their error")
    if 2 * size > MOST:
        raise ModelError(
            f"{system.name} has {size} states, which with their derivatives by one parameter are more than the "
            f"{MOST:,} that {system.control.table.chosen} takes; give the method tsit5, which takes more, or a number "
            "of steps, such as steps=10"
        )
    taken = set(system.taken)
    slopes = [[slope(rate, state) for state in system.states] for rate in system.rates]
    states, starts, rates, jumps = [*system.states], [*system.starts], [*system.rates], [*system.jumps.values]
    turns = [[slope(jump, state) for state in system.states] for jump in jumps]
    for variable in system.given[first : first + count]:
        sensitivities = [Element(take(f"{state.tensor}_by_{variable.tensor}", taken)) for state in system.states]
        states += sensitivities
        starts += [S.One if start == variable else S.Zero for start in system.starts]
        rates += [
            Add(
                *(by_state * sensitivity for by_state, sensitivity in zip(row, sensitivities, strict=True)),
                slope(rate, variable),
            )
            for rate, row in zip(system.rates, slopes, strict=True)
        ]
        jumps += [
            Add(
                *(by_state * sensitivity for by_state, sensitivity in zip(row, sensitivities, strict=True)),
                slope(jump, variable),
            )
            for jump, row in zip(system.jumps.values, turns, strict=True)
        ]
    ending = f"_slopes_{first}" if count < len(system.given) else "_slopes"
    augmented_system = replace(
        system,
        name=f"{system.name}{ending}",
        states=tuple(states),
        starts=tuple(starts),
        motion=Formulas(tuple(rates), system.steps),
        first=size,
        jumps=Formulas(tuple(jumps)),
    )
    chosen = system.given[first : first + count]
    return (
        replace(augmented_system, linear=_linear(system, augmented_system, slopes, chosen, taken))
        if system.linear
        else augmented_system
    )


def has_second_derivatives(system: System) -> bool:
    """Return whether a path has second derivatives: for an explicit method, without networks, and of few states."""
    return not (system.implicit or system.weights) and 2 * len(system.states) * (1 + len(system.given)) <= MOST


@lru_cache(maxsize=100)
def moved_along(system: System) -> System:
    """Return the system whose path has the changes of the derivatives of another path in a direction of ``given``.

    It is for an augmented system, with the states u and their derivatives S. Where given changes by v, u changes by p,
    and S by W. These are further states, which follow the changes of the rates of u and S. The direction lies in the
    row of what is fixed, after all else. Raise ModelError for derivatives of these.
    """
    size, known = system.block, len(system.states)
    if system.first != size:
        raise ModelError(f"{system.name} has no third derivatives: its steps follow an estimate of their error")
    taken = set(system.taken)
    direction = {element: Element(take(f"{element.tensor}_direction", taken)) for element in system.given}
    moved = {element: Element(take(f"{element.tensor}_moved", taken)) for element in system.states}
    by = {**moved, **direction}

    def along(formulas: Sequence[Expr]) -> tuple[Expr, ...]:
        return tuple(change(formula, [*by], [*by.values()]) for formula in formulas)

    starts = tuple(direction.get(start, S.Zero) if isinstance(start, Element) else S.Zero for start in system.starts)
    return replace(
        system,
        name=f"{system.name}_moved",
        states=(*system.states, *moved.values()),
        starts=(*system.starts, *starts),
        fixed=(*system.fixed, *direction.values()),
        motion=Formulas((*system.rates, *along(system.rates)), system.steps),
        first=known + size,
        jumps=Formulas((*system.jumps.values, *along(system.jumps.values))),
    )


def _linear(
    system: System,
    augmented_system: System,
    slopes: Sequence[Sequence[Expr]],
    chosen: Sequence[Element],
    taken: set[str],
) -> Linear:
    """Return what an implicit method reads of a system with its sensitivities to what is chosen of ``given``.

    With it, the derivatives of a step are those by what is given, exactly: the rates of S are J*S + df/dg, which change
    with u in the direction v as dJ/du*v*S + d(df/dg)/du*v, and all S share the matrix of the states.
    """
    direction = tuple(Element(take(f"{state.tensor}_change", taken)) for state in system.states)

    def bent(rate: Expr) -> Expr:
        return change(rate, system.states, direction)

    bends = [[bent(entry) for entry in row] for row in slopes]
    size, bend = len(system.states), []
    for number, variable in enumerate(chosen, 1):
        sensitivities = augmented_system.states[number * size : (number + 1) * size]
        bend += [
            Add(
                *(entry * sensitivity for entry, sensitivity in zip(row, sensitivities, strict=True)),
                bent(slope(rate, variable)),
            )
            for rate, row in zip(system.rates, bends, strict=True)
        ]
    jacobian = tuple(entry for row in slopes for entry in row)
    return Linear(slopes_of(jacobian, augmented_system.rates, system.time), direction, Formulas(tuple(bend)))
