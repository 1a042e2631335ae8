"""Sequences step by step: the probabilities of whole sequences, and tokens that are drawn by them."""

from dataclasses import replace

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.ir import Companion
from nncodegen.compiler.passes.stepwise import stepwise, why_not_stepwise
from nncodegen.compiler.pipeline import evaluated_module
from nncodegen.compiler.schedule.extents import ROWS
from nncodegen.compiler.schedule.tree import Loop
from nncodegen.compiler.schedule.tree_walks import rewritten
from tests.support.built import built, stage
from tests.support.stepping import LOGITS, NETWORKS, PROBABILITIES, STEPS, TOKENS, softmax

pytestmark = pytest.mark.usefixtures("vector_compiler")
SEQUENCES = np.random.default_rng(0).integers(0, TOKENS, (3, STEPS))


def of(name, precision="float64"):
    """A module, and parameters of it with which no token is certain."""
    module = built(NETWORKS[name], precision, fit=False)
    return module, np.random.default_rng(1).normal(0, 0.3, module.parameter_count).astype(module.dtype)


def whole(name, module, parameters, sequences):
    """The probabilities after each token, by predictions of whole sequences."""
    predicted = module.predict(parameters, sequences).reshape(len(sequences), STEPS, TOKENS)
    return softmax(predicted) if name == "transformer" else predicted


def continued(module, parameters, prompt, count, choose):
    """What step gives after a prompt, token by token, where a function chooses each from its probabilities."""
    state, tokens = None, []
    for token in prompt:
        probabilities, state = module.step(parameters, token, state)
    for _ in range(count):
        tokens.append(int(choose(probabilities)))
        if len(tokens) < count:
            probabilities, state = module.step(parameters, tokens[-1], state)
    return tokens


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("name", NETWORKS)
def test_steps_are_those_of_the_whole_sequence(name, precision, tolerance):
    """At every position of several sequences at once, a step has the probabilities of the whole prediction."""
    if precision == "float32" and name != "grouped":
        pytest.skip("one network in single precision")
    module, parameters = of(name, precision)
    expected, state = whole(name, module, parameters, SEQUENCES), None
    for position in range(STEPS):
        before = None if state is None else state.copy()
        probabilities, following = module.step(parameters, SEQUENCES[:, position], state)
        np.testing.assert_allclose(probabilities, expected[:, position], atol=tolerance * expected.max())
        assert state is None or (state == before).all()
        state = following
    alone, _ = module.step(parameters, int(SEQUENCES[0, 0]))
    assert alone.shape == (TOKENS,)
    np.testing.assert_array_equal(alone, module.step(parameters, SEQUENCES[:, 0])[0][0])


def test_the_most_probable_tokens():
    """At the temperature 0, and with top_k=1, each token is the most probable one, whatever the seed."""
    for name in NETWORKS:
        module, parameters = of(name)
        prompts = [[1], [0, 2, 3]]
        generated = module.generate(parameters, prompts, 5, temperature=0, seed=4)
        for prompt, tokens in zip(prompts, generated, strict=True):
            assert tokens.tolist() == continued(module, parameters, prompt, 5, np.argmax)
            assert tokens.dtype == np.int64
            assert module.generate(parameters, prompt, 5, top_k=1).tolist() == tokens.tolist()


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, lambda p: p),
        ({"temperature": 0.5}, lambda p: p**2),
        ({"temperature": 2.0, "top_k": 3}, lambda p: np.where(p >= np.sort(p)[-3], p**0.5, 0)),
        ({"top_k": TOKENS}, lambda p: p),
    ],
)
def test_tokens_have_their_frequencies(options, weights):
    """Tokens are drawn by their probabilities, as temperature and top_k change them."""
    module, parameters = of("grouped")
    count = 20_000
    drawn = np.concatenate(module.generate(parameters, [[2, 4]] * count, 1, seed=7, **options))
    probabilities, _ = module.step(parameters, 4, module.step(parameters, 2)[1])
    expected = weights(probabilities) / weights(probabilities).sum()
    deviation = np.sqrt(expected * (1 - expected) / count) + 1e-12
    assert (np.abs(np.bincount(drawn, minlength=TOKENS) / count - expected) < 5 * deviation).all()


def test_a_sequence_depends_on_its_seed_and_place_alone():
    """The same call gives the same tokens; others seeds, other ones; a prompt in a batch is drawn as in any other."""
    module, parameters = of("transformer")
    first = module.generate(parameters, [[1], [2, 0]], 6, seed=5)
    again = module.generate(parameters, np.array([[1], [2]]), 6, seed=5)
    assert first[0].tolist() == again[0].tolist() == module.generate(parameters, [1], 6, seed=5).tolist()
    others = {tuple(module.generate(parameters, [1], 6, seed=seed)) for seed in range(20)}
    assert len(others) > 10
    alike = module.generate(parameters, [[1]] * 20, 6)
    assert len(set(map(tuple, alike))) > 10


def test_a_sliding_window():
    """Asked to, a sequence goes on: each token past the window follows from the last ones, at the first positions."""
    module, parameters = of("transformer")
    positions = SEQUENCES.shape[1]
    with pytest.raises(ValueError, match="or sliding=True draws each further token after the last"):
        module.generate(parameters, [1], 2 * positions + 3)
    prompts = [[1], [0, 2, 3], [*SEQUENCES[0].tolist(), 2, 1]]
    generated = module.generate(parameters, prompts, 2 * positions + 3, temperature=0, sliding=True)
    for prompt, tokens in zip(prompts, generated, strict=True):
        sequence = list(prompt)
        for _ in range(2 * positions + 3):
            window = sequence[-positions:]
            sequence += continued(module, parameters, window, 1, np.argmax)
        assert tokens.tolist() == sequence[len(prompt) :]
    options = {"seed": 2**63 + 9, "temperature": 1.3}
    drawn = module.generate(parameters, [[1], [3, 2]], 3 * positions, sliding=True, **options)
    first = module.generate(parameters, [[1], [3, 2]], positions - 1, **options)
    for whole, beginning in zip(drawn, first, strict=True):
        assert whole[: positions - 1].tolist() == beginning.tolist()
    stop = int(drawn[0][-1])
    ended = module.generate(parameters, [1], 3 * positions, sliding=True, stop=stop, **options)
    assert ended.tolist() == drawn[0].tolist()[: drawn[0].tolist().index(stop)]
    with pytest.raises(ValueError, match="sliding is 2; expected True or False"):
        module.generate(parameters, [1], 2, sliding=2)


def test_a_sequence_ends_before_stop():
    """A token at which sequences stop is not among those that are generated, and nothing comes after it."""
    module, parameters = of("recurrent")
    free = module.generate(parameters, [[TOKENS]] * 30, 12, seed=2)
    ended = module.generate(parameters, [[TOKENS]] * 30, 12, stop=3, seed=2)
    for endless, stopped in zip(free, ended, strict=True):
        tokens = endless.tolist()
        assert stopped.tolist() == (tokens[: tokens.index(3)] if 3 in tokens else tokens)
    assert any(len(endless) < 12 for endless in ended)


def test_recurrent_layers_alone_have_no_positions():
    """A network without positions goes on for as long as is asked for, in any number of calls."""
    module, parameters = of("recurrent")
    tokens = module.generate(parameters, [1], 500, temperature=0)
    assert tokens.tolist() == continued(module, parameters, [1], 500, np.argmax)
    assert module.generate(parameters, [1], 0).tolist() == []


@pytest.mark.filterwarnings("ignore:.*NumPy evaluates")
def test_without_a_compiler():
    """NumPy, in place of C, has the same probabilities, and draws the same tokens."""
    for name in ("transformer", "recurrent"):
        module, parameters = of(name)
        slow = evaluated_module(NETWORKS[name], fit=False)
        for token in (1, 3):
            expected, state = module.step(parameters, token, None)
            probabilities, other = slow.step(parameters, token, None)
            np.testing.assert_allclose(probabilities, expected, atol=1e-13)
            np.testing.assert_allclose(other, state, atol=1e-12)
        for options in ({"temperature": 0.7}, {"top_k": 2}, {"stop": 1}, {"temperature": 0}):
            both = (each.generate(parameters, [[2], [0, 3]], 6, seed=1, **options) for each in (module, slow))
            assert [sequence.tolist() for sequence in next(both)] == [sequence.tolist() for sequence in next(both)]


BAD = {
    "an empty prompt": ({"prompt": []}, "prompt is empty"),
    "an empty prompt of several": ({"prompt": [[1], []]}, r"prompt\[1\] is empty"),
    "a token that is none": ({"prompt": [0, TOKENS]}, r"prompt\[1\] is 5; expected whole numbers from 0 to 4"),
    "a token below 0": ({"prompt": [-1]}, r"prompt\[0\] is -1"),
    "half a token": ({"prompt": [[1], [0.5]]}, r"prompt\[1\]\[0\] is 0.5"),
    "a text": ({"prompt": "abc"}, "prompt is a text"),
    "too many axes": ({"prompt": [[[1]]]}, r"prompt\[0\] has the shape \(1, 1\)"),
    "too many steps": ({"steps": STEPS + 1}, "needs 8 positions, of which the model has 7: steps may be up to 7"),
    "too long a prompt": ({"prompt": [0] * 8, "steps": 0}, "prompt has 8 tokens"),
    "steps below 0": ({"steps": -1}, "steps must be an integer from 0"),
    "a temperature below 0": ({"temperature": -0.1}, "temperature must be a number from 0"),
    "no temperature": ({"temperature": np.nan}, "temperature must be a number from 0"),
    "top_k of 0": ({"top_k": 0}, "top_k must be an integer from 1 to 5"),
    "top_k above the tokens": ({"top_k": 6}, "top_k must be an integer from 1 to 5"),
    "a stop that is no token": ({"stop": 5}, "stop must be an integer from 0 to 4"),
    "a seed that is none": ({"seed": 0.5}, "seed must be an integer"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    """What cannot be generated is an error, which says what is wrong with which argument."""
    module, parameters = of("transformer")
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        module.generate(parameters, **({"prompt": [1], "steps": 2} | options))


def test_bad_steps():
    """A token or a state that is none is an error, and so is a step after the last position."""
    module, parameters = of("transformer")
    _, state = module.step(parameters, 1)
    for arguments, message in (
        ((5,), "token is 5; expected whole numbers from 0 to 4"),
        (([[1]],), r"token has the shape \(1, 1\)"),
        ((1, state[:-1]), "state has the shape"),
        (([1, 2], state), r"expected what a step has returned, of the shape \(2, "),
        ((1, np.full_like(state, np.nan)), "state.*nan"),
        ((1, np.full_like(state, -1)), "its second value is the number of its steps"),
    ):
        with pytest.raises(ValueError, match=message):
            module.step(parameters, *arguments)
    for token in range(1, STEPS):
        _, state = module.step(parameters, token % TOKENS, state)
    with pytest.raises(ValueError, match="the model has 7 positions, all of which"):
        module.step(parameters, 0, state)


def _network(middle, loss=PROBABILITIES, activation="softmax", tokens=TOKENS):
    """A network of tokens with other layers in the middle."""
    x = nn.Input(4)
    return nn.Network(x, nn.Dense(tokens, activation)(middle(nn.Embedding(TOKENS, 6)(x))), loss, name="other")


REFUSED = {
    "attention to later steps": (_network(nn.MultiHeadAttention(1, 2)), "use_causal_mask=True"),
    "both directions": (_network(nn.Bidirectional(nn.GRU(3, return_sequences=True))), "goes backwards"),
    "windows": (_network(nn.Conv1D(3, 3, padding="same")), "as convolutions and pools do"),
    "statistics over steps": (_network(nn.LayerNormalization(axis=(1, 2))), "statistics over the steps"),
    "a value of all steps": (
        _network(lambda h: h + nn.Reshape((1, 6))(nn.GlobalAveragePooling1D()(h))),
        "all steps of the sequence",
    ),
    "no probabilities": (_network(lambda h: h, "mse", "tanh"), "its outputs are no probabilities"),
    "tokens that it does not take": (_network(lambda h: h, LOGITS, "linear", 9), "probabilities of 9 tokens, but"),
    "one output for a sequence": (_network(nn.LSTM(3)), "one output of the shape"),
    "numbers": (nn.Sequential([nn.Dense(3, "softmax")], 4, "mse", name="other"), "one input of the shape"),
}


def test_certificates_carry_out_a_step():
    """The loops of a step are compared with its program; one that reads rows which are not there is found."""
    schedule = stage(NETWORKS["transformer"], "schedule", fit=False)
    (step,) = schedule.companions
    parameters = np.random.default_rng(1).normal(0, 0.3, schedule.program.parameter_count)

    def fault(steps):
        alone = replace(schedule, kernels=(), single_sample=None, side_by_side=None, unrolled=None, companions=(steps,))
        return carried_out(alone, parameters, SEQUENCES.astype(float), np.zeros((3, STEPS * TOKENS)))

    def to_the_end(loop):
        return (replace(loop, end=STEPS) if loop.end == ROWS else loop,)

    assert fault(step) is None
    (kernel,) = step.kernels
    trees = kernel.trees.each(lambda tree: rewritten(tree, {Loop: to_the_end}))
    assert "a step after 1 others" in str(fault(replace(step, kernels=(replace(kernel, trees=trees),))))


def test_deep_networks():
    """A network of many layers has a program for one step as well: its derivation does not go down layer by layer."""
    x = nn.Input(3)
    h = nn.Embedding(TOKENS, 2)(x)
    for _ in range(40):
        h += nn.MultiHeadAttention(1, 2, use_bias=False)(h, use_causal_mask=True)
    program = stage(nn.Network(x, nn.Dense(TOKENS)(h), LOGITS, name="deep"), "stabilize")
    assert why_not_stepwise(program) == ""
    companion = stepwise(program)
    assert isinstance(companion, Companion)
    assert len(companion.stepwise.rows) == 80


@pytest.mark.filterwarnings("ignore:.*NumPy evaluates")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """What cannot be computed step by step is refused in words, at the call; the rest of the module is there."""
    model, reason = REFUSED[name]
    module = evaluated_module(model, fit=False)
    with pytest.raises(ValueError, match=f"generate computes a sequence step by step, which other does not.*{reason}"):
        module.generate(module.initial_parameters(), [0], 2)
    with pytest.raises(ValueError, match="step computes a sequence"):
        module.step(module.initial_parameters(), 0)
