"""The perceptron that nncodegen ships, trained as its command trains it: its output after every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncodegen import perceptron
from nncodegen.reports.plots import Plot, curves
from nncodegen.runtime.module import Module

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """A training step by step: its result, the outputs for the first sample, and how far the parameters moved."""

    result: Any
    outputs: Array
    moves: Array


def train_perceptron(module: Module) -> Path:
    """Train the perceptron, and keep its output before the first epoch and after each."""
    before = module.initial_parameters()
    parameters = [before]

    def keep(progress: Any) -> None:
        parameters.append(progress.parameters)

    result = module.train(
        perceptron.X,
        perceptron.Y,
        learning_rate=perceptron.LEARNING_RATE,
        epochs=perceptron.EPOCHS,
        update="sequential",
        callback=keep,
    )
    rows = np.array(parameters)
    outputs = np.array([module.predict(row, perceptron.X)[0, 0] for row in rows])
    return Path(result, outputs, np.linalg.norm(np.diff(rows, axis=0), axis=1))


def path_plots(path: Path) -> list[Plot]:
    """Return plots of the output after each epoch, and of the length of each step."""
    first, last = path.outputs[[0, -1]]
    about = f"The output for the sample ({', '.join(map(str, perceptron.X[0]))}), from {first:.6f} to {last:.6f}."
    steps = f"How far all parameters together move in an epoch, from {path.moves[0]:.3g} to {path.moves[-1]:.3g}."
    return [
        curves("path", f"Output, from {first:.6f} to {last:.6f}", about, {"output": path.outputs}, "epoch", "output"),
        curves("steps", "Step sizes", steps, {"step": path.moves}, "epoch", "length of the step", log=True),
    ]
