"""Names that other libraries have for arguments and attributes: what is meant by them here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

START = "give the start as parameters"
ITERATIONS = 'give options={"maxiter": ...}'
SIGMA = "give sigma, the standard deviations of the targets: 1/sqrt(weight)"
EXACT = "derivatives are exact, and need no options"
TO_TRAIN = "train has it; a fit takes all data in each step, and ends when it has converged"
TOLERANCE = "give tolerance, one number for all tests of convergence"

ARGUMENTS = {
    "train": {
        "lr": "give learning_rate", "callbacks": "give callback, a function of one argument, or several in a list",
        "verbose": "give progress=True, which shows a bar", "weights": "give sample_weight, what each sample counts",
        "sigma": "give sample_weight, 1/sigma**2 of each sample, or use fit", "p0": START, "x0": START,
        "initial": START, "loss": "the loss is one of the model: nncodegen.Sequential(..., loss=...)",
        "max_iterations": "give epochs", "max_iter": "give epochs", "n_epochs": "give epochs",
        "num_epochs": "give epochs", "bounds": "use minimize or fit",
        "early_stopping": "give patience, the epochs without a better one after which to stop",
        "betas": "give beta_1 and beta_2", "eps": "give epsilon", "tol": "give tolerance", "n_jobs": "give threads",
        "workers": "give threads", "random_state": "give seed", "alpha": "give l2", "device": "it runs on the CPU",
        "scheduler": "give schedule", "lr_schedule": "give schedule", "batchsize": "give batch_size",
    },
    "fit": {
        "epochs": f"{TO_TRAIN}, in at most max_iterations", "batch_size": TO_TRAIN, "optimizer": TO_TRAIN,
        "learning_rate": TO_TRAIN, "lr": TO_TRAIN, "validation_data": TO_TRAIN, "validation_split": TO_TRAIN,
        "shuffle": TO_TRAIN, "metrics": TO_TRAIN, "sample_weight": SIGMA, "weights": SIGMA, "w": SIGMA,
        "class_weight": TO_TRAIN, "callbacks": "give callback, a function of one argument",
        "verbose": "give progress=True, which shows a bar", "x0": "give the start as p0",
        "initial": "give the start as p0", "params": "give the start as p0, {name: value}",
        "method": "it has one, that of Levenberg and Marquardt; minimize has those of SciPy",
        "maxfev": "give max_iterations", "max_nfev": "give max_iterations", "maxiter": "give max_iterations",
        "max_iter": "give max_iterations", "ftol": TOLERANCE, "xtol": TOLERANCE, "gtol": TOLERANCE, "tol": TOLERANCE,
        "jac": EXACT, "diff_step": EXACT, "epsfcn": EXACT, "x_scale": "parameters are scaled by themselves",
        "diag": "parameters are scaled by themselves", "nan_policy": "NaN in Y means missing",
        "xdata": "give X", "ydata": "give Y", "x": "give X", "y": "give Y", "vary": "give fixed",
    },
    "minimize": {
        "p0": START, "x0": START, "start": START, "fun": "the module gives the loss to SciPy itself",
        "jac": "the module gives the gradient to SciPy itself", "args": "the module gives X and Y to the loss itself",
        "maxiter": ITERATIONS, "max_iterations": ITERATIONS, "max_iter": ITERATIONS, "epochs": ITERATIONS,
        "tolerance": "give tol", "sigma": "give sample_weight, 1/sigma**2 of each sample, or use fit",
        "weights": "give sample_weight, what each sample counts",
        "fixed": "give equal bounds of a parameter, or use fit",
    },
}  # fmt: skip
"""For each function: arguments that others have for the same purpose, and what to give here instead."""

RESULTS = {
    "params": "parameters", "params_": "parameters", "coef_": "parameters", "x": "parameters", "popt": "parameters",
    "best_values": "parameters, in the order of names", "pcov": "covariance", "cov_x": "covariance",
    "covar": "covariance", "perr": "standard_errors", "bse": "standard_errors", "stderr": "standard_errors",
    "stderrs": "standard_errors", "errors": "standard_errors", "conf_int": "confidence_intervals()",
    "chisqr": "chi2", "chisq": "chi2", "redchi": "reduced_chi2", "rsquared": "r2", "nfev": "evaluations",
    "nit": "iterations", "fun": "loss", "losses": "history", "best_fit": "predict(X)", "eval": "predict(X)",
    "fit_report": "summary()", "converged_": "success",
}  # fmt: skip
"""Attributes of results elsewhere, and those here."""

KEPT = "parameters are not kept in it: train and fit return them, and other functions take them"
OPTIONS = "optimizer, learning_rate and metrics are arguments of train, the loss is one of the model"
MODULES = {
    "compile": f"it is compiled already; {OPTIONS}",
    "curve_fit": "use fit",
    "score": "use evaluate(parameters, X, Y, metrics=...)",
    "weights": KEPT,
    "params": KEPT,
    "parameters": KEPT,
    "get_weights": KEPT,
    "state_dict": KEPT,
    "save": "results are saved: result.save(path); build(model, out=FOLDER) writes the module",
}
"""Attributes that others have in place of those of a module."""

BUILD = "build it first, module = nncodegen.build(model)"
MODELS = {
    "compile": f"nncodegen.build(model) compiles it; {OPTIONS}",
    "fit": f"{BUILD}; then module.train(X, Y, epochs=...) trains it, and module.fit(X, Y) fits it by least squares",
    **{name: f"{BUILD}, and call module.{name}" for name in (
        "train", "predict", "evaluate", "minimize", "fit_many", "train_many", "loss_and_gradient", "jacobian",
        "hessian", "initial_parameters", "generate",
    )},
}  # fmt: skip
"""Functions of modules, which a model has after it is built."""


def advice(function: str, name: str) -> str:
    """Return what to give instead of an argument, after a colon; an empty text where nothing is known."""
    replacement = ARGUMENTS.get(function, {}).get(name, "")
    return f": {replacement}" if replacement else ""


def no_argument(function: str, name: str) -> TypeError:
    """Return the error for an argument that a function does not have."""
    return TypeError(f"{function}() got an unexpected keyword argument {name!r}{advice(function, name)}")


def no_attribute(kind: str, name: str, meant: str) -> AttributeError:
    """Return the error for an attribute that others have."""
    return AttributeError(f"{kind} has no attribute {name!r}: {meant}")


def spelled(name: Any, known: Iterable[str]) -> Any:
    """Return the name among known ones that differs at most in case and underscores ("LeakyReLU"), or else the name."""
    if not isinstance(name, str) or name in (names := tuple(known)):
        return name
    return next((other for other in names if _plain(other) == _plain(name)), name)


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
