"""Functions whose options are declared once: their signatures, documentation and argument handling.

The declarations are in ``options.py`` for trainings, in ``fit_options.py`` for fits. ``nn.export`` has its table of
options from here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..ground.names_elsewhere import no_argument
from ..ground.renamed import current
from .declarations import FLAG
from .fit_options import DECLARED, CheckedFitOptions, described
from .options import OPTIONS, CheckedOptions

if TYPE_CHECKING:
    from ..native.model import Model
    from .declarations import Option

Function = TypeVar("Function", bound=Callable[..., Any])
Settings = TypeVar("Settings", CheckedOptions, CheckedFitOptions)

RENAMED = (
    "0.3.0",
    {
        "clip_norm": "clipnorm",
        "clip_value": "clipvalue",
        "restore_best": "restore_best_weights",
        "validation_fraction": "validation_split",
        "weights": "loss_weights",
    },
)
"""The version in which old names of options of trainings go, and the present names."""

RENAMED_IN_FITS = (
    "0.3.0",
    {
        "parameters": "p0",
        "starts": "n_starts",
        "robust": "loss",
        "robust_scale": "f_scale",
        "weights": "loss_weights",
    },
)
"""The version in which old names of options of fits go, and the present names."""


class Keywords(Generic[Settings]):
    """The keywords of a function: its options in order, and the name of its further keyword arguments.

    declared    the class that declares the options, of which the settings are an instance
    returned    the name of the class that the function returns
    others      the name of its further keyword arguments; None if it has none
    required    the number of options, the first ones, that have no default
    renamed     the version in which old names go, and the present names
    changed     options whose declaration differs for this function
    """

    def __init__(
        self,
        function: str,
        declared: type[Settings],
        names: tuple[str, ...],
        returned: str,
        others: str | None = None,
        required: int = 0,
        renamed: tuple[str, dict[str, str]] = RENAMED,
        **changed: Option,
    ) -> None:
        every = {**declared.declared, **changed}
        self.function, self.returned, self.others, self.required = function, returned, others, required
        self.options = {name: every[name] for name in names}
        self.defaults = {name: option.default for name, option in every.items()}
        self._declared: type[Settings] = declared
        self._names = names
        self._required = names[:required]
        self._prepared = {
            name: (place, option.default, option.kind.check_of(option.default))
            for place, (name, option) in enumerate(self.options.items())
        }
        """The place, the default and the check of each. Defaults are allowed: a test checks them once for all calls."""
        self._unchecked = next(place for place, _, check in self._prepared.values() if check)
        """The number of options, the first ones, that need no check here."""
        self._changed = {
            name: option.default
            for name, option in changed.items()
            if option.default is not declared.declared[name].default
        }
        """The defaults that differ from those of the settings."""
        self._renamed = renamed[0], {old: new for old, new in renamed[1].items() if new in names}

    def __call__(self, function: Function) -> Function:
        """Set the signature and documentation of a function from the options; its first argument is the model."""
        model = Parameter("model", Parameter.POSITIONAL_ONLY)
        parameters: list[Parameter] = [
            Parameter(
                name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=Parameter.empty if position < self.required else option.default,
                annotation=option.kind.type,
            )
            for position, (name, option) in enumerate(self.options.items())
        ]
        if self.others is not None:
            parameters.append(Parameter(self.others, Parameter.VAR_KEYWORD, annotation="Any"))
        signature = Signature([model, *parameters], return_annotation=self.returned)
        function.__signature__ = signature  # type: ignore[attr-defined]
        tell_options(function, self.options)
        return function

    def settings(
        self, model: Model, positional: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[Settings, dict[str, Any]]:
        """Return the checked options as settings, and further keyword arguments. Raises TypeError and ValueError."""
        others: dict[str, Any] = {}
        places = len(positional)
        if places > self._unchecked:
            named, others = self._by_present_names(model, positional, named)
            positional, places = (), 0
        values: dict[str, Any] = dict(zip(self._names, positional))  # noqa: B905 (there are fewer)
        if self._changed:
            values = self._changed | values
        prepared = self._prepared
        for name, value in named.items():
            if name not in prepared:  # an old name, or a further argument: begin again without them
                named, others = self._by_present_names(model, positional, named)
                return self.settings(model, (), named)[0], others
            place, default, check = prepared[name]
            if place < places:
                raise self._given_twice(name)
            if value is not default:
                values[name] = check(model, name, value) if check else value
        if places < self.required:
            for name in self._required[places:]:
                if name not in named:
                    raise TypeError(f"{self.function}() missing a required argument: {name!r}")
        return self._declared(values), others

    def _by_present_names(
        self, model: Model, positional: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the options by their present names, and further keyword arguments. Raises TypeError."""
        if "weights" in named and not model.facts.samples.terms:
            raise no_argument(self.function, "weights")
        named = self._with_places(positional, named)
        if not self._renamed[1].keys().isdisjoint(named):
            named = current(*self._renamed, named)
        prepared_by_others = {name: value for name, value in named.items() if name not in self._prepared}
        if prepared_by_others and self.others is None:
            raise no_argument(self.function, next(iter(prepared_by_others)))
        return {name: value for name, value in named.items() if name in self._prepared}, prepared_by_others

    def _with_places(self, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        """Return all arguments by name, those that are given by their places first. Raises TypeError."""
        if len(positional) > len(self.options):
            most = len(self.options)
            raise TypeError(
                f"{self.function}() takes at most {most} positional arguments, but {len(positional)} were given"
            )
        by_name = dict(zip(self._names, positional, strict=False))
        for name in by_name.keys() & named.keys():
            raise self._given_twice(name)
        return by_name | named

    def _given_twice(self, name: str) -> TypeError:
        return TypeError(f"{self.function}() got multiple values for argument {name!r}")


def tell_options(function: Callable[..., Any], options: Mapping[str, Option]) -> None:
    """Replace "{options}" in the docstring of a function by a table of options."""
    if function.__doc__:  # with python -OO, there are no docstrings
        before = function.__doc__.partition("{options}")[0].rpartition("\n")[2]  # Python 3.13 strips it
        function.__doc__ = function.__doc__.replace("{options}", documentation(options, len(before)))


def documentation(options: Mapping[str, Option], indent: int) -> str:
    """Return the descriptions of options, indented by some spaces, with the first of them in its place."""
    lines, width = [], max(map(len, options)) + 2
    for name, option in options.items():
        if option.section:
            lines.append("")
        lines += rows_of(name, option.meaning, indent, width)
    return "\n".join(lines).lstrip()


def rows_of(name: str, meaning: str, indent: int, width: int) -> list[str]:
    """Return the rows of an option in the table of a docstring; descriptions begin after the width of all names."""
    first, *rest = meaning.split("\n")
    return [f"{' ' * indent}{name:<{width}}{first}", *(" " * (indent + width) + line for line in rest)]


def check_trainable(model: Model) -> None:
    """Raise ValueError for a model without parameters."""
    if not model.parameter_count:
        raise ValueError(f"{model.name} has no parameters, so there is nothing to train: it predicts as it is")


def _without(*left_out: str) -> tuple[str, ...]:
    return tuple(name for name in OPTIONS if name not in left_out)


TRAIN = Keywords("train", CheckedOptions, _without("batches", "method"), "Result", "hyperparameters")

STREAM = Keywords(
    "train_on_stream", CheckedOptions,
    _without(
        "X", "Y", "data", "loss_weights", "method", "epochs", "tolerance", "sample_weight", "validation_split",
        "final_loss", "history",
    ),
    "Result", "hyperparameters", required=1, shuffle=OPTIONS["shuffle"]._replace(kind=FLAG, default=False),
)  # fmt: skip

MINIMIZE = Keywords(
    "minimize", CheckedOptions,
    (
        "X", "Y", "parameters", "method", "sample_weight", "class_weight", "classes", "l1", "l2", "seed", "data",
        "loss_weights",
    ),
    "Result", "options",
)  # fmt: skip

FIT = Keywords(
    "fit",
    CheckedFitOptions,
    tuple(name for name in DECLARED if name not in ("lengths", "covariance")),
    "FitResult",
    renamed=RENAMED_IN_FITS,
)

FIT_MANY = Keywords(
    "fit_many", CheckedFitOptions,
    (
        "X", "Y", "p0", "sigma", "absolute_sigma", "bounds", "fixed", "lengths", "covariance", "tolerance",
        "max_iterations", "threads", "time_limit", "progress", "sigma_x",
    ),
    "ManyFits", renamed=("0.3.0", {"parameters": "p0"}),
    X=described("X",
        "(N, inputs), shared by all fits, or (M, N, inputs); with one input also (N,) or (M, N). Or a\n"
        "table or a mapping, whose columns are taken by the names of the inputs; a list may have one for\n"
        "each fit",
    ),
    Y=described("Y",
        "(M, N), or (M, N, targets) if there are several; NaN means missing. Without the first axis, all\n"
        "fits share it. A C-contiguous array in the module's precision is not copied. A list of arrays of\n"
        "unequal lengths, one for each fit, can be given, too; X, sigma and sigma_x are then such lists,\n"
        "or shared",
    ),
    p0=described("p0",
        "the start, within the bounds: (P,) for all fits, or (M, P), or {name: value} of some, with a\n"
        "value for all fits or (M,); the others begin at the initial parameters, moved into the bounds if\n"
        'necessary. "auto": a start is looked for in each set of data, as by fit',
    ),
    sigma=described("sigma",
        "standard deviations of the targets, above 0: a number, or an array of a shape that Y may have"
    ),
    fixed=described("fixed",
        "names or indices of parameters that keep their starting values; or {name: value}, the values\n"
        "that they keep, with a value for all fits or (M,)",
    ),
    tolerance=described("tolerance",
        DECLARED["tolerance"].meaning.replace("the fit ends", "a fit ends") + "; never less than 8\nunits of rounding"
    ),
    threads=described("threads", "1 to 64 threads, which share the fits"),
    time_limit=described("time_limit",
        "the seconds after which to stop: the fits that have not ended then keep their starts. They do\n"
        "not count the compilation of a part of the module, which the first fits may need",
    ),
    sigma_x=described("sigma_x",
        "standard deviations of the inputs, 0 for exact ones: a number, an array of a shape that X may\n"
        "have, or {name: values}. Each fit then estimates its true inputs, too, as ``fit`` does",
    ),
)  # fmt: skip
