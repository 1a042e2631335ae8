"""Columns of texts: which columns hold them, the numbers that stand for a text, and the models that learn from them."""

import json
import sys

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("scipy")

import nncodegen as nn
from nncodegen.table import Settings, TableError, fit, load_model, ngrams, read_table
from nncodegen.table.columns import (
    Category,
    Date,
    Number,
    Skipped,
    column_from_dict,
    column_to_dict,
    encode,
    understand,
    widths,
)
from nncodegen.table.frames import as_table
from nncodegen.table.ngrams import Ngrams, learn_ngrams, ngrams_from_dict, words_in
from nncodegen.table.trained import _checksum

pytestmark = pytest.mark.usefixtures("quick_compiler")

RANKS, FIELDS = ("junior", "senior", "lead", "chief"), ("designer", "engineer", "analyst", "tester", "artist", "writer")
TOWNS = ("north", "south", "east", "west", "upper", "lower", "old", "new", "central")


def jobs(rows=240):
    """A table of job titles, hardly any of them twice, whose words say the salary; and of a number that says a part."""
    rng = np.random.default_rng(3)
    rank, field, town = (rng.integers(len(names), size=rows) for names in (RANKS, FIELDS, TOWNS))
    years = rng.uniform(0, 10, rows).round(2)
    titles = [
        f"{RANKS[r]} {FIELDS[f]}{'s'[: k % 2]} {TOWNS[t]} {'ab'[k % 2]}{k % 50}"
        for k, (r, f, t) in enumerate(zip(rank, field, town, strict=True))
    ]
    salary = 20_000 + 15_000 * rank + 4_000 * (field == 1) + 500 * years
    return pd.DataFrame({"title": titles, "years": years, "salary": salary})


def understood(frame, name, **options):
    return understand(as_table(frame), name, options.pop("as_category", False), **options)


# --- the numbers -------------------------------------------------------------------------------------------------


def ngrams_by_hand(text):
    """Three and four letters in each word, with a blank around it; shorter words as they are."""
    grams = []
    for word in text.lower().split():
        padded = f" {word} "
        for size in (3, 4):
            grams += [padded[k : k + size] for k in range(max(1, len(padded) - size + 1))]
            if len(padded) <= size:
                break
    return grams


def test_the_numbers_are_those_of_a_dense_decomposition():
    """Products of texts are those of NumPy's singular vectors of all n-grams that are in two rows, weighted by idf."""
    texts = jobs(60)["title"].tolist()
    learned = learn_ngrams("title", texts)
    counts = [ngrams_by_hand(text) for text in texts]
    rows = {}
    for grams in counts:
        for gram in set(grams):
            rows[gram] = rows.get(gram, 0) + 1
    terms = sorted(gram for gram, number in rows.items() if number > 1)
    assert list(learned.terms) == terms
    np.testing.assert_allclose(learned.idf, [np.log((1 + len(texts)) / (1 + rows[gram])) + 1 for gram in terms])
    matrix = np.array([[grams.count(gram) for gram in terms] for grams in counts]) * learned.idf
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    expected = u[:, : learned.width] * s[: learned.width]
    expected /= np.sqrt(expected.var(axis=0).sum())
    numbers = learned.encode(texts)
    assert abs(numbers @ numbers.T - expected @ expected.T).max() < 1e-2 * abs(expected @ expected.T).max()
    assert numbers.var(axis=0).sum() == pytest.approx(1)


def test_the_numbers_are_those_of_skrub():
    """Where every n-gram is in two rows, they are those of StringEncoder, which computes in single precision."""
    skrub = pytest.importorskip("skrub")
    texts = jobs(200)["title"].tolist() * 2
    learned = learn_ngrams("title", texts)
    encoder = skrub.StringEncoder(learned.width, random_state=0)
    encoder.fit(pd.Series(texts, name="title"))
    np.testing.assert_allclose(
        learned.encode(texts), encoder.transform(pd.Series(texts, name="title")).to_numpy(), atol=2e-3
    )


def test_numbers_of_a_text_do_not_depend_on_others():
    """A text has the same bits in any company, a missing one and one without known n-grams are 0."""
    texts = jobs()["title"].tolist()
    learned = learn_ngrams("title", texts)
    together = learned.encode(texts)
    for k in (0, 7, 100):
        assert learned.encode([texts[k]]).tobytes() == together[k].tobytes()
    assert not learned.encode(["", "xyzzy"]).any()


def test_few_ngrams():
    """Texts without common n-grams, or with the same ones, have no numbers; few rows have few; n-grams are bounded."""
    assert learn_ngrams("v", [f"{chr(0x4E00 + 9 * k)} {chr(0x9000 + k)}" for k in range(40)]) is None
    assert learn_ngrams("v", ["one text"] * 40) is None
    assert learn_ngrams("v", ["one text", "one word"] * 4) is None
    assert learn_ngrams("v", jobs(50)["title"].tolist()).width == 5
    letters = np.random.default_rng(1).integers(97, 123, (4_000, 12)).tolist()
    learned = learn_ngrams("v", ["".join(map(chr, row)) for row in letters])
    assert (len(learned.terms), learned.width) == (ngrams.MOST_NGRAMS, ngrams.COMPONENTS)


# --- which columns hold texts ------------------------------------------------------------------------------------


def test_texts_are_told_from_categories_and_identifiers():
    """Texts of several words; not few different ones, single words, those that a user calls categories, or names."""
    frame = jobs()
    frame["rank"] = [title.split()[0] + " of staff" for title in frame["title"]]
    frame["word"] = [title.replace(" ", "") for title in frame["title"]]
    frame["name"] = [f"no {k} of all" for k in range(len(frame))]
    frame["sentence"] = [f"this is what the person {k} says of it" for k in range(len(frame))]
    title = understood(frame, "title")
    assert isinstance(title.ngrams, Ngrams)
    assert title.show().startswith(f"texts, {title.ngrams.width} inputs from {len(title.ngrams.terms)} n-grams")
    assert understood(frame, "rank") == Category("rank", tuple(sorted(f"{rank} of staff" for rank in RANKS)))
    for name in ("word", "title"):
        column = understood(frame, name, as_category=True)
        assert column.ngrams is None
    assert "none of them in 5 rows" in understood(frame, "word").reason
    assert "identifies rows, each by another text, such as 'no 0 of all'" in understood(frame, "name").reason
    assert understood(frame, "name", keep=True).ngrams
    assert understood(frame, "sentence").ngrams


def test_frequent_texts_have_an_input_each():
    """The inputs of categories come first: frequent texts, then all others; last the numbers of every text."""
    frame = jobs()
    frame.loc[:29, "title"] = "Junior Designer"
    frame.loc[30:39, "title"] = None
    table = as_table(frame)
    column = understand(table, "title", False)
    assert (column.values, column.other) == (("", "Junior Designer"), True)
    assert "the most frequent have an input each: (missing), Junior Designer" in column.show()
    encoded = encode((column,), table)
    assert (column.width, column.pieces) == (3, column.ngrams.width)
    assert encoded.shape == (len(frame), 3 + column.ngrams.width)
    assert (encoded[:30, :3] == [0, 1, 0]).all()
    assert (encoded[30:40, :3] == [1, 0, 0]).all()
    assert not encoded[30:40, 3:].any()
    assert (encoded[40:, :3] == [0, 0, 1]).all()
    np.testing.assert_array_equal(encoded[40:, 3:], column.ngrams.encode(frame["title"][40:].tolist()))
    new = encode((column,), as_table(pd.DataFrame({"title": ["junior designer of ships", "xyzzy"]})))
    assert (new[:, :3] == [0, 0, 1]).all()
    assert new[0, 3:].any()
    assert not new[1, 3:].any()


def test_words():
    """The mean number of words of different texts."""
    assert words_in({"one": 1, "two words": 5}) == 1.5


# --- learning ----------------------------------------------------------------------------------------------------

QUICK = Settings(layers=(), threads=1)


def test_texts_are_learned_from():
    """Held-out salaries are predicted far better with the titles than without; no title need be known."""
    frame = jobs()
    observed = []
    fitted = fit(frame, "salary", settings=QUICK, observe=observed.append)
    without = fit(frame, "salary", drop=("title",), settings=QUICK)
    error, error_without = (model.metrics[1].network for model in (fitted, without))
    assert error < error_without / 2
    assert {column.name for column in observed[0].columns} == {"title", "years"}
    new = pd.DataFrame({"title": ["junior analyst of ships", "chief analyst of ships", None], "years": [5.0] * 3})
    low, high, missing = fitted.predict(new)["salary"]
    assert high - low > 20_000
    assert np.isfinite(missing)


def test_candidates_with_and_without_texts():
    """Where there are other inputs, some candidates have those alone; the others, with the texts, win; all are said."""
    frame = jobs()
    settings = Settings(epochs=20, threads=1)
    fitted = fit(frame, "salary", settings=settings)
    plain, full = widths(fitted.model.columns)
    assert {candidate.family.network.inputs for candidate in fitted.search.tried if not candidate.family.in_pieces} == {
        1
    }
    assert plain < full
    assert fitted.choice.members[0][0].family.in_pieces
    alone = fit(frame[["title", "salary"]], "salary", settings=settings)
    column = alone.model.columns[0]
    assert (column.values, column.other, column.pieces > 0) == ((), False, True)
    assert alone.metrics[1].network < alone.metrics[1].simple / 2
    assert {candidate.family.in_pieces for candidate in alone.search.tried} == {False}


@pytest.mark.parametrize("frequent", [False, True])
def test_models_without_texts_hold_none(tmp_path, monkeypatch, frequent):
    """Where no chosen network reads the n-grams, the model has none, needs no scikit-learn, and takes new texts."""
    frame = jobs()
    if frequent:  # 30 titles, each in 8 rows: they have an input each, and no others share one
        frame["title"] = [frame["title"][k % 30] for k in range(len(frame))]
    frame["salary"] = ["high" if years > 5 else "low" for years in frame["years"]]
    observed = []
    fitted = fit(frame, "salary", settings=Settings(threads=1), observe=observed.append)
    assert [member.family.in_pieces for member, _ in fitted.choice.members] == [False]
    before, after = observed[0].columns[0], fitted.model.columns[0]
    assert (before.pieces > 0, before.other, len(before.values)) == (True, False, 30 * frequent)
    assert (after.ngrams, after.new, after.width) == (None, True, before.width)
    fitted.model.save(tmp_path / "model")
    with np.load(tmp_path / "model" / "parameters.npz", allow_pickle=False) as archive:
        assert not [name for name in archive if not name.startswith("parameters")]
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    loaded = load_model(tmp_path / "model")
    assert len(loaded.exportable().inputs) == before.width + 1
    new = pd.DataFrame({"title": ["junior painter of ships", None], "years": [9.5, 0.5]})
    assert loaded.predict(new)["salary"].tolist() == ["high", "low"]


def test_a_written_model_predicts_the_same_bits(tmp_path):
    """From the folder come the same bits, for known and new texts; it holds JSON and arrays of numbers alone."""
    frame = jobs()
    model = fit(frame, "salary", settings=QUICK).model
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    new = pd.concat([frame, pd.DataFrame({"title": ["lead painter", ""], "years": [1.0, None]})], ignore_index=True)
    assert loaded.predict(new)["salary"].to_numpy().tobytes() == model.predict(new)["salary"].to_numpy().tobytes()
    loaded.save(tmp_path / "again")
    for name in ("parameters.npz", "model.json"):
        assert b"pickle" not in (tmp_path / "model" / name).read_bytes()
    with np.load(tmp_path / "again" / "parameters.npz", allow_pickle=False) as archive:
        assert {name: archive[name].dtype.kind for name in archive} == {
            "parameters1": "f",
            "idf1": "f",
            "components1": "f",
        }
    texts = model.exportable().inputs
    assert len(texts) == sum(column.width + column.pieces for column in model.columns)
    count = model.columns[0].ngrams.width
    assert f"number {count} of {count} that the n-grams of title give (see model.json and parameters.npz)" in texts


@pytest.mark.parametrize(
    "damage", ["infinite", "huge idf", "huge", "shape", "names", "terms", "repeated", "components", "more", "missing"]
)
def test_damaged_texts(tmp_path, damage):
    """N-grams and arrays that cannot be meant are refused, also with a checksum that fits."""
    model = fit(jobs(), "salary", settings=QUICK).model
    model.save(tmp_path / "model")
    with np.load(tmp_path / "model" / "parameters.npz") as archive:
        arrays = dict(archive)
    text = json.loads((tmp_path / "model" / "model.json").read_text())
    ngrams_text = text["columns"][0]["ngrams"]
    changes = {
        "infinite": lambda: arrays.update(idf1=np.full_like(arrays["idf1"], np.inf)),
        "huge idf": lambda: arrays.update(idf1=np.full_like(arrays["idf1"], 1e200)),
        "huge": lambda: arrays.update(components1=np.full_like(arrays["components1"], -1e200)),
        "shape": lambda: arrays.update(components1=arrays["components1"][:, 1:]),
        "names": lambda: arrays.update(idf9=arrays.pop("idf1")),
        "terms": lambda: ngrams_text.update(terms=[]),
        "repeated": lambda: ngrams_text.update(terms="\n".join(["abc"] * len(ngrams_text["terms"].split("\n")))),
        "components": lambda: ngrams_text.update(components=10**9),
        "more": lambda: ngrams_text.update(analyzer="word"),
        "missing": lambda: text["columns"][0].pop("ngrams"),
    }
    changes[damage]()
    np.savez(tmp_path / "model" / "parameters.npz", **arrays)
    text["checksum"] = _checksum(text, list(arrays.values()))
    (tmp_path / "model" / "model.json").write_text(json.dumps(text))
    with pytest.raises(TableError, match="damaged"):
        load_model(tmp_path / "model")


def test_texts_as_data():
    """A column of texts survives JSON, but for its arrays."""
    column = understood(jobs(), "title")
    again = column_from_dict(json.loads(json.dumps(column_to_dict(column))))
    assert again.ngrams.terms == column.ngrams.terms
    assert (again.pieces, again.ngrams.components.any()) == (column.pieces, np.False_)
    for wrong in ({}, {"terms": "abc", "components": True}, {"terms": "", "components": 1}, {"terms": 1}, []):
        with pytest.raises((KeyError, TypeError, ValueError)):
            ngrams_from_dict(wrong)


def test_scikit_learn_is_needed_for_texts_alone(monkeypatch):
    """The error names the column and the extra; tables without texts are learned without scikit-learn."""
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(nn.MissingDependencyError, match=r"the column of texts 'title' needs scikit-learn"):
        understood(jobs(), "title")
    assert fit(jobs(), "salary", drop="title", settings=QUICK).metrics


def test_beside_texts_everything_else_is_as_it_was(tmp_path):
    """Money, identifiers, dates like 20200131, the order of days and months, and a later bad cell, with its place."""
    frame = jobs()
    frame["paid"] = [f"${1_037.5 + k:,.2f}" for k in range(240)]
    frame["order_id"] = np.random.default_rng(0).permutation(240) * 7
    frame["date"] = [f"202001{1 + k % 31:02d}" for k in range(240)]
    frame["seen"] = [f"{1 + k % 28}/{1 + k % 12}/2020" for k in range(240)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    observed = []
    fitted = fit(read_table(tmp_path / "a.csv"), "salary", settings=QUICK, observe=observed.append)
    kinds = {column.name: column for column in observed[0].columns}
    assert kinds["title"].ngrams
    assert isinstance(kinds["paid"], Number)
    assert kinds["paid"].mean == pytest.approx(1_037.5 + 239 / 2)
    assert isinstance(kinds["date"], Date)
    assert (kinds["seen"].day_first, kinds["seen"].assumed) == (True, False)
    assert [type(skipped) for skipped in observed[0].skipped] == [Skipped]
    assert observed[0].skipped[0].name == "order_id"
    frame["years"] = ["often" if k == 5 else year for k, year in enumerate(frame["years"])]
    frame.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(TableError, match=r"b.csv, line 7, column years: 'often' is not a finite number"):
        fitted.predict(read_table(tmp_path / "b.csv"))
