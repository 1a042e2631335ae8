"""The result of a test of identifiability: verdicts in words, and what is determined of what is not identifiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sympy import Expr

from nncodegen.runtime.python.ground.markup import aligned, listed, paragraph, table

IDENTIFIABLE, NOT_IDENTIFIABLE = "identifiable", "not identifiable"
"""The verdict for an unknown that observations determine, up to a choice between separate values, and for others."""

MOST_SHOWN = 4
"""The most combinations that a verdict names."""


@dataclass(frozen=True)
class Group:
    """Unknowns that are not identifiable and move together.

    ``rank`` is how many numbers the observations determine of them, and ``combinations`` has formulas of such numbers,
    none of which follows from the others and from identifiable unknowns.
    """

    names: tuple[str, ...]
    rank: int
    combinations: tuple[Expr, ...]

    @property
    def is_complete(self) -> bool:
        """Return whether the combinations are all that is determined."""
        return len(self.combinations) == self.rank

    def verdict(self, name: str) -> str:
        """Return the verdict for one of the unknowns in words."""
        if len(self.names) == 1:
            return f"{NOT_IDENTIFIABLE}: nothing that is observed depends on it"
        with_name = [str(each) for each in self.combinations if name in {symbol.name for symbol in each.free_symbols}]
        if with_name and self.is_complete:
            return f"{NOT_IDENTIFIABLE}: only {_and(with_name)} can be determined"
        return f"{NOT_IDENTIFIABLE}: moves together with {listed([other for other in self.names if other != name])}"


@dataclass(frozen=True)
class Identifiability:
    """The unknowns of a model that its observations can determine, before there are data.

    name            the name of the model
    columns         the names of the unknowns: parameters that are not known, then first values such as "S(0)"
    rank            how many numbers the observations determine of them, locally
    groups          unknowns that are not identifiable, in groups that move together: each has ``names``, ``rank`` and
                    ``combinations``
    directions      changes of unknowns that no observation sees, where they have a closed form: dicts from names to
                    rates, ``{"V": V, "k": -k}`` for a scaling and ``{"a": 1, "b": -1}`` for a translation
    samples, orders how many experiments, and how many derivatives in time (or times) of each output were enough
    arithmetic      "exact", modulo primes, or the digits of the numbers, "100 digits"
    values          how many values are observed, at all times of all samples; None if the number of samples is open
    has_choices     whether the model has choices (Piecewise, Abs, Max ...): of each, the branch at the random points
                    was looked at, and another one may determine more
    """

    name: str
    columns: tuple[str, ...]
    rank: int
    groups: tuple[Group, ...]
    directions: tuple[Mapping[str, Expr], ...]
    samples: int
    orders: int
    arithmetic: str
    values: int | None
    has_choices: bool
    _determines: Callable[[Any], bool] = field(repr=False, compare=False)

    @property
    def not_identifiable(self) -> tuple[str, ...]:
        """Return the names of the unknowns that the observations do not determine."""
        moving = {name for group in self.groups for name in group.names}
        return tuple(name for name in self.columns if name in moving)

    @property
    def identifiable(self) -> tuple[str, ...]:
        """Return the names of the unknowns that the observations determine, locally."""
        return tuple(name for name in self.columns if name not in self.not_identifiable)

    @property
    def is_identifiable(self) -> bool:
        """Return whether the observations determine all unknowns, locally."""
        return not self.groups

    @property
    def missing(self) -> int:
        """Return how many numbers are missing: as many unknowns must become known, at the right places."""
        return len(self.columns) - self.rank

    @property
    def combinations(self) -> tuple[Expr, ...]:
        """Return formulas of unknowns that are not identifiable, whose values the observations determine."""
        return tuple(formula for group in self.groups for formula in group.combinations)

    @property
    def is_complete(self) -> bool:
        """Return whether ``combinations`` are all that is determined of the unknowns that are not identifiable."""
        return all(group.is_complete for group in self.groups)

    @property
    def verdicts(self) -> dict[str, str]:
        """Return the verdict for each unknown in words."""
        moving = {name: group.verdict(name) for group in self.groups for name in group.names}
        if self.has_choices:
            where = f"{NOT_IDENTIFIABLE} in the branches that were looked at"
            moving = {name: verdict.replace(NOT_IDENTIFIABLE, where, 1) for name, verdict in moving.items()}
        return {name: moving.get(name, IDENTIFIABLE) for name in self.columns}

    def determines(self, formula: Any) -> bool:
        """Return whether the observations determine a formula of parameters and first values, locally.

        formula is a text or an expression of SymPy, such as "V*k". Raises ModelError for one that has other names.
        """
        return self._determines(formula)

    def __str__(self) -> str:
        lines = aligned(["unknown", "verdict"], [*self.verdicts.items()], texts=(0, 1))
        return "\n".join([self._title, *lines, *self._notes])

    @property
    def _title(self) -> str:
        count = len(self.columns)
        unknowns = f"{count} unknown{'s' * (count != 1)}"
        if self.is_identifiable:
            return f"{self.name}: the observations determine {'its' if count == 1 else 'all'} {unknowns}"
        return f"{self.name}: the observations determine {len(self.identifiable)} of {unknowns}"

    @property
    def _notes(self) -> list[str]:
        notes = []
        if self.values is not None and self.values < self.rank:
            notes.append(
                f"but there {'are' if self.values > 1 else 'is'} only {self.values} observed "
                f"value{'s' * (self.values > 1)}: to determine {self.rank} numbers takes as many, at more times or in "
                "more samples"
            )
        if self.is_identifiable:
            return notes
        if self.combinations:
            notes.append(f"determined of the others: {', '.join(map(str, self.combinations))}")
        hidden = self.rank - len(self.identifiable) - len(self.combinations)
        if hidden:
            more = "more combinations are" if hidden > 1 else "more combination is"
            notes.append(f"{hidden} {more} determined, which {'have' if hidden > 1 else 'has'} no simple formula")
        missing = self.missing
        notes.append(
            f"{missing} number{'s are' if missing > 1 else ' is'} missing: fix {'as many' if missing > 1 else 'one'} "
            "of the unknowns that move together, or observe more"
        )
        if self.has_choices:
            notes.append("of choices, the branches at the random points count; others may determine more")
        return notes

    def summary(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the table of verdicts, or pass it to ``print_fn``."""
        (print_fn or print)(str(self))

    def _repr_html_(self) -> str:
        notes = "".join(map(paragraph, self._notes))
        return f"<div>{paragraph(self._title, 'b')}{table(('unknown', 'verdict'), self.verdicts.items())}{notes}</div>"


def _and(texts: list[str]) -> str:
    """Join texts by commas and a last "and"."""
    shown = texts[:MOST_SHOWN]
    if len(texts) > MOST_SHOWN:
        return f"{', '.join(shown)} and {len(texts) - MOST_SHOWN} more"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]
