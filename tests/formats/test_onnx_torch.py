"""What both exporters of torch.onnx write of transformers is read with PyTorch's numbers."""

import io
import warnings

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import evaluate

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

STEPS, WIDTH, HEADS, BATCH = 4, 6, 2, 3
PADDED = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 0]]).bool()
OPTIONS = {"d_model": WIDTH, "nhead": HEADS, "dim_feedforward": 8, "batch_first": True}


class Placed(torch.nn.Module):
    """Tokens at learned places, which are counted by arange, and attention that looks at no later one."""

    def __init__(self):
        super().__init__()
        self.tokens, self.places = torch.nn.Embedding(7, WIDTH), torch.nn.Embedding(STEPS + 1, WIDTH)
        self.project = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        place = torch.arange(x.shape[1], device=x.device)
        turns = torch.arange(0, WIDTH, 2, dtype=self.project.weight.dtype) * place[:, None]
        h = self.tokens(x) + self.places(place) + torch.cat([torch.sin(turns), torch.cos(turns)], -1)
        later = place[None, :] > place[:, None]
        scores = (self.project(h) @ h.transpose(1, 2)).masked_fill(later, float("-inf"))
        return torch.softmax(scores, -1) @ h


class Decoder(torch.nn.Module):
    """A layer of a decoder, whose own mask is causal."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.TransformerDecoderLayer(**OPTIONS, norm_first=True, activation="gelu")

    def forward(self, x, memory):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.layer(x, memory, tgt_mask=mask, tgt_is_causal=True)


class Whole(torch.nn.Module):
    """An encoder and a decoder, with places of the source that are padded."""

    def __init__(self):
        super().__init__()
        self.both = torch.nn.Transformer(**OPTIONS, num_encoder_layers=1, num_decoder_layers=1)
        self.both.encoder.use_nested_tensor = False  # they cannot be exported

    def forward(self, source, x, padded):
        mask = self.both.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.both(
            source, x, tgt_mask=mask, tgt_is_causal=True, src_key_padding_mask=padded, memory_key_padding_mask=padded
        )


def sequences(steps=STEPS):
    return torch.randn(BATCH, steps, WIDTH)


NETWORKS = {
    "places": (Placed, lambda: (torch.randint(0, 7, (BATCH, STEPS)),)),
    "decoder": (Decoder, lambda: (sequences(), sequences(5))),
    "padding": (Whole, lambda: (sequences(5), sequences(), PADDED)),
}


def exported(module, inputs, dynamo, rows):
    """The file of an exporter: for any number of samples, or for these ones alone."""
    axes = {0: torch.export.Dim("batch") if dynamo else "batch"}
    names, free = [f"x{k}" for k in range(len(inputs))], rows is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = tuple(axes for _ in inputs) if free else None
            return torch.onnx.export(module, inputs, dynamo=True, dynamic_shapes=shapes, verbose=False).model_proto
        file = io.BytesIO()
        torch.onnx.export(
            module,
            inputs,
            file,
            dynamo=False,
            input_names=names,
            opset_version=17,
            dynamic_axes=dict.fromkeys(names, axes) if free else None,
        )
    return onnx.load_model_from_string(file.getvalue())


@pytest.mark.parametrize("rows", [None, 1, BATCH], ids=["any", "one", "fixed"])
@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.thorough)], ids=["older", "dynamo"])
@pytest.mark.parametrize("name", NETWORKS)
def test_transformers(name, dynamo, rows):
    """Both exporters' files predict what PyTorch does, also where they are for one sample, or for a fixed number."""
    if dynamo:
        pytest.importorskip("onnxscript")
    if (name, rows) == ("padding", BATCH):
        pytest.skip("the file has zeros for each of the samples that it was exported with")
    torch.manual_seed(7)
    make, draw = NETWORKS[name]
    module, inputs = make().eval(), tuple(output[:rows] for output in draw())
    with torch.no_grad():
        if not dynamo:  # dynamo merges constants that are equal, as biases are before a training
            for tensor in module.parameters():
                tensor.copy_(torch.randn_like(tensor) / 2)
        expected = module(*inputs).numpy()
    read = nn.from_onnx(exported(module, inputs, dynamo, rows), batch=True if rows == BATCH else None)
    program = read.describe()
    start = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    X = np.concatenate([output.numpy().reshape(len(output), -1).astype(float) for output in inputs], axis=1)
    values = evaluate(program, start, X, np.zeros((len(X), expected[0].size)))
    joined = np.concatenate([values[output.tensor].reshape(len(X), -1) for output in program.outputs], axis=1)
    np.testing.assert_allclose(joined, expected.reshape(joined.shape), rtol=1e-5, atol=5e-6)
