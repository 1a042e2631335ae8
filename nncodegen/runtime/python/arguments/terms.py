"""Losses of several terms with separate samples: their samples as one X and one Y, and the residuals at them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ground.facts import slices
from ..ground.renamed import renamed
from .arguments import check_inputs, check_parameters, to_array, to_column, to_finite
from .points import Points
from .scalars import number
from .tables import Found, find

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..ground.facts import Term
    from ..ground.types import Array
    from ..native.model import Model
    from .options import CheckedOptions


class Samples:
    """The checked samples of all terms. Those of a term are an array X, or ``Points``, with or without targets."""

    def __init__(self, model: Model, data: Any, weights: Any, partly: bool = False) -> None:
        if not model.facts.samples.terms:
            raise ValueError(f"{model.name} has no terms with their own samples: give X and Y, not data")
        self.model = model
        self.terms = {term.name: term for term in model.facts.samples.terms}
        expected = f"expected a dictionary with samples for each term: {', '.join(self.terms)}"
        if not isinstance(data, Mapping):
            raise ValueError(f"data is {'missing' if data is None else f'no dictionary, but {data!r}'}; {expected}")
        _check_names("data", data, self.terms)
        self.term_weights = _term_weights(model, weights, self.terms)
        counted = [name for name in self.terms if self.term_weights[name] > 0]
        missing = [name for name in counted if name not in data]
        if missing and not partly:
            raise ValueError(
                f"data has no samples for the term {missing[0]!r}; {expected}; or give it the weight 0, "
                f"loss_weights={{{missing[0]!r}: 0}}"
            )
        self.data = {name: data[name] for name in counted if name in data}
        if not self.data:
            raise ValueError(f"data has no samples for any term that counts; {expected}")
        self.sizes: dict[str, int] = {}
        self.last: tuple[Array, Array] | None = None

    def next_draw(self, epoch: int) -> float:
        """Return the first epoch after this one before which points are drawn again; infinity if none is."""
        every = [points.every for points in map(_points_of, self.data.values()) if points and points.every]
        return min(((epoch // interval + 1) * interval for interval in every), default=math.inf)

    def at(self, epoch: int = 0) -> tuple[Array, Array]:
        """Return X and Y of an epoch: the samples of all terms, one term after the other."""
        model = self.model
        parts = {name: self._part(self.terms[name], epoch) for name in self.data}
        self.sizes = {name: len(X) for name, (X, _) in parts.items()}
        total = sum(self.sizes.values())
        X, Y = np.concatenate([X for X, _ in parts.values()]), np.zeros((total, len(model.target_names)), model.dtype)
        first = 0
        for name, (inputs, targets) in parts.items():
            term, last = self.terms[name], first + len(inputs)
            Y[first:last, model.target_names.index(term.scale)] = math.sqrt(
                self.term_weights[name] * total / len(inputs)
            )
            for column, target in enumerate(term.targets):
                Y[first:last, model.target_names.index(target)] = targets[:, column]
            first = last
        self.last = X, Y
        return X, Y

    def _part(self, term: Term, epoch: int) -> tuple[Array, Array]:
        """Return X and the targets of a term."""
        term_data, name = self.data[term.name], f"data[{term.name!r}]"
        if not term.targets and isinstance(term_data, tuple) and len(term_data) == 1:
            term_data = term_data[0]
        if term.targets and not (isinstance(term_data, tuple | list) and len(term_data) == 2):
            raise ValueError(
                f"{name} must be (X, Y), with the targets {', '.join(term.targets)} in Y, not {_kind(term_data)}"
            )
        X, Y = term_data if term.targets else (term_data, None)
        if isinstance(X, Points):
            X = X.draw(epoch // X.every if X.every else 0)
        try:
            inputs, samples = check_inputs(self.model, X)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        if not term.targets:
            return inputs, np.empty((samples, 0))
        return inputs, self._targets(term, name, Y(inputs) if callable(Y) else Y, samples)

    def _targets(self, term: Term, name: str, Y: Any, samples: int) -> Array:
        """Return the targets of a term as (N, targets); they are given by columns, by name, or as one number."""
        columns = len(term.targets)
        expected = f"expected ({samples}, {columns}), with the columns {', '.join(term.targets)}"
        values = find(f"the targets of {name}", Y, tuple((target, 1) for target in term.targets))
        if isinstance(values, Found):
            parts = [np.broadcast_to(np.asarray(part, float), samples) for part in values.parts.values()]
            values = np.column_stack(parts)
        Y = values
        array = to_column(to_array(self.model, f"the targets of {name}", Y, expected), columns)
        if array.ndim == 0:
            array = np.full((samples, columns), array)
        if array.shape != (samples, columns):
            raise ValueError(f"the targets of {name} have the shape {array.shape}; {expected}")
        return to_finite(self.model, f"the targets of {name}", array, expected)


def take_samples(model: Model, settings: CheckedOptions) -> Samples | None:
    """Set X and Y of a training or a search to the samples of all terms, if these are given; return the samples.

    Raises ValueError for data of another kind of model.
    """
    settings.X, settings.Y, samples = take_terms(
        model, settings.X, settings.Y, settings.data, settings.loss_weights, "sample_weight"
    )
    return samples


def take_terms(
    model: Model, X: Any, Y: Any, data: Any, loss_weights: Any, meant: str
) -> tuple[Any, Any, Samples | None]:
    """Return X and Y, as given or as the samples of all terms, and these samples (None if X and Y are given).

    ``meant`` is the argument, named in an error, for the weights of samples. Raises ValueError for data of another kind
    of model, and for loss_weights if there are no terms.
    """
    if data is None and (X is not None or not model.facts.samples.terms):
        if loss_weights is not None:
            raise ValueError(
                f"loss_weights are those of the terms of a network with losses by name, and go with data; what each "
                f"sample counts is {meant}"
            )
        return X, Y, None
    if X is not None or Y is not None:
        raise ValueError("give data, or X and Y, not both")
    samples = Samples(model, data, loss_weights)
    return *samples.at(), samples


@renamed("0.3.0", weights="loss_weights")
def stack(
    model: Model, /, data: Mapping[str, Any], loss_weights: Mapping[str, float] | None = None
) -> tuple[Array, Array]:
    """Return the samples of all terms of a loss as one X and one Y, as ``loss`` and its derivatives take them.

    data          {term: X}, or {term: (X, Y)} for a term with targets; X may be ``Points``, Y a function of X
    loss_weights  {term: number}: the weight of the mean of each term in the loss; 1 for those left out. A term of
                  weight 0 needs no data

    Raises ValueError for a term without data, or whose data do not fit.
    """
    return Samples(model, data, loss_weights).at()


def derivatives(model: Model, /, parameters: ArrayLike, X: ArrayLike) -> dict[str, Array]:
    """Return the outputs for the rows of X, and their derivatives that occur in the losses: arrays (N,) by name.

    Networks whose losses contain derivatives by inputs have them: "u_xx" is the second derivative of u by x. A sum
    of second derivatives, such as a Laplacian, is "u_sum"; its parts are included, too.
    """
    _check_terms(model, "derivatives")
    point = check_parameters(model, parameters)
    inputs, samples = check_inputs(model, X)
    values = _fields(model, point, inputs, np.zeros((samples, len(model.target_names)), model.dtype))
    return {name: values[name] for name in model.facts.samples.fields if name not in _parts(model)}


def residuals(model: Model, /, parameters: ArrayLike, data: Mapping[str, Any]) -> dict[str, Array]:
    """Return the residuals of the terms at their samples, before squaring: arrays (N,), or (N, equations).

    data holds samples as for ``train``, of all terms or of some.
    """
    _check_terms(model, "residuals")
    point = check_parameters(model, parameters)
    samples = Samples(model, data, None, partly=True)
    return residuals_at(model, point, *samples.at(), samples.sizes)


def residuals_at(model: Model, parameters: Array, X: Array, Y: Array, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Return the residuals of stacked samples; ``sizes`` is the number of samples of each term, in order."""
    values = _fields(model, parameters, X, Y)
    fields = {term.name: term.fields for term in model.facts.samples.terms}
    by_term = {}
    for name, rows in slices(sizes.items()):
        columns = [values[field][rows] for field in fields[name]]
        by_term[name] = columns[0] if len(columns) == 1 else np.column_stack(columns)
    return by_term


def _fields(model: Model, parameters: Array, X: Array, Y: Array) -> dict[str, Array]:
    """Return all fields by name."""
    values = np.empty((len(X), len(model.facts.samples.fields)), model.dtype)
    model.native.fields(parameters, X, Y, len(X), values)
    return {name: values[:, column].copy() for column, name in enumerate(model.facts.samples.fields)}


def _parts(model: Model) -> set[str]:
    return {field for term in model.facts.samples.terms for field in term.fields}


def _check_terms(model: Model, function: str) -> None:
    if not model.facts.samples.terms:
        raise ValueError(f"{function} is for networks with losses by name; {model.name} is none")


def _points_of(samples: Any) -> Points | None:
    """Return the ``Points`` among the samples of a term, or None."""
    first = samples[0] if isinstance(samples, tuple | list) and samples else samples
    return first if isinstance(first, Points) else None


def _term_weights(model: Model, loss_weights: Any, terms: Mapping[str, Any]) -> dict[str, float]:
    """Return the weight of each term."""
    if loss_weights is None:
        return dict.fromkeys(terms, 1.0)
    if not isinstance(loss_weights, Mapping):
        raise ValueError(f"loss_weights must be a dictionary of numbers by terms, not {loss_weights!r}")
    _check_names("loss_weights", loss_weights, terms)
    role = "loss_weights[{!r}]".format
    return {name: number(model, role(name), loss_weights.get(name, 1.0), 0.0, math.inf, False) for name in terms}


def _check_names(what: str, mapping: Mapping[Any, Any], known: Mapping[str, Any]) -> None:
    for name in mapping:
        if name not in known:
            raise ValueError(f"{what} names {name!r}, which there is not; there are: {', '.join(known)}")


def _kind(value: Any) -> str:
    return f"an array of the shape {value.shape}" if isinstance(value, np.ndarray) else f"{type(value).__name__}"
