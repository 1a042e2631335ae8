"""The samples and initial parameters of the workloads, the same in every call and on every machine."""

from __future__ import annotations

import math

import numpy as np

from nncodegen.bench.convolving import Windowed
from nncodegen.bench.curves import GAUSSIAN, LOGISTIC, SPOT
from nncodegen.bench.tasks import Array, Stack
from nncodegen.runtime.python.ground.missing import needed


def start_parameters(stack: Stack | Windowed, precision: str, seed: int = 0, biases: float = 0.0) -> Array:
    """Return Glorot's uniform weights, flat; biases are normal with the given standard deviation."""
    generator = np.random.default_rng(seed)
    layers = []
    for units, inputs, *window in stack.shapes:
        bound = math.sqrt(6 / (units + inputs) / math.prod(window))
        weights = generator.uniform(-bound, bound, (units, inputs, *window))
        layers.append((weights, biases * generator.standard_normal(units)))
    return stack.pack(layers).astype(precision)


def start_of_many(stack: Stack, precision: str, models: int) -> Array:
    """Return initial parameters of many models, each drawn from a separate seed."""
    return np.stack([start_parameters(stack, precision, seed) for seed in range(models)])


def matrix_exponentials(samples: int) -> tuple[Array, Array]:
    """Return random 2 x 2 matrices and their exponentials, a row of 4 each, as in the benchmark of SimpleChains.jl."""
    A = np.random.default_rng(1).standard_normal((samples, 2, 2))
    term = total = np.broadcast_to(np.eye(2), A.shape)
    for k in range(1, 19):  # the series of exp(A/64), whose remainder is far below rounding
        term = term @ A / (64 * k)
        total = total + term
    for _ in range(6):
        total = total @ total
    return A.reshape(-1, 4), total.reshape(-1, 4)


def spirals(samples: int) -> tuple[Array, Array]:
    """Return points on two intertwined spirals, and for each the index of its spiral."""
    generator = np.random.default_rng(2)
    labels = np.arange(samples) % 2
    radius = np.sqrt(generator.uniform(0.01, 1, samples))
    angle = 3 * np.pi * radius + np.pi * labels
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return X + 0.02 * generator.standard_normal(X.shape), labels


def handwritten_digits() -> tuple[Array, Array]:
    """Return scikit-learn's 1,797 images of 8 x 8 grey values, from 0 to 1, and their digits."""
    with needed("the images of digits (workloads digits, predict)", "scikit-learn", "'nncodegen[bench]'"):
        from sklearn.datasets import load_digits  # noqa: PLC0415 (optional, and slow to import)
    X, labels = load_digits(return_X_y=True)
    return X / 16, labels


def ten_classes(samples: int, inputs: int) -> tuple[Array, Array]:
    """Return normally distributed samples, and for each the index of the closest one of ten random directions."""
    generator = np.random.default_rng(3)
    X = generator.standard_normal((samples, inputs))
    return X, (X @ generator.standard_normal((inputs, 10))).argmax(axis=1)


def noisy_peaks(samples: int) -> tuple[Array, Array]:
    """Return random points of a curve with three peaks, with noise of a twentieth of a peak's height."""
    generator = np.random.default_rng(5)
    x = generator.uniform(-4, 4, (samples, 1))
    heights, centers, widths = (1.2, 0.7, 0.5), (-1.8, 0.3, 1.9), (0.6, 1.0, 1.2)
    curve = 0.1 + sum(h * np.exp(-(((x - c) / w) ** 2)) for h, c, w in zip(heights, centers, widths, strict=True))
    return x, curve + 0.05 * generator.standard_normal(x.shape)


def smooth_surface(samples: int, inputs: int) -> tuple[Array, Array]:
    """Return normally distributed samples, and the sine of their component along a random direction."""
    generator = np.random.default_rng(6)
    X = generator.standard_normal((samples, inputs))
    return X, np.sin(X @ generator.standard_normal((inputs, 1)) / math.sqrt(inputs))


def peak(samples: int) -> tuple[Array, Array, Array]:
    """Return a Gaussian on a level with noise of a twentieth of its height, (samples, 1) each, and a fit's start."""
    generator = np.random.default_rng(7)
    x = np.linspace(-5, 5, samples)[:, np.newaxis]
    y = GAUSSIAN.function("numpy")(x, 2.0, 0.7, 1.3, 0.5)
    return x, y + 0.1 * generator.standard_normal(x.shape), np.array([1.0, 0.0, 1.0, 0.1])


def responses(samples: int) -> tuple[Array, Array, Array]:
    """Return responses to doses from 0.01 to 100 with noise of two hundredths of their range, and a fit's start."""
    generator = np.random.default_rng(8)
    x = np.geomspace(0.01, 100, samples)[:, np.newaxis]
    y = LOGISTIC.function("numpy")(x, 0.2, 1.7, 0.9, 1.4)
    return x, y + 0.03 * generator.standard_normal(x.shape), np.array([0.1, 1.5, 0.5, 1.0])


def spots(fits: int) -> tuple[Array, Array, Array]:
    """Return images of 5 x 5 points with the noise of counted photons: X (25, 2), Y (fits, 25), and starts (fits, 5).

    Starts are off by up to a tenth, as estimates from an image are.
    """
    generator = np.random.default_rng(9)
    axis = np.arange(5.0)
    X = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    low, high = (300, 1.5, 1.5, 0.8, 5), (700, 2.5, 2.5, 1.2, 15)
    true = generator.uniform(low, high, (fits, 5))
    photons = SPOT.function("numpy")(*X.T, *true.T[:, :, np.newaxis])
    noisy = photons + np.sqrt(photons) * generator.standard_normal(photons.shape)
    return X, noisy, true * generator.uniform(0.9, 1.1, true.shape)


def one_hot(labels: Array) -> Array:
    """Return labels as rows of zeros with a one at the class."""
    return np.eye(int(labels.max()) + 1)[labels]
