"""Histories of trainings as pictures and tables."""

import builtins
import copy

import numpy as np
import pytest

import nncodegen as nn
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 2)), RNG.integers(0, 2, 60)


@pytest.fixture(scope="module")
def module():
    """A small classifier."""
    layers = [nn.Dense(3, "tanh"), nn.Dense(2, "softmax")]
    return built(nn.Sequential(layers, 2, "categorical_crossentropy", name="pictured"))


@pytest.fixture(scope="module")
def result(module):
    """A training with validation, a metric, and a learning rate that falls."""
    return module.train(
        X,
        Y,
        epochs=6,
        batch_size=16,
        learning_rate=0.5,
        schedule="cosine",
        metrics=["accuracy"],
        validation_split=0.25,
        patience=9,
    )


def test_a_history_is_drawn(result, pyplot, tmp_path):
    """Loss, metric and learning rate have a panel each, with a line for training and validation."""
    figure = result.plot()
    loss, accuracy, rate = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    assert loss.get_title() == "pictured: completed after 6 epochs"
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), result.history)
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), result.metrics["val_loss"])
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), result.metrics["val_accuracy"])
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), result.learning_rate)
    np.testing.assert_array_equal(rate.lines[0].get_xdata(), np.arange(1, 7))
    assert loss.lines[2].get_xdata()[0] == result.best_epoch
    figure.savefig(tmp_path / "history.svg")
    assert "<svg" in (tmp_path / "history.svg").read_text()


def test_a_history_on_given_axes(result, pyplot):
    """One axis gets the loss alone, as many as there are panels get all; another number is refused in words."""
    figure, axes = pyplot.subplots()
    assert result.plot(axes=axes) is figure
    assert len(axes.lines) == 3
    figure, axes = pyplot.subplots(3)
    assert result.plot(axes=axes) is figure
    with pytest.raises(ValueError, match="plot draws loss, accuracy, learning rate: give 3 axes"):
        result.plot(axes=axes[:2])
    with pytest.raises(ValueError, match="there is no picture 'curve'; there are: 'history', 'solution'"):
        result.plot(kind="curve")
    with pytest.raises(ValueError, match="leave them out"):
        result.plot({"one": X})


def test_a_history_of_one_epoch_and_of_none(module, pyplot):
    """A single epoch is a point; before the first there is nothing to draw."""
    trained = module.train(X, Y, epochs=1)
    (axes,) = trained.plot().axes
    assert axes.lines[0].get_marker() == "o"
    none = copy.copy(trained)
    none.metrics, none.epochs = {"loss": np.empty(0)}, 0
    with pytest.raises(ValueError, match="no epoch was completed"):
        none.plot()


@pytest.mark.parametrize(("last", "scale"), [(0.5, "linear"), (1e-6, "log"), (0.0, "linear"), (-9.0, "linear")])
def test_losses_far_apart_have_a_logarithmic_axis(result, last, scale, pyplot):
    """Losses over several powers of ten can be read; those that are not positive stay as they are."""
    changed = copy.copy(result)
    changed.metrics = {"loss": np.geomspace(1, 0.5, 6)}
    changed.metrics["loss"][-1] = last
    assert changed.plot().axes[0].get_yscale() == scale


def test_histories_of_many_are_drawn(module, pyplot):
    """The loss of each model is a line, and the median is that of all of them."""
    many = module.train_many(X, Y, models=5, epochs=4)
    (axes,) = many.plot().axes
    np.testing.assert_array_equal(np.array([line.get_ydata() for line in axes.lines[:5]]).T, many.history)
    np.testing.assert_allclose(axes.lines[5].get_ydata(), np.median(many.history, axis=1))
    with pytest.raises(ValueError, match="train_many keeps it with history=True"):
        module.train_many(X, Y, models=2, epochs=1, history=False).plot()


def test_trainings_as_tables(module, result):
    """A DataFrame has a row for each epoch of a training, and for each model of many."""
    pytest.importorskip("pandas")
    frame = result.to_frame()
    assert list(frame.columns) == [*result.metrics, "learning_rate"]
    assert list(frame.index) == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(frame["val_accuracy"], result.metrics["val_accuracy"])
    many = module.train_many(X, Y, models=3, epochs=2)
    frame = many.to_frame()
    assert list(frame.columns) == [*many.names, "loss", "epochs", "status"]
    np.testing.assert_array_equal(frame[list(many.names)].to_numpy(), many.parameters)
    np.testing.assert_array_equal(frame["loss"], many.loss)


def test_a_table_needs_pandas(result, monkeypatch):
    """Without pandas, a table says what to install."""
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"to_frame needs pandas.*python -m pip install pandas"):
        result.to_frame()
