"""Tasks of every kind that the benchmarks have, small enough to check, and what they come to by definition."""

from dataclasses import replace
from importlib import import_module

import numpy as np

import nncodegen as nn
from nncodegen.bench import data
from nncodegen.bench.attending import Tokens
from nncodegen.bench.convolving import Windowed
from nncodegen.bench.peers import OURS, PEERS
from nncodegen.bench.recurring import Sequences
from nncodegen.bench.tasks import Equation, Gradient, PerceptronTask, Prediction, Stack, Training
from nncodegen.bench.workloads import WORKLOADS

TINY = {
    "tanh": Stack("tiny_tanh", 3, ((5, "tanh"), (4, "tanh"), (2, "linear")), "mse"),
    "relu": Stack("tiny_relu", 4, ((6, "relu"), (3, "softmax")), "categorical_crossentropy"),
    "windows": Windowed("tiny_windows", (6, 5, 2), (3,), 2, True, (4, 3)),
    "equation": Stack("tiny_equation", 2, ((5, "tanh"), (4, "tanh"), (1, "linear")), "mse"),
    "sequence": Sequences("tiny_lstm", 4, 3, 2, 2),
    "transformer": Tokens("tiny_transformer", 5, 6, 2, 7, 2),
    "predict": Stack("tiny_predict", 4, ((6, "tanh"), (3, "softmax")), "categorical_crossentropy"),
}


def tiny(kind, precision="float64"):
    """A task of a kind, of a few samples and steps; 7 samples in batches of 3 leave a rest."""
    rng = np.random.default_rng(0)
    if kind in ("sequential", "simultaneous", "ensemble"):
        task = WORKLOADS["ensemble" if kind == "ensemble" else "perceptron"].task(kind, precision, True)
        return replace(task, starts=task.starts[:5], iterations=9)
    if kind == "curve":
        task = WORKLOADS["curve"].task("", precision, True)
        return replace(task, X=task.X[:7], Y=task.Y[:7], epochs=3, batch=7)
    if kind in MANY:
        single = tiny(MANY[kind], precision)
        return replace(single, start=np.stack([single.start, -single.start, 0.5 * single.start]))
    stack = TINY[kind]
    if isinstance(stack, Tokens):
        X, labels = stack.samples(7)
        return Gradient(stack, stack.start(precision), X.astype(precision), labels)
    X = rng.standard_normal((7, stack.inputs)).astype(precision)
    recurs = isinstance(stack, Sequences)
    start = stack.start(precision) if recurs else data.start_parameters(stack, precision, biases=0.1)
    if kind == "equation":
        return Equation(stack, start, X)
    if kind == "predict":
        return Prediction(stack, start, X)
    labels = np.array([0, 1, 2, 0, 1, 2, 0]) if stack.classifies else None
    Y = rng.standard_normal((7, 2)) if labels is None else data.one_hot(labels)
    optimizer, batch = ("adam", 7) if kind in ("tanh", "sequence") else ("sgd", 3)
    return Training(stack, start, X, Y.astype(precision), labels, optimizer, 0.05, 3, batch)


MANY = {"many tanh": "tanh", "many relu": "relu"}
"""Tasks for three models at once, and for one."""

KINDS = (
    "sequential",
    "simultaneous",
    "ensemble",
    "curve",
    "tanh",
    "relu",
    "windows",
    "sequence",
    *MANY,
    "predict",
    "equation",
    "transformer",
)
WORKLOAD = {"curve": "curve", "sequential": "perceptron", "simultaneous": "perceptron", "ensemble": "ensemble",
            "tanh": "simplechains", "relu": "wide", "windows": "lenet",
            "many tanh": "networks", "many relu": "networks",
            "sequence": "lstm", "predict": "predict", "equation": "burgers", "transformer": "transformer"}  # fmt: skip


def by_definition(task):
    """The result of a task by the gradient of the NumPy evaluator, in float64, step by step."""
    if isinstance(task, Training) and task.models:
        return np.stack([by_definition(replace(task, start=start)) for start in task.start])
    program = nn.compile_model(task.model, until="differentiate")["differentiate"]
    if isinstance(task, Equation):
        values = nn.evaluate(program, task.by_inputs(task.parameters), task.X, np.ones((7, 1)))
        return task.by_units(np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient]))
    if isinstance(task, Gradient):
        values = nn.evaluate(
            program, task.parameters, task.X, task.labels[..., None] == np.arange(task.stack.vocabulary)
        )
        return np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    if isinstance(task, Prediction):
        return nn.evaluate(program, task.parameters, task.X, np.zeros((7, 3)))[program.outputs[0].tensor]

    def gradient(p, X, Y):
        values = nn.evaluate(program, p, X, Y)
        return np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])

    if isinstance(task, PerceptronTask):
        results = []
        for p in task.starts.astype(float):
            for _ in range(task.iterations):
                if not task.sequential:
                    p = p - task.learning_rate * gradient(p, task.x, task.y)
                    continue
                for k in range(len(p)):
                    p[k] -= task.learning_rate * gradient(p, task.x, task.y)[k]
            results.append(p)
        return np.array(results)
    p, m, v, t = task.start.astype(float), 0.0, 0.0, 0
    for _ in range(task.epochs):
        for rows in task.batches():
            g, t = gradient(p, task.X[rows], task.Y[rows]), t + 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            adam = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            p = p - task.learning_rate * (adam if task.optimizer == "adam" else g)
    return p


def run_of(peer, task):
    module, function = PEERS[peer].place.split(":")
    cached = (False,) if peer in (OURS, "blas") else ()
    return getattr(import_module(f"nncodegen.bench.peers.{module}"), function)(task, 1, *cached)
