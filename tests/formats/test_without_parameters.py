"""Networks without parameters, such as a pool alone, are models as all others; but there is nothing to train."""

import sys
import zipfile

import numpy as np
import pytest

import nncodegen as nn
from nncodegen import ModelError
from tests.support.compilers import QUICK
from tests.support.plain import compiled, exported, loaded

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(5, 8)), RNG.normal(size=(5, 2))
OUTPUTS = np.tanh(X.reshape(5, 4, 2).max(axis=1))
LOSS = np.mean((OUTPUTS - Y) ** 2)

x = nn.Input((4, 2))
pool = nn.Network(x, nn.Activation("tanh")(nn.GlobalMaxPooling1D()(x)), name="pool")
mean = nn.Sequential([nn.GlobalAveragePooling1D(), nn.Activation("tanh")], (4, 2), name="means")


@pytest.fixture(scope="module")
def module():
    """The module of the pool, compiled with all warnings as errors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", QUICK)
        return nn.build(pool)


def test_predictions(module):
    """It predicts, has a loss, and a gradient without values; the same by NumPy, where there is no compiler."""
    start = module.initial_parameters()
    assert start.shape == (0,)
    assert module.unpack(start) == module.parameter_shapes == {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", "/nonexistent")
        with pytest.warns(RuntimeWarning, match="no C compiler was found"):
            slow = nn.build(pool)
    for predictor in (module, slow):
        assert predictor.predict(start, X) == pytest.approx(OUTPUTS, rel=1e-14)
        assert predictor.predict([], X[:1]) == pytest.approx(OUTPUTS[:1], rel=1e-14)
        loss, gradient = predictor.loss_and_gradient(start, X, Y)
        assert [loss, predictor.loss(start, X, Y)] == pytest.approx([LOSS, LOSS], rel=1e-14)
        assert gradient.shape == (0,)


@pytest.mark.parametrize(
    "call",
    [
        lambda module: module.train(X, Y),
        lambda module: module.train(X, Y, optimizer="adam", epochs=3, batch_size=2, l2=0.1),
        lambda module: module.train_on_stream(iter([(X, Y)])),
        lambda module: module.partial_fit(None, X, Y),
        lambda module: module.train_many(X, Y, models=3),
        lambda module: module.minimize(X, Y),
    ],
)
def test_nothing_to_train(module, call):
    """Whatever trains says that there is nothing to train."""
    with pytest.raises(ValueError, match="pool has no parameters, so there is nothing to train: it predicts as it is"):
        call(module)


def test_nothing_to_fit(module):
    """What fits says so as well."""
    with pytest.raises(ValueError, match="it has no parameters, so there is nothing to fit"):
        module.fit(X, Y)
    with pytest.raises(ModelError, match="it has no parameters, so there is nothing to fit"):
        nn.compile_model(pool, until="differentiate", fit=True)


def test_outputs_that_are_inputs():
    """An output may be an input as it is, in another form or order."""
    network = nn.Sequential([nn.Permute((2, 1)), nn.Flatten()], (4, 2), name="order")
    program = network.describe()
    values = nn.evaluate(program, [], X, np.zeros((5, 8)))
    expected = X.reshape(5, 4, 2).transpose(0, 2, 1).reshape(5, 8)
    np.testing.assert_array_equal(values[program.outputs[0].tensor].reshape(5, 8), expected)
    assert nn.compile_model(network, until="emit")["emit"].files


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_c(tmp_path, precision):
    """Plain C has no arrays without elements, which C99 does not know, and calls take NULL."""
    plain = loaded(tmp_path, {"pool": (pool, {"precision": precision})}, tested=["pool"])["pool"]
    assert plain.predict(None, X) == pytest.approx(OUTPUTS, rel=1e-6)
    folder = tmp_path / "pool"
    assert "pool_parameters" not in (folder / "pool.h").read_text() + (folder / "pool.c").read_text()
    compiled([folder / "pool.c", folder / "pool_test.c"], tmp_path / "test")
    with pytest.raises(ModelError, match="pool has no parameters, so there is nothing to train: export it without"):
        exported(pool, tmp_path / "trained", train=True)


def test_c_with_vectors(tmp_path):
    """So does the fast C, and its test."""
    exported(pool, tmp_path, vectors=True)
    strict = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
    compiled([tmp_path / "pool.c", tmp_path / "pool_test.c"], tmp_path / "test", "gcc", ("-O0",), strict)


def test_onnx():
    """As ONNX, it predicts the same."""
    pytest.importorskip("onnxruntime")
    from tests.support.onnx_files import agree

    for precision in ("float64", "float32"):
        agree(mean, X, precision=precision, parameters=[])


def test_casadi(tmp_path):
    """As C for CasADi, it is complete."""
    written = nn.export(mean, "casadi", tmp_path)
    (source,) = [path for path in written.paths if path.suffix == ".c"]
    compiled([source], tmp_path / "mean.so", "gcc", ("-O0",), ("-Wall", "-Wextra", "-Wpedantic", "-Werror"))


def test_wheel(tmp_path, quick_compiler):
    """As a package, it comes with its parameters, of which there are none."""
    written = nn.export(pool, "wheel", tmp_path)
    with zipfile.ZipFile(written.paths[0]) as archive:
        archive.extractall(tmp_path)
    sys.path.insert(0, str(tmp_path))
    try:
        import pool as package

        assert package.predict(package.parameters, X) == pytest.approx(OUTPUTS, rel=1e-14)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("pool", None)


def test_report():
    """A page shows it."""
    assert "tanh" in nn.report(pool).html
