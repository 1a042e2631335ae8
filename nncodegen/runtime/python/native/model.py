"""A compiled model: its facts, its native functions, and quantities derived from them."""

from __future__ import annotations

import sys
from functools import cached_property
from importlib import import_module
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..ground.draw import constant_parameters
from ..ground.facts import Facts, Rule, columns, flat_names, slices
from ..ground.outcomes import Outcomes
from ..ground.rules import RULES, ShortRule
from ..ground.same_bits import PORTABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..ground.types import Array
    from .native import Native


_RESULTS: dict[str, Any] = {}
"""The classes of results by name (``result_of_model``)."""

Kind = TypeVar("Kind", bound=type)


def result_of_model(kind: Kind) -> Kind:
    """Register a class of results, so that the model of a pickled one can make it again."""
    _RESULTS[kind.__name__] = kind
    return kind


class Model:
    """A compiled model: the first argument of a module's functions. Undocumented attributes are those of the module."""

    def __init__(self, facts: Facts, native: Native, module: str) -> None:
        self.facts = facts
        self.native = native
        self.predict_short, self.loss_short, self.train_short = (
            native.predict_short,
            native.loss_short,
            native.train_short,
        )
        """Functions of the native part, which short calls need not look up."""
        self.module = module
        """The name under which the module is imported."""
        self.name = facts.name
        self.precision = facts.precision
        self.bits = facts.bits
        self.dtype: np.dtype[Any] = np.dtype(facts.precision)
        self.tiny, self.epsilon = (float(value) for value in (np.finfo(self.dtype).tiny, np.finfo(self.dtype).eps))
        """The smallest normal number of the precision, and the distance from 1 to the next larger number."""
        self.input_names = columns(facts.samples.inputs)
        self.target_names = columns(facts.samples.targets)
        self.output_names = columns(facts.samples.outputs)
        self.output_count = len(self.output_names)
        self.expected = _expectations(self.input_names, self.target_names)
        """The texts about expected arguments in error messages."""
        self.parameter_names = tuple(parameter.name for parameter in facts.parameters)
        self.parameter_shapes = {parameter.name: parameter.shape for parameter in facts.parameters}
        self.parameter_count = sum(parameter.size for parameter in facts.parameters)
        self.constants = constant_parameters(facts.parameters, self.dtype)
        """The initial parameters, if they do not depend on a seed; else None."""
        self.with_errors: Model | None = None
        """The model with the changes of its inputs as further parameters, once it has been needed."""
        self.has_told_of_order = False
        """True after a warning that the columns of a table are taken by name."""
        self.symmetries: Any = None
        """Those of a formula (``fitting/symmetries.py``), once a search has needed them."""
        self.fit_options: Any = None
        """The options of a fit to which none is given (``CheckedFitOptions``), once there was one."""
        self.drawn: tuple[int, Array] | None = None
        """The seed of the initial parameters that were drawn last, and these parameters."""
        self.accepts_labels = facts.samples.labels
        steps = not facts.samples.labels and len(facts.samples.targets) == len(facts.samples.label_targets) == 1
        self.step_classes = facts.samples.shapes.get(facts.samples.label_targets[0], (0,))[-1] if steps else 0
        """The number of classes of which each step of a sequence has one; 0 for other targets."""
        written_out, simplified = facts.operations
        self.operations = ({"written_out": written_out} if written_out else {}) | {"simplified": simplified}
        self.rules: dict[str, Rule] = {**RULES, **facts.rules}
        """The update rules by name, in the order of their indices in C."""
        self.rule_numbers = {name: number for number, name in enumerate(self.rules)}
        self.optimizers = {
            name: {hyper.name: hyper.default for hyper in rule.hyperparameters} for name, rule in self.rules.items()
        }
        self.option_count = max(len(rule.hyperparameters) for rule in self.rules.values())
        """The largest number of hyperparameters of a rule."""
        self.short_rules: dict[str, ShortRule] = {}
        """The rules that short trainings have used (``optimizers.short_rule``)."""
        self.state_size = native.state_size
        self.measures_size = native.measures_size
        self.variant, self.variants = native.variant, native.variants

    @cached_property
    def places(self) -> dict[str, slice]:
        """Return the slice of values that each name selects: a whole parameter, or one of its values."""
        places = {name: slice(p, p + 1) for p, name in enumerate(flat_names(self.facts.parameters))}
        return places | dict(slices((parameter.name, parameter.size) for parameter in self.facts.parameters))

    @property
    def documentation(self) -> str:
        """Return the docstring of the module."""
        return f"{self.name}: {self.what}. Compiled by nncodegen; needs only NumPy."

    @property
    def what(self) -> str:
        """Return the size of the model and its precision as a text."""
        return (
            f"{len(self.input_names)} inputs, {self.output_count} outputs, {self.parameter_count} parameters, "
            f"{self.precision}{', the same bits everywhere' if self.bits == PORTABLE else ''}"
        )

    def __repr__(self) -> str:
        return f"<model {self.name!r}: {self.what}>"

    def empty_result(self, name: str) -> Any:
        """Return an empty result of this model, given the name of its class: pickles of results are read by it."""
        kind = _RESULTS[name]
        result = kind.__new__(kind)
        result._model = self
        return result

    def told_outcomes(self, texts: Iterable[str]) -> Outcomes:
        """Return the outcomes that this model tells, given their texts: pickles of them are read by it."""
        outcomes = Outcomes(texts)
        outcomes._model = self
        return outcomes

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pickle the model by the name of its module: unpickling a function of it, or a Result, imports the module."""
        if getattr(sys.modules.get(self.module), "_model", None) is not self:
            raise PicklingError(f"the module {self.module} cannot be found by its name: import it before you pickle")
        return getattr, (_Module(self.module), "_model")


def _expectations(inputs: tuple[str, ...], targets: tuple[str, ...]) -> dict[str, str]:
    """Return the error texts about X, Y and labels in place of Y, given the names of the columns.

    They are made once for each model, because making them takes as long as a small gradient.
    """
    matrices = {
        name: f"expected (samples, {len(columns)}), with the columns {_listed(columns)}"
        for name, columns in (("X", inputs), ("Y", targets))
        if columns
    }
    count = len(targets)
    labels = f"expected labels 0 to {count - 1} of the shape (samples,), or (samples, {count}) probabilities"
    return {**matrices, "labels": labels}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{names[0]}, ..., {names[-1]}"


class _Module:
    """A stand-in for a module in a pickle: Python cannot pickle modules."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return import_module, (self.name,)
