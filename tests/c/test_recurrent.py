"""Compiled recurrent layers: against the evaluator, with the same bits whatever the batch is, and what they learn."""

import numpy as np
import pytest
from sympy import sin, tanh

import nncodegen as nn
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.schedule import Shape
from nncodegen.compiler.schedule.tree import Call, Loop, Way
from nncodegen.compiler.schedule.tree_walks import walk
from tests.support.built import built, stage

pytestmark = pytest.mark.usefixtures("vector_compiler")
RNG = np.random.default_rng(2)


def mixed():
    """All that there is: both directions, initial and final states, steps left out, and both kinds of a GRU."""
    sequence, state, length = nn.Input((5, 3)), nn.Input(4, name="state"), nn.Input(1, name="steps")
    h = nn.Bidirectional(nn.LSTM(3, mask_value=0.0, return_sequences=True))(sequence)
    h = nn.GRU(4, lengths=True, return_sequences=True, go_backwards=True)(h, state, length)
    h = nn.GRU(3, reset_after=False, return_sequences=True)(h)
    h = nn.SimpleRNN(9, "relu", return_sequences=True)(h)
    last, _, c = nn.LSTM(5, "relu", return_state=True)(h)
    return nn.Network([sequence, state, length], last + c, name="mixed")


MIXED = mixed()
X = np.hstack([RNG.normal(size=(70, 19)), RNG.integers(1, 6, (70, 1))])
X[::3, 6:9] = 0
Y = RNG.normal(size=(70, 5))


def test_modules_compute_what_layers_mean():
    """Outputs, loss and gradient of a batch that leaves a vector incomplete are those of the evaluator."""
    program, module = stage(MIXED), built(MIXED, fit=False)
    parameters = RNG.normal(size=program.parameter_count)
    values = evaluate(program, parameters, X, Y)
    loss, gradient = module.loss_and_gradient(parameters, X, Y)
    assert loss == pytest.approx(float(values["loss"]), rel=1e-13)
    expected = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    np.testing.assert_allclose(gradient, expected, atol=1e-13 * np.linalg.norm(expected))
    outputs = module.predict(parameters, X)
    np.testing.assert_allclose(outputs, values[program.outputs[0].tensor], atol=1e-13)


def test_an_activation_may_take_several_loops():
    """Where the activation of a state takes more than one loop, these leave the state to the next time."""
    layers = [nn.LSTM(6, lambda value: tanh(sin(value))), nn.Dense(1)]
    model = nn.Sequential(layers, (4, 2), name="late")
    program, module = stage(model, fit=False), built(model, fit=False)
    parameters, rows, targets = RNG.normal(size=program.parameter_count), RNG.normal(size=(70, 8)), np.ones((70, 1))
    values = evaluate(program, parameters, rows, targets)
    predicted = module.predict(parameters, rows)
    np.testing.assert_allclose(predicted, values[program.outputs[0].tensor], atol=1e-13)
    assert module.loss(parameters, rows, targets) == pytest.approx(float(values["loss"]), rel=1e-13)


def test_a_single_sequence_has_a_kernel_of_its_own():
    """Predictions of one or two rows are those of the evaluator, for all layers, masks, lengths and initial states."""
    program, module = stage(MIXED), built(MIXED, fit=False)
    parameters = RNG.normal(size=program.parameter_count)
    expected = evaluate(program, parameters, X, Y)[program.outputs[0].tensor]
    for part in [slice(n, n + 1) for n in range(12)] + [slice(n, n + 2) for n in range(12, 18)]:
        np.testing.assert_allclose(module.predict(parameters, X[part]), expected[part], atol=1e-13)


def test_a_single_sequence_is_multiplied_with_rows_of_weights():
    """All gates are the rows of one matrix, in a loop over time; where windows have weights, there are tiles alone."""
    single = stage(nn.Sequential([nn.LSTM(5)], (2, 6), name="gates"), "schedule").single_sample
    loops = [each for each in walk(single.predict.trees.tile) if isinstance(each, Loop) and each.way is Way.IN_ORDER]
    products = [call for call in walk(loops) if isinstance(call, Call) and call.shape is Shape.MATRIX_BY_ROW]
    assert len(products) == 2
    windows = nn.Sequential([nn.Conv1D(2, 3), nn.LSTM(2)], (5, 1), name="windows")
    assert stage(windows, "schedule").single_sample is None


def test_no_bit_depends_on_the_batch_or_the_threads():
    """In a tile, no prediction depends on what stands beside it; nor does a training on the number of threads."""
    module = built(MIXED, fit=False)
    parameters = RNG.normal(size=module.parameter_count)
    whole = module.predict(parameters, X)
    for part in (slice(0, 3), slice(5, 9), slice(3, 20), slice(33, 70)):
        np.testing.assert_array_equal(module.predict(parameters, X[part]), whole[part])
    many = np.tile(X, (40, 1)), np.tile(Y, (40, 1))
    alone, by_two_threads = (
        module.train(*many, epochs=2, batch_size=1400, optimizer="adam", threads=k).parameters for k in (1, 2)
    )
    np.testing.assert_array_equal(alone, by_two_threads)


def test_a_few_sequences_are_predicted_as_many_are():
    """The first call of a module, with a few rows, gives what it means, though biases are taken apart before tiles."""
    model = nn.Sequential([nn.GRU(2), nn.Dense(1)], (3, 1), name="few")
    program, module = stage(model), built(model, fit=False)
    parameters, rows = RNG.normal(size=program.parameter_count), RNG.normal(size=(2, 3))
    expected = evaluate(program, parameters, rows, np.zeros((2, 1)))[program.outputs[0].tensor]
    np.testing.assert_allclose(module.predict(parameters, rows), expected, atol=1e-14)


def test_sequences_are_normalized_over_a_batch():
    """Statistics of a batch between recurrent layers: predictions at rest, for any number of rows, and gradients."""
    layers = [nn.SimpleRNN(2, return_sequences=True), nn.BatchNormalization(), nn.SimpleRNN(3)]
    model = nn.Sequential(layers, (3, 1), name="normalized")
    program, module = stage(model, fit=False), built(model, fit=False)
    parameters = RNG.uniform(0.1, 1, program.parameter_count)
    rows, targets = RNG.normal(size=(17, 3)), RNG.normal(size=(17, 3))
    values = evaluate(program, parameters, rows, targets)
    for count in (1, 2, 17):
        predicted = module.predict(parameters, rows[:count])
        np.testing.assert_allclose(predicted, values[program.outputs[0].tensor][:count], atol=1e-14)
    loss, gradient = module.loss_and_gradient(parameters, rows, targets)
    assert loss == pytest.approx(float(values[program.in_training.loss.tensor]), rel=1e-13)
    expected = {tensor.name: values[e.tensor] for tensor, e in zip(program.parameters, program.gradient, strict=True)}
    predicted = module.unpack(gradient)
    for name in ("W1", "U1", "gamma2", "U3"):
        np.testing.assert_allclose(predicted[name], expected[name], atol=1e-13)


def test_a_sequence_has_at_least_one_step():
    """A length of 0, or one beyond the end, is an error with its position."""
    module = built(MIXED, fit=False)
    for wrong in (0, 6, 2.5):
        copied = X.copy()
        copied[4, -1] = wrong
        with pytest.raises(ValueError, match=r"X\[4, 19\] is .*; steps has whole numbers from 1 to 5"):
            module.predict(np.zeros(module.parameter_count), copied)


def test_a_gru_learns_to_add():
    """Trained with 1,024 pairs of numbers of 8 bits, it adds all 65,536 without an error."""

    def digits(numbers):
        return (numbers[:, None] >> np.arange(9)) & 1

    first, second = np.divmod(np.arange(65536), 256)
    pairs, sums = np.stack([digits(first), digits(second)], 2), digits(first + second)
    layers = [nn.GRU(6, return_sequences=True), nn.Dense(1, "sigmoid")]
    module = nn.build(nn.Sequential(layers, (9, 2), "binary_crossentropy", name="adder"), fit=False)
    some = np.random.default_rng(0).choice(65536, 1024, replace=False)
    examples = pairs[some].astype(float), sums[some].astype(float)
    result = module.train(*examples, epochs=60, batch_size=32, optimizer="adam", learning_rate=0.03, seed=0)
    predicted = module.predict(result.parameters, pairs.astype(float))
    np.testing.assert_array_equal(predicted.reshape(sums.shape) > 0.5, sums == 1)
    for count in range(1, 6):  # fewer than a tile takes, in ways of their own
        few = module.predict(result.parameters, pairs[:count].reshape(count, -1).astype(float))
        np.testing.assert_allclose(few, predicted[:count].reshape(few.shape), atol=1e-13)


def test_an_lstm_predicts_a_chaotic_series():
    """It has seen 8 values of Henon's map, of which the next one needs two, and is 20 times as good as the last."""
    series = [0.1, 0.1]
    for _ in range(1200):
        series.append(1 - 1.4 * series[-1] ** 2 + 0.3 * series[-2])
    windows = np.lib.stride_tricks.sliding_window_view(np.array(series[100:]), 9)
    seen, following = windows[:, :8, None], windows[:, 8:]
    module = nn.build(nn.Sequential([nn.LSTM(8), nn.Dense(1)], (8, 1), name="henon"), fit=False)
    options = {"epochs": 40, "batch_size": 32, "optimizer": "adam", "learning_rate": 0.01, "seed": 0}
    result = module.train(seen[:800], following[:800], **options)
    error = module.predict(result.parameters, seen[800:]) - following[800:]
    assert np.std(error) < np.std(seen[800:, -1] - following[800:]) / 20


def test_c_does_not_grow_with_a_sequence():
    """The source for 500 steps is as long as that for 5, but for digits."""
    lengths = []
    for steps in (5, 500):
        model = nn.Sequential([nn.LSTM(4), nn.Dense(1)], (steps, 3), name="long")
        lengths.append(len(stage(model, "emit").files["long.c"].splitlines()))
    assert lengths[0] == lengths[1]
