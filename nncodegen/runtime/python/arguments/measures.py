"""The figures that are measured in each epoch: the columns that the kernel writes, and the requested metrics.

The kernel measures three metrics in addition to the loss. All others, and the user's own functions, are computed from
predictions after each epoch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..ground.metrics import AVERAGED, AVERAGES, FIGURES, SAME, Figure, K

if TYPE_CHECKING:
    from ..ground.types import Array
    from ..native.model import Model

STATUS = ("completed", "converged", "stopped_early", "diverged", "interrupted")
"""The statuses of a call of the kernel, in the order of their numbers in C."""

COLUMNS = ("loss", "val_loss", "accuracy", "mae", "r2", "val_accuracy", "val_mae", "val_r2")
"""The figures of an epoch, in the order in which the kernel writes them."""

METRICS = ("accuracy", "mae", "r2")
"""The metrics of the kernel, in the order of their bits in its argument."""

_TOP = re.compile(r"top_(k|[1-9][0-9]{0,8})_accuracy")


class Measure(NamedTuple):
    """A requested metric: the name it was given, and its definition.

    ``native`` is the name of the kernel's metric, or "" if it is computed from predictions. For a user's function,
    ``figure`` is None, and so is ``higher``: whether a larger value is better is not known.
    """

    name: str
    native: str
    figure: Figure | None
    argument: Any = ""
    own: Callable[..., Any] | None = None

    @property
    def higher(self) -> bool | None:
        """Return whether a larger value is better; None if that is not known."""
        return None if self.figure is None else self.figure.higher

    def of_targets(self, targets: Array, outputs: Array, counts: Array | None) -> float:
        """Return the value of the user's function for some samples. Raises ValueError if it is not a number.

        counts are the weights of the samples; the function gets them if it takes them.
        """
        assert self.own is not None
        single = targets.ndim == 1 and outputs.shape[1] == 1
        result = self.own(targets, outputs[:, 0] if single else outputs, **self._weights(counts))
        try:
            return float(result)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the metric {self.name} gives {result!r}, which is no number") from error

    def _weights(self, counts: Array | None) -> dict[str, Array]:
        """Return the weights of the samples as a keyword argument, if the user's function takes it."""
        if counts is None:
            return {}
        try:
            known = inspect.signature(self.own).parameters  # type: ignore[arg-type]
        except (TypeError, ValueError):  # some functions written in C have no signature
            return {}
        return {"sample_weight": counts} if "sample_weight" in known else {}


def bits_of(metrics: tuple[Measure, ...]) -> int:
    """Return the bit mask of the kernel's metrics."""
    return sum({1 << METRICS.index(metric.native) for metric in metrics if metric.native}) if metrics else 0


def column_of(figure: str | None, metrics: tuple[Measure, ...]) -> int:
    """Return the column of the kernel that holds a figure; -1 for one that is computed from predictions, or None."""
    if figure not in COLUMNS:
        return -1
    matching = [metric for metric in metrics if metric.name == figure.removeprefix("val_")]
    return -1 if matching and not matching[0].native else COLUMNS.index(figure)


def choose_metrics(model: Model, metrics: Any) -> tuple[Measure, ...]:
    """Return the requested metrics, first those of the kernel in the order of METRICS. Raises ValueError."""
    if isinstance(metrics, Mapping):
        wanted = [(key, value) for key, value in metrics.items()]
    else:
        single = isinstance(metrics, str) or not isinstance(metrics, Iterable)
        wanted = [(None, value) for value in ((metrics,) if single else metrics)]
    chosen: dict[str, Measure] = {}
    for name, value in wanted:
        if isinstance(value, str) and value == "loss":
            continue
        measure = _measure(model, name, value)
        if chosen.setdefault(measure.name, measure).own is not measure.own:
            raise ValueError(f'two metrics have the name {measure.name!r}: give others, as {{"name": function}}')
    has_only_functions = (
        model.target_names
        and not model.facts.samples.terms
        and all(measure.own is not None for measure in chosen.values())
    )
    if chosen and not has_only_functions and not model.measures_size:
        raise ValueError(
            f"metrics compare outputs with targets, but the model has {model.output_count} outputs and "
            f"{len(model.target_names)} targets: compute them from predict()"
        )
    order = [measure for metric in METRICS for measure in chosen.values() if measure.native == metric]
    return (*order, *(measure for measure in chosen.values() if not measure.native))


def _measure(model: Model, name: Any, value: Any) -> Measure:
    """Return the metric for a name or for the user's function; its name is the one given, or that of the function."""
    if callable(value):
        return Measure(_own_name(getattr(value, "__name__", "") if name is None else name, value), "", None, own=value)
    label = f"{value}" if name is None else name if name == value else _own_name(name, value)
    canonical = SAME.get(value, value) if isinstance(value, str) else ""
    base, _, average = canonical.rpartition("_")
    top = _TOP.fullmatch(canonical)
    if top:
        k = K if top[1] == "k" else int(top[1])
        has_classes = model.accepts_labels or model.step_classes > 0
        classes = model.step_classes or len(model.target_names)
        if not has_classes or k >= classes:
            about = f"there are {classes}" if has_classes else "the targets are no classes"
            raise ValueError(f"the metric {value} is for more than {k} classes, of which a sample has one; {about}")
        return Measure(label, "", FIGURES["top_k_accuracy"], k)
    if canonical in FIGURES:
        native = canonical in METRICS and not model.step_classes
        return Measure(label, canonical if native else "", FIGURES[canonical])
    if base in AVERAGED and average in AVERAGES:
        return Measure(label, "", FIGURES[base], average)
    raise ValueError(
        f"there is no metric {value!r}; there are: loss, {', '.join(FIGURES)} (and top_3_accuracy), those of "
        f"{', '.join(AVERAGED)} that end with {', '.join(f'_{average}' for average in AVERAGES)}, and functions "
        f"(y_true, y_pred)"
    )


def _own_name(name: Any, value: Any) -> str:
    """Return a name for a user's metric, after checking that no other metric has it. Raises ValueError."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f'a metric that is a function needs a name: give {{"name": function}} for {value!r}')
    if name in COLUMNS or name.startswith("val_") or name in FIGURES or name in SAME:
        raise ValueError(f"{name!r} is the name of another metric: give {value!r} another one")
    return name
