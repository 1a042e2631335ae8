"""Convolutions and pools against loops over windows, and their derivatives against differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import nncodegen as nn
from nncodegen.compiler.ir import Program, evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.errors import ModelError
from tests.support.search import examples
from tests.support.windows import gradient

Array = NDArray[np.float64]
RNG = np.random.default_rng(1)


# --- loops over windows ------------------------------------------------------------------------------------------


def padded_places(length: int, reach: int, stride: int, padding: Any) -> tuple[int, int]:
    """How many windows there are along an axis, and where the first begins: the rules of Keras, and of PyTorch."""
    if padding == "same":
        places = -(-length // stride)
        return places, max((places - 1) * stride + reach - length, 0) // 2
    before, after = {"valid": (0, 0), "causal": (reach - 1, 0)}.get(padding, (padding, padding))
    return (length + before + after - reach) // stride + 1, before


def windows(x: Array, size: int, stride: int, padding: Any, dilation: int) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Each place, and the (tap, position) pairs of its window that lie within x (channels, *axes)."""
    axes = []
    for length in x.shape[1:]:
        places, before = padded_places(length, dilation * (size - 1) + 1, stride, padding)
        rows = []
        for place in range(places):
            at = [(tap, stride * place + dilation * tap - before) for tap in range(size)]
            rows.append([(tap, position) for tap, position in at if 0 <= position < length])
        axes.append(rows)
    for place in itertools.product(*(range(len(rows)) for rows in axes)):
        pairs = itertools.product(*(rows[k] for rows, k in zip(axes, place, strict=True)))
        yield place, [tuple(zip(*pair, strict=True)) for pair in pairs]


def convolved(x: Array, W: Array, b: Array, stride: int, padding: Any, dilation: int, groups: int) -> Array:
    """The convolution of x (channels, *axes) with W (filters, channels/groups, *size)."""
    per, places = len(x) // groups, list(windows(x, W.shape[-1], stride, padding, dilation))
    result = np.zeros((len(W), *(1 + k for k in places[-1][0])))
    for o in range(len(W)):
        group_channels = x[o // (len(W) // groups) * per :][:per]
        for place, window in places:
            result[(o, *place)] = b[o] + sum(
                W[(o, slice(None), *tap)] @ group_channels[(slice(None), *at)] for tap, at in window
            )
    return result


def pooled(x: Array, size: int, stride: int, padding: Any, function: Callable[[list[float]], float]) -> Array:
    """A function of the values in each window, for each channel."""
    places = list(windows(x, size, stride, padding, 1))
    result = np.zeros((len(x), *(1 + k for k in places[-1][0])))
    for c, (place, window) in itertools.product(range(len(x)), places):
        result[(c, *place)] = function([x[(c, *at)] for _, at in window])
    return result


# --- outputs -----------------------------------------------------------------------------------------------------


def outputs(layer: nn.Layer, x: Array, first: bool, **parameters: Array) -> Array:
    """What a layer gives for one sample (channels, *axes), in this order, whatever order the layer itself has."""
    x = x if first else np.moveaxis(x, 0, -1)
    program = nn.Sequential([layer], x.shape).describe()
    flat = np.concatenate([np.ravel(parameters[tensor.name]) for tensor in program.parameters] or [[]])
    size = sum(tensor.size for tensor in program.targets)
    values = evaluate(program, flat, x.reshape(1, -1), np.zeros((1, size)))[program.outputs[0].tensor][0]
    return values if first else np.moveaxis(values, -1, 0)


kinds = st.fixed_dictionaries(
    {
        "axes": st.sampled_from((1, 2)),
        "stride": st.integers(1, 3),
        "dilation": st.integers(1, 2),
        "size": st.integers(1, 3),
        "groups": st.sampled_from((1, 2)),
        "first": st.booleans(),
        "padding": st.sampled_from(("valid", "same", 0, 1, 2)),
        "length": st.integers(5, 7),
        "seed": st.integers(0, 99),
    }
)


@given(kinds)
@examples(40)
def test_convolutions(kind: dict[str, Any]) -> None:
    """Outputs are sums over windows, for any strides, padding, dilation, groups and order of the axes."""
    axes, groups, size, first = kind["axes"], kind["groups"], kind["size"], kind["first"]
    rng = np.random.default_rng(kind["seed"])
    x = rng.normal(size=(4, *(kind["length"] + axis for axis in range(axes))))
    W, b = rng.normal(size=(6, 4 // groups, *(size,) * axes)), rng.normal(size=6)
    arguments = (kind["stride"], kind["padding"], kind["dilation"], groups)
    stride, padding, dilation, _ = arguments
    layer = (nn.Conv1D, nn.Conv2D)[axes - 1](
        6, size, stride, padding, "channels_first" if first else "channels_last", dilation, groups
    )
    assert outputs(layer, x, first, W1=W, b1=b) == pytest.approx(convolved(x, W, b, *arguments), abs=1e-13)


def test_causal_convolutions() -> None:
    """With causal padding, no output depends on what comes later, and there are as many as steps."""
    x, W = RNG.normal(size=(2, 6)), RNG.normal(size=(3, 2, 3))
    layer = nn.Conv1D(3, 3, padding="causal", dilation_rate=2, use_bias=False)
    expected = convolved(x, W, np.zeros(3), 1, "causal", 2, 1)
    assert expected.shape == (3, 6)
    assert outputs(layer, x, False, W1=W) == pytest.approx(expected, abs=1e-14)


@given(kinds)
@examples(40)
def test_transposes(kind: dict[str, Any]) -> None:
    """A transposed layer with the weights of a convolution is its transpose: <conv(x), y> = <x, transpose(y)>."""
    axes, groups, size, first = kind["axes"], kind["groups"], kind["size"], kind["first"]
    stride, dilation, rng = kind["stride"], kind["dilation"], np.random.default_rng(kind["seed"])
    reach = dilation * (size - 1) + 1
    padding = min(kind["padding"], (reach - 1) // 2) if isinstance(kind["padding"], int) else kind["padding"]
    W = rng.normal(size=(6, 4 // groups, *(size,) * axes))  # from 4 channels to 6, and back
    y = rng.normal(size=(6, *(3 + axis for axis in range(axes))))
    data_format = "channels_first" if first else "channels_last"
    layer = (nn.Conv1DTranspose, nn.Conv2DTranspose)[axes - 1](
        4, size, stride, padding, data_format, dilation, groups, use_bias=False
    )
    back = outputs(layer, y, first, W1=W)
    lengths = {"same": lambda n: n * stride, "valid": lambda n: (n - 1) * stride + max(reach, stride)}
    length = lengths.get(padding, lambda n: (n - 1) * stride + reach - 2 * padding)
    assert back.shape == (4, *(length(n) for n in y.shape[1:]))
    x = rng.normal(size=back.shape)
    forward = convolved(x, W, np.zeros(6), stride, padding, dilation, groups)
    assert np.vdot(forward, y) == pytest.approx(np.vdot(x, back), rel=1e-12)


def test_places_after_the_last_window() -> None:
    """output_padding appends places that no window reaches, which have the bias alone."""
    x, W, b = RNG.normal(size=(1, 3)), RNG.normal(size=(1, 2, 2)), RNG.normal(size=2)
    without, with_more = (
        outputs(nn.Conv1DTranspose(2, 2, 3, 0, output_padding=more), x, False, W1=W, b1=b) for more in (None, 2)
    )
    assert (without.shape, with_more.shape) == ((2, 8), (2, 10))
    assert np.array_equal(with_more[:, :8], without)
    assert np.array_equal(with_more[:, 8:], np.stack([b, b], axis=1))


@given(kinds)
@examples(40)
def test_pools(kind: dict[str, Any]) -> None:
    """The largest value of each window, and the mean of those that there are, or of all with zeros around."""
    axes, size, stride, first = kind["axes"], kind["size"], kind["stride"], kind["first"]
    padding = min(kind["padding"], size - 1) if isinstance(kind["padding"], int) else kind["padding"]
    x = np.random.default_rng(kind["seed"]).normal(size=(2, *(kind["length"] + axis for axis in range(axes))))
    data_format = "channels_first" if first else "channels_last"
    largest, mean = ((nn.MaxPooling1D, nn.AveragePooling1D), (nn.MaxPooling2D, nn.AveragePooling2D))[axes - 1]
    arguments, rest = (size, stride, padding), (size, stride, padding, data_format)
    assert np.array_equal(outputs(largest(*rest), x, first), pooled(x, *arguments, max))
    assert outputs(mean(*rest), x, first) == pytest.approx(pooled(x, *arguments, np.mean), rel=1e-13, abs=1e-14)
    zeros = pooled(x, *arguments, lambda values: sum(values) / size**axes)
    assert outputs(mean(*rest, count_include_pad=True), x, first) == pytest.approx(zeros, rel=1e-13, abs=1e-14)


def test_global_pools() -> None:
    """One value remains of each channel, wherever the channels are."""
    x = RNG.normal(size=(3, 4, 5))
    for data_format, first in (("channels_first", True), ("channels_last", False)):
        assert np.array_equal(outputs(nn.GlobalMaxPooling2D(data_format), x, first), x.max(axis=(1, 2)))
        assert np.array_equal(outputs(nn.GlobalMaxPooling1D(data_format), x[0], first), x[0].max(axis=1))
        assert outputs(nn.GlobalAveragePooling2D(data_format), x, first) == pytest.approx(x.mean(axis=(1, 2)))
        assert outputs(nn.GlobalAveragePooling1D(data_format), x[0], first) == pytest.approx(x[0].mean(axis=1))


# --- derivatives, initial values, errors -------------------------------------------------------------------------

STACKS: dict[str, tuple[list[nn.Layer], tuple[int, ...]]] = {
    "strides, groups, means": (
        [nn.Conv2D(4, 3, 2, "same", groups=2, activation="tanh"), nn.AveragePooling2D(2, 1, "same")],
        (5, 6, 2),
    ),
    "transposes, the largest": (
        [nn.Conv2DTranspose(3, 3, 2, "same"), nn.Activation("tanh"), nn.MaxPooling2D(3, 2, 1)],
        (3, 4, 2),
    ),
    "one axis, dense after it": (
        [nn.Conv1D(3, 2, 1, "causal", "channels_first", 2), nn.GlobalMaxPooling1D("channels_first"), nn.Dense(2)],
        (2, 7),
    ),
    "flattened": ([nn.Conv1DTranspose(2, 3, 2, 1, groups=2), nn.Flatten(), nn.Dense(2, "tanh")], (4, 2)),
}


def derived(name: str) -> Program:
    layers, shape = STACKS[name]
    return differentiate(stabilize(nn.Sequential([nn.Dense(shape[-1]), *layers], shape).describe()))


@pytest.mark.parametrize("name", STACKS)
def test_derivatives(name: str) -> None:
    """The derivative of the loss in a direction is its difference quotient, also for parameters of layers before."""
    program = derived(name)
    rng = np.random.default_rng(3)
    columns = [sum(tensor.size for tensor in tensors) for tensors in (program.inputs, program.targets)]
    X, Y = (rng.normal(size=(3, size)) for size in columns)
    parameters, direction = 0.3 * rng.normal(size=(2, program.parameter_count))
    step = 1e-3

    def loss(way: float) -> float:
        return float(evaluate(program, parameters + way * direction, X, Y)["loss"])

    expected = (8 * (loss(step) - loss(-step)) - loss(2 * step) + loss(-2 * step)) / (12 * step)
    assert gradient(program, parameters, X, Y) @ direction == pytest.approx(expected, rel=1e-8)


def test_initial_values() -> None:
    """Weights start as in Keras, which counts the inputs and outputs of a window; penalties are not for biases."""
    for layer, fans in (
        (nn.Conv2D(6, (3, 2), groups=2, kernel_initializer="he_uniform"), 12),
        (nn.Conv2DTranspose(6, (3, 2), kernel_initializer="he_uniform"), 36),
    ):
        W, b = nn.Sequential([layer], (5, 5, 4)).describe().parameters
        assert W.initial.distribution == "uniform"
        assert W.initial.scale == pytest.approx((6 / fans) ** 0.5)
        assert (W.penalized, b.penalized, b.initial.scale) == (True, False, 0)


def test_weights_of_keras() -> None:
    """Weights of Keras have other axes, (size, channels, filters), and (size, filters, channels) of a transpose."""
    x, kernel, back = RNG.normal(size=(4, 9)), RNG.normal(size=(3, 2, 6)), RNG.normal(size=(2, 5, 6))
    layers = [nn.Conv1D(6, 3, groups=2, name="there"), nn.Conv1DTranspose(5, 2, 2, use_bias=False, name="back")]
    weights = {"there/kernel": kernel, "there/bias": np.arange(6.0), "back/kernel": back}
    program = nn.with_weights(nn.Sequential(layers, (9, 4)), weights).describe()
    start = np.concatenate([np.frombuffer(tensor.initial.values) for tensor in program.parameters])
    values = evaluate(program, start, x.T.reshape(1, -1), np.zeros((1, 70)))["h_back"][0]
    h = convolved(x, kernel.transpose(2, 1, 0), np.arange(6.0), 1, "valid", 1, 2)
    expected = np.concatenate([back[tap] @ h for tap in range(2)], axis=1).reshape(5, 2, 7).transpose(2, 1, 0)
    assert values == pytest.approx(expected.reshape(14, 5), rel=1e-12)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([nn.Conv2D(2, 3)], 64, r"layer 1 needs an input of the shape \(rows, columns, channels\), .* shape \(64,\)"),
        ([nn.Dense(4), nn.Conv1D(2, 5)], (3, 2), r"layer 2 needs at least 5 steps for a window of 5, .* \(3, 4\)"),
        ([nn.Conv2D(2, 3, padding=(1, 0), dilation_rate=4)], (9, 8, 1), r"at least 9 columns for a window of 9, "),
        ([nn.Conv2D(4, 3, padding=1, dilation_rate=9)], (4, 4, 1), r"17 rows for a window of 19 \(its padding"),
        ([nn.Conv1D(4, 3, groups=2)], (9, 3), "layer 1 needs a number of channels that its 2 groups divide, not 3"),
        ([nn.Conv1D(3, 3, groups=2)], (9, 4), "layer 1 has 3 filters, which its 2 groups do not divide"),
        ([nn.Conv1D(0, 3)], (9, 4), "the filters of layer 1, a Conv1D, must be a positive integer, not 0"),
        ([nn.Conv2D(2, (3, 3, 3))], (9, 9, 1), r"the kernel_size of layer 1, a Conv2D, must be .* not \(3, 3, 3\)"),
        ([nn.Conv2D(2, 3, strides=0)], (9, 9, 1), "the strides of layer 1, a Conv2D, must be an integer from 1"),
        ([nn.Conv2D(2, 3, padding="full")], (9, 9, 1), "the padding of layer 1, a Conv2D, is 'valid', 'same' or"),
        ([nn.Conv2D(2, 3, padding="causal")], (9, 9, 1), "is 'valid', 'same' or a number of places, not 'causal'"),
        ([nn.Conv2D(2, 3, data_format="last")], (9, 9, 1), "the data_format of layer 1, a Conv2D, is 'channels_last'"),
        ([nn.MaxPooling1D(5)], (4, 2), r"layer 1 needs at least 5 steps for a window of 5, .* shape \(4, 2\)"),
        ([nn.AveragePooling1D(2, padding=2)], (4, 2), "the padding of layer 1, .*, is below its pool_size, 2: 2"),
        ([nn.GlobalMaxPooling2D()], (4, 2), r"layer 1 needs an input of the shape \(rows, columns, channels\)"),
        ([nn.Conv1DTranspose(2, 2, 2, 3)], (2, 1), "layer 1 needs more steps, as its padding of 3 leaves nothing"),
        ([nn.Conv1DTranspose(2, 2, 2, 0, output_padding=2)], (2, 1), "the output_padding of .* is below its strides"),
        ([nn.Conv1DTranspose(2, 2, 2, "same", output_padding=1)], (2, 1), "goes with the padding 'valid' or numbers"),
    ],
)
def test_errors(layers: list[nn.Layer], shape: Any, message: str) -> None:
    """What does not fit is refused with the layer, the shape it got and what it needs."""
    with pytest.raises(ModelError, match=message):
        nn.Sequential(layers, shape)


# --- PyTorch -----------------------------------------------------------------------------------------------------


def test_windows_of_torch() -> None:
    """Convolutions, transposes and pools of PyTorch, taken over with their weights, give its outputs and gradients."""
    torch = pytest.importorskip("torch")
    torch_nn = torch.nn
    stacks = {
        (4, 9, 8): [
            torch_nn.Conv2d(4, 6, 3, (1, 2), (2, 0), (2, 1), 2),
            torch_nn.Tanh(),
            torch_nn.MaxPool2d(3, 2, 1),
            torch_nn.ReLU(),
            torch_nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, 2),
            torch_nn.AvgPool2d(3, 2, 1),
            torch_nn.Flatten(),
            torch_nn.Linear(40, 3),
        ],
        (2, 13): [
            torch_nn.Conv1d(2, 4, 3, padding="same", bias=False),
            torch_nn.ELU(),
            torch_nn.AvgPool1d(2, ceil_mode=False),
            torch_nn.ConvTranspose1d(4, 6, 3, 2, dilation=2, groups=2),
            torch_nn.MaxPool1d(2),
            torch_nn.AdaptiveAvgPool1d(1),
            torch_nn.Flatten(),
            torch_nn.Dropout(0.0),
            torch_nn.Linear(6, 3),
            torch_nn.Softmax(1),
        ],
        (1, 6, 7): [
            torch_nn.Conv2d(1, 3, 2),
            torch_nn.AvgPool2d(2, 2, 1, False, False),
            torch_nn.AdaptiveMaxPool2d((1, 1)),
        ],
    }
    torch.manual_seed(0)
    for shape, modules in stacks.items():
        stack = torch_nn.Sequential(*modules).double()
        network = nn.from_torch(stack, loss="mse", inputs=shape)
        program = differentiate(stabilize(network.describe()))
        x = torch.randn(3, *shape, dtype=torch.float64)
        expected = stack(x).flatten(1)
        y = torch.randn_like(expected)
        ((expected - y) ** 2).mean().backward()
        parts = [np.frombuffer(tensor.initial.values) for tensor in program.parameters]
        flat = np.concatenate(parts or [np.zeros(0)])
        data = flat, x.numpy().reshape(3, -1), y.numpy()
        outputs_of_program = evaluate(program, *data)[program.outputs[0].tensor].reshape(3, -1)
        assert outputs_of_program == pytest.approx(expected.detach().numpy(), rel=1e-12, abs=1e-13)
        slopes = np.concatenate([parameter.grad.numpy().ravel() for parameter in stack.parameters()])
        assert gradient(program, *data) == pytest.approx(slopes, rel=1e-12, abs=1e-13)


def test_refused_windows_of_torch() -> None:
    """What from_torch does not know is refused by its argument, and a missing shape with what to give."""
    torch = pytest.importorskip("torch")
    torch_nn = torch.nn
    for module, message in (
        (torch_nn.MaxPool2d(2, ceil_mode=True), "has ceil_mode=True; from_torch knows ceil_mode=False alone"),
        (torch_nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), "has padding_mode='circular'"),
        (torch_nn.AdaptiveAvgPool2d(2), "has output_size=2"),
    ):
        with pytest.raises(ModelError, match=message):
            nn.from_torch(torch_nn.Sequential(module), inputs=(1, 8, 8))
    with pytest.raises(ModelError, match="give inputs, the shape of a sample"):
        nn.from_torch(torch_nn.Sequential(torch_nn.Conv2d(1, 2, 3)))
    with pytest.raises(ModelError, match=r"the module Softmax.* cannot be taken over"):
        nn.from_torch(torch_nn.Sequential(torch_nn.Conv2d(1, 2, 3), torch_nn.Softmax(1)), inputs=(1, 8, 8))
