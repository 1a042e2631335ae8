"""Pairs of queries and keys: attention whose scores are computed in blocks of queries, and again on the way back."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.ir import evaluate
from nncodegen.compiler.schedule.extents import SEGMENTS
from nncodegen.compiler.schedule.layout import bytes_of
from nncodegen.compiler.schedule.pairs import PAIRS
from nncodegen.compiler.schedule.plain import plan_gradient, plan_outputs
from nncodegen.compiler.schedule.tree import Call, Limits, Loop
from nncodegen.compiler.schedule.tree_walks import walk
from nncodegen.errors import ModelError
from tests.support.attention import (
    BESIDE,
    beside_recurrent,
    beside_statistics,
    everything,
    samples,
    tokens_network,
)
from tests.support.built import built, stage
from tests.support.plain import loaded

pytestmark = pytest.mark.usefixtures("quick_compiler")
RNG = np.random.default_rng(4)
EVERYTHING, WITHOUT_NOISE = everything(), everything("everything_kept", dropout=0.0)


def causal(steps, width=8, heads=2, **options):
    """One causal layer of attention."""
    x = nn.Input((steps, width), name="x")
    seen = nn.MultiHeadAttention(heads, width // heads, **options)(x, use_causal_mask=True)
    return nn.Network(x, seen, name="causal")


def weighing():
    """Attention whose weights are an output as well."""
    x = nn.Input((5, 4), name="x")
    h, weights = nn.MultiHeadAttention(2, 2)(x, use_causal_mask=True, return_attention_scores=True)
    return nn.Network(x, [nn.Dense(1)(h), weights], ["mse", "mse"], name="weighing")


def across():
    """Attention to an earlier layer, with heads of one feature."""
    x = nn.Input((5, 3), name="x")
    h = nn.MultiHeadAttention(1, 3)(x)
    return nn.Network(x, nn.MultiHeadAttention(3, 1)(h + x, x), name="across")


MODELS = {
    "everything": lambda: EVERYTHING,
    "tokens": lambda: tokens_network(7),
    "weighing": weighing,
    "across": across,
    **{of.__name__: (lambda of=of: of(5)) for of in BESIDE},
}


def data(model, count=5):
    """Inputs and targets of a model."""
    if model.name.startswith("everything"):
        return samples(count)
    program = stage(model)
    X = RNG.normal(size=(count, sum(tensor.size for tensor in program.inputs)))
    X = RNG.integers(0, 7, X.shape).astype(float) if model.name == "tokens" else X
    Y = RNG.normal(size=(count, sum(tensor.size for tensor in program.targets)))
    if model.name == "tokens":
        Y = np.eye(7)[RNG.integers(0, 7, (count, 7))].reshape(count, -1)
    return X, Y


def blocks(kernel):
    """The queries of a block, for each loop over blocks of a kernel."""
    loops = (each for each in walk(kernel.trees.tile) if isinstance(each, Loop) and each.index == SEGMENTS)
    return [limits.length for loop in loops for limits in loop.body if isinstance(limits, Limits)]


CARRIED_OUT = ("everything", "beside_statistics", "keys_first")
"""Models whose loops NumPy carries out in every run; the others take part in thorough ones."""


@pytest.mark.parametrize(
    "name", [name if name in CARRIED_OUT else pytest.param(name, marks=pytest.mark.thorough) for name in MODELS]
)
def test_the_loops_over_blocks_are_carried_out(name):
    """Each value that a kernel computes, reads and leaves is that of the program, where NumPy carries out its loops:
    with blocks of one query, of several with and without a rest."""
    model = MODELS[name]()
    arguments = RNG.normal(size=stage(model).parameter_count) / 2, *data(model)
    for length in (1, 2, 3):
        scheduled = stage(model, "schedule", block_length=length)
        assert length in blocks(scheduled.gradient)
        assert carried_out(scheduled, *arguments) is None


def test_the_results_are_those_of_the_model():
    """Loss, gradient and outputs are those of the evaluator: causal, across, in groups, with a mask, lengths and
    rotations."""
    program, module = stage(WITHOUT_NOISE), built(WITHOUT_NOISE, fit=False, block_length=2)
    assert len(blocks(stage(WITHOUT_NOISE, "schedule", block_length=2).gradient)) >= 6  # three layers, there and back
    parameters, (X, Y) = RNG.normal(size=program.parameter_count) / 2, samples(9)
    values = evaluate(program, parameters, X, Y)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    loss_and_slope = module.loss_and_gradient(parameters, X, Y)
    assert loss_and_slope[0] == pytest.approx(float(values[program.loss.tensor]), rel=1e-13)
    np.testing.assert_allclose(loss_and_slope[1], gradient, atol=1e-13 * np.linalg.norm(gradient))
    outputs = values[program.outputs[0].tensor].reshape(9, -1)
    for rows in (slice(None), slice(1), slice(2, 4)):
        np.testing.assert_allclose(module.predict(parameters, X[rows]).reshape(-1, 8), outputs[rows], atol=1e-13)


def near(computed, expected):
    """Check that values are those expected, to 1e-12 of the largest."""
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


def test_keys_that_no_query_sees():
    """Causal attention may have many more keys than queries: the last ones have derivatives of 0."""
    x, z = nn.Input((3, 3), name="x"), nn.Input((70, 2), name="z")
    narrow = nn.MultiHeadAttention(2, 2)(x, z, use_causal_mask=True)
    seen = narrow + nn.MultiHeadAttention(1, 17)(x, z, use_causal_mask=True)
    model = nn.Network([x, z], nn.Dense(2)(nn.Flatten()(seen)), name="unseen")
    program, module = stage(model), built(model, fit=False)
    parameters, X, Y = RNG.normal(size=program.parameter_count), RNG.normal(size=(5, 149)), RNG.normal(size=(5, 2))
    values = evaluate(program, parameters, X, Y)
    near(
        module.loss_and_gradient(parameters, X, Y)[1],
        np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient]),
    )


@pytest.mark.parametrize("of", BESIDE)
def test_blocks_hold_beside_other_layers(of):
    """Loss, gradient and outputs of one sample and of several are those of the evaluator, and those without blocks."""
    model = of(5)
    program, modules = stage(model), [built(model, fit=False, **choices) for choices in ({}, {"block_length": 2})]
    kernels = stage(model, "schedule", block_length=2).kernels
    assert all(2 in blocks(kernel) for kernel in kernels)
    parameters, (X, Y) = modules[0].initial_parameters(1) + RNG.random(program.parameter_count) / 4, data(model, 19)
    values = evaluate(program, parameters, X, Y)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    (loss, slopes), plain = (each.loss_and_gradient(parameters, X, Y) for each in modules[::-1])
    assert loss == pytest.approx(float(values[program.in_training.loss.tensor]), rel=1e-13)
    learned = np.concatenate([np.full(each.size, "moving" not in each.name) for each in program.parameters])
    near(slopes[learned], gradient[learned])
    near(slopes, plain[1])
    for rows in (slice(None), slice(1), slice(2, 4)):
        near(*(each.predict(parameters, X[rows]) for each in modules))


@pytest.mark.parametrize("of", BESIDE)
def test_training_beside_other_layers(of):
    """Trainings of batches larger than the tiles that are kept end as they do without blocks, whatever the threads."""
    model = of(5)
    X, Y = data(model, 150)
    training = {"epochs": 2, "batch_size": 120, "optimizer": "sgd", "learning_rate": 0.05, "seed": 1}
    blocked = built(model, fit=False, block_length=2)
    plain = built(model, fit=False).train(X, Y, **training).parameters
    trained = [blocked.train(X, Y, **training, threads=n).parameters for n in (1, 2)]
    near(trained[0], plain)
    assert np.array_equal(*trained)


def test_a_sequence_is_predicted_in_blocks(monkeypatch):
    """The kernel of a single sequence has blocks of its own."""
    model = beside_recurrent(1024, causal=False)
    program, single_sample = stage(model), stage(model, "schedule").single_sample
    assert blocks(single_sample.predict)
    assert bytes_of(single_sample.predict.memory.arrays, program) < 3 * PAIRS
    monkeypatch.setattr("nncodegen.compiler.schedule.pairs.PAIRS", 8 * 9 * 2)
    small = beside_recurrent(9, causal=False)
    assert blocks(stage(small, "schedule").single_sample.predict)
    module = nn.build(small, fit=False, force=True)
    parameters, (X, _) = RNG.normal(size=module.parameter_count), data(small, 3)
    values = evaluate(stage(small), parameters, X, np.zeros((3, 9)))[stage(small).outputs[0].tensor]
    near(module.predict(parameters, X[:1]), values[:1].reshape(1, -1))


@pytest.mark.parametrize("precision", ["float64", pytest.param("float32", marks=pytest.mark.thorough)])
def test_noise_is_the_same_on_the_way_back(precision):
    """A training with dropout of probabilities gives the parameters that it gives without blocks."""
    close = {"float64": 1e-12, "float32": 1e-4}[precision]
    X, Y = samples(9)
    training = {"epochs": 3, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.1, "seed": 1}
    modules = built(EVERYTHING, precision, fit=False), built(EVERYTHING, precision, fit=False, block_length=2)
    trained = [each.train(X, Y, **training).parameters for each in modules]
    np.testing.assert_allclose(*trained, rtol=close, atol=close)
    start = modules[0].initial_parameters(1)
    assert np.abs(trained[0] - start).max() > 1e-4


def test_bits_do_not_depend_on_threads():
    """Sums over queries are added block by block, whoever computes a sample."""
    module = built(WITHOUT_NOISE, fit=False, block_length=2)
    X, Y = samples(200)
    trained = [module.train(X, Y, epochs=2, batch_size=100, seed=1, threads=n).parameters for n in (1, 2, 3)]
    assert np.array_equal(trained[0], trained[1])
    assert np.array_equal(trained[0], trained[2])


@pytest.mark.parametrize("place", [0, 3, 6])
def test_terms_that_do_not_exist_count_as_nothing(place):
    """Values that overflow after a query change nothing for it, as without blocks."""
    model = causal(7)
    modules = built(model, fit=False), built(model, fit=False, block_length=2)
    parameters = 10 * RNG.normal(size=stage(model).parameter_count)
    X = RNG.normal(size=(1, 7, 8))
    X[0, place] = 1e308
    plain, in_blocks = (each.predict(parameters, X.reshape(1, -1)).reshape(7, 8) for each in modules)
    assert np.isfinite(in_blocks[:place]).all()
    assert not np.isfinite(in_blocks[place:]).any()
    np.testing.assert_allclose(in_blocks, plain, rtol=1e-12)


def padded(steps, width, heads):
    """Attention without the keys after the length of a sample."""
    x, length = nn.Input((steps, width), name="x"), nn.Input(1, name="length")
    seen = nn.MultiHeadAttention(heads, width // heads)(x, lengths=length)
    return nn.Network([x, length], seen, name="padded")


def arrays(steps, of=causal, **choices):
    """The bytes of the work memory of a tile, the length of the C, and the queries of blocks."""
    model = of(steps, 64, 8)
    scheduled = stage(model, "schedule", **choices)
    text = "".join(text for file, text in stage(model, "emit", **choices).files.items() if file.endswith(".c"))
    return bytes_of(scheduled.gradient.memory.arrays, stage(model)), len(text), blocks(scheduled.gradient)


def test_memory_grows_with_the_length_alone():
    """A tile has some arrays of a block, and of all positions, not of all pairs; the length of the C does not grow."""
    (short, text, queries), (long, longer, others) = arrays(1024), arrays(2048)
    assert queries == [16, 16]
    assert others == [8, 8]
    positions = 1024 * 64 * 8
    assert short < 8 * PAIRS + 24 * positions
    assert long < short + 24 * positions
    assert longer < 1.02 * text  # digits of numbers
    whole, _, none = arrays(1024, block_length=1024)
    assert none == []
    assert whole > 20 * short


def averaged(steps, width=8, heads=2):
    """A block of a transformer, whose last sum is averaged over the steps."""
    x = nn.Input((steps, width), name="x")
    h = x + nn.MultiHeadAttention(heads, width // heads)(nn.LayerNormalization()(x))
    h += nn.Dense(width)(nn.Dense(width, "relu")(nn.LayerNormalization()(h)))
    return nn.Network(x, nn.Dense(1)(nn.GlobalAveragePooling1D()(h)), name="averaged")


def test_an_average_of_all_steps_leaves_the_blocks():
    """A derivative that is the same for all steps makes no window of the gradient of a layer before the average."""
    schedule = stage(averaged(512), "schedule")
    assert schedule.layout.one_by_one
    assert blocks(schedule.gradient)


def test_lengths_take_no_more_memory():
    """Where data tell which keys exist, samples run one by one as well, if pairs take much memory."""
    size, _, queries = arrays(1024, padded)
    assert queries == [16, 16]
    assert size < arrays(1024)[0] * 1.2
    small = stage(padded(6, 4, 2), "schedule")
    assert not small.layout.one_by_one


@pytest.mark.parametrize("place", [3, 6])
def test_keys_that_do_not_exist_count_as_nothing(place):
    """Values that overflow after the length of a sample change nothing."""
    model = padded(7, 4, 2)
    modules = built(model, fit=False), built(model, fit=False, block_length=2)
    parameters = 10 * RNG.normal(size=stage(model).parameter_count)
    X = RNG.normal(size=(1, 29))
    X[0, 4 * place : 28], X[0, 28] = 1e308, place
    plain, in_blocks = (each.predict(parameters, X).reshape(7, 4) for each in modules)
    assert np.isfinite(in_blocks[:place]).all()
    np.testing.assert_allclose(in_blocks, plain, rtol=1e-12)


POSITIONS = {"beside_recurrent": 90, "beside_convolutions": 40, "beside_statistics": 60}
"""The most arrays of all positions that a tile of the gradient has, of the width of the network."""


@pytest.mark.parametrize("of", BESIDE)
def test_memory_beside_other_layers(of):
    """A tile, of one sample or of several, keeps some arrays of a block, and of all positions, not of all pairs."""
    model = of(1024)
    program, scheduled = stage(model), stage(model, "schedule")
    positions = bytes_of(scheduled.layout.tile * 1024 * 4, program)
    size = bytes_of(scheduled.gradient.memory.arrays, program)
    assert size < 6 * PAIRS + POSITIONS.get(of.__name__, 20) * positions
    whole = stage(model, "schedule", block_length=1024).gradient.memory.arrays
    assert bytes_of(whole, program) > 5 * size


def plain_work(model):
    """The bytes of the work memory of the functions in plain C that predict, and that compute the gradient."""
    program = stage(model)
    return [bytes_of(plan(program).work, program) for plan in (plan_outputs, plan_gradient)]


IN_PLAIN_C = tuple(of for of in BESIDE if of is not beside_statistics)
"""Networks that plain C trains: it has no statistics of batches."""


@pytest.mark.parametrize("of", [causal, padded, *IN_PLAIN_C])
def test_plain_c_keeps_no_pairs(of):
    """In plain C, a row of pairs is computed for each query, and again on the way back."""
    model = of(1024, 4, 2) if of in (causal, padded) else of(1024)
    predict, gradient = plain_work(model)
    positions = 8 * 1024 * 4
    assert predict < 30 * positions
    assert gradient < 90 * positions
    assert 90 * positions < 8 * 1024 * 1024


@pytest.mark.parametrize("of", [everything, *IN_PLAIN_C])
def test_plain_c_computes_rows_again(of, tmp_path, monkeypatch):
    """Outputs, losses and gradients of plain C are those that it has if all pairs are kept, with the same noise."""
    model = of() if of is everything else of(5)
    (whole,) = loaded(tmp_path / "whole", {"whole": (model, {"train": True})}).values()
    work = plain_work(model)
    monkeypatch.setattr("nncodegen.compiler.schedule.pairs.PAIRS", 8 * 8)
    assert plain_work(model)[1] < work[1]
    (rows,) = loaded(tmp_path / "rows", {"rows": (model, {"train": True})}).values()
    X, Y = data(model)
    parameters = RNG.normal(size=stage(model).parameter_count) / 2
    near(rows.predict(parameters, X), whole.predict(parameters, X))
    noise = {"noise": [7]} if stage(model).noise else {}
    (loss, slopes), (expected, gradient) = (each.loss_and_gradient(parameters, X, Y, **noise) for each in (rows, whole))
    near(loss, expected)
    near(slopes, gradient)


class Bilinear(nn.Layer):
    """Products of two projections of the inputs, each position by each."""

    def __init__(self, size):
        self.size = size

    def describe(self, call):
        n, t, c = call.x.indices
        k, i = call.index(self.size), call.index(self.size)
        a = call.step("a", (n, k, c), call.parameter("Wa", (k, t), "glorot_uniform") * call.x, "sum", (t,))
        b = call.step("b", (n, i, c), call.parameter("Wb", (i, t), "glorot_uniform") * call.x, "sum", (t,))
        return call.part(call.step("z", (n, k, i), a * b, "sum", (c,)))


def bilinear(size):
    """A network of the interactions of a few factors."""
    x = nn.Input((6, 5), name="x")
    return nn.Network(x, nn.Dense(1)(nn.Flatten()(Bilinear(size)(x))), "mse", name="bilinear")


def test_small_bilinear_models_run_along_the_samples():
    """Samples lie along the vectors, and many models are trained side by side, unless products take much memory."""
    scheduled = stage(bilinear(3), "schedule")
    assert not scheduled.layout.one_by_one
    assert scheduled.layout.tile == 64
    assert scheduled.many
    assert stage(bilinear(3), "schedule", block_length=2).layout.one_by_one
    large = stage(bilinear(400), "schedule")
    assert large.layout.one_by_one
    assert not large.many
    model = bilinear(3)
    module, (X, Y) = built(model, fit=False), data(model, 19)
    parameters = RNG.normal(size=module.parameter_count)
    values = evaluate(stage(model), parameters, X, Y)
    near(module.loss_and_gradient(parameters, X, Y)[0], values[stage(model).loss.tensor])


def masked(steps, width=4, heads=2):
    """Attention whose mask says for each query which keys exist."""
    x, mask = nn.Input((steps, width), name="x"), nn.Input((steps, steps), name="mask")
    seen = nn.MultiHeadAttention(heads, width // heads)(x, attention_mask=mask)
    return nn.Network([x, mask], seen, name="masked")


def test_masked_sums_are_products():
    """Whatever sums over queries or keys with a mask for each pair, it is a product of matrices."""
    tile = stage(masked(7), "schedule", block_length=2).gradient.trees.tile
    products = [each.matrices for each in walk(tile) if isinstance(each, Call) and each.matrices]
    assert sum(product.mask is not None for product in products) == 4  # of values, and of three derivatives


@pytest.mark.parametrize("place", [0, 3, 6])
def test_what_a_mask_hides_counts_as_nothing(place):
    """Values that overflow change nothing for queries that do not see them, there and on the way back."""
    model, steps, rng = masked(7), 7, np.random.default_rng(place)
    modules = built(model, fit=False), built(model, fit=False, block_length=2)
    hidden = rng.random((steps, steps)) < 0.5
    hidden[:, place] = np.arange(steps) % 2
    parameters = 10 * rng.normal(size=stage(model).parameter_count)
    x, Y = rng.normal(size=(steps, 4)), rng.normal(size=(1, 28))
    joined = np.concatenate([x.ravel(), 1.0 - hidden.ravel()])[None]
    broken = joined.copy()
    broken[0, 4 * place : 4 * place + 4] = 1e308
    plain, in_blocks = (each.predict(parameters, broken).reshape(steps, 4) for each in modules)
    blind = [t for t in range(steps) if hidden[t, place] and t != place]
    assert np.isfinite(in_blocks[blind]).all()
    np.testing.assert_allclose(in_blocks, plain, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(
        in_blocks[blind], modules[1].predict(parameters, joined).reshape(steps, 4)[blind], rtol=1e-11, atol=1e-11
    )
    (loss, gradient), (expected, other) = (each.loss_and_gradient(parameters, joined, Y) for each in modules)
    assert loss == pytest.approx(expected, rel=1e-13)
    near(gradient, other)


def test_small_models_have_no_blocks():
    """Where pairs take little memory, all queries are computed at once, and the C is the same with long blocks."""
    size = arrays(128)
    assert size[2] == []
    assert size == arrays(128, block_length=128)


@pytest.mark.parametrize("of", [causal, pytest.param(padded, marks=pytest.mark.thorough)])
def test_second_derivatives_and_rows_are_in_blocks(of, monkeypatch):
    """The Hessian and the Jacobian of a module whose pairs take much memory are those of one whose pairs do not."""
    model = of(7, 2, 1)
    plain = nn.build(model, fit=True)
    inputs = sum(tensor.size for tensor in stage(model).inputs)
    X, Y = RNG.normal(size=(3, inputs)), RNG.normal(size=(3, 14))
    X[:, 14:] = 5
    parameters = RNG.normal(size=plain.parameter_count) / 2
    expected = plain.hessian(parameters, X, Y), plain.jacobian(parameters, X)
    for place in ("pairs", "masked_products"):
        monkeypatch.setattr(f"nncodegen.compiler.schedule.{place}.PAIRS", 8 * 7 * 4)
    monkeypatch.setattr("nncodegen.compiler.schedule.pairs.FEWEST", 2)
    model = of(7, 2, 1)
    scheduled = nn.compile_model(model, until="schedule", fit=True)["schedule"]
    derived = {kernel.name: blocks(kernel) for each in scheduled.companions for kernel in each.kernels}
    assert derived.keys() >= {"jacobian", "gradient"}
    assert all(derived.values())
    module = nn.build(model, fit=True, force=True)
    derivatives = module.hessian(parameters, X, Y), module.jacobian(parameters, X)
    for each, other in zip(derivatives, expected, strict=True):
        np.testing.assert_allclose(each, other, atol=1e-12 * np.abs(other).max())


def test_a_schedule_tells_its_blocks():
    """How long they are, and what is computed again."""
    text = stage(causal(7), "schedule", block_length=3).show()
    assert "blocks of 3 queries, as asked for" in text
    assert "Blocks of 3 of 7 queries." in text
    assert "z1 again[n, k, i, o] = " in text


@pytest.mark.parametrize(
    ("model", "length", "message"),
    [
        (causal(4), 0, "block_length is a number of queries, 1 or more, not 0"),
        (causal(4), True, "block_length is a number of queries, 1 or more, not True"),
        (nn.Sequential([nn.Dense(1)], 2, name="dense"), 3, "dense has no use for block_length: it has no attention"),
    ],
)
def test_what_cannot_be_meant(model, length, message):
    """A length that is none, and models that have no use for one, are refused in words."""
    with pytest.raises(ModelError, match=message):
        stage(model, "schedule", block_length=length)


def test_segments_and_blocks_exclude_each_other():
    """Whoever chooses segments of time and blocks of queries is told to leave one of them out."""
    with pytest.raises(ModelError, match="leave one of segment_length and block_length out"):
        stage(beside_recurrent(5), "schedule", block_length=2, segment_length=2)
