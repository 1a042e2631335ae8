"""Attention, normalization and rotations as operators of opset 23; onnx.reference and onnxruntime are the judges."""

from collections import Counter

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")
import onnx

import nncodegen as nn
from nncodegen.errors import ModelError
from tests.support.attention import everything, samples, tokens_network
from tests.support.onnx_files import TOLERANCES, agree, evaluated, exported, loaded, predictions

RUNTIME = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
if RUNTIME < (1, 24) or onnx.defs.onnx_opset_version() < 23:
    pytest.skip("opset 23 needs onnx 1.18 and onnxruntime 1.24", allow_module_level=True)

MERGED = ("Attention", "RMSNormalization", "RotaryEmbedding")


def attending(layer, inputs=((4, 6),), normal=False, **options):
    """A network of one layer of attention with the inputs query, value, key, attention_mask, lengths by name."""
    nodes = [nn.Input(shape, name=name) for shape, name in zip(inputs, ("x", "y", "z"), strict=False)]
    further = {name: nn.Input(shape, name=name) for name, shape in options.items() if isinstance(shape, tuple)}
    flags = {name: option for name, option in options.items() if not isinstance(option, tuple)}
    x = nn.RMSNormalization()(nodes[0]) if normal else nodes[0]
    result = layer(x, *nodes[1:], **further, **flags)
    outputs = list(result) if isinstance(result, tuple) else result
    return nn.Network([*nodes, *further.values()], outputs, name="attending")


NETWORKS = {
    "one sequence": (attending(nn.MultiHeadAttention(2, 3)), 1, 0, 0),
    "no bias": (attending(nn.MultiHeadAttention(2, 3, 2, use_bias=False), normal=True), 1, 1, 0),
    "one head": (attending(nn.MultiHeadAttention(1, 3)), 1, 0, 0),
    "causal": (attending(nn.MultiHeadAttention(3, 2), normal=True, use_causal_mask=True), 1, 1, 0),
    "across": (attending(nn.MultiHeadAttention(2, 3, 4), ((4, 6), (5, 3))), 1, 0, 0),
    "causal across": (attending(nn.MultiHeadAttention(2, 3), ((4, 6), (3, 6)), use_causal_mask=True), 1, 0, 0),
    "other keys": (attending(nn.MultiHeadAttention(2, 3, 1), ((4, 6), (5, 3), (5, 2))), 1, 0, 0),
    "a mask": (attending(nn.MultiHeadAttention(2, 3), attention_mask=(4, 4)), 1, 0, 0),
    "a mask of places": (attending(nn.MultiHeadAttention(2, 3), attention_mask=(4,)), 1, 0, 0),
    "a mask for all steps": (attending(nn.MultiHeadAttention(2, 3), attention_mask=(1, 4)), 1, 0, 0),
    "lengths": (attending(nn.MultiHeadAttention(2, 3), lengths=(1,)), 1, 0, 0),
    "a mask, lengths, causal": (
        attending(nn.MultiHeadAttention(2, 3), attention_mask=(4, 4), lengths=(1,), use_causal_mask=True),
        1,
        0,
        0,
    ),
    "dropout": (attending(nn.MultiHeadAttention(2, 3, dropout=0.5)), 1, 0, 0),
    "groups": (attending(nn.GroupQueryAttention(2, 6, 3), normal=True), 1, 1, 0),
    "groups, causal, rotated": (
        attending(nn.GroupQueryAttention(4, 4, 2, rotary=nn.RotaryEmbedding(100)), use_causal_mask=True),
        1,
        0,
        2,
    ),
    "two axes": (attending(nn.MultiHeadAttention(2, 3), ((3, 2, 4),)), 1, 0, 0),
    "one of two axes": (attending(nn.MultiHeadAttention(2, 3, attention_axes=2), ((3, 4, 4),)), 1, 0, 0),
    "one axis, causal": (
        attending(nn.MultiHeadAttention(2, 3, attention_axes=1), ((3, 4, 4),), use_causal_mask=True),
        1,
        0,
        0,
    ),
    "its weights as well": (attending(nn.MultiHeadAttention(2, 3), return_attention_scores=True), 1, 0, 0),
    "one step": (attending(nn.MultiHeadAttention(2, 3), ((1, 6), (5, 6))), 1, 0, 0),
    "rotated by itself": (nn.Sequential([nn.RotaryEmbedding(), nn.Dense(2)], (5, 4), name="turned"), 0, 0, 1),
    "all axes normalized": (nn.Sequential([nn.RMSNormalization((1, 2)), nn.Dense(2)], (5, 4), name="normal"), 0, 1, 0),
    "normalized without weights": (
        nn.Sequential([nn.RMSNormalization(scale=False, epsilon=1e-3), nn.Dense(2)], (5, 4), name="normal"),
        0,
        1,
        0,
    ),
    "another axis normalized": (nn.Sequential([nn.RMSNormalization(1), nn.Dense(2)], (5, 4), name="normal"), 0, 1, 0),
    "a network of tokens": (tokens_network(), 1, 1, 0),
    "everything": (everything(), 3, 1, 2),
}
"""Networks, and how often each of the operators is in their files in float32."""


def drawn(network):
    """Parameters, and samples, with masks, lengths and tokens where these are inputs. The first mask hides all."""
    rng, program = np.random.default_rng(4), network.describe()
    parameters = rng.normal(size=program.parameter_count) / 2
    columns = []
    for tensor in program.inputs:
        values = rng.normal(size=(5, tensor.size))
        if "mask" in tensor.name:
            values = (rng.random(values.shape) < 0.5).astype(float)
            values[0] = 0
        if tensor.name == "lengths":
            values = rng.integers(1, 5, values.shape).astype(float)
        columns.append(rng.integers(7, size=values.shape).astype(float) if network.name == "tokens" else values)
    return parameters, np.concatenate(columns, axis=1)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_operators(name, precision):
    """Each layer is one operator, and runtimes predict what we do. In float64, Attention alone is written."""
    network, *counts = NETWORKS[name]
    parameters, X = drawn(network)
    if name == "everything":
        X = samples(5)[0]
    parameters = parameters.astype(precision).astype(float)
    X = X.astype(precision)
    model = loaded(exported(network, precision, parameters, opset=23))
    expected = evaluated(network, parameters, X.astype(float))
    for predicted in predictions(model, X):
        np.testing.assert_allclose(predicted, expected, atol=10 * TOLERANCES[precision])
    counter = Counter(node.op_type for node in model.graph.node)
    if precision == "float64":
        counts[1:] = 0, 0
    assert [counter[operator] for operator in MERGED] == counts
    assert "Softmax" not in counter or name == "its weights as well"
    assert model.opset_import[0].version == 23


def test_attention_of_torch():
    """A mask that is added to scores, each head with its own, is a mask of the operator."""
    torch = pytest.importorskip("torch")

    class Biased(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.project = torch.nn.Linear(4, 12)
            self.register_buffer("bias", torch.randn(2, 3, 3))

        def heads(self, x):
            return x.reshape(-1, 3, 2, 2).transpose(1, 2)

        def forward(self, x):
            q, k, v = self.project(x).chunk(3, -1)
            q, k, v = self.heads(q), self.heads(k), self.heads(v)
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.bias).flatten(1)

    torch.manual_seed(0)
    network = nn.from_torch(Biased(), inputs=(3, 4))
    tensors = network.describe().parameters
    parameters = np.concatenate([np.ravel(network.initial[tensor.name]) for tensor in tensors])
    model = agree(network, np.random.default_rng(0).normal(size=(4, 12)), parameters, opset=23)
    (attention,) = (node for node in model.graph.node if node.op_type == "Attention")
    assert len(attention.input) == 4


@pytest.mark.parametrize("scale", [0.5, 1 / 3, -0.7])
def test_scales(scale):
    """The attribute is a number in float32, whose root is taken: a scale is a factor of the query instead."""
    torch = pytest.importorskip("torch")

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.project = torch.nn.Linear(4, 12)

        def forward(self, x):
            q, k, v = self.project(x).chunk(3, -1)
            return ((q @ k.mT * scale).softmax(-1) @ v).flatten(1)

    torch.manual_seed(1)
    network = nn.from_torch(Scaled(), inputs=(3, 4))
    parameters = np.concatenate(
        [np.ravel(network.initial[parameter.name]) for parameter in network.describe().parameters]
    )
    model = agree(network, 1e-2 * np.random.default_rng(0).normal(size=(4, 12)), parameters, opset=23)
    assert "Attention" in {node.op_type for node in model.graph.node}


def test_other_models_are_as_before():
    """A network without attention has the same operators in both opsets."""
    network = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(2, "softmax")], 3, name="plain")
    parameters = np.random.default_rng(0).normal(size=network.describe().parameter_count)
    both = [loaded(exported(network, "float32", parameters, opset=opset)).graph.node for opset in (None, 23)]
    assert [node.op_type for node in both[0]] == [node.op_type for node in both[1]]


def test_what_is_refused(tmp_path, monkeypatch):
    """An opset that is not written, one that the installed onnx does not know, and one for another destination."""
    network = attending(nn.MultiHeadAttention(1, 2))
    parameters = np.zeros(network.describe().parameter_count)
    with pytest.raises(ModelError, match="opset must be one of 13, 23, not 17"):
        nn.export(network, "onnx", tmp_path, parameters, opset=17)
    for opset in (23.0, 0, [23]):
        with pytest.raises(ModelError, match="opset must be one of 13, 23, not "):
            nn.export(network, "onnx", tmp_path, parameters, opset=opset)
    with pytest.raises(ModelError, match="the destination c has no --opset: leave it out; these have it: onnx"):
        nn.export(network, "c", tmp_path, parameters, opset=23)
    monkeypatch.setattr(onnx.defs, "onnx_opset_version", lambda: 21)
    with pytest.raises(ModelError, match=r"knows the opsets up to 21: install onnx 1\.18 or newer for opset 23"):
        nn.export(network, "onnx", tmp_path, parameters, opset=23)
    assert not list(tmp_path.iterdir())
