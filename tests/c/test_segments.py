"""Segments of time: trainings that keep the states before each segment alone, and compute its steps again."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.schedule import Place
from nncodegen.compiler.schedule.extents import SEGMENTS
from nncodegen.compiler.schedule.tree import Loop
from nncodegen.compiler.schedule.tree_walks import steps_in, walk
from nncodegen.errors import ModelError
from tests.support.built import built, stage

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(6)


def network(layer, *after):
    """Both directions, without the steps after the length of a sample, and the layers after them."""
    sequence, length = nn.Input((7, 2), name="sequence"), nn.Input(1, name="length")
    h = nn.Bidirectional(layer(2, lengths=True, return_sequences=True))(sequence, length)
    for each in after:
        h = each(h)
    return nn.Network([sequence, length], nn.Dense(1)(h), name="both")


def coder():
    """Two axes of time, of which one begins where the other ends."""
    source, target = nn.Input((7, 3), name="source"), nn.Input((4, 2), name="target")
    _, h, c = nn.LSTM(3, return_state=True)(source)
    decoded = nn.LSTM(3, return_sequences=True)(target, initial_state=[h, c])
    return nn.Network([source, target], nn.Dense(2, "softmax")(decoded), name="coder")


def stack(*layers, steps=9, inputs=2):
    return nn.Sequential([*layers, nn.Dense(1)], (steps, inputs), name="stack")


BOTH = network(nn.SimpleRNN, nn.GlobalAveragePooling1D())
LARGEST = stack(nn.SimpleRNN(3, return_sequences=True), nn.GlobalMaxPooling1D())
MODELS = {
    "backwards": lambda: network(nn.LSTM, nn.GRU(3, go_backwards=True)),
    "coder": coder,
    "stack": lambda: stack(nn.LSTM(3, return_sequences=True), nn.LayerNormalization(), nn.GRU(3), steps=11),
    "outputs": lambda: stack(nn.GRU(3, return_sequences=True)),
    "mean": lambda: stack(nn.GRU(3, return_sequences=True), nn.GlobalAveragePooling1D()),
    "noise": lambda: stack(nn.Dropout(0.3), nn.GRU(3, return_sequences=True), nn.Dropout(0.2), nn.LSTM(3)),
    "windows": lambda: stack(
        nn.Conv1D(3, 3), nn.LSTM(3, return_sequences=True, mask_value=0.0), nn.Conv1D(2, 2), nn.Flatten()
    ),
}


def data(program, samples):
    X = RNG.normal(size=(samples, sum(tensor.size for tensor in program.inputs)))
    if program.inputs[-1].name == "length":
        X[:, -1] = RNG.integers(1, 8, samples)
    return X, np.abs(RNG.normal(size=(samples, sum(tensor.size for tensor in program.targets))))


def expected(program, parameters, X, Y):
    """The loss, the gradient and the outputs, by the evaluator."""
    values = evaluate(program, parameters, X, Y)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    return float(values[program.loss.tensor]), gradient, values[program.outputs[0].tensor]


def test_the_results_are_those_of_the_model():
    """Loss, gradient and outputs are those of the evaluator, with a last segment that is shorter than the others;
    so are those of one and two rows."""
    program, module = stage(BOTH), built(BOTH, fit=False, segment_length=3)
    parameters, (X, Y) = RNG.normal(size=program.parameter_count), data(program, 70)
    loss, gradient, outputs = expected(program, parameters, X, Y)
    loss_and_slope = module.loss_and_gradient(parameters, X, Y)
    assert loss_and_slope[0] == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(loss_and_slope[1], gradient, atol=1e-13 * np.linalg.norm(gradient))
    for rows in (slice(None), slice(1), slice(2, 4)):
        np.testing.assert_allclose(module.predict(parameters, X[rows]), outputs[rows], atol=1e-13)


@pytest.mark.parametrize(
    "name", ["largest", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("both", *MODELS))]
)
def test_the_loops_over_segments_are_carried_out(name):
    """Each value that a kernel computes, reads and leaves is that of the program, where NumPy carries out its loops:
    with segments of one step, of several, of all but one."""
    model = {"both": lambda: BOTH, "largest": lambda: LARGEST, **MODELS}[name]()
    program = stage(model)
    steps = max(program.sizes[step.over[0]] for step in program.steps if step.operator in ("before", "after"))
    arguments = RNG.normal(size=program.parameter_count) / 2, *data(program, 5)
    for length in (3,) if name == "largest" else (1, 2, 3, steps - 1):
        assert carried_out(stage(model, "schedule", segment_length=length), *arguments) is None


@pytest.mark.thorough
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_compiled_results_are_the_same(name, precision):
    """Losses, predictions, gradients and trainings are those without segments, also where a segment has one step, or
    more than there are."""
    model, close = MODELS[name](), {"float64": 1e-12, "float32": 1e-4}[precision]
    program, plain = stage(model, precision=precision), built(model, precision, fit=False)
    parameters, (X, Y) = RNG.normal(size=program.parameter_count) / 2, data(program, 70)
    loss, gradient, _ = expected(program, parameters, X, Y)
    of_plain = plain.loss_and_gradient(parameters, X, Y)
    training = {"epochs": 2, "batch_size": 33, "optimizer": "adam", "seed": 1}
    for length in (1, 3, 50):
        module = built(model, precision, fit=False, segment_length=length)
        loss_and_slope = module.loss_and_gradient(parameters, X, Y)
        assert loss_and_slope[0] == pytest.approx(of_plain[0], rel=close)
        assert loss_and_slope[0] == pytest.approx(loss, rel=close)
        for each in (gradient, of_plain[1]):
            np.testing.assert_allclose(loss_and_slope[1], each, atol=close * np.linalg.norm(gradient))
        for rows in (X, X[:1]):
            np.testing.assert_allclose(module.predict(parameters, rows), plain.predict(parameters, rows), atol=close)
        trained = [each.train(X, Y, **training).parameters for each in (module, plain)]
        np.testing.assert_allclose(*trained, atol=10 * close)


def arrays(steps, layers, **choices):
    """The values of the work memory of a tile, and the length of the C."""
    model = stack(*layers, steps=steps)
    text = "".join(text for file, text in stage(model, "emit", **choices).files.items() if file.endswith(".c"))
    return max(kernel.memory.arrays for kernel in stage(model, "schedule", **choices).sharing), len(text)


def test_memory_is_that_of_the_segments():
    """It grows with one row of states for each segment, and not with all steps; the length of the C does not grow."""
    layers = [nn.LSTM(8)]
    usual, _ = arrays(400, layers)
    (short, text), (long, longer) = (arrays(steps, layers, segment_length=20) for steps in (400, 800))
    assert short < usual / 8
    rows = 2 * 8 * stage(stack(*layers, steps=400), "schedule").tile  # h and c
    assert 0 < long - short <= 20 * rows
    assert abs(longer - text) < 50  # digits of numbers


@pytest.mark.thorough
def test_a_stack_keeps_no_outputs_of_all_steps():
    """What one layer gives another at the same step is of one segment; what both directions give is kept for all."""
    in_one_direction = [nn.GRU(4, return_sequences=True), nn.GRU(4)]
    both = [nn.Bidirectional(nn.GRU(4, return_sequences=True)), nn.GRU(4)]
    for layers, kept in ((in_one_direction, False), (both, True)):
        kernel = stage(stack(*layers, steps=40), "schedule", segment_length=5).gradient
        loops = [each for each in walk(kernel.trees.tile) if isinstance(each, Loop) and each.index == SEGMENTS]
        inside = {step.target for loop in loops for step in steps_in(loop.body) if "i" in step.target.indices}
        assert inside
        whole = [e for e in inside if kernel.place(e) is Place.ARRAY and not kernel.storage[e.tensor].within]
        assert bool(whole) is kept


def test_a_schedule_tells_its_segments():
    """How long they are, what is kept of each, what is computed again."""
    text = stage(LARGEST, "schedule", segment_length=3).show()
    assert "segments of 3 of 9 steps, as asked for" in text
    assert "for segment from 3 down to 0, one after the other" in text
    assert "h1 kept at" in text
    assert "s1 again[n, i, k, l] = " in text


@pytest.mark.parametrize(
    ("layers", "length", "message"),
    [
        ([nn.SimpleRNN(1)], 0, "segment_length is a number of steps, 1 or more, not 0"),
        ([nn.Flatten()], 3, "stack has no use for segment_length: it has no recurrent layer"),
        ([nn.SimpleRNN(1), nn.BatchNormalization()], 3, "stack cannot have segment_length: .* BatchNormalization"),
    ],
)
def test_what_cannot_be_meant(layers, length, message):
    """A length that is none, and models that have no use for one, are refused in words."""
    with pytest.raises(ModelError, match=message):
        nn.build(stack(*layers, steps=4), segment_length=length, fit=False)
