"""Functions whose options are declared in ``options.py``: their signatures, documentation and argument handling."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, TypeVar

from ..ground.habits import no_argument
from ..ground.renamed import current
from .options import FLAG, OPTIONS, CheckedOptions, Option

if TYPE_CHECKING:
    from ..native.model import Model

Function = TypeVar("Function", bound=Callable[..., Any])

RENAMED = "0.3.0", {
    "clip_norm": "clipnorm", "clip_value": "clipvalue", "restore_best": "restore_best_weights",
    "validation_fraction": "validation_split", "weights": "loss_weights",
}  # fmt: skip
"""The version in which old names of options go, and the present names."""


class Keywords:
    """The keywords of a function: its options in order, and the name of its further keyword arguments.

    required    the number of options, the first ones, that have no default
    changed     options whose declaration differs for this function
    """

    def __init__(
        self, function: str, names: tuple[str, ...], others: str, required: int = 0, **changed: Option
    ) -> None:
        self.function = function
        self.options = {name: changed.get(name, OPTIONS[name]) for name in names}
        self.others = others
        self.required = required
        self.defaults = {name: option.default for name, option in {**OPTIONS, **changed}.items()}

    def __call__(self, function: Function) -> Function:
        """Set the signature and documentation of a function from the options; its first argument is the model."""
        model = Parameter("model", Parameter.POSITIONAL_ONLY)
        others = Parameter(self.others, Parameter.VAR_KEYWORD, annotation="Any")
        options = [
            Parameter(
                name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if position < self.required else option.default,
                annotation=option.kind.type,
            )
            for position, (name, option) in enumerate(self.options.items())
        ]
        signature = Signature([model, *options, others], return_annotation="Result")
        function.__signature__ = signature  # type: ignore[attr-defined]
        if function.__doc__:  # with python -OO, there are no docstrings
            before = function.__doc__.partition("{options}")[0].rpartition("\n")[2]  # Python 3.13 strips it
            function.__doc__ = function.__doc__.replace("{options}", self.documentation(len(before)))
        return function

    def documentation(self, indent: int) -> str:
        """Return the descriptions of the options, indented by some spaces."""
        lines = []
        for name, option in self.options.items():
            if option.section:
                lines.append("")
            first, *rest = option.meaning.split("\n")
            lines += [f"{' ' * indent}{name:<21}{first}", *(" " * (indent + 21) + line for line in rest)]
        return "\n".join(lines).lstrip()

    def settings(
        self, model: Model, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[CheckedOptions, dict[str, Any]]:
        """Return the checked options as settings, and further keyword arguments. Raises TypeError and ValueError."""
        check_trainable(model)
        if "weights" in named and not model.facts.samples.terms:
            raise no_argument(self.function, "weights")
        if not RENAMED[1].keys().isdisjoint(named):
            named = current(*RENAMED, named)
        if len(given) > len(self.options):
            most = len(self.options)
            raise TypeError(f"{self.function}() takes at most {most} positional arguments, but {len(given)} were given")
        positional = dict(zip(self.options, given, strict=False))
        for name in named:
            if name in positional:
                raise TypeError(f"{self.function}() got multiple values for argument {name!r}")
        for name in [*self.options][: self.required]:
            if name not in positional and name not in named:
                raise TypeError(f"{self.function}() missing a required argument: {name!r}")
        values, others = self.defaults.copy(), {}
        for name, value in {**positional, **named}.items():
            if name not in self.options:
                others[name] = value
            elif value is not values[name]:
                values[name] = self.options[name].kind.check(model, name, value)
        return CheckedOptions(values), others


def check_trainable(model: Model) -> None:
    """Raise ValueError for a model without parameters."""
    if not model.parameter_count:
        raise ValueError(f"{model.name} has no parameters, so there is nothing to train: it predicts as it is")


def _without(*left_out: str) -> tuple[str, ...]:
    return tuple(name for name in OPTIONS if name not in left_out)


TRAIN = Keywords("train", _without("batches", "method"), "hyperparameters")

STREAM = Keywords(
    "train_on_stream",
    _without(
        "X", "Y", "data", "loss_weights", "method", "epochs", "tolerance", "sample_weight", "validation_split",
        "final_loss", "history",
    ),
    "hyperparameters", required=1, shuffle=OPTIONS["shuffle"]._replace(kind=FLAG, default=False),
)  # fmt: skip

MINIMIZE = Keywords(
    "minimize",
    (
        "X", "Y", "parameters", "method", "sample_weight", "class_weight", "classes", "l1", "l2", "seed", "data",
        "loss_weights",
    ),
    "options",
)  # fmt: skip
