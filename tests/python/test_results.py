"""Results on disk, and trainings that go on: from a file, from Ctrl-C, batch by batch, or by SciPy's minimizers."""

import builtins
import io
import os
import pickle
import re
import signal
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import nncodegen as nn
from tests.support.built import built
from tests.support.search import examples

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(150, 4)), RNG.integers(0, 3, 150)
CHAIN = nn.Sequential([nn.Dense(5, "tanh"), nn.Dense(3, "softmax")], 4, "categorical_crossentropy", name="chain")
OPTIONS = {
    "batch_size": 16,
    "learning_rate": 0.05,
    "schedule": "cosine",
    "metrics": ("accuracy",),
    "patience": 9,
    "validation_split": 0.2,
    "sample_weight": RNG.uniform(0.5, 1, 150),
    "seed": 4,
}


def same(first, second):
    """Whether two results are the same, bit for bit."""
    arrays = [
        (first.parameters, second.parameters),
        *((first.metrics[key], second.metrics[key]) for key in first.metrics),
    ]
    if first.learning_rate is not None:
        arrays.append((first.learning_rate, second.learning_rate))
    rest = [(r.loss, r.epochs, r.status, r.best_epoch, list(r.metrics)) for r in (first, second)]
    return rest[0] == rest[1] and all(np.array_equal(a, b) for a, b in arrays)


@pytest.fixture(scope="module")
def ridge():
    """Linear regression."""
    return nn.build(nn.Sequential([nn.Dense(1)], 4, name="ridge"))


def stops_at(epochs):
    return lambda progress: progress.epochs == epochs


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam", "rmsprop", "lion"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_resuming_gives_the_same_bits(optimizer, precision, tmp_path):
    """Stopped, saved, loaded and resumed, several times: every bit is that of a training that never stopped."""
    chain = built(CHAIN, precision)
    whole = chain.train(X, Y, epochs=30, optimizer=optimizer, **OPTIONS)
    result = None
    for stop in (7, 8, 21, 99):
        result = chain.train(
            X,
            Y,
            epochs=30,
            optimizer=optimizer,
            resume=result,
            callback=stops_at(stop),
            **(OPTIONS | {"seed": 4 if result is None else 0}),
        )
        result.save(tmp_path / "result.npz")
        result = chain.load(tmp_path / "result.npz")
        if result.status != "stopped":
            break
    assert same(result, whole)


@examples(15)
@given(
    stops=st.lists(st.integers(1, 40), min_size=1, max_size=4), update=st.sampled_from(["simultaneous", "sequential"])
)
def test_stopped_within_an_epoch(chain, tmp_path_factory, stops, update):
    """A training that is stopped anywhere, within an epoch too, goes on with the same bits."""
    rows = np.resize(np.arange(150), 30_000)
    arguments = {
        "epochs": 2,
        "batch_size": 700 if update == "simultaneous" else 29_000,
        "optimizer": "adam",
        "update": update,
        "metrics": ("accuracy", "mae", "r2"),
        "validation_split": 0.01,
    }
    whole = chain.train(X[rows], Y[rows], **arguments)
    result = None
    for stop in stops:
        calls = iter(range(stop))
        result = chain.train(
            X[rows],
            Y[rows],
            resume=result,
            **arguments,
            callback=lambda p, c=calls: next(c, None) is None,
            callback_interval=1e-6,
        )
        if result.status == "completed":
            break
        assert result.status == "stopped"
        result.save(tmp_path_factory.getbasetemp() / "stopped.npz")
        result = chain.load(tmp_path_factory.getbasetemp() / "stopped.npz")
    if result.status == "stopped":
        result = chain.train(X[rows], Y[rows], resume=result, **arguments)
    assert same(result, whole)


def test_metrics_that_begin_within_an_epoch(chain):
    """Of an epoch that was measured in part, the metrics are not known; those of the next are what they always are."""
    rows = np.resize(np.arange(150), 30_000)
    arguments = {"epochs": 3, "batch_size": 700}
    whole = chain.train(X[rows], Y[rows], metrics="mae", **arguments)
    for metrics in ((), "accuracy"):  # none, or others
        ends = {"callback": lambda p: True, "callback_interval": 1e-6}
        begun = chain.train(X[rows], Y[rows], **ends, metrics=metrics, **arguments)
        assert begun._state["counters"][3] > 0
        resumed = chain.train(X[rows], Y[rows], resume=begun, metrics="mae", **arguments)
        assert np.isnan(resumed.metrics["mae"][: begun.epochs + 1]).all()
        assert np.array_equal(resumed.metrics["mae"][begun.epochs + 1 :], whole.metrics["mae"][begun.epochs + 1 :])


def test_ctrl_c_can_be_resumed(chain):
    """What KeyboardInterrupt holds goes on with the same bits; of other data it says why it cannot."""
    rows = np.resize(np.arange(150), 200_000)
    data, labels = X[rows], Y[rows]
    arguments = {"epochs": 3, "batch_size": 1000, "optimizer": "adam"}

    def interrupt(progress):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        chain.train(data, labels, callback=interrupt, callback_interval=1, **arguments)
    result = caught.value.result
    assert result.status == "interrupted"
    resumed = chain.train(data, labels, resume=result, **arguments)
    assert same(resumed, chain.train(data, labels, **arguments))
    if result._state["counters"][3]:
        with pytest.raises(ValueError, match="resume was interrupted within an epoch of 200000 samples"):
            chain.train(X, Y, resume=result, epochs=3, optimizer="adam")


def test_saving_keeps_all(chain, tmp_path):
    """A file holds everything that a Result has; of minimize as well; its name is as given."""
    trained = chain.train(X, Y, epochs=5, **OPTIONS)
    minimized = chain.minimize(X, Y, options={"maxiter": 3})
    for result in (trained, minimized):
        result.save(tmp_path / "any.name")
        loaded = chain.load(tmp_path / "any.name")
        assert same(result, loaded)
        assert (loaded.seconds, loaded.message) == (result.seconds, result.message)
    assert os.listdir(tmp_path) == ["any.name"]
    with np.load(tmp_path / "any.name", allow_pickle=False) as archive:  # a NumPy archive without a pickle
        assert all(archive[key].dtype != object for key in archive.files)


def test_saving_is_atomic(chain, tmp_path, monkeypatch):
    """A save that fails leaves the old file whole, and nothing beside it."""
    path = tmp_path / "result.npz"
    chain.train(X, Y, epochs=1).save(path)
    before = path.read_bytes()

    def broken(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError, match="no space left"):
        chain.train(X, Y, epochs=2).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["result.npz"]


class Bomb:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return (builtins.open, ("exploded", "w"))


def rewritten(path, **changes):
    """The file with some of its arrays changed; None: left out."""
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays |= changes
    stream = io.BytesIO()
    np.savez(stream, **{key: value for key, value in arrays.items() if value is not None})
    return stream.getvalue()


def test_refused_files(chain, tmp_path, monkeypatch):
    """A file that is foreign, truncated, damaged, changed, or a pickle is refused with an error that names it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "result.npz"
    chain.train(X, Y, epochs=3, optimizer="adam").save(path)
    whole = path.read_bytes()
    npy, archive = io.BytesIO(), io.BytesIO()
    np.save(npy, X)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("notes.txt", "nothing")
    bomb = np.empty(1, object)
    bomb[0] = Bomb()
    damaged = bytearray(whole)
    damaged[whole.index(b"state.last.npy") + 300] ^= 0xFF
    cases = {
        b"": "no archive",
        b"hello": "no archive",
        npy.getvalue(): "no archive",
        pickle.dumps(Bomb()): "no archive",
        whole[: len(whole) // 2]: "no archive",
        whole[:-1]: "(damaged|no archive)",
        whole[:-10] + b"\xff\xff\xff\x7f" + whole[-6:]: "no result that was saved",  # the size of its directory
        archive.getvalue(): "it holds 'notes.txt', which is no array",
        rewritten(path, format=None): "it lacks 'format'",
        bytes(damaged): "damaged",
        rewritten(path, format=np.array("other")): "its format is 'other'",
        rewritten(path, format=np.array("nncodegen result, version 99")): "saved by another version of nncodegen: its",
        rewritten(path, parameters=bomb): "no result that was saved",
        rewritten(path, numbers=None): "it lacks 'numbers'",
        rewritten(path, parameters=np.zeros(3)): r"parameters has the shape \(3,\) .* expected \(43,\)",
        rewritten(path, figures=np.zeros((1, 9))): "its parts do not fit together",
        rewritten(path, **{"state.state": np.zeros((1, 43))}): "its parts do not fit together",
        rewritten(path, **{"state.counters": np.zeros(8, int)}): "counters has the shape",
        rewritten(path, names=np.array(["los"])): "its parts do not fit together",
        rewritten(path, learning_rate=np.ones(2)): "its parts do not fit together",
    }
    for content, message in cases.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as caught:
            chain.load(path)
        assert str(path) in str(caught.value)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(FileNotFoundError):
        chain.load(tmp_path / "nowhere.npz")


@pytest.fixture(scope="module")
def saved(chain, tmp_path_factory):
    """A result, and the content of its file."""
    result = chain.train(X, Y, epochs=2, metrics="accuracy")
    result.save(tmp_path_factory.getbasetemp() / "saved.npz")
    return result, (tmp_path_factory.getbasetemp() / "saved.npz").read_bytes()


@examples(100)
@given(data=st.data())
def test_damaged_files(chain, saved, tmp_path_factory, data):
    """A file that was cut or changed anywhere is refused with an error, or has lost nothing."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    result, content = saved[0], bytearray(saved[1])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    message = ""
    try:
        loaded = chain.load(path)
    except ValueError as error:
        message = str(error)
    assert str(path) in message if message else same(loaded, result)


def _member(descr="<f8", shape=(43,), rest=b"", head=None, version=b"\x01\x00"):
    """An array as a file of NumPy, whatever its header says."""
    text = head or f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    length = struct.pack("<H" if version[0] == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + version + length + text + b"\n" + rest


HOSTILE = {
    "more than there is": _member(shape=(10**12,), rest=bytes(344)),
    "another model's": _member(shape=(10**5,), rest=bytes(8 * 10**5)),
    "overflowing": _member(shape=(2**62, 2**62, 7)),
    "negative": _member(shape=(-43,)),
    "no size": _member(shape=(None,)),
    "objects": _member(descr="|O", shape=(43,), rest=pickle.dumps(1)),
    "fields": _member(descr=[("a", "<f8", (10**6,))], shape=(43,)),
    "unfinished": _member(head=b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,"),
    "nested": _member(head=b"(" * 9000),
    "signs": _member(head=b"-" * 9000 + b"1"),
    "a long header": _member(version=b"\x02\x00")[:8] + b"\xff\xff\xff\xff" + bytes(100),
    "a call": _member(head=b"__import__('os').mkdir('exploded')"),
    "nothing": b"",
}
"""Members of an archive that are no parameters."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_members(chain, saved, kind, tmp_path, monkeypatch):
    """A member whose header promises anything else than the model's arrays is refused, unread."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "result.npz"
    with zipfile.ZipFile(io.BytesIO(saved[1])) as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, HOSTILE[kind] if name == "parameters.npy" else whole.read(name))
    with pytest.raises(ValueError, match=r"result\.npz is"):
        chain.load(path)
    assert os.listdir() == ["result.npz"]


def test_archives_that_would_grow(chain, saved, tmp_path):
    """An archive never takes more memory than a few times its length, whatever is compressed or hidden in it."""
    zeros = {"parameters": np.zeros(4_000_000), "extra": np.zeros(4_000_000)}
    with np.load(io.BytesIO(saved[1])) as archive:
        arrays = dict(archive)
    for name, message in (("parameters", "compressed"), ("extra", "compressed|'extra', which no result has")):
        for write in (np.savez_compressed, np.savez):
            if (name, write) == ("parameters", np.savez):
                message = "expected"
            write(tmp_path / "result.npz", **{**arrays, name: zeros[name]})
            tracemalloc.start()
            with pytest.raises(ValueError, match=message):
                chain.load(tmp_path / "result.npz")
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
            tracemalloc.stop()
    with zipfile.ZipFile(io.BytesIO(saved[1])) as whole, zipfile.ZipFile(tmp_path / "result.npz", "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("parameters.npy", HOSTILE["nothing"])
    with pytest.raises(ValueError, match="there twice"):
        chain.load(tmp_path / "result.npz")


def test_other_models(chain, tmp_path):
    """A result belongs to its model and precision, not to the model's name."""
    path = tmp_path / "result.npz"
    result = chain.train(X, Y, epochs=3)
    result.save(path)
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    same_model = nn.Sequential(layers, 4, "categorical_crossentropy", name="renamed")
    assert same(nn.build(same_model).load(path), result)
    assert nn.build(same_model).train(X, Y, epochs=4, resume=result).epochs == 4
    relu = nn.Sequential([nn.Dense(5, "relu"), layers[1]], 4, "categorical_crossentropy", name="chain")
    for other in (nn.build(relu), nn.build(same_model, "float32")):
        with pytest.raises(ValueError, match="belongs to another model: it was saved for chain in float64, this is"):
            other.load(path)
        with pytest.raises(ValueError, match="resume belongs to another model or precision"):
            other.train(X, Y, resume=result, epochs=9)


def test_learning_rates_of_several_trainings(chain, tmp_path):
    """Each epoch has the rate of the training that completed it; nothing is known of those in an older file."""
    slow = chain.train(X, Y, epochs=2, learning_rate=0.1)
    fast = chain.train(X, Y, epochs=3, learning_rate=0.5, resume=slow)
    assert fast.learning_rate.tolist() == [0.1, 0.1, 0.5]
    fast.save(tmp_path / "result.npz")
    content = rewritten(tmp_path / "result.npz", learning_rate=None, format=np.array("nncodegen result, version 2"))
    (tmp_path / "result.npz").write_bytes(content)
    older = chain.load(tmp_path / "result.npz")
    assert older.learning_rate is None
    last = chain.train(X, Y, epochs=5, learning_rate=0.25, schedule=("exponential", {"gamma": 0.5}), resume=older)
    assert np.array_equal(last.learning_rate, [np.nan] * 3 + [0.25 / 8, 0.25 / 16], equal_nan=True)
    again = chain.partial_fit(X, Y, chain.partial_fit(X, Y, learning_rate=0.2), learning_rate=0.2, batch_size=50)
    assert again.learning_rate.tolist() == [0.2, 0.2]


def test_steps_without_a_learning_rate(chain, tmp_path):
    """Where steps have no learning rate, the result has none, also out of a file; minimize tells how long they were."""
    assert chain.train(X, Y, epochs=3, optimizer="rprop").learning_rate is None
    assert chain.train(X.tolist(), Y, epochs=3, optimizer="rprop").learning_rate is None
    points = [chain.initial_parameters()]
    minimized = chain.minimize(X, Y, options={"maxiter": 5}, callback=lambda at: points.append(at.copy()))
    minimized.save(tmp_path / "result.npz")
    for result in (minimized, chain.load(tmp_path / "result.npz")):
        assert result.learning_rate is None
        assert result.metrics["step_length"] == pytest.approx(np.linalg.norm(np.diff(points, axis=0), axis=1))


def test_what_cannot_be_resumed(chain, ridge):
    """A result says why a training cannot go on from it, and what to do."""
    result = chain.train(X, Y, epochs=3, optimizer="adam")
    with pytest.raises(ValueError, match="resume has 3 epochs already"):
        chain.train(X, Y, epochs=3, optimizer="adam", resume=result)
    with pytest.raises(ValueError, match="resume was made by the optimizer adam, not by sgd"):
        chain.train(X, Y, epochs=9, resume=result)
    with pytest.raises(ValueError, match="give resume or parameters, not both"):
        chain.train(X, Y, epochs=9, resume=result, parameters=result.parameters)
    with pytest.raises(ValueError, match="resume was made by minimize"):
        chain.train(X, Y, resume=chain.minimize(X, Y))
    with pytest.warns(RuntimeWarning, match="diverged"):
        diverged = ridge.train(X, Y, epochs=999, learning_rate=1e3)
    with pytest.raises(ValueError, match="resume diverged"):
        ridge.train(X, Y, epochs=9999, resume=diverged)


def test_another_monitor_begins_anew(chain):
    """A best figure of one kind is not compared with another."""
    first = chain.train(X, Y, epochs=5, monitor="loss")
    second = chain.train(X, Y, epochs=9, monitor="accuracy", metrics="accuracy", resume=first)
    assert second.best_epoch > 5
    assert np.isnan(second.metrics["accuracy"][:5]).all()
    assert np.array_equal(second.history[:5], first.history)


# --- batch by batch --------------------------------------------------------------------------------------------------


def test_streams_of_memory_maps(chain, tmp_path):
    """Slices of memory maps, of any type, train as their arrays do; what is mapped is never read as a whole."""
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    np.save(tmp_path / "y.npy", Y)
    x, y = (np.load(tmp_path / f"{key}.npy", mmap_mode="r") for key in "xy")
    read = []

    def batches():
        for begin in range(0, 150, 40):
            read.append(begin)
            yield x[begin : begin + 40], y[begin : begin + 40]

    stream = chain.train_on_stream(batches(), optimizer="adam", batch_size=16)
    assert read == [0, 40, 80, 120]
    assert (stream.epochs, stream.status) == (4, "completed")
    result = None
    for begin in read:
        rows = slice(begin, begin + 40)
        size = min(16, len(Y[rows]))
        result = chain.partial_fit(X[rows].astype(np.float32), Y[rows], result, optimizer="adam", batch_size=size)
    assert same(stream, result)
    assert result.loss == chain.loss(result.parameters, X[120:].astype(np.float32), Y[120:])


def test_passes_are_epochs(chain, tmp_path):
    """Passes over the whole are the epochs of train without shuffling; a pass can be saved between two others."""
    weight = RNG.uniform(0.1, 1, 150)
    result = None
    for _ in range(4):
        result = chain.partial_fit(X, Y, result, sample_weight=weight, optimizer="momentum", batch_size=32, l2=0.1)
        result.save(tmp_path / "pass.npz")
        result = chain.load(tmp_path / "pass.npz")
    expected = chain.train(
        X, Y, epochs=4, sample_weight=weight, optimizer="momentum", batch_size=32, l2=0.1, shuffle=False
    )
    assert same(result, expected)


def test_passes_are_measured(chain, tmp_path):
    """Metrics, validation and the best pass are those of train, also where passes are saved between two others."""
    held_out = (X[:30], Y[:30], np.arange(30.0))
    options = {"validation_data": held_out, "metrics": ["r2", "mae"], "monitor": "val_mae", "learning_rate": 0.3}
    result = None
    for _ in range(6):
        result = chain.partial_fit(X[30:], Y[30:], result, batch_size=32, **options)
        result.save(tmp_path / "pass.npz")
        result = chain.load(tmp_path / "pass.npz")
    expected = chain.train(X[30:], Y[30:], epochs=6, batch_size=32, shuffle=False, **options)
    assert same(result, expected)
    assert set(result.metrics) == {"loss", "r2", "mae", "val_loss", "val_r2", "val_mae"}


def test_a_stream_stops_early(chain):
    """Patience counts batches; what comes back is the best, by the data that are held out."""
    forever = iter(lambda: (X[30:], Y[30:]), None)
    result = chain.train_on_stream(forever, validation_data=(X[:30], Y[:30]), patience=3, min_delta=1e9)
    assert (result.status, result.epochs, result.best_epoch) == ("stopped_early", 4, 1)
    once = chain.train_on_stream([(X[30:], Y[30:])])
    assert (result.parameters == once.parameters).all()


def test_a_stream_that_ends_early(chain):
    """A callback, a time limit or an error of the iterator ends a stream; what was reached is there."""
    forever = iter(lambda: (X, Y), None)
    result = chain.train_on_stream(forever, callback=lambda progress: progress.epochs == 5)
    assert (result.status, result.epochs) == ("stopped", 5)
    assert chain.train_on_stream(forever, time_limit=0.05, resume=result).status == "time_limit"

    def broken():
        yield X, Y
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        chain.train_on_stream(broken())
    assert caught.value.result.epochs == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.train_on_stream(3), "batches must be an iterator"),
        (lambda m: m.train_on_stream([]), "batches is empty"),
        (lambda m: m.train_on_stream([X]), r"batch 0 must be \(X, Y\)"),
        (lambda m: m.train_on_stream([(X, Y)], validation_data=X), r"validation_data must be \(X, Y\)"),
        (lambda m: m.train_on_stream([(X, Y)], monitor="val_loss"), "monitor is 'val_loss', which is not measured"),
        (lambda m: m.train_on_stream([(X, Y)], metrics=["f3"]), "there is no metric 'f3'"),
        (lambda m: m.train_on_stream([(X, Y), (X[:, :2], Y)]), r"batch 1: X has the shape \(150, 2\)"),
        (lambda m: m.train_on_stream([(X, Y)], schedule="cosine"), "the schedule cosine needs to know the number of"),
        (lambda m: m.train_on_stream([(X, Y)] * 3, schedule=[1, 0.5]), "has 2 factors, but this is epoch 3"),
        (lambda m: m.train_on_stream([(X, Y)], class_weight="balanced"), "class_weight must be a dictionary here"),
        (lambda m: m.train_on_stream([(X, Y)], shuffle=1), "shuffle must be True or False"),
        (lambda m: m.minimize(X, Y, l1=0.1, method="BFGS"), "l1 needs the method L-BFGS-B"),
        (lambda m: m.minimize(X, Y, l2=-1), "l2 must be a number from 0"),
        (lambda m: m.minimize(X, Y, method="newton"), "[Uu]nknown solver"),
    ],
)
def test_bad_arguments(chain, call, message):
    """What cannot be meant is refused, with the number of the batch."""
    with pytest.raises(ValueError, match=message):
        call(chain)


def test_unexpected_arguments(chain):
    """partial_fit and minimize name arguments that they do not take."""
    with pytest.raises(TypeError, match="'resume'; give the Result as result"):
        chain.partial_fit(X, Y, resume=None)
    with pytest.raises(TypeError, match="unexpected argument 'epochs'"):
        chain.partial_fit(X, Y, epochs=3)
    with pytest.raises(TypeError, match="unexpected argument 'jac'"):
        chain.minimize(X, Y, jac=True)


# --- SciPy's minimizers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP", "Newton-CG", "trust-constr", "Powell"])
def test_minimizers_agree(ridge, method):
    """Every method finds the minimum of ridge regression, which is known; biases are not penalized."""
    pytest.importorskip("scipy")
    rng = np.random.default_rng(0)
    y, weight = X @ [1, -2, 0.5, 0] + 3 + rng.normal(size=150), rng.uniform(0.5, 2, 150)
    w = weight / weight.sum()
    A = np.column_stack([X, np.ones(150)])
    expected = np.linalg.solve(2 * A.T * w @ A + 0.3 * np.diag([1, 1, 1, 1, 0]), 2 * A.T @ (w * y))
    options = {"options": {"xtol": 1e-10, "gtol": 1e-9, "maxiter": 3000}} if method == "trust-constr" else {}
    result = ridge.minimize(X, y, method=method, l2=0.3, sample_weight=weight, tol=1e-8, **options)
    assert result.parameters == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert result.loss == ridge.loss(result.parameters, X, y, weight)
    assert result.epochs == len(result.history) > 0
    assert result.history[-1] == pytest.approx(result.loss + 0.15 * (result.parameters[:4] ** 2).sum(), rel=1e-6)


def test_minimizing_with_l1(ridge):
    """l1 finds the lasso's solution, with exact zeros: scikit-learn's, whose loss is half of ours."""
    from sklearn.linear_model import Lasso

    pytest.importorskip("scipy")
    y = X @ [1, -2, 0.05, 0] + 3
    result = ridge.minimize(X, y, l1=0.6, tol=1e-12)
    lasso = Lasso(alpha=0.3, tol=1e-12).fit(X, y)
    assert result.parameters == pytest.approx([*lasso.coef_, lasso.intercept_], abs=1e-6)
    assert (result.parameters[2:4] == 0).all()


def test_minimizing_without_an_end(chain):
    """After the iterations that were allowed the status is "completed"; in single precision it works as well."""
    pytest.importorskip("scipy")
    assert chain.minimize(X, Y, options={"maxiter": 3}).status == "max_iterations"
    assert chain.minimize(X, Y, method="Nelder-Mead", options={"maxiter": 30}).status == "max_iterations"
    layers = [nn.Dense(5, "tanh"), nn.Dense(3, "softmax")]
    single = nn.build(nn.Sequential(layers, 4, "categorical_crossentropy", name="chain"), "float32")
    for seed in range(5):  # SciPy's tolerance, which is for double precision, would end in a warning
        result = single.minimize(X, Y, l2=1e-2, seed=seed)
        assert (result.status, result.parameters.dtype) == ("converged", np.float32)
        assert result.loss == pytest.approx(chain.minimize(X, Y, l2=1e-2, seed=seed).loss, rel=0.05)
    assert single.minimize(X, Y, options={"maxiter": 3}).status == "max_iterations"


@pytest.mark.filterwarnings("ignore:SciPy's:RuntimeWarning")
@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "Nelder-Mead"])
def test_minimizing_where_there_is_no_loss(method):
    """A minimizer that tries parameters without a loss returns some that have one, and L-BFGS-B says what to do."""
    pytest.importorskip("scipy")
    a, b = sympy.symbols("a b")
    module = nn.build(nn.Model("sinking", parameters={a: 2.0, b: 1.0}, loss=sympy.log(a) + b**2))
    minimized = module.minimize(method=method)
    assert minimized.parameters[0] > 0
    assert minimized.loss == module.loss(minimized.parameters) <= module.loss([2.0, 1.0])
    if method != "Nelder-Mead":
        assert minimized.status == "stalled"
        assert re.search(r"the loss is not finite at [\d,]+ of the parameters that it tried", minimized.message)
        assert "give bounds" in minimized.message
    ended = module.minimize(method="L-BFGS-B", bounds=[(0.01, None), (None, None)])
    assert ended.status == "converged"
    assert ended.parameters == pytest.approx([0.01, 0], abs=1e-5)


@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "Newton-CG", "TNC", "SLSQP"])
def test_steps_end_before_parameters_without_a_loss(method):
    """A search along a line shortens a step to where the loss is not finite, and goes on to the minimum."""
    pytest.importorskip("scipy")
    a, b = sympy.symbols("a b")
    loss = a - 3 * sympy.log(a - 2) + (b - 1) ** 4 + sympy.sqrt(b)
    module = nn.build(nn.Model("edge", parameters={a: 4.0, b: 1.0}, loss=loss))
    assert not np.isfinite(module.loss([4.0, -0.5]))
    minimized = module.minimize(method=method, tol=1e-8)
    lowest = min((v - 1) ** 4 + np.sqrt(v) for v in np.linspace(0.3, 0.6, 300_001))
    assert minimized.loss == pytest.approx(5 - 3 * np.log(3) + lowest, abs=1e-5)
    assert minimized.parameters[0] == pytest.approx(5, abs=5e-3)
    assert minimized.status in ("converged", "stalled")  # rounding may end a search at the minimum


def test_a_minimizer_that_begins_without_a_loss():
    """It ends there, and says so."""
    pytest.importorskip("scipy")
    a = sympy.Symbol("a")
    module = nn.build(nn.Model("nowhere", parameters={a: -1.0}, loss=sympy.log(a) ** 2))
    for method in ("BFGS", "L-BFGS-B", "trust-constr"):
        with pytest.warns(RuntimeWarning, match="cannot begin: the loss is not finite at the start: give bounds"):
            minimized = module.minimize(method=method, options={"maxiter": 20})
        assert (minimized.status, minimized.success) == ("not_finite", False)


@pytest.mark.parametrize("method", ["trust-constr", "Powell", None])
def test_minimizers_go_back_from_where_there_is_no_loss(method):
    """Others than those that search with a gradient do so, too: NaN held trust-constr and Powell up where they were."""
    pytest.importorskip("scipy")
    module = nn.build(nn.Model("logarithm", "x", "y", {"a": 1, "b": 1, "c": 1}, "a*log(b*x + c)"))
    x = np.linspace(0.1, 4, 30)
    minimized = module.minimize(x, 2 * np.log(1.5 * x + 0.02), method=method)
    assert minimized.status == "converged"
    assert minimized.parameters == pytest.approx([2, 1.5, 0.02], abs=1e-4)


def test_evaluations_of_cobyla():
    """All of them used is the same end as with the others."""
    pytest.importorskip("scipy")
    X, y = np.random.default_rng(0).normal(size=(2, 30, 1))
    module = nn.build(nn.Model("line_for_cobyla", "x", "y", {"a": 1, "b": 1}, "a*x + b"))
    assert module.minimize(X[:, 0], y[:, 0], method="COBYLA", options={"maxiter": 5}).status == "max_iterations"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("p0", "give the start as parameters"),
        ("maxiter", 'give options={"maxiter": ...}'),
        ("tolerance", "give tol"),
        ("jac", "the module gives the gradient to SciPy itself"),
        ("colour", "it takes those of SciPy: tol, bounds"),
    ],
)
def test_arguments_that_minimize_does_not_have(chain, name, advice):
    """They are named, with what to give instead."""
    pytest.importorskip("scipy")
    with pytest.raises(TypeError, match=rf"minimize\(\) got an unexpected argument '{name}': .*{re.escape(advice)}"):
        chain.minimize(X, Y, **{name: 1})


def test_minimizing_is_interrupted(chain):
    """An exception of a callback holds what was reached."""
    pytest.importorskip("scipy")

    def callback(point):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        chain.minimize(X, Y, callback=callback)
    assert (caught.value.result.status, caught.value.result.epochs) == ("interrupted", 1)


def test_without_scipy(monkeypatch):
    """Without SciPy, minimize says what to install."""
    import sys

    a = sympy.Symbol("a")
    module = nn.build(nn.Model("bowl", parameters={a: 1.0}, loss=a**2))
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match="minimize needs SciPy, which is not installed: python -m pip install scipy"):
        module.minimize()
