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
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        assert np.isfinite(array).all(), "a NaN has many bits"
        found.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return found.hexdigest()


def hashes(module):
    """Return the hashes of predictions, of a gradient, and of the parameters after 200 updates."""
    X, Y = data(module)
    start = module.initial_parameters(3)
    if module.name.startswith("many"):
        found = module.train_many(X, Y, models=5, optimizer="adam", epochs=EPOCHS, batch_size=BATCH, seed=3)
        return {"trained together": digest(found.parameters, found.loss)}
    loss, gradient = module.loss_and_gradient(start, X, Y)
    in_batches = {"optimizer": "nadam", "epochs": EPOCHS, "batch_size": BATCH, "clipnorm": 1.0, "l2": 0.01}
    one_by_one = {"optimizer": "sgd", "epochs": 3, "batch_size": 1, "learning_rate": 0.002}
    trained = {"in batches": in_batches, "one by one": one_by_one}
    results = {name: module.train(X, Y, seed=3, **options) for name, options in trained.items()}
    predictions = (module.predict(start, X[:count]) for count in (SAMPLES, 1, 3))
    return {
        "predictions": digest(start, *predictions),
        "gradient": digest(loss, gradient),
        **{name: digest(result.parameters, result.metrics["loss"]) for name, result in results.items()},
    }


if __name__ == "__main__":
    print(json.dumps({name: hashes(importlib.import_module(name)) for name in sys.argv[1:]}))
