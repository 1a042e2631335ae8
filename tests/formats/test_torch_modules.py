"""Modules of PyTorch with a forward of their own, taken over: outputs and gradients with their weights."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.stabilize import stabilize

torch = pytest.importorskip("torch")
tnn = torch.nn


class Tagger(tnn.Module):
    """A stack of recurrences over numbers of words, and a head; states and outputs are both read."""

    def __init__(self, kind, **options):
        super().__init__()
        self.words = tnn.Embedding(7, 3)
        self.rnn = getattr(tnn, kind)(3, 4, batch_first=True, **options)
        self.norm = tnn.LayerNorm(4 * (1 + self.rnn.bidirectional))
        self.head = tnn.Linear(4 * (2 + self.rnn.bidirectional), 2)

    def forward(self, words):
        out, states = self.rnn(self.words(words))
        h = states[0] if isinstance(self.rnn, tnn.LSTM) else states
        return self.head(torch.cat([self.norm(out)[:, -1, :], torch.tanh(h[-1])], dim=1))


class Translator(tnn.Module):
    """An encoder whose states begin a decoder, with an argument that may be left out, and initial states of 0."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = tnn.LSTM(2, 3, 2, batch_first=True), tnn.LSTM(1, 3, 2, batch_first=True)
        self.net = tnn.Sequential(tnn.Linear(3, 4), tnn.ReLU(), tnn.Linear(4, 1), tnn.Sigmoid())

    def forward(self, source, target, mask=None):
        zeros = torch.zeros(2, source.size(0), 3, dtype=source.dtype).to(source.device)
        _, states = self.encoder(source, (zeros, zeros))
        out, _ = self.decoder(target, states)
        return self.net(out).squeeze(-1)


class Picture(tnn.Module):
    """Convolutions by functions, a frozen normalization, a branch, and arithmetic."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = tnn.Conv2d(1, 3, 3), tnn.BatchNorm2d(3)
        self.first, self.second = tnn.Linear(12, 5), tnn.Linear(5, 5)
        self.norm.running_mean += 0.3
        self.norm.running_var *= 1.7

    def forward(self, x):
        h = tnn.functional.max_pool2d(self.norm(self.conv(x)).relu(), 2)
        h = self.first(h.view(h.size(0), -1))
        h = h + 0.5 * torch.nn.functional.leaky_relu(self.second(self.second(h)), 0.3) - 1
        return tnn.functional.softmax(h / 2, dim=-1)


class Pooled(tnn.Module):
    """A mean over the steps of a sequence, and axes in another order."""

    def __init__(self):
        super().__init__()
        self.gru, self.head = tnn.GRU(3, 4, batch_first=True, bidirectional=True, bias=False), tnn.Linear(5, 2)

    def forward(self, x):
        out = self.gru(x)[0]
        turned = out.transpose(1, 2).mean(dim=1, keepdim=True)
        return self.head(turned[..., 0, :]).unsqueeze(1)


def compared(module, *inputs, targets):
    """Checks the outputs and the gradient of a module, at rest, against ours; returns our model."""
    module.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = nn.from_torch(module, loss="mse", inputs=[tuple(tensor.shape[1:]) for tensor in inputs])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    program = differentiate(stabilize(model.describe()))
    expected = module(*inputs)
    y = torch.tensor(np.random.default_rng(3).normal(size=(len(expected), targets)))
    loss = ((expected.reshape(y.shape) - y) ** 2).mean()
    loss.backward()
    flat = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    rows = np.concatenate([tensor.double().numpy().reshape(len(tensor), -1) for tensor in inputs], 1)
    values = evaluate(program, flat, rows, y.numpy())
    outputs = values[program.outputs[0].tensor].reshape(y.shape)
    np.testing.assert_allclose(outputs, expected.detach().numpy().reshape(y.shape), atol=1e-13)
    assert float(values["loss"]) == pytest.approx(loss.item(), rel=1e-12)
    norms = [float((parameter.grad**2).sum()) for parameter in module.parameters()]
    slopes = dict(zip((tensor.name for tensor in program.parameters), program.gradient, strict=True))
    ours = sum(
        float((values[element.tensor] ** 2).sum()) for name, element in slopes.items() if not name.startswith("b")
    )
    weights = [norm for (name, _), norm in zip(module.named_parameters(), norms, strict=True) if "bias" not in name]
    assert ours == pytest.approx(sum(weights), rel=1e-10)
    return model


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("RNN", {"num_layers": 2, "nonlinearity": "relu"}),
        ("LSTM", {"bidirectional": True, "num_layers": 2}),
        ("GRU", {"num_layers": 3}),
    ],
)
def test_recurrent_modules(kind, options):
    """A stack of recurrent layers between an Embedding and a Linear is the same here, in both directions too."""
    torch.manual_seed(0)
    words = torch.randint(0, 7, (4, 5))
    module = Tagger(kind, **options).double()
    sizes = [weight.numel() for weight in (module.words.weight, module.head.weight)]
    model = compared(module, words, targets=2)
    parameters = {tensor.name: tensor.size for tensor in model.describe().parameters}
    assert [parameters[name] for name in ("E_words", "W_head")] == sizes
    assert {"Wf_rnn_l1", "Ub_rnn_l0"} <= {*parameters} if "bidirectional" in options else "W_rnn_l1" in parameters


def test_an_encoder_begins_a_decoder():
    """States of one module begin another; arguments with a default may be left out; the last axis of one may go."""
    torch.manual_seed(1)
    module = Translator().double()
    inputs = [torch.randn(4, steps, size, dtype=torch.float64) for steps, size in ((5, 2), (3, 1))]
    model = compared(module, *inputs, targets=3)
    assert [str(tensor) for tensor in model.describe().inputs] == ["source[n, 5, 2]", "target[n, 3, 1]"]
    assert nn.from_torch(module, inputs=[(5, 2), (3, 1)]).loss == ["binary_crossentropy"]


def test_functions_of_torch():
    """Functions are the modules that do the same; a module that is called twice is one layer."""
    torch.manual_seed(2)
    model = compared(Picture().double(), torch.randn(4, 1, 6, 6, dtype=torch.float64), targets=5)
    names = [tensor.name for tensor in model.describe().parameters]
    assert names.count("W_second") == 1
    compared(Pooled().double(), torch.randn(4, 5, 3, dtype=torch.float64), targets=2)
    assert nn.from_torch(Picture(), inputs=(1, 6, 6)).loss == ["categorical_crossentropy"]


def test_dropout_between_layers():
    """The dropout of a stack is a layer between its layers, which is there in training alone."""
    module = tnn.GRU(3, 4, 3, batch_first=True, dropout=0.25)
    program = nn.from_torch(module, inputs=(5, 3)).describe()
    assert [source.scale for source in program.noise] == [0.25, 0.25]
    assert len(program.outputs) == 4  # the sequence, and the state of each layer


class _Steps(tnn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class _Samples(tnn.Module):
    def forward(self, x):
        return torch.cat([x, x], dim=0)


class _Weight(tnn.Module):
    def __init__(self):
        super().__init__()
        self.scale = tnn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.scale.exp() * x


@pytest.mark.parametrize(
    ("module", "inputs", "message"),
    [
        (tnn.LSTM(3, 4), (5, 3), "has steps before samples: set its batch_first = True"),
        (tnn.LSTM(3, 4, proj_size=2, batch_first=True), (5, 3), "has proj_size=2; from_torch knows proj_size=0 alone"),
        (tnn.LSTM(3, 4, batch_first=True), None, "give inputs, the shape of a sample of"),
        (tnn.LSTM(3, 4, batch_first=True), (5, 2), r"does not take samples of the shapes \[\(5, 2\)\]"),
        (tnn.Sequential(tnn.GRU(3, 4, batch_first=True), tnn.Linear(4, 1)), (5, 3), "does not take samples"),
        (_Steps(), 3, "the forward of _Steps cannot be followed by torch.fx"),
        (_Samples(), 3, "cannot take cat = cat.*first axis of what it gives is not that of the samples"),
        (_Weight(), 3, "cannot take mul = mul.*is computed from weights"),
        (tnn.Sequential(tnn.Embedding(5, 2, padding_idx=0), tnn.Flatten(), tnn.Linear(6, 1)), 3, "has padding_idx=0"),
        (tnn.Sequential(tnn.Linear(3, 1)).to(torch.bfloat16), None, r"Linear\(.* in bfloat16, which is not .*\.float"),
        (tnn.GRU(3, 4, batch_first=True, dtype=torch.bfloat16), (5, 3), "weight_ih_l0 of GRU is in bfloat16, which"),
        (tnn.Sequential(tnn.Linear(3, 1, dtype=torch.complex64)), None, "is in complex64, which is not read"),
        (tnn.Sequential(tnn.BatchNorm1d(3, track_running_stats=False), tnn.Linear(3, 1)), 3, "no running statistics"),
    ],
    ids=str,
)
def test_what_cannot_be_followed(module, inputs, message):
    """The error names the module or the line of the graph, and says what to do."""
    with pytest.raises(nn.ModelError, match=message):
        nn.from_torch(module, inputs=inputs)


def test_stacks_with_normalizations_and_embeddings():
    """A stack of such modules is a Sequential, with the weights of each."""
    torch.manual_seed(4)
    stack = tnn.Sequential(tnn.Embedding(6, 3), tnn.Flatten(), tnn.LayerNorm(6), tnn.Linear(6, 4), tnn.BatchNorm1d(4))
    stack[4].running_mean += 0.5
    stack = stack.double().eval()
    words = torch.tensor([[0, 5], [2, 3], [4, 4]])
    model = nn.from_torch(stack, inputs=2)
    assert isinstance(model, nn.Sequential)
    program = model.describe()
    flat = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    values = evaluate(program, flat, words.numpy().astype(float), np.zeros((3, 4)))[program.outputs[0].tensor]
    np.testing.assert_allclose(values, stack(words).detach().numpy(), atol=1e-13)
