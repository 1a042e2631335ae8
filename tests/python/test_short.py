"""Calls with arguments of the usual kind take a short way through the module: the results are those of the long one."""

import copy
import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.perceptron import model as perceptron_model
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("quick_compiler")

FORMULA = perceptron_model
CLASSES = nn.Sequential(
    [nn.Dense(5, "tanh"), nn.Dropout(0.2), nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="classes"
)


@cache
def build(case):
    """The module of a case; a build from the disk takes longer than a hundred short trainings."""
    return nn.build(*case, fit=False)


def took_the_short_way(result):
    """Whether the result of a training keeps its state in few words, as only those of the short way do."""
    return type(result._kept) is tuple


def bits(result):
    """All that a result holds, but for its time, in comparable form."""
    state = {key: value.tobytes() if isinstance(value, np.ndarray) else value for key, value in result._state.items()}
    figures = {key: (value.dtype, value.tobytes()) for key, value in result.metrics.items()}
    return (
        result.parameters.tobytes(),
        result.parameters.dtype,
        result.loss,
        type(result.loss),
        figures,
        result.learning_rate if result.learning_rate is None else result.learning_rate.tobytes(),
        result.epochs,
        result.status,
        result.best_epoch,
        result.message,
        state,
    )


def samples(module, count):
    """Samples in the module's precision."""
    rng = np.random.default_rng(count)
    X = rng.normal(size=(count, len(module.input_names))).astype(module.dtype)
    Y = rng.integers(0, 2, (count, len(module.target_names))).astype(module.dtype)
    return X, Y / Y.sum(axis=1, keepdims=True).clip(1) if module.accepts_labels else Y


@examples(60)
@given(
    case=st.sampled_from([(FORMULA, "float64"), (FORMULA, "float32"), (CLASSES, "float64"), (CLASSES, "float32")]),
    count=st.integers(1, 9),
    seed=st.integers(0, 2**64 - 1),
    start=st.booleans(),
    data=st.data(),
)
def test_the_same_bits(case, count, seed, start, data):
    """Results, also what another training goes on from, are those of the long way, bit for bit."""
    module = build(case)
    X, Y = samples(module, count)
    arguments = {
        "optimizer": data.draw(st.sampled_from(list(module.optimizers))),
        "learning_rate": data.draw(st.floats(1e-6, 0.5)),
        "epochs": data.draw(st.integers(1, 40)),
        "seed": seed,
        "shuffle": data.draw(st.sampled_from([None, True, False])),
        "batch_size": data.draw(st.none() | st.integers(1, count + 2)),
        "update": data.draw(st.sampled_from(["simultaneous", "sequential"])),
        "tolerance": data.draw(st.sampled_from([0.0, 1e-3, 0.5])),
        "history": data.draw(st.booleans()),
        "parameters": module.initial_parameters(7) if start else None,
    }
    hyperparameters = set(module.optimizers[arguments["optimizer"]]) | (
        {"momentum"} if arguments["optimizer"] == "sgd" else set()
    )
    for name in sorted(hyperparameters & {"momentum", "beta_1", "rho", "epsilon"}):
        if data.draw(st.booleans()):
            arguments[name] = data.draw(st.floats(0.1, 0.9))
    short = module.train(X, Y, **arguments)
    long = module.train(X, Y, **arguments, threads=2)  # which the short way leaves to the other
    quick = case[0] is FORMULA or arguments["update"] == "simultaneous"
    if quick and seed < 2**63:  # else it may take too long for the short way, or is no seed of the usual kind
        assert took_the_short_way(short)
    assert not took_the_short_way(long)
    assert bits(short) == bits(long)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_result_goes_on(precision, tmp_path):
    """A short training is resumed, copied, pickled, saved and loaded like any other, before its state was asked for."""
    module = build((CLASSES, precision))
    X, Y = samples(module, 9)
    arguments = {"optimizer": "adam", "batch_size": 4, "learning_rate": 0.05}
    whole = module.train(X, Y, epochs=9, **arguments)

    def half():
        result = module.train(X, Y, epochs=5, **arguments)
        assert took_the_short_way(result)
        return result

    half().save(tmp_path / "half.npz")
    ways = [half(), copy.copy(half()), copy.deepcopy(half()), module.load(tmp_path / "half.npz")]
    for result in ways:
        assert bits(module.train(X, Y, epochs=9, resume=result, **arguments)) == bits(whole)
    assert half()._state["last"] is not None
    again = half()
    assert again._state is again._state


def test_pickled(monkeypatch):
    """A short result is pickled without what is lazy being computed; the copy has the same state."""
    module = build((FORMULA, "float64"))
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)  # as after an import of the module
    result = module.train(*samples(module, 1), epochs=3)
    assert took_the_short_way(result)
    loaded = pickle.loads(pickle.dumps(result))
    assert took_the_short_way(loaded)
    assert bits(loaded) == bits(result)


@examples(40)
@given(
    case=st.sampled_from([(FORMULA, "float64"), (FORMULA, "float32"), (CLASSES, "float64"), (CLASSES, "float32")]),
    count=st.integers(1, 200),
)
def test_losses(case, count):
    """Loss and gradient of arrays are those of lists, bit for bit."""
    module = build(case)
    X, Y = samples(module, count)
    w = module.initial_parameters(count)
    assert module.loss(w, X, Y) == module.loss(w.tolist(), X.tolist(), Y.tolist())
    short, long = (module.loss_and_gradient(w, *arrays) for arrays in ((X, Y), (X.tolist(), Y.tolist())))
    assert type(short) is tuple
    assert (short[0], short[1].tobytes(), short[1].dtype) == (long[0], long[1].tobytes(), long[1].dtype)


TOKENS = nn.Sequential(
    [nn.Embedding(5, 3), nn.Dense(4)], 6, "sparse_categorical_crossentropy_from_logits", name="tokens"
)


def long_and_short(module, count):
    """Parameters, tokens and the labels of their steps, as arrays and as lists."""
    rng = np.random.default_rng(count)
    usual = module.initial_parameters(1), rng.integers(0, 5, (count, 6)), rng.integers(0, 4, (count, 6))
    arrays = tuple(np.asarray(array, module.dtype) for array in usual)
    return arrays, tuple(array.tolist() for array in arrays)


@pytest.mark.parametrize("count", [1, 3, 40, 9000])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_tokens(precision, count):
    """Tokens and labels of steps take the short way, also in calls so long that they may be stopped; same bits."""
    module = build((TOKENS, precision))
    (w, X, Y), lists = long_and_short(module, count)
    rows = np.eye(4, dtype=module.dtype)[Y.astype(int)].reshape(count, -1)
    assert module.loss(w, X, Y) == module.loss(w, X, rows) == module.loss(*lists)
    short, long = (module.loss_and_gradient(*arrays) for arrays in ((w, X, Y), lists))
    assert (short[0], short[1].tobytes(), short[1].dtype) == (long[0], long[1].tobytes(), long[1].dtype)
    assert module.predict(w, X).tobytes() == module.predict(*lists[:2]).tobytes()
    usual = {"epochs": 2, "seed": 3, "batch_size": 2}
    results = module.train(X, Y, w, **usual), module.train(lists[1], lists[2], lists[0], **usual)
    assert took_the_short_way(results[0]) == (count <= 40)
    assert bits(results[0]) == bits(results[1])


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("X", 5, r"X\[1, 2\] is 5; x has whole numbers from 0 to 4"),
        ("X", -1, "whole numbers from 0"),
        ("X", 0.5, "whole numbers"),
        ("X", np.nan, "nan"),
        ("Y", 4, r"Y\[1, 2\] is 4.*no class"),
        ("Y", -2, "no class"),
        ("Y", 1.5, "no class"),
        ("Y", np.inf, "inf"),
    ],
)
def test_wrong_tokens(what, value, message):
    """A token or label that is none is refused with its place, in usual arrays, by all functions."""
    module = build((TOKENS, "float64"))
    (w, X, Y), _ = long_and_short(module, 3)
    {"X": X, "Y": Y}[what][1, 2] = value
    for call in (lambda: module.loss_and_gradient(w, X, Y), lambda: module.train(X, Y, w)):
        with pytest.raises(ValueError, match=message):
            call()
    if what == "X":
        with pytest.raises(ValueError, match=message):
            module.predict(w, X)


def test_steps_without_a_target():
    """The label -1 of a step without a target means the same in an array as in a list."""
    module = build((TOKENS, "float64"))
    (w, X, Y), _ = long_and_short(module, 3)
    Y[1, 2:] = -1
    assert module.loss(w, X, Y) == module.loss(w, X, Y.tolist()) != module.loss(w, X, abs(Y))


SHAPED = np.arange(6.0).reshape(3, 2) / 7


def misaligned(array):
    """The same values, where no number may begin."""
    memory = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[:] = array
    return memory


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": SHAPED[:0]}, "X is empty"),
        ({"X": SHAPED[0]}, "for one sample, give it as"),
        ({"X": SHAPED[:2]}, "X has 2 rows, but Y has 3"),
        ({"X": np.full((3, 2), np.nan)}, r"X\[0, 0\] is nan"),
        ({"X": SHAPED[:, :1]}, r"X has the shape \(3, 1\)"),
        ({"X": None}, "X is missing"),
        ({"X": np.ma.masked_less(SHAPED, 0.5)}, "masked"),
        ({"X": SHAPED + 0j}, "no real number"),
        ({"Y": np.array([0, np.inf, 1])}, r"Y\[1, 0\] is inf"),
        ({"Y": None}, "Y is missing"),
        ({"parameters": np.zeros(6)}, r"parameters has the shape \(6,\)"),
        ({"parameters": np.full(7, np.nan)}, "parameters.0. is nan"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0"),
        ({"learning_rate": np.nan}, "learning_rate"),
        ({"learning_rate": np.inf}, "learning_rate"),
        ({"learning_rate": 1e-310}, "which is 0 in float64"),
        ({"learning_rate": True}, "learning_rate"),
        ({"epochs": 0}, "epochs must be an integer from 1"),
        ({"epochs": -(10**30)}, "epochs"),
        ({"epochs": 2.0}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"seed": None}, "seed"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch"),
        ({"shuffle": 1}, "shuffle must be True, False or None"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"tolerance": False}, "tolerance"),
        ({"l1": False}, "l1 must be a number"),
        ({"update": "both"}, "there is no update 'both'"),
        ({"update": None}, "there is no update"),
        ({"optimizer": "best"}, "there is no optimizer 'best'"),
        ({"optimizer": ["sgd"]}, "there is no optimizer"),
        ({"threads": 0}, "threads"),
        ({"schedule": "up"}, "there is no schedule"),
        ({"metrics": "f3"}, "no metric"),
        ({"momentum": -0.5}, "momentum"),
        ({"momentum": 0.5, "epochs": 0}, "epochs must be"),
        ({"resume": 3}, "resume must be a Result"),
        ({"progress": 2}, "progress must be True or False"),
    ],
    ids=str,
)
def test_errors(changes, message):
    """What is wrong in otherwise usual arguments is told as ever."""
    module = build((FORMULA, "float64"))
    usual = {"X": SHAPED, "Y": np.array([0.0, 1, 1]), "parameters": module.initial_parameters(), "epochs": 2}
    assert took_the_short_way(module.train(**usual))
    with pytest.raises(ValueError, match=message):
        module.train(**(usual | changes))


def test_unknown_hyperparameters():
    """A hyperparameter that the optimizer does not have is refused, with the names of those that it has."""
    module = build((FORMULA, "float64"))
    with pytest.raises(TypeError, match=r"train\(\) got an unexpected argument 'beta_1'; the optimizer sgd takes"):
        module.train(SHAPED, np.ones(3), module.initial_parameters(), beta_1=0.9)


@pytest.mark.parametrize(
    "changes",
    [
        {"X": SHAPED.astype(np.float32)},
        {"X": np.asfortranarray(SHAPED)},
        {"X": SHAPED.astype(">f8")},
        {"X": SHAPED.view(np.recarray)},
        {"X": SHAPED[::-1]},
        {"X": misaligned(SHAPED)},
        {"X": SHAPED.astype(int)},
        {"X": SHAPED.tolist()},
        {"X": {"x1": SHAPED[:, 0], "x2": SHAPED[:, 1].tolist()}},
        {"Y": [[0], [1], [1]]},
        {"Y": {"y": [0, 1, 1]}},
        {"parameters": FORMULA.parameters},
        {"parameters": {"w0": 0.1}},
    ],
    ids=str,
)
def test_arrays_that_are_converted(changes):
    """Data and starts of any kind take the short way once they are arrays of the usual kind, with the same bits."""
    module = build((FORMULA, "float64"))
    usual = {"X": SHAPED, "Y": np.array([0.0, 1, 1]), "epochs": 2}
    result = module.train(**(usual | changes))
    assert took_the_short_way(result)
    X = changes.get("X", SHAPED)
    X = np.column_stack([*X.values()]) if isinstance(X, dict) else np.array(X, np.float64, order="C")
    assert bits(result) == bits(module.train(**(usual | {"X": X})))


def test_labels_take_the_short_way():
    """So do labels, which become rows of probabilities."""
    module = build((CLASSES, "float64"))
    X, _ = samples(module, 5)
    labels = np.array([0, 2, 1, 1, 0])
    result = module.train(X, labels, epochs=3)
    assert took_the_short_way(result)
    assert bits(result) == bits(module.train(X, np.eye(3)[labels], epochs=3, threads=2))


def test_drawn_parameters_are_remembered():
    """The initial parameters of a seed are the same in each call, and an array of their own."""
    module = build((CLASSES, "float64"))
    first, other = module.initial_parameters(5), module.initial_parameters(6)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(module.initial_parameters(5), kept)
    assert not np.array_equal(other, kept)


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": np.float64(0.01)},
        {"epochs": np.int64(2)},
        {"seed": np.uint8(0)},
        {"shuffle": np.False_},
        {"l1": 0},
        {"schedule": np.ones(2)},
        {"threads": 2},
        {"batch_size": np.int8(3)},
        {"weight_decay": 0.0},
    ],
    ids=str,
)
def test_unusual(changes):
    """What is right, though not of the usual kind, gives what the usual kind gives."""
    module = build((FORMULA, "float64"))
    usual = {"X": SHAPED, "Y": np.array([0.0, 1, 1]), "epochs": 2}
    result = module.train(**(usual | changes))
    assert not took_the_short_way(result)
    X = np.array(changes.get("X", SHAPED), np.float64, order="C")
    assert bits(result) == bits(module.train(**(usual | {"X": X})))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_arrays_from_elsewhere_are_usual(precision):
    """What was pickled has a type of its own, equal to NumPy's; to be read-only or of shared memory does not matter."""
    module = build((FORMULA, precision))
    X, Y = samples(module, 3)
    loaded = pickle.loads(pickle.dumps(X))
    assert loaded.dtype is not X.dtype
    locked = X.copy()
    locked.flags.writeable = False
    shared = np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape)
    results = [module.train(kind, Y, epochs=2) for kind in (X, loaded, locked, shared)]
    assert all(map(took_the_short_way, results))
    assert len({result.parameters.tobytes() for result in results}) == 1


def test_a_result_is_of_its_own():
    """Neither the start nor another result changes with a result, nor the result with them."""
    module = build((FORMULA, "float64"))
    X, Y = samples(module, 2)
    start = module.initial_parameters()
    kept = start.copy()
    first = module.train(X, Y, start, optimizer="adam")
    before = bits(first)
    second = module.train(X, Y, start, optimizer="adam")
    second.parameters[:] = 0
    second._state["state"][:] = 5
    third = module.train(X, Y, start, optimizer="adam")
    assert (start == kept).all()
    assert bits(first) == bits(third) == before


def test_initial_parameters_are_new():
    """The initial parameters of a formula, which need no random numbers, are an array of their own at each call."""
    module = build((FORMULA, "float32"))
    first = module.initial_parameters(1)
    assert first.tolist() == [np.float32(value) for value in FORMULA.parameters.values()]
    first[:] = 0
    assert module.initial_parameters(2).all()
    with pytest.raises(ValueError, match="seed must be an integer"):
        module.initial_parameters(-1)


def test_long_trainings_can_be_stopped():
    """A training that a signal may have to end does not take the short way, which asks nobody."""
    module = build((FORMULA, "float64"))
    result = module.train(*samples(module, 9), epochs=5000)
    assert not took_the_short_way(result)


@pytest.mark.parametrize("case", [(FORMULA, "float64"), (CLASSES, "float64"), (CLASSES, "float32")])
@pytest.mark.parametrize("rows", [5, 63, 64, 65, 129, 1000])
def test_predictions_have_the_same_bits(case, rows):
    """Outputs of rows of the usual kind are those of the long way, bit for bit, with any number of threads."""
    module = build(case)
    X, _ = samples(module, rows)
    parameters = module.initial_parameters(3)
    short = module.predict(parameters, X)
    assert short.tobytes() == module.predict(parameters, X.tolist()).tobytes()
    assert short.tobytes() == module.predict(parameters, X, threads=2).tobytes()


def test_predictions_are_checked():
    """What cannot be predicted is refused on the short way as on the long one."""
    module = build((CLASSES, "float64"))
    X, _ = samples(module, 20)
    parameters = module.initial_parameters(3)
    for rows in (2, 20):
        with pytest.raises(ValueError, match="threads must be an integer from 1 to 64, not 0"):
            module.predict(parameters, X[:rows], threads=0)
        with pytest.raises(ValueError, match="X"):
            module.predict(parameters, np.full_like(X[:rows], np.nan))
        with pytest.raises(ValueError, match="parameters"):
            module.predict(np.full_like(parameters, np.inf), X[:rows])
        with pytest.raises(ValueError, match="X"):
            module.predict(parameters, X[:rows, :3].copy())
