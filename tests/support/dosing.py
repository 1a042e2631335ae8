"""A substance that is given in doses and by an infusion: a model whose states jump, and its solutions by SciPy."""

import numpy as np

import nncodegen as nn
from tests.support.solutions import solved_in_parts

TIMES = 7
PARAMETERS = {"ka": 1.0, "ke": 0.2, "volume": 20.0, "share": 0.7}
START = np.array([*PARAMETERS.values()])


def dosing(method="tsit5", interpolation="linear", name="dosing", times=TIMES, **options):
    """The model: doses go to a depot, a share is absorbed; an infusion goes to the blood, some of which is taken."""
    return nn.Dynamics(
        ["depot' = -ka*depot", "blood' = ka*depot/volume - ke*blood*(1 + infusion/10) + infusion"],
        initial={"depot": "first", "blood": 1},
        parameters=PARAMETERS,
        inputs="first",
        columns="infusion amount kept",
        jumps={"depot": "depot + share*amount", "blood": "blood*kept + 0.01*depot*t"},
        observed=["depot", "blood"],
        times=times,
        method=method,
        interpolation=interpolation,
        name=name,
        **options,
    )


def samples(count, random, times=TIMES):
    """Rows of X: times, some of them twice, then the input and the columns."""
    rows = []
    for _ in range(count):
        t = np.sort(random.uniform(0, 9, times))
        for k in range(1, times):
            t[k] = t[k - 1] if random.uniform() < 0.2 else t[k]
        amounts = random.uniform(0, 50, times) * (random.uniform(size=times) < 0.4)
        kept = np.where(random.uniform(size=times) < 0.3, random.uniform(0.5, 1, times), 1)
        rows.append([*t, random.uniform(0, 5), *random.uniform(0, 3, times), *amounts, *kept])
    return np.array(rows)


def solution(p, row, interpolation="linear", start=None, method="DOP853"):
    """The states at all times of a row of X: (2, times)."""
    times = (len(row) - 1) // 4
    t, (infusion, amounts, kept) = row[:times], row[times + 1 :].reshape(3, times)
    ka, ke, volume, share = p

    def rates(k, now, u):
        f = infusion[max(k - 1, 0)]
        if interpolation == "linear" and k:
            f += (now - t[k - 1]) / (t[k] - t[k - 1]) * (infusion[k] - infusion[k - 1])
        return [-ka * u[0], ka * u[0] / volume - ke * u[1] * (1 + f / 10) + f]

    def jump(k, u):
        return [u[0] + share * amounts[k], u[1] * kept[k] + 0.01 * u[0] * t[k]]

    return solved_in_parts(rates, [row[times], 1], t, jump, start, method).T
