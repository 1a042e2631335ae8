"""Random networks of attention against PyTorch, with the same parameters: outputs, losses and gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.errors import ModelError

pytestmark = pytest.mark.usefixtures("quick_compiler")
F = torch.nn.functional


class Theirs:
    """The layers of a network as functions of PyTorch, by the same parameters, numbered as ours."""

    def __init__(self, named):
        self._named, self._number = named, 0

    def _next(self):
        self._number += 1
        return lambda letters: self._named.get(f"{letters}{self._number}")

    def add(self, a, b):
        self._next()
        return a + b

    def dense(self, x, activation="linear"):
        use = self._next()
        z = F.linear(x, use("W"), use("b"))
        return {"linear": lambda z: z, "relu": F.relu, "gelu": F.gelu, "tanh": torch.tanh}[activation](z)

    def embedding(self, tokens):
        return F.embedding(tokens, self._next()("E"))

    def positions(self, x):
        return self._next()("P")[: x.shape[1]].expand(x.shape)

    def normal(self, x, kind, epsilon):
        use = self._next()
        if kind == "rms":
            return F.rms_norm(x, x.shape[-1:], use("scale"), epsilon)
        return F.layer_norm(x, x.shape[-1:], use("gamma"), use("beta"), epsilon)

    def attention(self, query, value, allowed=None, causal=False, rotary=None):
        use = self._next()
        q, k, v = (self._heads(use, letter, x) for letter, x in (("q", query), ("k", value), ("v", value)))
        q, k = (q, k) if rotary is None else (rotated(x, rotary) for x in (q, k))
        repeats = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=causal)
        return F.linear(attended.transpose(1, 2).flatten(2), use("Wo").flatten(1), use("bo"))

    @staticmethod
    def _heads(use, letter, x):
        W, b = use(f"W{letter}"), use(f"b{letter}")
        *heads, size, _ = W.shape
        flat = F.linear(x, W.flatten(0, -2), None if b is None else b.flatten())
        return flat.unflatten(2, (int(np.prod(heads)), size)).transpose(1, 2)


def rotated(x, layer):
    """Rotated features, (N, heads, steps, features), as complex numbers."""
    half = x.shape[-1] // 2
    rates = layer.max_wavelength ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(x.shape[-2], dtype=torch.float64)[:, None] / layer.scaling_factor * rates
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def network(seed):
    """A random network of ours, its data, and the function of PyTorch that gives its output and its loss."""
    rng = np.random.default_rng(seed)
    steps, places, width, heads = (int(rng.integers(low, high)) for low, high in ((1, 7), (1, 6), (2, 7), (1, 4)))
    with_tokens, cross = bool(rng.integers(2)), bool(rng.integers(2))
    samples, plan = int(rng.integers(1, 4)), []
    x = nn.Input(steps if with_tokens else (steps, width), name="x")
    y, length = nn.Input((places, 3), name="y"), nn.Input(1, name="steps")
    h = nn.Embedding(9, width)(x) if with_tokens else x
    plan += [lambda at, h, other: at.embedding(h)] if with_tokens else []
    if rng.integers(2):
        h = h + nn.PositionEmbedding(steps + int(rng.integers(2)))(h)
        plan.append(lambda at, h, other: at.add(h, at.positions(h)))
    for _ in range(int(rng.integers(1, 4))):
        kind, epsilon = ("rms", 1e-5) if rng.integers(2) else ("layer", 1e-3)
        norm = nn.RMSNormalization(epsilon=epsilon) if kind == "rms" else nn.LayerNormalization(epsilon=epsilon)
        causal, bias, key_dim = bool(rng.integers(2)), bool(rng.integers(2)), int(rng.integers(1, 5))
        rotary = nn.RotaryEmbedding(100.0, 0.5) if rng.integers(2) else None
        options = {"use_bias": bias, "rotary": rotary}
        key_dim *= 1 if rotary is None else 2
        if rng.integers(2):
            layer = nn.MultiHeadAttention(heads, key_dim, int(rng.integers(1, 4)), **options)
        else:
            layer = nn.GroupQueryAttention(key_dim, 2 * heads, heads, **options)
        normal = norm(h)
        other = y if cross and rng.integers(2) else None
        seen = layer(normal, use_causal_mask=causal) if other is None else layer(normal, y, lengths=length)
        h = h + seen

        def block(at, h, memory, other=other, kind=kind, epsilon=epsilon, causal=causal, rotary=rotary):
            normal = at.normal(h, kind, epsilon)
            if other is None:
                return at.add(h, at.attention(normal, normal, causal=causal, rotary=rotary))
            allowed = (torch.arange(places) < memory[1])[:, None, None]
            return at.add(h, at.attention(normal, memory[0], allowed, rotary=rotary))

        plan.append(block)
        activation = ["relu", "gelu", "tanh"][int(rng.integers(3))]
        h = h + nn.Dense(width)(nn.Dense(5, activation)(h))
        plan.append(lambda at, h, other, act=activation: at.add(h, at.dense(at.dense(h, act))))
    classes = bool(rng.integers(2))
    output = nn.Dense(4)(h)
    plan.append(lambda at, h, other: at.dense(h))
    inputs = [x, *([y, length] if any(node.name == "y" for node in _inputs(output)) else [])]
    loss = "sparse_categorical_crossentropy_from_logits" if classes else "mse"
    model = nn.Network(inputs, output, loss, name="random")
    arrays = {
        "x": rng.integers(0, 9, (samples, steps)) if with_tokens else rng.normal(size=(samples, steps, width)),
        "y": rng.normal(size=(samples, places, 3)),
        "steps": rng.integers(1, places + 1, (samples, 1)),
    }
    targets = rng.integers(0, 4, (samples, steps)) if classes else rng.normal(size=(samples, steps, 4))
    X = np.concatenate([arrays[node.name].reshape(samples, -1) for node in inputs], axis=1).astype(float)
    Y = (np.eye(4)[targets] if classes else targets).reshape(samples, -1)

    def theirs(named):
        at, h = Theirs(named), torch.tensor(arrays["x"])
        other = torch.tensor(arrays["y"]), torch.tensor(arrays["steps"])
        for part in plan:
            h = part(at, h, other)
        if classes:
            return h, F.cross_entropy(h.flatten(0, 1), torch.tensor(targets).flatten())
        return h, F.mse_loss(h, torch.tensor(targets))

    return model, X, Y, theirs


def _inputs(node):
    """The inputs that a node depends on."""
    return [node] if node.is_input else [each for source in node.inputs for each in _inputs(source)]


def drawn(seed, count):
    """Random parameters, not large: where a softmax is next to 1, derivatives of PyTorch lose digits."""
    return np.random.default_rng(seed).normal(size=count) / 3


def compare(model, theirs, flat, output, loss, gradient):
    """Compare results with those of PyTorch, to 1e-12 of the largest entry of each array."""
    program = model.describe()
    named, start = {}, 0
    for tensor in program.parameters:
        part = flat[start : start + tensor.size].reshape(tensor.shape)
        named[tensor.name], start = torch.tensor(part, requires_grad=True), start + tensor.size
    expected, value = theirs(named)
    value.backward()
    close(output.reshape(expected.shape), expected.detach().numpy())
    assert loss == pytest.approx(value.item(), rel=1e-12)
    whole = max(float(abs(tensor.grad).max()) for tensor in named.values())
    start = 0
    for tensor in named.values():
        ours = gradient[start : start + tensor.numel()].reshape(tensor.shape)
        start += tensor.numel()
        is_zero = float(abs(tensor.grad).max()) < 1e-12 * whole  # exactly, as for the bias of all keys
        close(ours, tensor.grad.numpy(), whole if is_zero else 0.0)


def close(actual, expected, least=0.0):
    scale = max(float(abs(expected).max()), least)
    assert abs(actual - expected).max() <= 1e-12 * scale, (actual, expected)


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(k, marks=pytest.mark.thorough) for k in range(8, 50))])
def test_programs(seed):
    """What is compiled gives the outputs, the loss and the gradients of PyTorch, for random networks of this kind."""
    model, X, Y, theirs = network(seed)
    derived = simplify(differentiate(stabilize(model.describe())))
    flat = drawn(seed, derived.parameter_count)
    values = evaluate(derived, flat, X, Y)
    gradient = np.concatenate([values[element.tensor].ravel() for element in derived.gradient])
    compare(model, theirs, flat, values[derived.outputs[0].tensor], float(values[derived.loss.tensor]), gradient)


@pytest.mark.parametrize("seed", [1, *(pytest.param(k, marks=pytest.mark.thorough) for k in range(2, 50))])
def test_modules(seed):
    """So does the module."""
    model, X, Y, theirs = network(seed)
    module = nn.build(model, fit=False)
    flat = drawn(seed, module.parameter_count)
    loss, gradient = module.loss_and_gradient(flat, X, Y)
    compare(model, theirs, flat, module.predict(flat, X), loss, gradient)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("seed", [8, *(pytest.param(k, marks=pytest.mark.thorough) for k in range(50) if k != 8)])
def test_blocks(seed, length):
    """So does the module whose scores are computed in blocks of few queries, where it has scores of enough."""
    model, X, Y, theirs = network(seed)
    try:
        module = nn.build(model, fit=False, choices={"block_length": length})
    except ModelError as error:
        pytest.skip(str(error))  # the samples of a few of these networks lie along the vectors
    flat = drawn(seed, module.parameter_count)
    loss, gradient = module.loss_and_gradient(flat, X, Y)
    compare(model, theirs, flat, module.predict(flat, X), loss, gradient)


def test_multihead_attention():
    """The layer of PyTorch, with its own weights, gives the same, causal or not."""
    torch.manual_seed(2)
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=True).double()
    x = nn.Input((5, 6))
    X = np.random.default_rng(0).normal(size=(2, 5, 6))
    W, b = theirs.in_proj_weight.detach().numpy(), theirs.in_proj_bias.detach().numpy() + 1
    theirs.in_proj_bias.data += 1
    parts = [each for k in range(3) for each in (W[6 * k : 6 * k + 6], b[6 * k : 6 * k + 6])]
    parts += [theirs.out_proj.weight.detach().numpy(), theirs.out_proj.bias.detach().numpy()]
    flat = np.concatenate([part.ravel() for part in parts])
    for causal in (False, True):
        model = nn.Network(x, nn.MultiHeadAttention(3, 2)(x, use_causal_mask=causal), name="theirs").describe()
        values = evaluate(model, flat, X.reshape(2, -1), np.zeros((2, 30)))[model.outputs[0].tensor]
        mask = torch.triu(torch.full((5, 5), -torch.inf, dtype=torch.float64), 1) if causal else None
        tensor = torch.tensor(X)
        expected, _ = theirs(tensor, tensor, tensor, attn_mask=mask, need_weights=False)
        close(values, expected.detach().numpy())
