"""The options of a fit as parameters of the estimators that fit: their names there, and their types for checkers."""

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

TYPED = '''
class FitParameters(TypedDict, total=False):
    """The parameters that FormulaRegressor and DynamicsRegressor share: options of ``fit``, for type checkers."""

{parameters}
'''


def emit_fit_parameters() -> str:
    """Return the text of a class with the types of the parameters."""
    types = {name: TYPES.get(name, FIT.options[option].kind.type) for name, option in PARAMETERS.items()}
    return TYPED.format(parameters="\n".join(f"    {name}: {type}" for name, type in types.items()))
