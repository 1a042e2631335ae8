"""The workloads, with their cases and precisions. To add one, add an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nncodegen import perceptron
from nncodegen.bench import data
from nncodegen.bench.attending import Tokens
from nncodegen.bench.convolving import Windowed
from nncodegen.bench.curves import GAUSSIAN, LOGISTIC, SPOT
from nncodegen.bench.moving import FIT, FITS, JACOBIAN, JACOBIANS, SOLVE, motion, trajectories
from nncodegen.bench.reactions import reactions
from nncodegen.bench.recurring import Sequences
from nncodegen.bench.tasks import (
    Array,
    Equation,
    Fit,
    Gradient,
    Peaks,
    PerceptronTask,
    Prediction,
    Stack,
    Task,
    Training,
)
from nncodegen.compiler.describe import Model, Network, Sequential
from nncodegen.compiler.motion import Dynamics

CHAIN = Stack("chain", 4, ((32, "tanh"), (16, "tanh"), (4, "linear")), "mse")
SPIRAL = Stack("spiral", 2, ((16, "tanh"), (16, "tanh"), (2, "softmax")), "categorical_crossentropy")
DIGITS = Stack("digits", 64, ((32, "tanh"), (10, "softmax")), "categorical_crossentropy")
CURVE = Peaks("curve")
SMALL = Stack("small", 8, ((16, "tanh"), (1, "linear")), "mse")
WIDE = Stack("wide", 784, ((128, "relu"), (10, "softmax")), "categorical_crossentropy")

LENET = Windowed("lenet", (28, 28, 1), (6, 16), 5, True, (120, 84, 10))
CONV1D = Windowed("conv1d", (128, 8), (16, 16, 16), 5, False, (10,))
BURGERS = Stack("burgers", 2, (*[(20, "tanh")] * 8, (1, "linear")), "mse")

MICROGPT, TRANSFORMER = Tokens("microgpt", 16, 16, 4, 27, 1), Tokens("transformer", 64, 64, 4, 65, 2)

LSTM, LSTM_16 = Sequences("lstm", 50, 8, 32), Sequences("lstm_16", 1, 1, 16, 0)

BOTH, DOUBLE = ("float64", "float32"), ("float64",)


@dataclass(frozen=True)
class Workload:
    """A workload: a description, its cases, its default precisions.

    ``task(case, precision, quick)`` makes the task of a case; ``quick`` makes it small. A workload without a task is
    measured by special functions. ``step`` says what one step is.
    """

    what: str
    precisions: tuple[str, ...]
    cases: tuple[str, ...] = ("",)
    task: Callable[[str, str, bool], Task] | None = None
    step: str = "update"


LONG = "simultaneous, 99,900 iterations"


def _perceptron(case: str, precision: str, quick: bool) -> Task:
    start = np.array([list(perceptron.model.parameters.values())], dtype=precision)
    iterations = 100 * perceptron.EPOCHS if case == LONG and not quick else perceptron.EPOCHS
    return _formula(start, iterations, case == "sequential")


def _ensemble(case: str, precision: str, quick: bool) -> Task:
    models, iterations = (64, 99) if quick else (1024, perceptron.EPOCHS)
    center = np.array(list(perceptron.model.parameters.values()), float)
    noise = np.random.default_rng(4).standard_normal((models, len(center)))
    return _formula((center + 0.5 * noise).astype(precision), iterations, False)


def _formula(starts: Array, iterations: int, sequential: bool) -> Task:
    x, y = (np.array(values, dtype=starts.dtype) for values in (perceptron.X, perceptron.Y))
    return PerceptronTask(starts, x, y, perceptron.LEARNING_RATE, iterations, sequential)


def _curve(case: str, precision: str, quick: bool) -> Task:
    X, Y = (a.astype(precision) for a in data.noisy_peaks(1000 if quick else 10_000))
    start = np.array([1.0, 0.8, 0.6, -2.0, 0.1, 2.0, 0.7, 0.9, 1.1, 0.05], precision)
    return Training(CURVE, start, X, Y, None, "adam", 0.01, 10 if quick else 100, len(X))


def _simplechains(case: str, precision: str, quick: bool) -> Task:
    X, Y = data.matrix_exponentials(1000 if quick else 10_000)
    return _training(CHAIN, precision, (X, Y), "adam", 0.001, 10 if quick else 50, len(X))


def _spiral(case: str, precision: str, quick: bool) -> Task:
    X, labels = data.spirals(1024)
    # with a learning rate of 0.5 the training is chaotic, and rounding grows until results cannot be compared
    return _training(SPIRAL, precision, (X, labels), "sgd", 0.1, 20 if quick else 200, len(X))


def _digits(case: str, precision: str, quick: bool) -> Task:
    return _training(DIGITS, precision, data.handwritten_digits(), "sgd", 0.1, 2 if quick else 20, 64)


def _online(case: str, precision: str, quick: bool) -> Task:
    return _training(DIGITS, precision, data.handwritten_digits(), "sgd", 0.01, 1 if quick else 2, 1)


def _wide(case: str, precision: str, quick: bool) -> Task:
    samples = data.ten_classes(1280 if quick else 6400, WIDE.inputs)
    return _training(WIDE, precision, samples, "sgd", 0.01, 1 if quick else 2, 128)


def _lenet(case: str, precision: str, quick: bool) -> Task:
    samples = data.ten_classes(256 if quick else 2560, LENET.inputs)
    return _training(LENET, precision, samples, "sgd", 0.01, 1 if quick else 2, 128)


def _conv1d(case: str, precision: str, quick: bool) -> Task:
    samples = data.ten_classes(128 if quick else 1280, CONV1D.inputs)
    return _training(CONV1D, precision, samples, "sgd", 0.1, 1 if quick else 2, 32)


def _lstm(case: str, precision: str, quick: bool) -> Task:
    samples = data.smooth_surface(128 if quick else 1024, LSTM.inputs)
    return _training(LSTM, precision, samples, "adam", 0.001, 1 if quick else 4, 32)


def _lstm_16(case: str, precision: str, quick: bool) -> Task:
    X, _ = data.smooth_surface(1, LSTM_16.inputs)
    return Prediction(LSTM_16, LSTM_16.start(precision), np.ascontiguousarray(X, dtype=precision))


def _microgpt(case: str, precision: str, quick: bool) -> Task:
    return _gradient(MICROGPT, precision, int(case.split(maxsplit=1)[0]))


def _transformer(case: str, precision: str, quick: bool) -> Task:
    return _gradient(TRANSFORMER, precision, 4 if quick else 32)


def _gradient(stack: Tokens, precision: str, count: int) -> Task:
    X, labels = stack.samples(count)
    return Gradient(stack, stack.start(precision), np.ascontiguousarray(X, dtype=precision), labels)


FULL = "full batch, Adam"


def _networks(case: str, precision: str, quick: bool) -> Task:
    models, samples = 64 if quick else 1024, data.smooth_surface(256, SMALL.inputs)
    epochs, (optimizer, rate, batch) = (20, ("adam", 0.001, 256)) if case == FULL else (5, ("sgd", 0.05, 8))
    task = _training(SMALL, precision, samples, optimizer, rate, 2 if quick else epochs, batch)
    return replace(task, start=data.start_of_many(SMALL, precision, models))


def _training(
    stack: Stack | Windowed | Sequences,
    precision: str,
    samples: tuple[Array, Array],
    optimizer: str,
    rate: float,
    epochs: int,
    batch: int,
) -> Training:
    X, Y = samples
    labels = Y if stack.classifies else None
    targets = np.ascontiguousarray(data.one_hot(Y) if stack.classifies else Y, dtype=precision)
    start = stack.start(precision) if isinstance(stack, Sequences) else data.start_parameters(stack, precision)
    X = np.ascontiguousarray(X, dtype=precision)
    return Training(stack, start, X, targets, labels, optimizer, rate, epochs, batch)


def _predict(case: str, precision: str, quick: bool) -> Task:
    X, _ = data.handwritten_digits()
    count = int(case.split(maxsplit=1)[0].replace(",", ""))
    rows = np.arange(min(count, 1000) if quick else count) % len(X)
    parameters = data.start_parameters(DIGITS, precision, biases=0.1)
    return Prediction(DIGITS, parameters, np.ascontiguousarray(X[rows], dtype=precision))


def _burgers(case: str, precision: str, quick: bool) -> Task:
    X = np.random.default_rng(7).uniform((-1, 0), (1, 1), (1000 if quick else 10_000, 2))
    return Equation(BURGERS, data.start_parameters(BURGERS, precision, biases=0.1), X.astype(precision))


DOSES = "logistic, 20 samples"


def _fit(case: str, precision: str, quick: bool) -> Task:
    curve, samples = (LOGISTIC, data.responses(20)) if case == DOSES else (GAUSSIAN, data.peak(200))
    return Fit(curve, *(array.astype(precision) for array in samples))


def _fits(case: str, precision: str, quick: bool) -> Task:
    return Fit(SPOT, *(array.astype(precision) for array in data.spots(640 if quick else 100_000)))


def _motion(case: str, precision: str, quick: bool) -> Task:
    return motion(case, precision, 32 if quick else 10_000 if case == FITS else 1000)


def _trajectories(case: str, precision: str, quick: bool) -> Task:
    return trajectories(precision, 2**12 if quick else 2**19)


def _stiff(case: str, precision: str, quick: bool) -> Task:
    return reactions(precision)


WORKLOADS: dict[str, Workload] = {
    "perceptron": Workload(
        "the shipped formula, one sample, 999 iterations", DOUBLE, ("sequential", "simultaneous", LONG), _perceptron,
        "iteration",
    ),
    "curve": Workload("three Gaussian peaks on a level, squared error, 10,000 samples, full-batch Adam", BOTH, ("",),
                      _curve),
    "simplechains": Workload("4-32-16-4, tanh, squared error, 10,000 samples, full-batch Adam", BOTH, ("",),
                             _simplechains),
    "spiral": Workload("2-16-16-2, tanh, softmax cross-entropy, 1,024 samples, full-batch gradient descent", BOTH,
                       ("",), _spiral),
    "digits": Workload("64-32-10, tanh, softmax cross-entropy, scikit-learn's digits, batches of 64, sgd", BOTH,
                       ("",), _digits),
    "online": Workload("64-32-10, tanh, softmax cross-entropy, scikit-learn's digits, single samples, sgd", BOTH,
                       ("",), _online),
    "wide": Workload("784-128-10, relu, softmax cross-entropy, 6,400 generated samples, batches of 128, sgd", BOTH,
                     ("",), _wide),
    "lenet": Workload("28x28x1, 6 and 16 windows of 5x5 with relu and pools of 2x2, 120-84-10, softmax cross-entropy, "
                      "2,560 generated samples, batches of 128, sgd", ("float32", "float64"), ("",), _lenet),
    "conv1d": Workload("128 steps of 8 channels, three layers of 16 windows of 5 with relu, their mean, softmax "
                       "cross-entropy of 10 classes, 1,280 generated samples, batches of 32, sgd",
                       ("float32", "float64"), ("",), _conv1d),
    "lstm": Workload("an LSTM of 32 units over 50 steps of 8 features and a linear layer, squared error, 1,024 "
                     "generated samples, batches of 32, Adam", ("float32", "float64"), ("",), _lstm),
    "lstm-16": Workload("an LSTM of 16 units: one step of one sequence of one feature", ("float32", "float64"), ("",),
                        _lstm_16, "call"),
    "microgpt": Workload("microgpt, a transformer of 4,192 parameters: one row of 16 tokens, or 16 rows at once", BOTH,
                         ("1 row", "16 rows"), _microgpt, "gradient"),
    "transformer": Workload("a transformer of 2 blocks, width 64, 4 heads, 64 positions and 65 tokens, batches of 32",
                            ("float32", "float64"), ("",), _transformer, "gradient"),
    "ensemble": Workload("1,024 perceptrons with starting points of their own, 999 simultaneous iterations each",
                         BOTH, ("",), _ensemble, "iteration of one model"),
    "networks": Workload("1,024 networks 8-16-1 with starting points of their own, tanh, squared error, 256 samples",
                         BOTH, ("batches of 8, sgd", FULL), _networks, "update of one model"),
    "predict": Workload("digits: prediction of one row, of 64, of 100,000 rows", DOUBLE,
                        ("1 row", "64 rows", "100,000 rows"), _predict, "call"),
    "burgers": Workload("Burgers' equation, 8 layers of 20 tanh, 10,000 points: a gradient through second derivatives",
                        DOUBLE, ("",), _burgers, "gradient"),
    "fit": Workload("one fit by least squares, with standard errors: a Gaussian on a level, a four-parameter logistic",
                    DOUBLE, ("Gaussian, 200 samples", DOSES), _fit, "fit"),
    "fits": Workload("100,000 fits of a two-dimensional Gaussian with 5 parameters to images of 5 x 5 points",
                     ("float32", "float64"), ("",), _fits, "fit"),
    "motion": Workload("Lotka and Volterra's equations, 21 times from 0 to 20, tolerance 1e-6: solutions, derivatives "
                       "by 4 parameters and 2 initial values, also of many trajectories, a fit of these, many fits",
                       DOUBLE, (SOLVE, JACOBIAN, JACOBIANS, FIT, FITS), _motion, "trajectory"),
    "trajectories": Workload("524,288 trajectories of Lorenz's equations, r from 0 to 21, 1,000 steps of 0.001 of "
                             "Tsitouras's method", ("float32", "float64"), ("",), _trajectories, "call"),
    "stiff": Workload("Robertson's reactions, whose rates differ by nine orders of magnitude, nine times from 0 to "
                      "1e5, tolerance 1e-4: solutions", DOUBLE, ("",), _stiff, "call"),
    "nist": Workload("NIST's reference problems of nonlinear regression, each from two starts: what is right", DOUBLE),
    "profiles": Workload("profiles of all parameters, to one standard error: NIST's problems, beside MINOS and lmfit; "
                         "many decays, and Lotka and Volterra's equations, beside their fits", DOUBLE),
    "accuracy": Workload("bits of 64 that formulas lose, at points over all numbers: Hamming's problems, with their "
                         "derivatives, and further expressions", DOUBLE),
    "build": Workload("cold and cached build of each model, stage by stage", DOUBLE),
    "solution": Workload("Burgers' equation, trained until the relative L2 error is 6.7e-4, from five seeds", DOUBLE),
    "lambdify": Workload("expressions of SymPy as functions: 2^20 points, or a call with floats", DOUBLE),
    "growth": Workload("build time, C size and time per sample against width, depth and formula size", DOUBLE),
}  # fmt: skip

MODELS: dict[str, Model | Sequential | Network | Dynamics] = {
    "perceptron, ensemble": perceptron.model,
    "curve": CURVE.model,
    "simplechains": CHAIN.model,
    "spiral": SPIRAL.model,
    "digits, online, predict": DIGITS.model,
    "wide": WIDE.model,
    "lenet": LENET.model,
    "conv1d": CONV1D.model,
    "lstm": LSTM.model,
    "lstm-16": LSTM_16.model,
    "microgpt": MICROGPT.model,
    "transformer": TRANSFORMER.model,
    "networks": SMALL.model,
    "fits": SPOT.model,
    "motion": motion(SOLVE, "float64").model,
    "trajectories": trajectories("float64", 1).model,
    "stiff": reactions("float64").model,
    "burgers": Equation(BURGERS, np.zeros(0), np.zeros((0, 2))).model,
}
"""The models of the workloads, for ``build``."""
