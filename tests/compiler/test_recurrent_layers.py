"""Recurrent layers against loops over time in NumPy: all that they can be asked for, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.schedule.loops import without_noise
from tests.support.recurrent import CELLS, gru_before, run

RNG = np.random.default_rng(5)
X = RNG.normal(size=(7, 5, 3))
LAYERS = {"SimpleRNN": nn.SimpleRNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def parameters_of(program, seed=0):
    """Random parameters, flat, and by name."""
    flat = np.random.default_rng(seed).normal(size=program.parameter_count)
    sizes = np.cumsum([tensor.size for tensor in program.parameters])[:-1]
    parts = zip(program.parameters, np.split(flat, sizes), strict=True)
    return flat, {tensor.name: part.reshape(tensor.shape) for tensor, part in parts}


def outputs(model, *inputs):
    """The outputs of a model for inputs side by side, the first or all of several, and its parameters by name."""
    program = model.describe()
    flat, named = parameters_of(program)
    rows = np.concatenate([each.reshape(len(each), -1) for each in inputs], 1)
    targets = np.zeros((len(rows), sum(target.size for target in program.targets)))
    values = evaluate(program, flat, rows, targets)
    arrays = [values[output.tensor] for output in program.outputs]
    return arrays if len(arrays) > 1 else arrays[0], named


def of(layer, shape=(5, 3)):
    return nn.Sequential([layer], shape, name="recurrent")


def weights(named, suffix="1"):
    return [named[f"{letters}{suffix}"] for letters in ("W", "U", "b")]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("backwards", [False, True])
def test_outputs_of_all_steps_and_of_the_last(name, backwards):
    """Both are those of a loop over time, forwards and backwards."""
    states = 2 if name == "LSTM" else 1
    options = {"go_backwards": backwards}
    predicted, named = outputs(of(LAYERS[name](4, return_sequences=True, **options)), X)
    expected = run(CELLS[name], X, weights(named), [0.0] * states, backwards)
    np.testing.assert_allclose(predicted, expected, atol=1e-13)
    last, _ = outputs(of(LAYERS[name](4, **options)), X)
    np.testing.assert_allclose(last, expected[:, -1], atol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
def test_initial_states_are_inputs(name):
    """A sequence goes on where another one has ended."""
    sequence, count = nn.Input((5, 3)), 2 if name == "LSTM" else 1
    states = [nn.Input(4, name=f"state{k}") for k in range(count)]
    model = nn.Network([sequence, *states], LAYERS[name](4)(sequence, *states), name="continued")
    states_before = [RNG.normal(size=(7, 4)) for _ in states]
    predicted, named = outputs(model, X, *states_before)
    np.testing.assert_allclose(predicted, run(CELLS[name], X, weights(named), states_before)[:, -1], atol=1e-13)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("both", [False, True])
def test_final_states_are_results(name, both):
    """With return_state, a layer gives its output and the states that its last step leaves, of each direction."""
    sequence, length = nn.Input((5, 3)), nn.Input(1, name="steps")
    layer = LAYERS[name](4, return_sequences=True, return_state=True, lengths=True)
    nodes = (nn.Bidirectional(layer) if both else layer)(sequence, length)
    lengths = np.array([[1], [2], [5], [3], [4], [5], [1]])
    predicted, named = outputs(nn.Network([sequence, length], nodes, name="states"), X, lengths)
    expected = []
    for side in ("f", "b") if both else ("",):
        states = [np.zeros((7, 4)) for _ in nodes[1:]][:: 2 if both else 1]
        for t in reversed(range(5)) if side == "b" else range(5):
            new = CELLS[name](X[:, t], states, *weights(named, f"{side}1"))
            states = [np.where(t < lengths, after, before) for after, before in zip(new, states, strict=True)]
        expected += states
    assert len(predicted) == 1 + len(expected)
    for array, other in zip(predicted[1:], expected, strict=True):
        np.testing.assert_allclose(array, other, atol=1e-13)
    last = layer.states if both else 0
    np.testing.assert_allclose(predicted[0][:, -1, :4], predicted[1], atol=1e-13)
    np.testing.assert_allclose(
        predicted[0][:, 0, -4:] if both else predicted[0][:, -1], predicted[1 + last], atol=1e-13
    )


def test_an_encoder_and_a_decoder():
    """The final states of a layer are the initial ones of another, also by their name, and with lengths after them."""
    source, target, length = nn.Input((5, 3)), nn.Input((4, 3), name="target"), nn.Input(1, name="steps")
    _, *states = nn.LSTM(2, return_state=True)(source)
    decoder = nn.LSTM(2, lengths=True)
    model = nn.Network([source, target, length], decoder(target, length, initial_state=states), name="translator")
    sentences, lengths = RNG.normal(size=(7, 4, 3)), np.full((7, 1), 3)
    predicted, named = outputs(model, X, sentences, lengths)
    passed = [np.zeros((7, 2))] * 2
    for sequence, suffix in ((X, "1"), (sentences[:, :3], "2")):
        for t in range(sequence.shape[1]):
            passed = CELLS["LSTM"](sequence[:, t], passed, *weights(named, suffix))
    np.testing.assert_allclose(predicted, passed[0], atol=1e-13)


def test_an_output_may_be_a_state():
    """The output of the last step is the state h: where both are asked for, both are given, under their names."""
    sequence = nn.Input((5, 3))
    h, c = nn.LSTM(2, return_state=True, name="rnn")(sequence)[1:]
    program = nn.Network(sequence, [nn.Dense(1)(c), h], name="states").describe()
    assert [str(target) for target in program.targets] == ["y1[n, 1]", "y_rnn_h[n, 2]"]
    predicted, _ = outputs(nn.Network(sequence, nn.GRU(2, return_state=True)(sequence), name="twice"), X)
    np.testing.assert_array_equal(*predicted)


@pytest.mark.parametrize("backwards", [False, True])
def test_steps_after_the_end_carry_the_state_on(backwards):
    """What stands after the last step of a sample has no effect, whether a length says so or a value."""
    lengths = np.array([[1], [2], [5], [3], [4], [5], [1]])
    exists = np.arange(5) < lengths
    sequence, length = nn.Input((5, 3)), nn.Input(1, name="steps")
    layer = nn.LSTM(4, lengths=True, return_sequences=True, go_backwards=backwards)
    predicted, named = outputs(nn.Network([sequence, length], layer(sequence, length), name="unequal"), X, lengths)
    expected = run(CELLS["LSTM"], X, weights(named), [0.0, 0.0], backwards, exists)
    np.testing.assert_allclose(predicted, expected, atol=1e-13)
    masked = np.where(exists[:, :, None], X, -9.0)
    layer = nn.LSTM(4, mask_value=-9.0, return_sequences=True, go_backwards=backwards)
    np.testing.assert_allclose(outputs(of(layer), masked)[0], expected, atol=1e-13)


def test_a_gru_may_reset_before_its_product():
    """reset_after=False is the unit as Cho et al. wrote it."""
    predicted, named = outputs(of(nn.GRU(4, reset_after=False)), X)
    np.testing.assert_allclose(predicted, run(gru_before, X, weights(named), [0.0])[:, -1], atol=1e-13)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave"])
def test_both_directions(mode):
    """A bidirectional layer merges what two layers give, step by step."""
    predicted, named = outputs(of(nn.Bidirectional(nn.GRU(4, return_sequences=True), merge_mode=mode)), X)
    first = run(CELLS["GRU"], X, weights(named, "f1"), [0.0])
    second = run(CELLS["GRU"], X, weights(named, "b1"), [0.0], backwards=True)[:, ::-1]
    merged = {
        "concat": np.concatenate([first, second], 2),
        "sum": first + second,
        "mul": first * second,
        "ave": (first + second) / 2,
    }
    np.testing.assert_allclose(predicted, merged[mode], atol=1e-13)


def test_derivatives_are_differences():
    """The gradient of a stack with a mask, an initial state and both directions is that of its loss."""
    sequence, state, length = nn.Input((4, 2)), nn.Input(2, name="state"), nn.Input(1, name="steps")
    h = nn.Bidirectional(nn.LSTM(2, return_sequences=True))(sequence)
    h = nn.GRU(2, lengths=True, return_sequences=True, go_backwards=True)(h, state, length)
    h = nn.GRU(2, reset_after=False, return_sequences=True)(h)
    h, _, c = nn.LSTM(2, return_sequences=True, return_state=True)(h)
    h = nn.SimpleRNN(2)(h, initial_state=c)
    model = nn.Network([sequence, state, length], nn.Dense(1)(h), name="mixed").describe()
    derived = simplify(differentiate(stabilize(model)))
    flat, _ = parameters_of(model)
    rows = np.hstack([RNG.normal(size=(3, 10)), [[4], [1], [2]]])
    targets = RNG.normal(size=(3, 1))
    values = evaluate(derived, flat, rows, targets)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in derived.gradient])
    direction = RNG.normal(size=flat.shape)
    up, down = (float(evaluate(model, flat + move * direction, rows, targets)["loss"]) for move in (1e-5, -1e-5))
    assert gradient @ direction == pytest.approx((up - down) / 2e-5, rel=1e-7)


def test_both_directions_of_keras_have_numbers():
    """Weights of a Bidirectional of Keras are found whatever number or name its layers have after "forward_"."""
    shapes = {"kernel": (3, 6), "recurrent_kernel": (2, 6), "bias": (2, 6)}
    for suffix in ("gru", "gru_3", "own name"):
        weights_of_keras = {
            f"model/both/{word}_{suffix}/gru_cell/{name}": np.full(shape, k + 1.0)
            for k, word in enumerate(("forward", "backward"))
            for name, shape in shapes.items()
        }
        initial = nn.with_weights(of(nn.Bidirectional(nn.GRU(2), name="both")), weights_of_keras).initial
        assert {name: set(np.ravel(values)) for name, values in initial.items()} == {
            name: {1.0 if "f_" in name else 2.0} for name in initial
        }
        with pytest.raises(nn.ModelError, match="no weights are called both/forward_gru/gru_cell/kernel"):
            nn.with_weights(
                of(nn.Bidirectional(nn.GRU(2), name="both")),
                {k.replace("forward", "x"): v for k, v in weights_of_keras.items()},
            )


def test_weights_of_keras_and_pytorch_by_name():
    """Rows of gates are brought into the order that they have here; two biases of PyTorch are added, or kept."""
    kernel, recurrent, bias = RNG.normal(size=(3, 16)), RNG.normal(size=(4, 16)), RNG.normal(size=16)
    keras = {"rnn/lstm_cell/kernel": kernel, "rnn/lstm_cell/recurrent_kernel": recurrent, "rnn/lstm_cell/bias": bias}
    torch = {
        "rnn.weight_ih_l0": kernel.T,
        "rnn.weight_hh_l0": recurrent.T,
        "rnn.bias_ih_l0": bias / 2,
        "rnn.bias_hh_l0": bias / 2,
    }
    model = of(nn.LSTM(4, name="rnn"))
    initial = [
        nn.with_weights(model, weights_elsewhere, origin).initial
        for weights_elsewhere, origin in ((keras, "keras"), (torch, "torch"))
    ]
    for name, values in initial[0].items():
        np.testing.assert_array_equal(values, initial[1][name])
    np.testing.assert_array_equal(initial[0]["W_rnn"][2], kernel[:, 8:12].T)
    rows, biases = RNG.normal(size=(12, 3)), RNG.normal(size=(2, 12))
    weights_of_torch = {
        "g.weight_ih_l0": rows,
        "g.weight_hh_l0": RNG.normal(size=(12, 4)),
        "g.bias_ih_l0": biases[0],
        "g.bias_hh_l0": biases[1],
    }
    taken = nn.with_weights(of(nn.GRU(4, name="g")), weights_of_torch, "torch").initial
    np.testing.assert_array_equal(taken["W_g"], rows.reshape(3, 4, 3)[[1, 0, 2]])
    np.testing.assert_array_equal(taken["b_g"], biases.reshape(2, 3, 4)[:, [1, 0, 2]])
    with pytest.raises(nn.ModelError, match=r"no weights are called g\.bias_hh_l0"):
        nn.with_weights(
            of(nn.GRU(4, name="g")), {k: v for k, v in weights_of_torch.items() if "bias_hh" not in k}, "torch"
        )


def test_initial_weights_are_those_of_keras():
    """The recurrent matrix of all gates is orthogonal, and the gate f begins with a bias of 1."""
    tensors = {tensor.name: tensor.initial for tensor in of(nn.LSTM(4)).describe().parameters}
    U = np.frombuffer(tensors["U1"].values).reshape(16, 4)
    np.testing.assert_allclose(U.T @ U, np.eye(4), atol=1e-11)
    assert np.frombuffer(tensors["b1"].values).reshape(4, 4).tolist() == [[0.0] * 4, [1.0] * 4, [0.0] * 4, [0.0] * 4]
    assert tensors["W1"].distribution == "uniform"


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.LSTM(4), 3, r"layer 1 needs a sequence of the shape \(steps, features\).* has the shape \(3,\)"),
        (nn.LSTM(0), (5, 3), "the units of layer 1 must be a positive integer, not 0"),
        (nn.GRU(4, lengths=True), (5, 3), r"the number of steps of each sample as its last input"),
        (nn.GRU(4, mask_value=float("nan")), (5, 3), "mask_value of layer 1 must be a finite number"),
        (nn.Bidirectional(nn.Dense(3)), (5, 3), "takes a recurrent layer"),
        (nn.Bidirectional(nn.GRU(3), merge_mode="max"), (5, 3), "merge_mode of layer 1 is one of concat, sum"),
        (nn.GRU(4), (0, 3), "must be a positive integer, not 0"),
        (nn.LSTM(4, "softmax"), (5, 3), "unknown activation"),
        (nn.LSTM(4, return_state=True, name="rnn"), (5, 3), r"layer 1 \(rnn\) returns its states .* leave out"),
    ],
)
def test_what_does_not_fit_is_refused(layer, shape, message):
    """The error names the layer, what it got, and what it needs; a sequence has at least one step."""
    with pytest.raises(nn.ModelError, match=message):
        of(layer, shape)


def test_states_that_do_not_fit_are_refused():
    """An LSTM has two initial states."""
    sequence, state = nn.Input((5, 3)), nn.Input(4, name="state")
    with pytest.raises(nn.ModelError, match=r"2 initial states of the shape \(4,\).*\(5, 3\), \(4,\)"):
        nn.Network([sequence, state], nn.LSTM(4)(sequence, state), name="wrong")


def test_lengths_beside_dropout():
    """Without noise, as in predictions, steps after the end of a sequence are left out nevertheless."""
    sequence, length = nn.Input((5, 3)), nn.Input(1, name="steps")
    model = nn.Network([sequence, length], nn.GRU(4, lengths=True)(nn.Dropout(0.5)(sequence), length), name="silent")
    program = model.describe()
    flat, _ = parameters_of(program)
    rows, Y = np.hstack([X.reshape(7, -1), [[k % 5 + 1] for k in range(7)]]), np.zeros((7, 4))
    silent = replace(program, steps=tuple(without_noise(program)), noise=())
    expected, predicted = (evaluate(each, flat, rows, Y)[program.outputs[0].tensor] for each in (program, silent))
    np.testing.assert_array_equal(predicted, expected)
