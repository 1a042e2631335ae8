"""Optimizers against their rules in NumPy, and against PyTorch where installed."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.describe.optimizers import OPTIMIZERS

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
MODEL = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(2)], inputs=3, name="optimized")


def by_hand(module, name, options, epochs, rate, batch):
    """Training without shuffling, in NumPy."""
    w = module.initial_parameters(seed=0)
    m, v = np.zeros_like(w), np.zeros_like(w)
    t = 0
    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            t += 1
            rows = slice(begin, begin + batch)
            _, g = module.loss_and_gradient(w, X[rows], Y[rows])
            if name == "adam":
                m = options["beta1"] * m + (1 - options["beta1"]) * g
                v = options["beta2"] * v + (1 - options["beta2"]) * g**2
                corrected = m / (1 - options["beta1"] ** t), v / (1 - options["beta2"] ** t)
                w = w - rate * corrected[0] / (np.sqrt(corrected[1]) + options["epsilon"])
            else:
                mu = options.get("momentum", 0)
                m = mu * m + g
                w = w - rate * (g + mu * m if name == "nesterov" else m)
    return w


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("sgd", {}, {}),
        ("momentum", {}, {"momentum": 0.9}),
        ("nesterov", {"momentum": 0.8}, {"momentum": 0.8}),
        ("adam", {}, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}),
        ("adam", {"beta1": 0.0, "beta2": 0.5, "epsilon": 1e-3}, {"beta1": 0.0, "beta2": 0.5, "epsilon": 1e-3}),
    ],
)
@pytest.mark.parametrize("batch", [40, 16, 1])
def test_rule(name, arguments, options, batch):
    """Some epochs, also of batches that do not divide the samples, agree with the rule in NumPy."""
    module = nn.build(MODEL)
    result = module.train(
        X, Y, optimizer=name, learning_rate=0.01, epochs=7, batch_size=batch, shuffle=False, **arguments
    )
    assert result.parameters == pytest.approx(by_hand(module, name, options, 7, 0.01, batch), rel=1e-10, abs=1e-13)


def test_sgd_takes_momentum():
    """sgd with momentum and nesterov is the rule of that name, as in Keras and PyTorch."""
    module = nn.build(MODEL)
    for arguments, name in (({"momentum": 0.7}, "momentum"), ({"momentum": 0.7, "nesterov": True}, "nesterov")):
        first = module.train(X, Y, optimizer="sgd", epochs=5, **arguments)
        second = module.train(X, Y, optimizer=name, epochs=5, momentum=0.7)
        assert np.array_equal(first.parameters, second.parameters)
    plain = module.train(X, Y, epochs=5)
    assert np.array_equal(module.train(X, Y, epochs=5, momentum=0.0, nesterov=False).parameters, plain.parameters)


def test_by_pytorch():
    """PyTorch, where installed, takes the same steps."""
    torch = pytest.importorskip("torch")
    module = nn.build(MODEL)
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    }
    assert set(optimizers) == set(OPTIMIZERS)
    for name, make in optimizers.items():
        W1, b1, W2, b2 = (torch.tensor(value, requires_grad=True) for value in
                          module.unpack(module.initial_parameters(seed=0).copy()).values())  # fmt: skip
        optimizer = make([W1, b1, W2, b2])
        for _ in range(20):
            optimizer.zero_grad()
            output = torch.tanh(torch.tensor(X) @ W1.T + b1) @ W2.T + b2
            ((output - torch.tensor(Y)) ** 2).mean().backward()
            optimizer.step()
        expected = np.concatenate([part.detach().numpy().ravel() for part in (W1, b1, W2, b2)])
        result = module.train(X, Y, optimizer=name, learning_rate=0.05, epochs=20)
        assert result.parameters == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_shuffling():
    """Every epoch uses every sample once, in an order of its own; by default if there are several batches."""
    module = nn.build(MODEL)
    ordered = module.train(X, Y, epochs=1, batch_size=10, shuffle=False)
    shuffled = module.train(X, Y, epochs=1, batch_size=10)
    assert not np.array_equal(ordered.parameters, shuffled.parameters)
    full = [module.train(X, Y, epochs=3, shuffle=shuffle).parameters for shuffle in (None, False)]
    assert np.array_equal(full[0], full[1])
    # a learning rate so small that the parameters do not move: an epoch's loss is that of all samples
    still = module.train(X, Y, epochs=4, batch_size=7, learning_rate=1e-300)
    assert still.history == pytest.approx(np.full(4, module.loss(still.parameters, X, Y)), rel=1e-13)


def test_sequential_updates_use_every_optimizer():
    """One parameter at a time: each uses the gradient at what the ones before it have become."""
    module = nn.build(MODEL)
    w = module.initial_parameters(seed=0)
    v = np.zeros_like(w)
    for _ in range(3):
        for p in range(len(w)):
            _, g = module.loss_and_gradient(w, X, Y)
            v[p] = 0.9 * v[p] + g[p]
            w[p] -= 0.05 * v[p]
    result = module.train(X, Y, optimizer="momentum", learning_rate=0.05, epochs=3, update="sequential")
    assert result.parameters == pytest.approx(w, rel=1e-11)
