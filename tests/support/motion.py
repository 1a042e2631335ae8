"""Equations of motion carried out plainly: a loop over steps, with floats, arrays or numbers of mpmath."""

import numpy as np

import nncodegen as nn

RK4 = ([[], [1 / 2], [0, 1 / 2], [0, 0, 1]], [1 / 6, 1 / 3, 1 / 3, 1 / 6])
"""The rows of coefficients of the classical method, and its weights."""

TSIT5 = (
    [
        [],
        [0.161],
        [-0.008480655492356989, 0.335480655492357],
        [2.8971530571054935, -6.359448489975075, 4.3622954328695815],
        [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
        [5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383],
    ],
    [0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774],
)
"""Those of Tsitouras."""

TABLES = {"rk4": RK4, "tsit5": TSIT5}


def step(rate, t, u, h, table):
    """The states after a step of a method from the time t; ``rate(t, u)`` returns a list."""
    rows, weights = table
    rates = []
    for row in rows:
        at = [x + h * sum(a * k[i] for a, k in zip(row, rates, strict=True)) for i, x in enumerate(u)]
        rates.append(rate(t + h * sum(row), at))
    return [x + h * sum(b * k[i] for b, k in zip(weights, rates, strict=True)) for i, x in enumerate(u)]


def trajectory(rate, u, times, method="tsit5", steps=1, start=None, jump=None):
    """The states at all times, a list for each time, from their values at the first one or at ``start``.

    After each time, with its number k, they become ``jump(k, u)``.
    """
    u, states = list(u), []
    before = times[0] if start is None else start
    for number, t in enumerate(times):
        h = (t - before) / steps
        for k in range(steps if t != before else 0):
            u = step(rate, before + k * h, u, h, TABLES[method])
        states.append(u)
        u = jump(number, u) if jump else u
        before = t
    return states


def lotka_volterra(a, b, c, d):
    """The rates of prey and predators."""
    return lambda t, y: [(a - b * y[1]) * y[0], (d * y[0] - c) * y[1]]


VALUES = {"a": 1.0, "b": 0.1, "c": 1.5, "d": 0.075, "u0": 10.0, "v0": 5.0}


def lotka_volterra_model(method="tsit5", steps=10, times=21, name="lotka_volterra"):
    """The model of Lotka and Volterra, with 4 parameters and 2 initial values."""
    return nn.Dynamics(
        ["u' = (a - b*v)*u", "v' = (d*u - c)*v"],
        {"u": "u0", "v": "v0"},
        VALUES,
        times=times,
        method=method,
        steps=steps,
        name=name,
    )


def outputs(model, parameters, X):
    """The outputs of a model by name, computed with NumPy from its description: (N, times) each."""
    program = model.describe()
    targets = np.zeros((len(X), sum(target.size for target in program.targets)))
    values = nn.evaluate(program, parameters, X, targets)
    return {target.tensor: values[target.tensor] for target in program.outputs}


def weights_of(model, parameters):
    """The parameters of a model by name, in their shapes, from all of them in a flat array."""
    weights, place = {}, 0
    for parameter in model.describe().parameters:
        weights[parameter.name] = np.reshape(parameters[place : place + parameter.size], parameter.shape)
        place += parameter.size
    return weights


class Taken:
    """A module that takes the steps of a program with NumPy; its gradient is that of differences, or 0 without them."""

    dtype = np.dtype("float64")

    def __init__(self, program, differences=True):
        self._program, self._differences = program, differences

    def predict(self, parameters, X):
        rows, places = np.unique(X, axis=0, return_inverse=True)  # long batches repeat their rows
        values = nn.evaluate(self._program, parameters, rows, results=self._program.outputs)
        return np.hstack([values[output.tensor] for output in self._program.outputs])[places.reshape(-1)]

    def loss(self, parameters, X, Y):
        rows, places = np.unique(X, axis=0, return_index=True)
        return nn.evaluate(self._program, parameters, rows, Y[places])["loss"].item()

    def loss_and_gradient(self, parameters, X, Y):
        loss = self.loss(parameters, X, Y)
        if not self._differences:
            return loss, np.zeros(len(parameters))
        step = 1e-3
        ends = [
            self.loss(parameters + side * step * direction, X, Y)
            for direction in np.eye(len(parameters))
            for side in (1, -1)
        ]
        return loss, np.diff(np.reshape(ends, (-1, 2)), axis=1).ravel() / (-2 * step)

    def jacobian(self, parameters, X):
        raise ValueError("it has none")
