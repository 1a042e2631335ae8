"""Recurrent layers against PyTorch, with the same weights: outputs, losses and gradients."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.stabilize import stabilize

LAYERS = {"RNN": nn.SimpleRNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
GATES = {"RNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}
"""The gates of PyTorch in our order."""


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("both", [False, True])
def test_the_same_as_pytorch(kind, both):
    """Weights of PyTorch by name give its outputs and its gradients, also in both directions."""
    torch.manual_seed(1)
    theirs = torch.nn.ModuleDict({"rnn": getattr(torch.nn, kind)(3, 4, batch_first=True, bidirectional=both)}).double()
    layer = LAYERS[kind](4, return_sequences=True, name="" if both else "rnn")
    model = nn.Sequential([nn.Bidirectional(layer, name="rnn") if both else layer], (6, 3), name="recurrent")
    program = nn.with_weights(model, theirs.state_dict(), "torch").describe()
    rng = np.random.default_rng(2)
    X, Y = rng.normal(size=(5, 6, 3)), rng.normal(size=(5, 6, 8 if both else 4))
    start = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    derived = differentiate(stabilize(program))
    values = evaluate(derived, start, X.reshape(5, -1), Y.reshape(5, -1))
    expected, ends = theirs["rnn"](torch.tensor(X))
    np.testing.assert_allclose(values[program.outputs[0].tensor], expected.detach().numpy(), atol=1e-13)
    x, layer = nn.Input((6, 3)), replace(layer, return_state=True)
    _, *nodes = (nn.Bidirectional(layer, name="rnn") if both else layer)(x)
    ours = nn.Network(x, nodes, name="states")
    states = nn.with_weights(ours, theirs.state_dict(), "torch").describe()
    flat = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in states.parameters])
    evaluated = evaluate(states, flat, X.reshape(5, -1), np.zeros((5, sum(t.size for t in states.targets))))
    for number, element in enumerate(states.outputs):
        side, place = divmod(number, 2) if kind == "LSTM" else (number, 0)
        end = (ends if kind == "LSTM" else (ends,))[place][side]
        np.testing.assert_allclose(evaluated[element.tensor], end.detach().numpy(), atol=1e-13)
    loss = ((expected - torch.tensor(Y)) ** 2).mean()
    loss.backward()
    assert float(values["loss"]) == pytest.approx(loss.item(), rel=1e-12)
    gradients = {name: parameter.grad.numpy() for name, parameter in theirs["rnn"].named_parameters()}
    for tensor, element in zip(program.parameters, derived.gradient, strict=True):
        letters = tensor.name.removesuffix("_rnn")
        suffix = "_reverse" if letters.endswith("b") and both else ""
        name = {"W": "weight_ih_l0", "U": "weight_hh_l0", "b": "bias_ih_l0"}[letters[0]] + suffix
        slope = gradients[name].reshape(len(GATES[kind]), 4, -1)[GATES[kind]]
        evaluated = values[element.tensor]
        evaluated = evaluated[0] if letters[0] == "b" and kind == "GRU" else evaluated
        np.testing.assert_allclose(evaluated, slope.reshape(evaluated.shape), atol=1e-13)
