"""Layers against PyTorch, with the same weights: outputs, losses and gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import nncodegen as nn
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")
TOLERANCE = {"float64": 1e-13, "float32": 1e-6}


class Theirs(torch.nn.Module):
    """Tokens with an embedding, numbers with a residual block, and both together."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.words = torch.nn.Embedding(11, 3)
        self.norm = torch.nn.LayerNorm(3)
        self.first = torch.nn.Linear(4, 12)
        self.batch = torch.nn.BatchNorm1d(12)
        self.second = torch.nn.Linear(12, 12)
        self.last = torch.nn.Linear(24, 2)
        self.kinds = torch.nn.Linear(24, 5)
        with torch.no_grad():
            for p in (self.norm.weight, self.norm.bias, self.batch.weight, self.batch.bias, self.batch.running_mean):
                p.copy_(torch.randn(p.shape))
            self.batch.running_var.copy_(torch.rand(12) + 0.5)

    def forward(self, tokens, numbers):
        t = self.norm(self.words(tokens)).transpose(1, 2).flatten(1)
        h = self.batch(torch.tanh(self.first(numbers)))
        h = h + torch.softmax(self.second(h), 1)
        both = torch.cat([h, t], 1)
        return self.last(both), torch.softmax(self.kinds(both), 1)


def ours():
    tokens, numbers = nn.Input(4, name="tokens"), nn.Input(4, name="numbers")
    t = nn.LayerNormalization(epsilon=1e-5, name="norm")(nn.Embedding(11, 3, name="words")(tokens))
    t = nn.Flatten()(nn.Permute((2, 1))(t))
    h = nn.Dense(12, "tanh", name="first")(numbers)
    h = nn.BatchNormalization(epsilon=1e-5, frozen=True, name="batch")(h)
    h += nn.Dense(12, "softmax", name="second")(h)
    both = nn.concatenate([h, t])
    outputs = [nn.Dense(2, name="last")(both), nn.Dense(5, "softmax", name="kinds")(both)]
    return nn.Network([tokens, numbers], outputs, ["mse", "categorical_crossentropy"], [1, 0.5], name="both")


THEIRS = Theirs().double().eval()
OURS = nn.with_weights(ours(), THEIRS.state_dict(), "torch")


@pytest.mark.parametrize("precision", TOLERANCE)
def test_the_same_as_pytorch(precision):
    """Weights of PyTorch by name give its outputs and its gradients."""
    rng = np.random.default_rng(1)
    tokens, numbers = rng.integers(0, 11, (9, 4)), rng.normal(size=(9, 4)).astype(np.float32).astype(float)
    targets, classes = rng.normal(size=(9, 2)).astype(np.float32).astype(float), rng.integers(0, 5, 9)
    module = built(OURS, precision, fit=False)
    start = module.initial_parameters()
    last, kinds = THEIRS(torch.tensor(tokens), torch.tensor(numbers))
    X, Y = {"tokens": tokens, "numbers": numbers}, {"last": targets, "kinds": np.eye(5)[classes]}
    expected = np.hstack([last.detach().numpy(), kinds.detach().numpy()])
    tolerance = TOLERANCE[precision]
    assert module.predict(start, X) == pytest.approx(expected, rel=tolerance, abs=5 * tolerance)
    THEIRS.zero_grad()
    loss = torch.nn.functional.mse_loss(last, torch.tensor(targets))
    loss = loss + 0.5 * torch.nn.functional.nll_loss(torch.log(kinds), torch.tensor(classes))
    loss.backward()
    value, gradient = module.loss_and_gradient(start, X, Y)
    assert value == pytest.approx(loss.item(), rel=10 * tolerance)
    by_name, names = (
        module.unpack(gradient),
        {"W": "weight", "b": "bias", "E": "weight", "gamma": "weight", "beta": "bias"},
    )
    parameters = dict(THEIRS.named_parameters())
    for name, values in by_name.items():
        letters, _, layer = name.rpartition("_")
        if letters.startswith("moving"):
            assert not values.any()
            continue
        theirs = parameters.pop(f"{layer}.{names[letters]}").grad.numpy()
        assert values == pytest.approx(theirs, rel=tolerance, abs=5 * tolerance * abs(theirs).max()), name
    assert not parameters
