"""The options of a fit as parameters of estimators and of ``curve_fit``: their names there, and types for checkers."""

from __future__ import annotations

from nncodegen.runtime.python.arguments.calls import FIT

OF_DATA = ("X", "Y", "sigma", "data", "loss_weights", "groups", "own", "sigma_x")
"""The options that come with data: those of a method ``fit`` of scikit-learn, or none."""

OF_CALLS = ("time_limit", "callback", "progress")
"""The options that belong to one call, and are no property of an estimator."""

NAMES = {"seed": "random_state", "tolerance": "tol", "max_iterations": "max_iter"}
"""Options that have a name of their own in scikit-learn."""

PARAMETERS = {NAMES.get(name, name): name for name in FIT.options if name not in (*OF_DATA, *OF_CALLS)}
"""The parameters of an estimator that fits, each with the option that it is."""

DEFAULTS = {name: None if option == "seed" else FIT.defaults[option] for name, option in PARAMETERS.items()}

TYPES = {"random_state": "Any"}
"""The types of parameters that are wider than those of the options."""

OF_CURVE_FIT = ("X", "Y", "p0", "sigma", "absolute_sigma", "bounds")
"""The options that ``curve_fit`` declares itself, with SciPy's order and meaning."""

OTHERS = tuple(name for name in FIT.options if name not in OF_CURVE_FIT)
"""The options that ``curve_fit`` hands on."""

TYPED = '''
class FitOptions(TypedDict, total=False):
    """The options of ``fit`` that ``curve_fit`` hands on, for type checkers."""

{options}


class FitParameters(TypedDict, total=False):
    """The parameters that FormulaRegressor and DynamicsRegressor share: options of ``fit``, for type checkers."""

{parameters}
'''


def emit_fit_parameters() -> str:
    """Return the text of two classes with the types of options and parameters."""
    options = {name: FIT.options[name].kind.type for name in OTHERS}
    types = {name: TYPES.get(name, FIT.options[option].kind.type) for name, option in PARAMETERS.items()}
    return TYPED.format(options=_lines(options), parameters=_lines(types))


def _lines(types: dict[str, str]) -> str:
    return "\n".join(f"    {name}: {type}" for name, type in types.items())
