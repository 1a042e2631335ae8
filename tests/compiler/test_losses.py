"""Losses mean what they mean elsewhere."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.describe.losses import LOSSES

RNG = np.random.default_rng(0)
P = RNG.uniform(0.05, 0.95, size=(6, 3))
T = RNG.uniform(0.05, 0.95, size=(6, 3))
ONE_HOT = np.eye(3)[[0, 2, 1, 1, 0, 2]]


def loss_of(name, output, target):
    """The loss of given outputs: a network whose weights are the identity and whose bias is 0."""
    program = nn.Sequential([nn.Dense(3)], 3, loss=name).describe()
    values = nn.evaluate(program, [*np.eye(3).ravel(), 0, 0, 0], output, target)
    return float(values["loss"])


EXPECTED = {
    "mse": (P, T, ((P - T) ** 2).mean()),
    "mae": (P, T, abs(P - T).mean()),
    "huber": (5 * P, T, np.where(abs(5 * P - T) <= 1, (5 * P - T) ** 2 / 2, abs(5 * P - T) - 0.5).mean()),
    "log_cosh": (9 * P, T, np.log(np.cosh(9 * P - T)).mean()),
    "poisson": (P, T, (P - T * np.log(P)).mean()),
    "hinge": (P, 2 * ONE_HOT - 1, np.maximum(0, 1 - (2 * ONE_HOT - 1) * P).mean()),
    "binary_crossentropy": (P, T, -(T * np.log(P) + (1 - T) * np.log(1 - P)).mean()),
    "binary_crossentropy_from_logits": (9 * P, T, (np.logaddexp(0, 9 * P) - T * 9 * P).mean()),
    "categorical_crossentropy": (P, ONE_HOT, -(ONE_HOT * np.log(P)).sum(axis=1).mean()),
    "categorical_crossentropy_from_logits": (
        9 * P,
        ONE_HOT,
        (np.log(np.exp(9 * P).sum(axis=1)) - (ONE_HOT * 9 * P).sum(axis=1)).mean(),
    ),
    "nll": (np.log(P), ONE_HOT, -(ONE_HOT * np.log(P)).sum(axis=1).mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_meaning(name):
    """Averaged over samples, and over outputs or (categorical) summed over classes."""
    output, target, expected = EXPECTED[name]
    assert loss_of(name, output, target) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", ["huber", "log_cosh"])
def test_losses_of_outputs_that_are_chosen(name):
    """A loss that compares outputs takes those of an activation that does so, too."""
    output, target, _ = EXPECTED[name]
    model = nn.Sequential([nn.Dense(3, "relu")], 3, loss=name)
    identity = [*np.eye(3).ravel(), 0, 0, 0]
    expected = loss_of(name, np.maximum(output - 2, 0), target)
    for program in (model.describe(), nn.compile_model(model, until="simplify")["simplify"]):
        assert float(nn.evaluate(program, identity, output - 2, target)["loss"]) == pytest.approx(expected, rel=1e-13)


def test_hinge_takes_both_kinds_of_labels():
    """Labels 0 and 1 stand for -1 and 1, as in Keras."""
    assert loss_of("hinge", P, ONE_HOT) == loss_of("hinge", P, 2 * ONE_HOT - 1)


def test_probabilities_of_zero():
    """A class that is impossible and does not occur adds nothing."""
    assert loss_of("categorical_crossentropy", [[1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]) == 0
    assert loss_of("binary_crossentropy", [[1.0, 0.0, 0.5]], [[1.0, 0.0, 0.5]]) == pytest.approx(np.log(2) / 3)


def test_by_pytorch():
    """PyTorch, where installed, has the same losses and gradients of a network with the same weights."""
    torch = pytest.importorskip("torch")
    from torch.nn import functional

    theirs = {
        "mse": functional.mse_loss,
        "mae": functional.l1_loss,
        "huber": functional.huber_loss,
        "poisson": lambda p, y: functional.poisson_nll_loss(p, y, log_input=False, eps=0),
        "binary_crossentropy_from_logits": functional.binary_cross_entropy_with_logits,
        "categorical_crossentropy_from_logits": functional.cross_entropy,
    }
    for name, function in theirs.items():
        last = "softplus" if name == "poisson" else "linear"
        module = nn.build(nn.Sequential([nn.Dense(5, "gelu"), nn.Dense(3, last)], 4, loss=name, name=f"torch_{name}"))
        parameters, X = RNG.normal(size=module.parameter_count), RNG.normal(size=(70, 4))
        Y = RNG.uniform(size=(70, 3))
        Y /= Y.sum(axis=1, keepdims=True)
        leaf = torch.tensor(parameters, requires_grad=True)
        shapes = module.parameter_shapes
        parts = leaf.split([int(np.prod(shape)) for shape in shapes.values()])
        W1, b1, W2, b2 = (part.reshape(shape) for part, shape in zip(parts, shapes.values(), strict=True))
        output = functional.gelu(torch.tensor(X) @ W1.T + b1) @ W2.T + b2
        output = functional.softplus(output) if name == "poisson" else output
        expected = function(output, torch.tensor(Y))
        expected.backward()
        loss, gradient = module.loss_and_gradient(parameters, X, Y)
        assert loss == pytest.approx(expected.item(), rel=1e-12)
        assert np.linalg.norm(gradient - leaf.grad.numpy()) <= 1e-13 * np.linalg.norm(gradient)
