"""microgpt, A. Karpathy's transformer in 200 lines of Python, from layers: its losses, digit by digit."""

import random
import sys
from pathlib import Path
from string import ascii_lowercase
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support import ROOT

EXAMPLE = ROOT / "docs" / "gallery" / "13_microgpt.py"
NAMES = Path(__file__).parents[3] / "shared/reference/names.txt"
LOSSES = {
    1: 3.3659669476,
    2: 3.4242727839,
    3: 3.1778021255,
    200: 2.3097433038,
    400: 2.3428473754,
    800: 2.2632177001,
    1000: 2.6496944697,
}
"""The losses of the steps of a training, which an independent program in NumPy gives."""

INVENTED = (
    "kamon ann karai jaire vialan karia yeran anna areli kaina "
    "konna keylen liole alerin earan lenne kana lara alela anton"
)
"""The names that the trained network invents at the temperature 0.5."""

STEPS, END = 16, 26


def example(words):
    """The names that the program of the gallery defines before it trains: the compiled network, and words as tokens."""
    pytest.importorskip("matplotlib")
    defined = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(EXAMPLE), str(words)])
        exec("".join(EXAMPLE.read_text(encoding="utf-8").split("# %%\n")[:2]), defined)
    return SimpleNamespace(**defined)


def start(module, words):
    """The initial parameters, in the order in which the published program draws them; the words, shuffled before."""
    random.seed(42)
    order = [*range(len(words))]
    random.shuffle(order)
    sizes = {"E": 27 * 16, "P": 16 * 16, "head": 27 * 16, "Wq": 256, "Wk": 256, "Wv": 256, "Wo": 256, "up": 1024}
    sizes["down"] = 1024
    drawn = {name: [random.gauss(0, 0.08) for _ in range(size)] for name, size in sizes.items()}
    dense = iter(["up", "down", "head"])
    names = [name.rstrip("0123456789") for name in module.parameter_shapes]
    return np.concatenate([drawn[next(dense) if name == "W" else name] for name in names]), order


def invented(module, parameters):
    """A word, letter by letter, by random numbers from the stream that the initial parameters come from."""
    tokens, state = [END], None
    while len(tokens) <= STEPS:
        probabilities, state = module.step(parameters, tokens[-1], state)
        weights = probabilities ** (1 / 0.5)
        (token,) = random.choices(range(END + 1), weights=(weights / weights.sum()).tolist())
        if token == END:
            break
        tokens.append(token)
    return "".join(ascii_lowercase[token] for token in tokens[1:])


@pytest.mark.skipif(not NAMES.exists(), reason="the file of names is not there")
def test_the_published_training():
    """1,000 steps of Adam, one name each, have the published program's losses to ten digits, and invent its names."""
    defined = example(NAMES)
    module = defined.microgpt
    assert module.parameter_count == 4192
    parameters, order = start(module, defined.words)
    inputs, targets = defined.tokens[order[:1000]], defined.targets[order[:1000]]
    result = module.train(
        inputs,
        targets,
        parameters=parameters,
        epochs=1,
        batch_size=1,
        shuffle=False,
        optimizer="adam",
        learning_rate=0.01,
        beta_1=0.85,
        beta_2=0.99,
        epsilon=1e-8,
        schedule="polynomial",
    )
    first, second = np.zeros(4192), np.zeros(4192)
    for step in range(1000):
        loss, gradient = module.loss_and_gradient(parameters, inputs[step : step + 1], targets[step : step + 1])
        assert loss == pytest.approx(LOSSES.get(step + 1, loss), abs=1e-10)
        first = 0.85 * first + 0.15 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        means = first / (1 - 0.85 ** (step + 1)), second / (1 - 0.99 ** (step + 1))
        parameters = parameters - 0.01 * (1 - step / 1000) * means[0] / (np.sqrt(means[1]) + 1e-8)
    np.testing.assert_allclose(result.parameters, parameters, atol=1e-12)
    assert " ".join(invented(module, result.parameters) for _ in range(20)) == INVENTED
