"""Modules of PyTorch with attention, taken over: outputs, losses and the gradient of each array, with their weights."""

import copy
import threading
import time

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("quick_compiler")
tnn, F = torch.nn, torch.nn.functional


def close(actual, expected, least=0.0):
    scale = max(float(abs(expected).max()), least)
    assert abs(actual - expected).max() <= 1e-12 * scale, (actual, expected)


def initial(model):
    """The initial values of the parameters that are trained, by name."""
    parameters = model.describe().parameters
    return {t.name: np.frombuffer(t.initial.values).reshape(t.shape) for t in parameters if t.trained}


def compared(module, *inputs, masks=()):
    """Checks outputs, loss and gradients of a module at rest against ours, to 1e-12 of each array; returns ours."""
    module = module.double().eval()
    whole = (*inputs, *masks)
    model = nn.from_torch(module, loss="mse", inputs=[tuple(tensor.shape[1:]) for tensor in whole])
    program = simplify(differentiate(stabilize(model.describe())))
    outputs = module(*whole)
    outputs = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
    rng = np.random.default_rng(3)
    targets = [torch.tensor(rng.normal(size=output.shape)) for output in outputs]
    loss = sum(((output - y) ** 2).mean() for output, y in zip(outputs, targets, strict=True))
    loss.backward()
    flat = np.concatenate([np.frombuffer(t.initial.values) for t in model.describe().parameters])
    rows = np.concatenate([tensor.double().numpy().reshape(len(tensor), -1) for tensor in whole], 1)
    values = evaluate(program, flat, rows, np.concatenate([y.numpy().reshape(len(y), -1) for y in targets], 1))
    for output, expected in zip(program.outputs, outputs, strict=True):
        close(values[output.tensor].reshape(expected.shape), expected.detach().numpy())
    assert float(values["loss"]) == pytest.approx(loss.item(), rel=1e-12)
    slopes = copy.deepcopy(module)
    for parameter, of in zip(slopes.parameters(), module.parameters(), strict=True):
        parameter.data = torch.zeros_like(of) if of.grad is None else of.grad  # its own grad in place of each weight
    expected = initial(nn.from_torch(slopes, loss="mse", inputs=[tuple(tensor.shape[1:]) for tensor in whole]))
    largest = max(float(abs(array).max()) for array in expected.values())
    for tensor, element in zip(program.parameters, program.gradient, strict=True):
        if not tensor.trained:
            continue
        name = tensor.name
        is_zero = float(abs(expected[name]).max()) < 1e-12 * largest  # exactly, as for the bias of all keys
        close(values[element.tensor], expected[name], largest if is_zero else 0.0)
    return model


def drawn(*shape, seed=1):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


# --- MultiheadAttention ------------------------------------------------------------------------------------------


class Looking(tnn.Module):
    """A MultiheadAttention with all that a call may be given."""

    def __init__(self, kdim=None, vdim=None, bias=True, batch_first=True, kind="none", weights=False, average=True):
        super().__init__()
        self.look = tnn.MultiheadAttention(4, 2, bias=bias, kdim=kdim, vdim=vdim, batch_first=batch_first, dropout=0.25)
        tnn.init.normal_(self.look.out_proj.weight)
        if bias:
            tnn.init.normal_(self.look.in_proj_bias)
            tnn.init.normal_(self.look.out_proj.bias)
        self.kind, self.weights, self.average, self.first = kind, weights, average, batch_first
        mask = torch.tensor(np.random.default_rng(2).normal(size=(3, 5)))
        self.register_buffer("mask", torch.where(mask > 1, -torch.inf, mask))
        self.register_buffer("of_heads", torch.tensor(np.random.default_rng(4).normal(size=(2, 3, 5))))

    def forward(self, query, key, value, padding=None):
        mask = {
            "none": None,
            "bool": torch.arange(3)[:, None] + 1 < torch.arange(5),
            "causal": torch.triu(torch.ones(query.size(1), key.size(1), dtype=torch.bool), diagonal=1),
            "float": self.mask,
            "heads": self.of_heads.repeat(query.size(0), 1, 1),
        }[self.kind]
        if not self.first:
            query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
        h, weights = self.look(
            query,
            key,
            value,
            key_padding_mask=padding,
            attn_mask=mask,
            need_weights=self.weights,
            average_attn_weights=self.average,
        )
        h = h if self.first else h.permute(1, 0, 2)
        return (h, weights) if self.weights else h


@pytest.mark.parametrize("kind", ["none", "bool", "causal", "float", "heads"])
@pytest.mark.parametrize("options", [{}, {"kdim": 3, "vdim": 2}, {"bias": False, "batch_first": False}], ids=str)
def test_multihead_attention(kind, options):
    """Queries, keys and values of their own sizes, any known mask, samples first or second, with biases or without."""
    torch.manual_seed(0)
    sizes = 4, options.get("kdim", 4), options.get("vdim", 4)
    inputs = [drawn(2, steps, size, seed=size) for steps, size in zip((3, 5, 5), sizes, strict=True)]
    model = compared(Looking(kind=kind, **options), *inputs)
    names = [tensor.name for tensor in model.describe().parameters]
    assert {"Wq_look", "Wo_look"} <= {*names}
    assert ("M_mask" in names) == (kind in ("bool", "float"))


@pytest.mark.parametrize("average", [True, False])
def test_weights_are_a_result(average):
    """The weights of all heads, or their mean, are a second output; a mask of the samples hides places."""
    padding = torch.tensor([[False] * 5, [False, True, False, False, True]])
    inputs = [drawn(2, steps, 4, seed=steps) for steps in (3, 5, 5)]
    model = compared(Looking(weights=True, average=average, kind="causal"), *inputs, masks=[padding])
    assert [len(tensor.indices) for tensor in model.describe().outputs] == [3, 3 if average else 4]


def test_a_module_alone():
    """Alone, a module looks at its input, or at its last one; samples are first here, as everywhere."""
    torch.manual_seed(1)
    module = tnn.MultiheadAttention(4, 2)
    x, y = drawn(2, 3, 4), drawn(2, 5, 4)
    for inputs in ([x], [x, y]):
        model = nn.from_torch(module.double(), inputs=[tuple(tensor.shape[1:]) for tensor in inputs])
        flat = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in model.describe().parameters])
        rows = np.concatenate([tensor.numpy().reshape(2, -1) for tensor in inputs], 1)
        values = evaluate(model.describe(), flat, rows, np.zeros((2, 12)))[model.describe().outputs[0].tensor]
        turned = [tensor.transpose(0, 1) for tensor in (x, inputs[-1], inputs[-1])]
        close(values, module(*turned)[0].transpose(0, 1).detach().numpy())


# --- blocks ------------------------------------------------------------------------------------------------------


class Encoded(tnn.Module):
    """Tokens and places, a stack of blocks, causal or with padding, and a head; the rows of PyTorch's tutorials."""

    def __init__(self, norm_first, activation, batch_first, causal):
        super().__init__()
        self.tokens, self.places = tnn.Embedding(7, 4), tnn.Embedding(6, 4)
        block = tnn.TransformerEncoderLayer(
            4, 2, 5, 0.1, activation, norm_first=norm_first, batch_first=batch_first, bias=causal
        )
        self.encoder = tnn.TransformerEncoder(block, 2, tnn.LayerNorm(4) if norm_first else None, False)
        self.head, self.first, self.causal = tnn.Linear(4, 3), batch_first, causal

    def forward(self, tokens):
        steps = tokens.size(1)
        h = self.tokens(tokens) + self.places(torch.arange(steps))
        mask = tnn.Transformer.generate_square_subsequent_mask(steps) if self.causal else None
        padding = None if self.causal else tokens == 0
        h = h if self.first else h.transpose(0, 1)
        h = self.head(self.encoder(h, mask=mask, src_key_padding_mask=padding))
        return h if self.first else h.transpose(0, 1)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", F.gelu, tnn.SiLU()], ids=["relu", "gelu", "silu"])
def test_encoders(norm_first, batch_first, activation):
    """A stack of blocks is the same, whichever comes first, and whatever its activation."""
    torch.manual_seed(2)
    causal = activation == "relu"
    tokens = torch.tensor([[1, 2, 0, 6, 0], [5, 0, 3, 4, 1]])
    model = compared(Encoded(norm_first, activation, batch_first, causal), tokens)
    names = [tensor.name for tensor in model.describe().parameters]
    assert {"P_places", "Wq_encoder_layers_1_self_attn", "W_encoder_layers_0_linear1"} <= {*names}
    assert not any(name.startswith("M_") for name in names)  # a causal mask is an equation
    assert sum(source.scale == 0.1 for source in model.describe().noise) == 8  # of weights, and of three results


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [True, False])
def test_decoders(norm_first):
    """A decoder looks at itself and at a memory, alone or in a whole Transformer, with masks of both."""
    torch.manual_seed(3)
    block = tnn.TransformerDecoderLayer(4, 2, 6, norm_first=norm_first, batch_first=True)
    x, memory = drawn(2, 3, 4), drawn(2, 5, 4, seed=2)
    compared(block, x, memory)
    compared(tnn.TransformerDecoder(block, 2), x, memory)

    class Whole(tnn.Module):
        def __init__(self):
            super().__init__()
            self.both = tnn.Transformer(4, 2, 1, 2, 5, norm_first=norm_first, batch_first=True)

        def forward(self, source, target, padding):
            mask = self.both.generate_square_subsequent_mask(target.shape[1])
            return self.both(
                source, target, tgt_mask=mask, src_key_padding_mask=padding, memory_key_padding_mask=padding
            )

    padding = torch.tensor([[False, False, False, True, True], [False, True, False, False, False]])
    compared(Whole(), memory, x, masks=[padding])


# --- functions ---------------------------------------------------------------------------------------------------


class Block(tnn.Module):
    """A block as it is written by hand: one product for queries, keys and values, and a function for attention."""

    def __init__(self, how, heads=2):
        super().__init__()
        self.norm, self.qkv, self.out = tnn.RMSNorm(4), tnn.Linear(4, 12, bias=False), tnn.Linear(4, 4)
        self.places = tnn.Parameter(torch.randn(1, 6, 4))
        self.scale = tnn.Parameter(torch.randn(4))
        self.register_buffer("lower", torch.tril(torch.ones(6, 6)).view(1, 1, 6, 6))
        self.how, self.heads = how, heads

    def forward(self, x):
        B, T, C = x.shape
        x = x + self.places[:, :T]
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        q, k, v = (tensor.view(B, T, self.heads, C // self.heads).transpose(1, 2) for tensor in (q, k, v))
        if self.how == "function":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.how == "scaled":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.lower[0, 0, :T, :T] > 0, scale=0.3)
        elif self.how == "added":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.lower[0, 0, :T, :T] * 2)
        else:
            scores = (q @ k.transpose(-2, -1)) * (k.size(-1) ** -0.5)
            scores = scores.masked_fill(self.lower[:, :, :T, :T] == 0, float("-inf"))
            y = torch.matmul(F.softmax(scores, dim=-1), v)
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return F.rms_norm(x + self.scale * self.out(y), (4,), self.scale, 1e-5)


@pytest.mark.parametrize("how", ["function", "scaled", "added", "by hand"])
def test_attention_as_functions(how):
    """Attention by scaled_dot_product_attention, or by products and a softmax, with weights of the module itself."""
    torch.manual_seed(4)
    model = compared(Block(how), drawn(3, 5, 4))
    names = [tensor.name for tensor in model.describe().parameters]
    assert {"P_scale", "P_places_from_0", "scale_norm", "W_qkv"} <= {*names}


def test_heads_in_groups():
    """With enable_gqa, heads of queries share keys and values; a mask of the samples hides places."""

    class Grouped(tnn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = tnn.Linear(3, 8), tnn.Linear(3, 4), tnn.Linear(3, 4)

        def forward(self, x, allowed):
            q, k, v = (layer(x).unflatten(2, (-1, 2)).transpose(1, 2) for layer in (self.q, self.k, self.v))
            mask = allowed[:, None, None, :]
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True).transpose(1, 2).flatten(2)

    torch.manual_seed(5)
    allowed = torch.tensor([[True] * 4, [True, False, False, True]])
    compared(Grouped(), drawn(2, 4, 3), masks=[allowed])


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(k, marks=pytest.mark.thorough) for k in range(6, 50))])
def test_random_networks(seed):
    """Random stacks of modules and functions with attention give what PyTorch gives, to 1e-12 of each array."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    heads, steps = int(rng.integers(1, 4)), int(rng.integers(1, 6))
    size = int(rng.integers(2 if heads > 1 else 4, 6))  # next to no variance is left in two features, and few digits
    width, first, causal = heads * size, bool(rng.integers(2)), bool(rng.integers(2))

    class Drawn(tnn.Module):
        def __init__(self):
            super().__init__()
            self.begin = tnn.Linear(3, width)
            kinds = [str(rng.choice(["encoder", "decoder", "looking", "norm"])) for _ in range(int(rng.integers(1, 4)))]
            self.kinds, self.parts = kinds, tnn.ModuleList(map(self.drawn, kinds))

        def drawn(self, kind):
            options = {"norm_first": bool(rng.integers(2)), "batch_first": first, "bias": bool(rng.integers(2))}
            options["activation"] = [F.relu, F.gelu, torch.tanh][int(rng.integers(3))]
            if kind == "encoder":
                return tnn.TransformerEncoderLayer(width, heads, 5, **options)
            if kind == "decoder":
                return tnn.TransformerDecoderLayer(width, heads, 4, **options)
            if kind == "looking":
                return tnn.MultiheadAttention(width, heads, bias=options["bias"], batch_first=first)
            return tnn.RMSNorm(width, 1e-5) if rng.integers(2) else tnn.LayerNorm(width)

        def forward(self, x):
            h = self.begin(x)
            h = h if first else h.transpose(0, 1)
            mask = torch.full((steps, steps), -torch.inf, dtype=x.dtype).triu(1) if causal else None
            for kind, part in zip(self.kinds, self.parts, strict=True):
                if kind == "encoder":
                    h = part(h, mask)
                elif kind == "decoder":
                    h = part(h, h, mask)
                elif kind == "looking":
                    h = h + part(h, h, h, attn_mask=mask)[0]
                else:
                    h = part(h)
            return h if first else h.transpose(0, 1)

    compared(Drawn(), drawn(int(rng.integers(1, 4)), steps, 3, seed=seed))


def test_a_module_trains():
    """What is compiled of a module is what was described, and its weights of attention drop out in training."""
    torch.manual_seed(6)
    module = tnn.TransformerEncoderLayer(4, 2, 5, 0.0, batch_first=True).double().eval()
    network = nn.build(nn.from_torch(module, inputs=(3, 4)), fit=False)
    x = drawn(5, 3, 4)
    predicted = network.predict(network.initial_parameters(), x.numpy().reshape(5, -1))
    close(predicted.reshape(5, 3, 4), module(x).detach().numpy())


# --- code as it is written ---------------------------------------------------------------------------------------


class Written(tnn.Module):
    """A module with some parts, and a forward that is given."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.lin, self.relu, self.words = tnn.Linear(4, 4), tnn.ReLU(inplace=True), tnn.Embedding(7, 4)
        self.look = tnn.MultiheadAttention(4, 2, batch_first=True)
        self.register_buffer("hidden", torch.triu(torch.ones(3, 3, dtype=torch.bool), 1))
        self.rows = torch.tensor(np.random.default_rng(5).normal(size=(9, 4)))  # neither a parameter nor a buffer
        self.tied = self.first = tnn.Parameter(torch.tensor([0.5, -1.0, 2.0, 1.5]))

    def forward(self, x):
        return self.function(self, x)


def hides_in_place(m, x):
    h = m.lin(x)
    scores = h @ h.transpose(1, 2)
    scores.masked_fill_(m.hidden, -torch.inf)
    return scores.softmax(-1) @ h


def adds_twice(m, x):
    h = m.lin(x)
    same = h.contiguous()
    h.add_(x).mul_(2)
    return same * h


def makes_a_mask(m, x):
    mask = torch.zeros(3, 3)
    mask.masked_fill_(m.hidden, -torch.inf)
    return F.scaled_dot_product_attention(m.lin(x), x, x, attn_mask=mask)


def adds_to_a_constant(m, x):
    rows = torch.zeros(3, 3)
    rows.add_(m.hidden)
    return m.lin(x) @ x.mT * rows


def scales_a_part(m, x):
    h = m.lin(x)
    first, second = h[..., :2], h[..., 2:]
    first.mul_(3)
    return torch.cat([first, second], -1)


def uses_modules_in_place(m, x):
    h = m.lin(x)
    return m.relu(h) + h + F.relu(m.lin(h - 1), inplace=True)


@pytest.mark.parametrize(
    "function",
    [hides_in_place, adds_twice, makes_a_mask, adds_to_a_constant, scales_a_part, uses_modules_in_place],
    ids=lambda function: function.__name__,
)
def test_operations_in_place(function):
    """What an operation changes in place is changed for all that read it later, without an assignment."""
    torch.manual_seed(7)
    compared(Written(function), drawn(2, 3, 4))


@pytest.mark.parametrize(
    "mask",
    [
        lambda t: ~t.bool(),
        lambda t: ~t.to(torch.bool),
        lambda t: ~(t != 0).bool(),
        lambda t: (t.bool()).logical_not(),
        lambda t: (t == 0).to(dtype=torch.bool),
    ],
)
def test_numbers_become_true_or_false(mask):
    """Numbers other than 0 are true, whatever they are."""
    torch.manual_seed(8)
    tokens = torch.tensor([[1, 2, 0], [5, 0, 3]])

    def looks(m, x):
        h = m.words(x)
        return m.look(h, h, h, key_padding_mask=mask(x))[0]

    compared(Written(looks), tokens)


def test_masks_by_place_among_the_arguments():
    """A mask is true or false also where the call does not name it."""
    torch.manual_seed(9)
    padding = torch.tensor([[False, False, True], [False, True, False]])

    class Padded(tnn.Module):
        def __init__(self):
            super().__init__()
            self.look = tnn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x, padding):
            return self.look(x, x, x, padding.to(x.device))[0]

    compared(Padded(), drawn(2, 3, 4), masks=[padding])


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.lin(x) + m.rows[:3],
        lambda m, x: m.lin(x) * torch.tensor([1.0, 2.0, -1.0, 0.5]),
        lambda m, x: torch.tensor(3.0) * m.lin(x) + m.rows[2:5] - m.rows[0],
    ],
)
def test_tensors_that_the_module_does_not_register(function):
    """Tensors that are neither parameters nor buffers are constants, which no training changes."""
    torch.manual_seed(10)
    model = compared(Written(function), drawn(2, 3, 4))
    parameters = model.describe().parameters
    assert next(t.name for t in parameters if not t.trained) == "P_constant_1"


def test_a_parameter_with_two_names_is_trained():
    """A parameter is one, whichever of its names the code takes."""
    model = compared(Written(lambda m, x: m.lin(x) * m.tied), drawn(2, 3, 4))
    assert all(tensor.trained for tensor in model.describe().parameters)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.lin(x) + x.data,
        lambda m, x: m.lin(x).real * x,
        lambda m, x: m.lin(x) @ x.mT @ x,
        lambda m, x: (m.lin(x)[:, 0].T * 2.0).T,
        lambda m, x: m.lin(x) * x.ndim / x.shape[1],
    ],
)
def test_attributes(function):
    """Attributes of values are these values, their transposes and their sizes."""
    torch.manual_seed(11)
    compared(Written(function), drawn(2, 3, 4))


def test_modules_are_traced_one_at_a_time():
    """Several threads leave the settings and functions of PyTorch as they were."""
    inside, most = [], []

    def notes(m, x):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return m.lin(x)

    kept = torch.get_default_dtype(), torch.ones
    module = Written(notes)
    threads = [threading.Thread(target=nn.from_torch, args=(module,), kwargs={"inputs": (3, 4)}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9  # traced in training and outside of it, and run to be compared
    assert (torch.get_default_dtype(), torch.ones) == kept


def with_dropout(m, x):
    return F.dropout(m.lin(x), 0.5, m.training) + F.dropout(x, 0.3)


def looks_up(m, x):
    return m.words(x.to(torch.long))


def with_branch(m, x):
    """Noise and another scale in training, and a dropout that is there in training alone."""
    if m.training:
        x = F.dropout(x, 0.2)
        return 3 * m.lin(x) + 1
    return m.lin(x)


def with_dropout_alone(m, x):
    """A branch of training that has nothing but dropout."""
    return m.lin(F.dropout(x, 0.2) if m.training else x)


def with_scale(m, x):
    """The same calls in training, with another number."""
    return m.lin(x) * (2 if m.training else 1)


def with_dropout_in_attention(m, x):
    """Attention whose weights are dropped in training, by name."""
    h = m.lin(x)
    return F.scaled_dot_product_attention(h, h, x, dropout_p=0.1 if m.training else 0.0, is_causal=True)


def with_dropout_in_attention_by_place(m, x):
    """Attention whose weights are dropped in training, by place."""
    h = m.lin(x)
    return F.scaled_dot_product_attention(h, h, x, None, 0.1 if m.training else 0.0, True)


def with_unused_values(m, x):
    """Numbers for a log, which only training computes, and no result needs."""
    h = m.lin(x)
    if m.training:
        m.seen = h.mean(1)
    return h.tanh()


def with_change_in_place(m, x):
    """A change in place of training alone, whose result has no name."""
    h = m.lin(x)
    if m.training:
        h.mul_(2)
    return h.tanh()


def with_change_by_module(m, x):
    """A change in place of training alone by a module, whose result has no name."""
    h = m.lin(x)
    if m.training:
        m.relu(h)
    return h.tanh()


def with_change_by_argument(m, x):
    """A change in place of training alone by a function, whose result has no name."""
    h = m.lin(x)
    if m.training:
        F.relu(h, True)
    return h.tanh()


@pytest.mark.parametrize(
    "forward", [with_branch, with_scale, with_change_in_place, with_change_by_module, with_change_by_argument]
)
def test_branches_of_training(forward):
    """A module in training with another branch is refused, in words; outside of training it is that of predictions."""
    module = Written(forward).train()
    with pytest.raises(nn.ModelError, match=r"another branch outside of training .*call eval\(\) of the module first"):
        nn.from_torch(module, inputs=(4,))
    compared(module.eval(), drawn(5, 4))


@pytest.mark.parametrize(
    "forward",
    [with_dropout_alone, with_dropout_in_attention, with_dropout_in_attention_by_place, with_unused_values],
)
def test_training_that_adds_no_branch(forward):
    """Dropout, also that of attention, and values that no result needs, are no other branch of training."""
    module = Written(forward)
    network = nn.from_torch(module.train(), inputs=(3, 4))
    noise = str(network.describe().noise)
    assert ("dropout" in noise) == (forward is not with_unused_values)
    compared(module.eval(), drawn(2, 3, 4))


@pytest.mark.parametrize("training", [True, False])
def test_modules_in_training(training):
    """A module that has dropout is taken as well where it is in training, and random numbers of PyTorch are kept."""
    module = Written(with_dropout).train(training)
    before = torch.random.get_rng_state()
    network = nn.from_torch(module, inputs=(3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert "dropout" in str(network.describe().noise)


def test_arguments_by_name_and_whole_numbers():
    """An argument that is given by name has its default; tokens may be inputs that the code makes whole."""

    class Named(tnn.Module):
        def __init__(self):
            super().__init__()
            self.lin = tnn.Linear(4, 4)

        def forward(self, x, *, scale=2.0, mask=None):
            return self.lin(x) * scale

    torch.manual_seed(13)
    compared(Named(), drawn(2, 3, 4))
    compared(Written(looks_up), torch.tensor([[1, 2, 0], [5, 0, 3]]))


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["filled", "added", "given"])
def test_the_lowest_number_hides_a_place(form):
    """The least number in float32 hides a place as minus infinity does, which many modules write for it."""

    def looks(lowest):
        def forward(m, x):
            h = m.lin(x)
            if form == "filled":
                return (h @ h.mT).masked_fill(m.hidden, lowest).softmax(-1) @ h
            mask = torch.zeros(3, 3).masked_fill(m.hidden, lowest)
            if form == "given":
                return F.scaled_dot_product_attention(h, x, x, attn_mask=mask)
            return (h @ h.mT + mask).softmax(-1) @ h

        return forward

    torch.manual_seed(9)
    numbers, infinite = (Written(looks(score)) for score in (torch.finfo(torch.float32).min, -torch.inf))
    compared(numbers, drawn(2, 3, 4))
    steps = [nn.from_torch(module, inputs=(3, 4)).describe().steps for module in (numbers, infinite)]
    assert steps[0] == steps[1]


class Called(tnn.Module):
    """A module with one function of a sequence and of perhaps more."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        self.scale = tnn.Parameter(torch.ones(4))
        self.register_buffer("count", torch.zeros(4))
        self.look = tnn.MultiheadAttention(4, 2, batch_first=True)
        self.late = tnn.MultiheadAttention(4, 2)
        self.places = tnn.Embedding(9, 4)
        self.block = tnn.TransformerEncoderLayer(4, 2, 5, activation=parts.get("activation", "relu"), batch_first=True)

    def forward(self, x):
        return self.function(self, x)


def reads_a_view_later(m, x):
    h = m.block(x)
    h[:, 1:].relu_()
    return h


def reads_before(m, x, mask):
    h = m.block(x) + mask
    mask.add_(1)
    return h * mask


def adds_to_another_name(m, x):
    y = h = m.block(x)
    h += 1  # y too in PyTorch, but not for torch.fx
    return h * y


def adds_truth(m, x):
    """PyTorch adds 0 and 1 to the scores where a mask is no longer true or false."""
    y = x.mT @ x
    return F.scaled_dot_product_attention(x, y, y, attn_mask=(x == 0).float().to(x.dtype))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (tnn.MultiheadAttention(4, 2, add_bias_kv=True), "has add_bias_kv=True, a key and a value that belong to no"),
        (tnn.MultiheadAttention(4, 2, add_zero_attn=True), "has add_zero_attn=True, .*: append zeros to the sequence"),
        (Called(lambda m, x: m.late(x, x, x)[0]), "MultiheadAttention, has steps before samples: set its batch_first"),
        (Called(lambda m, x: m.look(x, x, x, attn_mask=x @ x.transpose(1, 2))[0]), "does not take samples"),
        (Called(lambda m, x: m.look(x, x, x, key_padding_mask=x.mean(2))[0]), "has to be true or false"),
        (Called(lambda m, x: m.block(x), activation=lambda z: z), "its activation .* has no name here"),
        (Called(lambda m, x: x.unbind(0)[0]), "takes a value of samples apart, and not the samples"),
        (Called(lambda m, x: m.look(x, x, x, attn_mask=torch.eye(3) * x.size(0))[0]), "its mask is neither known nor"),
        (Called(lambda m, x: x * m.scale.exp()), "is computed from weights"),
        (Called(lambda m, x: x * m.scale + m.scale), "the weights scale are used in two ways, as WithWeights"),
        (Called(lambda m, x: x + m.places(torch.tensor([1, 0, 2]))), "are no places of a sequence, from 0 on"),
        (Called(lambda m, x: x * m.places(torch.arange(3))), "rows for places are added to a sequence"),
        (Called(lambda m, x: (x @ x.mT).masked_fill(torch.eye(3) > 0, -9.0).softmax(-1)), "are -inf, not -9.0"),
        (Called(lambda m, x: (x == 1.5).float()), "compares a value of samples and a whole number"),
        (Called(reads_a_view_later), "it changes .* in place, and .*, which is read later, has the same memory"),
        (Called(lambda m, x: m.block(x).unsqueeze_(1)), "it changes the axes of block in place: write unsqueeze"),
        (Called(lambda m, x: torch.zeros_like(x).add_(x)), "which is no value of samples, in place: assign"),
        (Called(lambda m, x: reads_before(m, x, torch.zeros(x.size(1), 4))), "zeros in place, which is read elsewhere"),
        (Called(lambda m, x: x * m.count.add_(1)), "in place, which is read elsewhere: make a new tensor"),
        (Called(lambda m, x: reads_before(m, x, torch.zeros(3, 4))), "changes a tensor in place that it read before"),
        (Called(adds_to_another_name), "gives other numbers where torch.fx follows it: .* write x = x . 1"),
        (Called(adds_truth), "a mask that depends on the samples has to be true or false"),
        (Called(lambda m, x: m.block(x).data), "has no gradient in PyTorch, and every value has one here"),
        (Called(lambda m, x: m.block(x).to(torch.long) * 2), "would be cut off in the type torch.int64"),
        (Called(lambda m, x: x @ x.mH), "from_torch does not know the attribute mH"),
        (Called(lambda m, x: x[None]), "not that of the samples|come after that of the samples"),
    ],
    ids=str,
)
def test_what_is_refused(module, message):
    """The error names the module or the line of the graph, and says why."""
    with pytest.raises(nn.ModelError, match=message):
        nn.from_torch(module, inputs=(3, 4))
