"""``nncodegen.identifiability``: which parameters the observations of a model determine in principle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sympy import Add, Expr, Mul, Symbol

from nncodegen.compiler.describe.checks import bounded
from nncodegen.compiler.describe.grammar import as_expression
from nncodegen.compiler.ir.graphs import replaced, symbols_of
from nncodegen.errors import ModelError
from nncodegen.runtime.python.arguments.tables import Found, find, has_names
from nncodegen.runtime.python.ground.markup import listed
from nncodegen.structural.combinations import (
    MOST_DEGREE,
    MOST_IN_DIGITS,
    MOST_MONOMIALS,
    Known,
    Place,
    gradients,
    is_determined,
    monomials,
    polynomials,
)
from nncodegen.structural.experiments import Design
from nncodegen.structural.fields import DIGITS, PRIMES, Array, Digits, Field, NotRationalError, Residues, SingularError
from nncodegen.structural.information import Information, information, settled
from nncodegen.structural.result import Group, Identifiability
from nncodegen.structural.smooth import defined
from nncodegen.structural.symmetries import (
    components,
    constant_combinations,
    constant_directions,
    direction,
    invariants,
)
from nncodegen.structural.system import System, read

POINTS = 3
"""The random points at which directions are compared."""

TRIALS = 4
"""The number of points that are tried, where a value does not exist at one, or two evaluations disagree."""


@bounded("the model")
def identifiability(
    model: Any,
    X: Any = None,
    *,
    known: Any = (),
    unknown_initial: Any = (),
    samples: int | None = None,
    seed: int = 0,
) -> Identifiability:
    """Return which parameters of a model its observations can determine in principle, before there are data.

    model is a formula, ``nn.Model``, or equations of motion, ``nn.Dynamics``; observations are its outputs, without
    errors. A parameter is (locally, structurally) identifiable if they determine it up to a choice between separate
    values, at almost all values of all parameters. If it is not, no amount of data helps, and a fit does not converge
    or has errors without bounds; the result names the combinations that are determined.

    For a formula, the derivatives of outputs by parameters at random points decide; for differential equations, those
    of the Taylor coefficients of outputs in time (A. Sedoglavic, Journal of Symbolic Computation 33, 2002), which is as
    if outputs were observed at all times; for equations from time to time, those of outputs at the times of the model.
    Rational models are computed exactly, modulo primes; others (exp, unknown exponents, choices) with 100 and 150
    digits; where a formula has choices, at points near the start values of the parameters.

    X has the inputs of the samples, (N, inputs), or is a table, as ``fit`` takes them; without it, there are as many
    samples with random inputs as are useful, or ``samples`` of them. In differential equations, columns are random
    courses in time, and X is only for models without columns. known are names of parameters that are known, as if they
    were numbers. First values that are numbers, or formulas of inputs, are known, those that have parameters are as
    unknown as these; ``unknown_initial`` has the names of states whose first values are unknown nevertheless, or is
    True for all: then "S(0)" is an unknown with a verdict, the same in all samples. seed determines the random points.

    Raises ModelError for models that cannot be asked, such as networks and equations with jumps, and for unknown names;
    ValueError for X of a wrong shape.
    """
    system = read(model, known, unknown_initial)
    if samples is not None and (isinstance(samples, bool) or not isinstance(samples, int) or samples < 1):
        raise ModelError(f"samples is the number of samples, a whole number from 1 on, not {samples!r}")
    inputs, courses = _given_inputs(model, system, X)
    if inputs is not None and samples is not None:
        raise ModelError("the samples are the rows of X: give X or samples, not both")
    question = _Question(system, inputs, courses, samples, seed)
    try:
        return question.answer([Residues(prime) for prime in PRIMES], "exact")
    except NotRationalError:
        return question.answer([Digits(digits) for digits in DIGITS], f"{DIGITS[0]} digits")


def _given_inputs(model: Any, system: System, X: Any) -> tuple[Array | None, Array | None]:
    """Return the inputs that X has, (samples, inputs), and the courses of columns in equations from time to time."""
    if X is None:
        return None, None
    tensors = model.describe().inputs
    if has_names(X):
        X = find("X", X, tuple((tensor.name, tensor.size) for tensor in tensors))
        X = np.column_stack([np.asarray(each, float) for each in X.parts.values()]) if isinstance(X, Found) else X
    data = np.asarray(X, float)
    columns = sum(tensor.size for tensor in tensors)
    if data.ndim == 1 and columns == 1:
        data = data[:, None]
    if data.ndim != 2 or data.shape[1] != columns or not len(data):
        raise ValueError(f"X has the shape {data.shape}; expected (N, {columns}), a row for each sample, N from 1 on")
    if not np.all(np.isfinite(data)):
        raise ValueError("X has values that are not finite")
    if not system.states:
        return data, None
    names = [symbol.name for symbol in system.inputs]
    places, start = {}, 0
    for tensor in tensors:
        places[tensor.name] = slice(start, start + tensor.size)
        start += tensor.size
    if system.rates is not None and system.courses:
        raise ModelError(
            f"X fixes the inputs of {system.name}, but its column {system.courses[0]} is a course in time, of which X "
            "has a few values: leave X out, and give the number of samples"
        )
    inputs = np.concatenate([np.zeros((len(data), 0)), *(data[:, places[name]] for name in names)], axis=1)
    courses = np.stack([data[:, places[each.name]] for each in system.courses], axis=1) if system.courses else None
    return inputs, courses


@dataclass(frozen=True)
class _Question:
    """A system, and the experiments that it is observed in."""

    system: System
    inputs: Array | None
    courses: Array | None
    samples: int | None
    seed: int

    def answer(self, fields: Sequence[Field], arithmetic: str) -> Identifiability:
        """Return the result, once two evaluations agree. Raises NotRationalError, and ModelError where none does."""
        system, random = self.system, np.random.default_rng(self.seed)
        design: Design | None = None
        best: tuple[int, list[list[int]]] | None = None
        failure: Exception | None = None
        for trial in range(TRIALS):
            field = fields[trial % len(fields)]
            try:
                with field.precision():
                    if design is None:
                        design, seen = settled(system, field, random, self.inputs, self.courses, self.samples)
                    else:
                        seen = information(system, field, random, design)
                    verdict = len(seen.pivots), components(field, seen.null_space)
                    if best == verdict:
                        return self._result(field, random, design, seen, arithmetic)
            except SingularError as error:
                failure = error
                continue
            best = verdict if best is None or verdict[0] >= best[0] else best
        if failure is None:
            raise ModelError(
                f"{self.system.name} has unknowns whose effects are too much alike to be told apart with {DIGITS[-1]} "
                "digits at random points: ask for a part of the model, or with known parameters"
            )
        raise ModelError(
            f"{self.system.name} cannot be evaluated at random points: a formula divides by 0, or has no value or no "
            "derivative there or at the first values; treat first values as unknown with unknown_initial, or give X"
        ) from failure

    def _values(self, design: Design) -> int | None:
        """Return how many values are observed at most, if the number of samples is known."""
        system = self.system
        if self.inputs is None and self.samples is None and system.has_inputs:
            return None
        samples = self.samples or (1 if self.inputs is None else len(self.inputs))
        return samples * len(system.outputs) * system.times

    def _result(
        self, field: Field, random: np.random.Generator, design: Design, seen: Information, arithmetic: str
    ) -> Identifiability:
        system, unknowns = self.system, self.system.unknowns
        moving = components(field, seen.null_space)
        places = [_place(seen)]
        groups: list[Group] = []
        directions: list[Any] = []
        if moving:
            while len(places) < POINTS + 1:
                places.append(_place(information(system, field, random, design, seen.zeros)))
            groups, directions = self._groups(field, random, design, places, seen)
        return Identifiability(
            name=system.name,
            columns=tuple(symbol.name for symbol in unknowns),
            rank=len(seen.pivots),
            groups=tuple(groups),
            directions=tuple(directions),
            samples=design.experiments,
            orders=design.orders,
            arithmetic=arithmetic,
            values=self._values(design),
            has_choices=system.has_kinks,
            _determines=partial(_is_determined, self, design, field, places[0]),
        )

    def _groups(
        self,
        field: Field,
        random: np.random.Generator,
        design: Design,
        places: list[Place],
        seen: Information,
    ) -> tuple[list[Group], list[Any]]:
        """Return the unknowns that move together, with what is determined of them, and their symmetries."""
        unknowns, moving = self.system.unknowns, components(field, seen.null_space)
        everything = sorted(k for group in moving for k in group)
        certain = [k for k in range(len(unknowns)) if k not in everything]
        symbols = [unknowns[k] for k in everything]
        rows = [field.null_space(place.null_space)[:, everything] for place in places[:-1]]
        rows = [matrix[~np.all(field.is_zero(matrix), axis=1)] for matrix in rows]
        scales = [np.array([place.values[symbol][0] for symbol in symbols], field.dtype) for place in places[:-1]]
        scalings = constant_directions(field, rows, scales)
        translations = constant_directions(field, rows, None)
        directions = [direction(symbols, vector, True) for vector in scalings]
        directions += [direction(symbols, vector, False) for vector in translations]
        known = Known(field, unknowns, places[-1], certain)
        groups = []
        for columns in moving:
            inside = [everything.index(k) for k in columns]
            null_spaces = [place.null_space[:, list(columns)] for place in places[:-1]]
            rank = len(columns) - len(field.reduced(null_spaces[0])[1])
            group = [unknowns[k] for k in columns]
            candidates = [
                Add(*(factor * symbol for factor, symbol in zip(vector, group, strict=True)))
                for vector in constant_combinations(field, null_spaces, None)
            ]
            values = [scale[inside] for scale in scales]
            candidates += [
                Mul(*(symbol**factor for factor, symbol in zip(vector, group, strict=True)))
                for vector in constant_combinations(field, null_spaces, values)
            ]
            parts = ([[row[k] for k in inside] for row in matrix] for matrix in (scalings, translations))
            candidates += invariants(group, *parts)
            new = [formula for formula in candidates if known.add(formula)]
            most = MOST_IN_DIGITS if field.is_rounded else MOST_MONOMIALS
            for terms in _terms(group, [unknowns[k] for k in certain], most):
                if len(new) >= rank:
                    break
                enough = len(terms) // max(len(columns) - rank, 1) + 3
                while len(places) < enough:
                    places.insert(0, _place(information(self.system, field, random, design, seen.zeros)))
                formulas = polynomials(field, terms, unknowns, places[:enough])
                new += [formula for formula in formulas if known.add(formula)]
            groups.append(Group(tuple(symbol.name for symbol in group), rank, tuple(new)))
        return groups, directions


def _terms(moving: list[Symbol], certain: list[Symbol], most: int) -> list[list[Expr]]:
    """Return lists of monomials, of at most a number of them, among which polynomials are looked for."""
    lists = [
        monomials(symbols, degree) for symbols in (moving, moving + certain) for degree in range(2, MOST_DEGREE + 1)
    ]
    of_moving = {*moving}
    kept = [[term for term in terms if {*symbols_of(term)} & of_moving] for terms in lists]
    return sorted((terms for terms in kept if len(terms) <= most), key=len)


def _place(seen: Information) -> Place:
    """Return the point of an evaluation, in which own parameters are those of the first group."""
    return Place({symbol: values[:1] for symbol, values in seen.experiments.point.values.items()}, seen.null_space)


def _is_determined(question: _Question, design: Design, field: Field, place: Place, formula: Any) -> bool:
    """Return whether the observations determine a formula of a user. Raises ModelError.

    If it is not rational, but the model is, the model is evaluated again with many digits.
    """
    system = question.system
    expression = _read_formula(system, formula)
    try:
        with field.precision():
            slopes = gradients(field, [expression], system.unknowns, place.values)[0, 0]
            return is_determined(field, slopes, place.null_space)
    except NotRationalError:
        digits = Digits(DIGITS[0])
        with digits.precision():
            again = _place(information(system, digits, np.random.default_rng(question.seed), design))
        return _is_determined(question, design, digits, again, expression)
    except SingularError as error:
        raise ModelError(f"the formula {formula} has no value, or no derivative, at a random point") from error


def _read_formula(system: System, formula: Any) -> Expr:
    """Return a formula of unknowns and known parameters. Raises ModelError for one that has other names.

    A first value, "S(0)", has the name S_at_0 for the parser.
    """
    symbols = {symbol.name: symbol for symbol in (*system.unknowns, *system.known)}
    names = {name.replace("(0)", "_at_0").replace("'", "_prime"): symbol for name, symbol in symbols.items()}
    if isinstance(formula, str):
        for name, other in zip(symbols, names, strict=True):
            formula = formula.replace(name, other) if name != other else formula
    expression = as_expression(formula, names, "the formula")
    expression = replaced(
        expression, {symbol: symbols[symbol.name] for symbol in symbols_of(expression) if symbol.name in symbols}
    )
    for symbol in symbols_of(expression):
        if symbol not in symbols.values():
            raise ModelError(
                f"{symbol} is no parameter or unknown first value of {system.name}; there are: {listed([*symbols])}"
            )
    return defined(expression)
