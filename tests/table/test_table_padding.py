"""Tables whose numbers of inputs differ a little share their modules, and their folders hold these."""

import json
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pandas")

from nncodegen.errors import TableError
from nncodegen.estimators.network import modules, padded
from nncodegen.table import Settings, candidates, fit, load_model
from nncodegen.table.trained import _checksum

pytestmark = pytest.mark.usefixtures("quick_compiler")

QUICK = Settings(epochs=60, l2=0.01, learning_rate=0.01)


def table(categories):
    """60 rows with a number and a category, whose product is not linear in them."""
    rng = np.random.default_rng(0)
    place, x = np.arange(60) % categories, rng.normal(size=60)
    return pd.DataFrame({"x": x, "c": np.array(list("abcdefghi"))[place], "t": np.abs(x) + 0.2 * place})


@pytest.fixture(autouse=True)
def one_small_family(monkeypatch):
    """The linear model, and networks of three units beside a linear path, without pieces of numbers."""
    monkeypatch.setattr(candidates, "PIECES", 0)
    monkeypatch.setattr(candidates, "HIDDEN", ((((3, "tanh"),), False),))
    monkeypatch.setattr(candidates, "SEEDS", 1)


@pytest.fixture
def built(monkeypatch):
    """The models that are built in a test, which finds none."""
    models, original = [], modules.build_module
    monkeypatch.setattr(modules, "_modules", {})
    monkeypatch.setattr(
        modules, "build_module", lambda *arguments, **how: models.append(arguments[0]) or original(*arguments, **how)
    )
    return models


@contextmanager
def as_earlier():
    """Networks are built with the inputs that they have, as earlier versions did."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "shared_inputs", lambda inputs: inputs)
        padded.cache_clear()
        yield
    padded.cache_clear()


def test_tables_share_modules(built):
    """Tables with other numbers of categories, and what is predicted for them, take no further build."""
    fits = [fit(table(categories), "t", settings=QUICK) for categories in (5, 6, 7)]
    assert [fitted.search.tried[0].family.network.inputs for fitted in fits] == [6, 7, 8]
    for fitted in fits:
        fitted.predict(table(5))
    assert [model.inputs for model in built] == [8, 8]  # the linear model, and networks


def test_what_is_learned_is_the_same():
    """Every candidate has the loss, outputs and parameters that it has without padding, to rounding."""
    with as_earlier():
        expected = fit(table(5), "t", settings=QUICK)
    fitted = fit(table(5), "t", settings=QUICK)
    for candidate, other in zip(fitted.search.tried, expected.search.tried, strict=True):
        assert padded(candidate.family.network).inputs == 8
        np.testing.assert_allclose(candidate.outputs, other.outputs, rtol=1e-5, atol=1e-6)
        assert candidate.loss == pytest.approx(other.loss, rel=1e-5)
    for candidate, other in zip(fitted.model.members, expected.model.members, strict=True):
        assert candidate.parameters.shape == (len(other.parameters), candidate.network.parameter_count)
    assert fitted.search.tried[-1].family.network.parameter_count == 3 * 6 + 3 + 3 + 6 + 1


def test_a_folder_holds_modules_and_their_parameters(tmp_path):
    """The parameters in a folder are those of the modules beside them; the model that is loaded has its own."""
    fitted = fit(table(5), "t", settings=QUICK)
    fitted.save(tmp_path / "model")
    text = json.loads((tmp_path / "model" / "model.json").read_text())
    again = load_model(tmp_path / "model")
    with np.load(tmp_path / "model" / "parameters.npz") as arrays:
        for description, member, array in zip(text["members"], again.members, arrays.values(), strict=True):
            assert (description["inputs"], member.network.inputs) == (8, 6)
            assert array.shape[1] == padded(member.network).built.parameter_count
            np.testing.assert_array_equal(padded(member.network).own(array), member.parameters)
    assert "NN_INPUTS 8" in (tmp_path / "model" / "module" / "network.c").read_text()
    pd.testing.assert_frame_equal(again.predict(table(5)), fitted.predict(table(5)))
    text["members"][0]["inputs"] = 10**6
    (tmp_path / "model" / "model.json").write_text(json.dumps(text))
    with pytest.raises(TableError, match="a network of 6 inputs was built with 1000000"):
        load_model(tmp_path / "model")


def test_folders_of_earlier_versions(tmp_path):
    """A folder that says nothing of the inputs of its modules holds networks as they are, and predicts the same."""
    with as_earlier():
        expected = fit(table(5), "t", settings=QUICK)
        expected.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    text = json.loads(path.read_text())
    text["format"] = 2
    for column in text["columns"]:
        assert column.pop("knots", []) == []
    for member in text["members"]:
        assert member.pop("inputs") == 6
    with np.load(tmp_path / "model" / "parameters.npz") as arrays:
        text["checksum"] = _checksum(text, list(arrays.values()))
    path.write_text(json.dumps(text))
    predicted = load_model(tmp_path / "model").predict(table(5))
    pd.testing.assert_frame_equal(predicted, expected.predict(table(5)))
