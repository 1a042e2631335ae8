"""The options of a fit, each declared once: name, type, default, range and description.

The declarations in ``CheckedFitOptions`` determine the checks, the signatures and the documentation of ``fit`` and
``fit_many``, what ``curve_fit`` hands on, and the parameters of the estimators that fit. To add an option, declare it
here, and use it in ``fitting/fit.py``, or where the native fit is called (``fitting/problem.py``). What the problem and
its result keep is named in ``STORED``, too; all of that is handed on as one record.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from .declarations import ARRAY, FLAG, Kind, Option, Options, check_callback, option, optional, real, unchecked, whole
from .options import OPTIONS
from .scalars import SEED, THREADS

if TYPE_CHECKING:
    from ..native.model import Model
    from .bounds import Bounds

LOSSES = {"linear": 0, "huber": 1, "soft_l1": 2, "cauchy": 3}
"""The losses of residuals, by SciPy's names, and their numbers in C; all but the first are robust."""

TOLERANCE = {"float64": 1e-8, "float32": 1e-5}
"""The default tolerance. The remaining distance from the optimum is far below the standard errors, and single
fits continue with Gauss-Newton steps. In float32, much smaller values would be lost in rounding."""


def _check_loss(model: Model, name: str, value: Any) -> str:
    loss = "linear" if value is None else value
    if loss not in LOSSES:
        raise ValueError(f"{name} is {loss!r}; there are: {', '.join(map(repr, LOSSES))}")
    return loss if type(loss) is str else str(loss)


def _shared(name: str) -> Any:
    """Return the declaration of an option of ``train`` that a fit has, too."""
    return OPTIONS[name]._replace(section=False)


class CheckedFitOptions(Options):
    """The checked options of a fit: the given values, and the defaults of all others.

    A problem and its result have a record of this class, too, which holds those of ``KEPT`` alone (``kept``). It is not
    changed, but copied.
    """

    X: Any = option(
        ARRAY,
        None,
        "(N, inputs); with one input also (N,). Or a table, such as a DataFrame, or a mapping, whose\n"
        "columns are taken by the names of the inputs",
    )
    Y: Any = option(
        ARRAY,
        None,
        "(N, targets); with one target also (N,), or a table as in X. NaN means missing; with a loss that\n"
        "sees several outputs together, such as those of a softmax, they are all missing then. Labels\n"
        "(N,), if train takes them",
    )
    p0: Any = option(
        unchecked("ArrayLike | Mapping[Any, Any] | str | None"),
        None,
        "the start, within the bounds: (P,), or {name: value} of some; the others begin at the initial\n"
        "parameters, moved into the bounds if necessary, or, of a model whose output is a curve by name\n"
        'without values of its parameters, at estimates from the data. "auto": no start is needed, since\n'
        'one is looked for, as with n_starts="auto"',
    )
    sigma: Any = option(ARRAY, None, "standard deviations of the targets, above 0: a number, (N,), or the shape of Y")
    absolute_sigma: bool = option(
        FLAG,
        False,
        "whether sigma is in the units of the targets; by default it is right up to a factor, and the\n"
        "covariance is scaled by the reduced chi-square, as in scipy.optimize.curve_fit",
        help="The column of --sigma is in the units of the data; else it is right up to a factor.",
    )
    bounds: Any = option(
        unchecked("Any"),
        None,
        "(lower, upper), each a number or (P,); or {name: (lower, upper)}; None or infinity: no bound.\n"
        "Parameters of curves by name that a mapping leaves out have the bounds of the curve",
    )
    fixed: Any = option(
        unchecked("Iterable[Any] | Mapping[Any, Any]"),
        (),
        "names or indices of parameters that keep their starting values; or {name: value}, the values\nthat they keep",
    )
    lengths: Any = option(
        ARRAY, None, "(M,), the number of samples of each fit, which are the first of its N; by default all"
    )
    covariance: bool = option(
        FLAG,
        False,
        "whether to keep the covariances of the parameters, M*P*P numbers; standard errors always are",
    )
    loss: str = option(
        Kind("str | None", _check_loss, choices=tuple(LOSSES)),
        "linear",
        '"linear": residuals count as their squares; or a robust loss, "huber", "soft_l1" or "cauchy":\n'
        "residuals beyond f_scale count less, as in scipy.optimize.least_squares",
        help="How residuals count; all but the first bear outliers.",
    )
    f_scale: float = option(
        real(0.0, excludes_low=True),
        1.0,
        "the residual, divided by sigma, beyond which a robust loss grows slower than its square",
        help="The residual, divided by sigma, from which on that counts less.",
    )
    n_starts: Any = option(
        unchecked("int | str | None"),
        None,
        "the number of additional starting points, a Sobol sequence within the bounds, which all free\n"
        'parameters need; the best of all fits is the result. This needs SciPy. "auto": starting points\n'
        "are drawn from the scales of the data, without bounds; parameters that enter the formula\n"
        "linearly are projected out, and the best of many short fits is continued. This is for formulas",
    )
    seed: int = option(
        whole(0, SEED)._replace(checks_later=True),
        0,
        "the seed of starting points, and of the initial parameters of a network",
        help="Of starting points.",
    )
    tolerance: float = option(
        optional(real(0.0, 1.0)),
        cast("float", None),
        "the fit ends if a step changes the cost or the parameters by less than this fraction, or if the\n"
        "cosine between residuals and derivatives is below it; by default 1e-8, in float32 1e-5, and not\n"
        "less than rtol/10 where steps of differential equations are chosen",
        help="The fit ends if a step changes cost or parameters by less than this fraction.  [default: 1e-8]",
    )
    max_iterations: int = option(
        optional(whole(0, 2**31 - 1)),
        cast("int", None),
        "the most steps that are tried; by default 1,000 plus 100 for each parameter",
        help="The most steps that are tried.  [default: 1,000 plus 100 for each parameter]",
    )
    threads: int = option(
        whole(1, THREADS),
        1,
        "1 to 64 threads, which share the starting points",
        help="Threads that share the groups, or the starting points.",
    )
    data: Any = _shared("data")
    loss_weights: Any = _shared("loss_weights")
    time_limit: float | None = option(
        optional(real(0.0, excludes_low=True)),
        None,
        "the seconds after which to stop, with the best parameters so far. They do not count the\n"
        "compilation of a part of the module, which the first fit may need",
    )
    callback: Any = option(
        optional(Kind("Callable[[FitProgress], Any]", check_callback)),
        None,
        "a function of one argument, with the attributes iterations, cost, seconds and parameters, called\n"
        "after each iteration; it ends the fit if it returns something true",
    )
    progress: bool = option(FLAG, False, "show a bar on the standard error, as train does")
    groups: Any = option(
        unchecked("Any"),
        None,
        "a label for each sample, (N,): the samples of a label are a group, which has some parameters of\n"
        "its own and shares the others. Labels are numbers, texts, dates or tuples, none of them missing.\n"
        'Then threads share the groups, and p0="auto" or n_starts finds a start for each',
    )
    own: Any = option(
        unchecked("Any"),
        None,
        "the names of the parameters that each group has for itself; by default those of the model. Their\n"
        "values in p0 and fixed may be numbers, (G,) in the order in which groups first occur, or\n"
        "mappings from labels to numbers",
    )
    sigma_x: Any = option(
        unchecked("Any"),
        None,
        "standard deviations of the inputs, 0 for an exact one: a number, (N,) with one input,\n"
        "(N, inputs), or {name: values}. The fit then estimates the true inputs, too (orthogonal\n"
        "distances), also in groups. The model must have been built in this process",
    )

    @classmethod
    def of(cls, **values: Any) -> CheckedFitOptions:
        """Return options of these values, with the defaults of all others."""
        return cls(values)

    def kept(self, model: Model, bounds: Bounds | None, absolute_sigma: bool) -> CheckedFitOptions:
        """Return the options that a problem and its result keep, with what a model has as defaults.

        A model remembers its defaults, which fits share: small ones spend their time on such preparations.
        """
        usual: CheckedFitOptions | None = model.fit_options
        if usual is None:
            usual = model.fit_options = defaults_of(model)
        if bounds is None and not absolute_sigma and KEPT.isdisjoint(self.__dict__):
            return usual
        checked, values = usual.__dict__.copy(), self.__dict__
        for name in KEPT_AS_GIVEN:
            if name in values and values[name] is not None:
                checked[name] = values[name]
        checked["bounds"], checked["absolute_sigma"] = bounds, absolute_sigma
        return CheckedFitOptions(checked)

    @property
    def native_loss(self) -> tuple[int, float]:
        """Return the number of the loss in C, and its scale."""
        return LOSSES[self.loss], self.f_scale

    def stored(self, array: str) -> tuple[Any, ...]:
        """Return the options that an array of the file of a result holds, in their order: see ``STORED``."""
        return tuple(getattr(self, name) for name in STORED[array])


DECLARED = CheckedFitOptions.declared
"""The declarations by name, in the order of the signature of ``fit``."""

STORED = {"numbers": ("f_scale", "tolerance"), "counts": ("max_iterations", "absolute_sigma"), "texts": ("loss",)}
"""The options that a result keeps, by the array of its file that holds them, in their order.

Others are added at the end of an array: files of earlier versions lack them, and mean their defaults.
"""

KEPT = frozenset(["bounds"]).union(*STORED.values())
"""The options that problems, results and pickles keep."""

KEPT_AS_GIVEN = tuple(sorted(KEPT - {"bounds", "absolute_sigma"}))
"""Those of them whose values are the ones that the checks return."""


def defaults_of(model: Model) -> CheckedFitOptions:
    """Return the options that a problem keeps to which none is given, with the defaults that depend on a model."""
    usual = {name: DECLARED[name].default for name in KEPT}
    return CheckedFitOptions({**usual, "tolerance": tolerance_of(model), "max_iterations": iterations_of(model)})


def restored(model: Model, bounds: Bounds | None, **arrays: Iterable[Any]) -> CheckedFitOptions:
    """Return the options of a file from parts of its arrays. Raises ValueError for a value that no option has."""
    options: dict[str, Any] = {"bounds": bounds}
    for array, values in arrays.items():
        for name, value in zip(STORED[array], values, strict=False):
            kind = DECLARED[name].kind
            plain = bool(value) if kind is FLAG else value
            options[name] = kind.check(model, name, DECLARED[name].default if value == "" else plain)
    return CheckedFitOptions.of(**options)


def taken_from(state: dict[str, Any]) -> CheckedFitOptions:
    """Return the options that are in the state of a pickle of version 0.2 one by one, and take them out of it."""
    return CheckedFitOptions.of(**{name: state.pop(name) for name in KEPT if name in state})


def tolerance_of(model: Model, tolerance: float | None = None) -> float:
    """Return the tolerance of a fit; by default that of the model's precision.

    It is then not less than a tenth of the tolerance of chosen steps: below it, derivatives tell nothing of the cost,
    since a solution and its derivatives have errors of their own.
    """
    return max(TOLERANCE[model.precision], model.facts.steps.rtol / 10) if tolerance is None else tolerance


def iterations_of(model: Model, max_iterations: int | None = None) -> int:
    """Return the most steps that a fit tries; by default 1,000 plus 100 for each parameter."""
    return 1000 + 100 * model.parameter_count if max_iterations is None else max_iterations


def described(name: str, meaning: str) -> Option:
    """Return the declaration of an option that another function describes in its own words."""
    return DECLARED[name]._replace(meaning=meaning)
