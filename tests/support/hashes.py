"""The hashes of what a module computes, with NumPy alone: another machine needs nothing else to print them.

``python hashes.py NAME ...`` imports modules by their names, and prints {name: hashes}.
"""

import hashlib
import importlib
import json
import sys

import numpy as np

SAMPLES, BATCH, EPOCHS = 67, 16, 40
"""Five batches in each epoch, the last of which is short: 200 updates."""

MANY_INPUTS, FEW_EPOCHS = 500, 2
"""A model with this number of inputs has fewer epochs: an emulator would take minutes for them."""


def data(module):
    """Return inputs and targets of a module, whose values are quotients of whole numbers."""
    random = np.random.default_rng(7)
    X = random.integers(-1000, 1001, (SAMPLES, len(module.input_names))) / 1000
    if len(module.input_names) == 1:
        X = abs(X) * 3 + 0.25
    if module.accepts_labels:
        return X, random.integers(0, len(module.target_names), SAMPLES)
    return X, random.integers(0, 2, (SAMPLES, len(module.target_names)))


def digest(*arrays):
    """Return the hash of the bits of some arrays, none of which holds NaN."""
    hasher = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        assert not np.isnan(array).any(), "a NaN has many bits"
        hasher.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return hasher.hexdigest()


def curve_data():
    """Return x (167, 1), y (167,), labels of groups and standard deviations: a curve that falls, with outliers."""
    random = np.random.default_rng(7)
    x = random.integers(1, 3000, 167) / 1000
    y = 2.5 / (1 + x) + 0.3 + random.integers(-50, 50, 167) / 1000
    y[::29] += 0.7
    return x[:, None], y, np.arange(167) % 3, (1 + x) / 64


def fit_hashes(module):
    """Return the hashes of fits: parameters, errors and figures; plain, robust within bounds, in groups."""
    x, y, labels, sigma = curve_data()
    a, b, c = module.parameter_names
    plain = module.fit(x, y, sigma=sigma)
    robust = {
        loss: module.fit(x, y, loss=loss, f_scale=1 / 32, bounds={b: (0, 0.3)}, fixed={c: 0.25})
        for loss in ("huber", "soft_l1", "cauchy")
    }
    grouped = module.fit(x, y, groups=labels, own=a, absolute_sigma=True, sigma=sigma)
    many = module.fit_many(x, y + np.arange(-5, 6)[:, None] / 64, covariance=True)
    single = many[3]
    return {
        "fit": told(plain),
        "robust": digest(*(value for fit in robust.values() for value in (fit.parameters, fit.covariance))),
        "intervals": digest(*plain.predict(x[:5], "prediction", sigma=0.25), plain.confidence_intervals(0.9)),
        "groups": digest(grouped.group_parameters, grouped.group_covariances, grouped.confidence_intervals()),
        "many": digest(many.parameters, many.standard_errors, many.covariance, many.chi2, single.correlation),
    }


def told(fit):
    """Return the hash of what a fit found: parameters, errors, and figures of its quality."""
    figures = (fit.cost, fit.chi2, fit.r2, fit.aic, fit.bic, fit.condition, fit.loss)
    return digest(fit.parameters, fit.covariance, fit.standard_errors, fit.correlation, fit.residuals, figures)


def equation_hashes(module):
    """Return the hashes of a model whose loss holds an equation and data: derivatives, and what 200 updates give."""
    random = np.random.default_rng(7)
    X = random.integers(-1000, 1001, (SAMPLES, 2)) / 1000
    samples = {"equation": X, "data": (X[:9], X[:9, :1] / 2)}
    start = module.initial_parameters(3)
    loss, gradient = module.loss_and_gradient(start, *module.stack(samples))
    result = module.train(data=samples, optimizer="adam", epochs=200, seed=3)
    fit = module.fit(data=samples, p0=start, max_iterations=5)
    return {
        "derivatives": digest(*module.derivatives(start, X).values(), *module.residuals(start, samples).values()),
        "gradient": digest(loss, gradient),
        "trained": digest(result.parameters, result.metrics["loss"]),
        "fit": digest(fit.parameters, fit.cost),
    }


def token_hashes(module):
    """Return the hashes of a model of sequences of tokens: as of others, and of steps and of what it generates."""
    random = np.random.default_rng(7)
    length, tokens = len(module.input_names), 5
    X, Y = random.integers(0, tokens, (2, SAMPLES, length))
    start = module.initial_parameters(3)
    loss, gradient = module.loss_and_gradient(start, X, Y)
    result = module.train(X, Y, optimizer="adam", epochs=EPOCHS, batch_size=BATCH, learning_rate=0.02, seed=3)
    state, by_step = None, []
    for position in range(length):
        probabilities, state = module.step(result.parameters, X[:, position], state)
        by_step.append(probabilities)
    prompts = [X[row, : 1 + row % 3] for row in range(SAMPLES)]
    drawn = [
        sequence
        for options in ({}, {"temperature": 0.7, "top_k": 3}, {"temperature": 3.0})
        for sequence in module.generate(result.parameters, prompts, length - 2, seed=5, **options)
    ]
    return {
        "predictions": digest(start, module.predict(start, X)),
        "gradient": digest(loss, gradient),
        "trained": digest(result.parameters, result.metrics["loss"]),
        "steps": digest(*by_step, state),
        "generated": digest(*drawn),
    }


def motion_hashes(module):
    """Return the hashes of equations of motion: solutions of samples alone and together, derivatives, and fits.

    Where networks are in the equations, derivatives are those of gradients and trainings.
    """
    random = np.random.default_rng(7)
    times = np.cumsum(random.integers(0, 400, (SAMPLES, 8)), axis=1) / 256
    X = np.column_stack([times, random.integers(1, 9, SAMPLES) / 8])
    start = module.initial_parameters(3)
    alone = (module.predict(start, X[n : n + 1]) for n in range(3))
    Y = module.predict(start, X) + random.integers(-100, 101, (SAMPLES, len(module.target_names))) / 4096
    loss, gradient = module.loss_and_gradient(start, X, Y)
    options = {"optimizer": "adam", "epochs": 4, "batch_size": BATCH, "learning_rate": 1 / 64}
    trained = module.train(X, Y, start, seed=3, **options)
    digests = {
        "predictions": digest(module.predict(start, X), *alone),
        "gradient": digest(loss, gradient),
        "trained": digest(trained.parameters, trained.metrics["loss"]),
    }
    if module.name.startswith("motion_network"):
        return digests
    fit = module.fit(X, Y, p0=start, max_iterations=4)
    fits = digest(fit.parameters, fit.covariance, fit.cost)
    return {**digests, "jacobian": digest(module.jacobian(start, X)), "fit": fits}


def hashes(module):
    """Return the hashes of predictions, a gradient, and parameters after 200 updates, fewer of a large model."""
    if module.name.startswith("motion"):
        return motion_hashes(module)
    if module.name.startswith("fit"):
        return fit_hashes(module)
    if module.name.startswith("equation"):
        return equation_hashes(module)
    if module.name.startswith("tokens"):
        return token_hashes(module)
    X, Y = data(module)
    start = module.initial_parameters(3)
    if module.name.startswith("many"):
        ensemble = module.train_many(X, Y, models=5, optimizer="adam", epochs=EPOCHS, batch_size=BATCH, seed=3)
        return {"trained together": digest(ensemble.parameters, ensemble.loss)}
    loss, gradient = module.loss_and_gradient(start, X, Y)
    epochs = EPOCHS if len(module.input_names) < MANY_INPUTS else FEW_EPOCHS
    in_batches = {"optimizer": "nadam", "epochs": epochs, "batch_size": BATCH, "clipnorm": 1.0, "l2": 0.01}
    one_by_one = {"optimizer": "sgd", "epochs": 3, "batch_size": 1, "learning_rate": 0.002}
    trained = {"in batches": in_batches, "one by one": one_by_one}
    results = {name: module.train(X, Y, seed=3, **options) for name, options in trained.items()}
    predictions = (module.predict(start, X[:count]) for count in (SAMPLES, 1, 3))
    fits = {}
    if module.name.startswith("network_fit"):
        fit = module.fit(X, Y, max_iterations=12)
        fits["fit"] = digest(fit.parameters, fit.covariance, module.hessian(start, X, Y))
    return {
        **fits,
        "predictions": digest(start, *predictions),
        "gradient": digest(loss, gradient),
        **{name: digest(result.parameters, result.metrics["loss"]) for name, result in results.items()},
    }


if __name__ == "__main__":
    print(json.dumps({name: hashes(importlib.import_module(name)) for name in sys.argv[1:]}))
