"""Learning from tables: candidates, cross-validation, the choice, and what a user may decide."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")

import nncodegen as nn
from nncodegen.cli.commands import command
from nncodegen.estimators.network import Description, module_of, modules, padded
from nncodegen.table import Settings, TableError, candidates, fit, load_model
from nncodegen.table import learn as learning
from nncodegen.table.candidates import Family, candidates_for, pieces_of
from nncodegen.table.choose import Choice, choose
from nncodegen.table.command import run_fit
from nncodegen.table.criterion import criterion
from nncodegen.table.fitting import split_rows
from nncodegen.table.frames import as_table
from nncodegen.table.hidden import outputs_of
from nncodegen.table.learn import learn
from nncodegen.table.linear import linear_path
from nncodegen.table.search import FEW_ERRORS, FEWEST_ROUNDS, Rows, Search, Tried, search, split_folds
from nncodegen.table.settings import OPTIONS
from nncodegen.table.target import Target

pytestmark = pytest.mark.usefixtures("compiler")

RNG = np.random.default_rng(1)
LINEAR = Family("linear", Description(2, ((1, "linear"),), "mse"), (1.0,))
HIDDEN = Family("hidden", Description(2, ((3, "tanh"), (1, "linear")), "mse", skip=True), (1e-3, 1e-2), (0.01,), 2)
QUICK = Settings(l2=1e-3, learning_rate=0.01, threads=1)


@pytest.fixture(scope="module", params=["quick", pytest.param("vector", marks=pytest.mark.thorough)])
def compiler(request):
    """No optimization; with --thorough also vectors in loops. Nothing that the process keeps is from the other."""
    request.getfixturevalue(f"{request.param}_compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "_modules", {})
        yield request.param


def frame(rows=120, kind="ring"):
    """A table with a class of two numbers and a category: a ring, or a line."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, rows))
    inside = a**2 + b**2 < 1.2 if kind == "ring" else a + b + rng.normal(scale=0.5, size=rows) > 0
    return pd.DataFrame(
        {"a": a, "b": b, "c": np.where(a > 0, "x", "y"), "t": np.where(inside, "in", "out"), "z": a * b}
    )


# --- parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_the_linear_model_is_that_of_scikit_learn(classes):
    """Logistic, softmax and ridge regressions reach the minimum of scikit-learn, for strong and weak penalties.

    The search ends where an iteration gains less than 2e-9. A gap of 1e-7 leaves outputs of a root mean square
    difference of at most sqrt(2e-7) in squared error, and of a quarter of the curvature less in log losses.
    """
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(1 + classes)
    X = rng.normal(size=(80, 4)) @ rng.normal(size=(4, 4))
    scores = X @ rng.normal(size=(4, max(classes, 1))) + rng.normal(size=(80, max(classes, 1)))
    labels = (scores[:, 0] > 0).astype(int) if classes == 2 else scores.argmax(axis=1)
    outputs = classes if classes > 2 else 1
    kind = {0: ("linear", "mse"), 2: ("sigmoid", "binary_crossentropy"), 3: ("softmax", "categorical_crossentropy")}
    activation, loss = kind[classes]
    network = Description(4, ((outputs, activation),), loss)
    module = module_of(network)
    Y = scores[:, :1] if not classes else labels[:, None] if classes == 2 else np.eye(3)[labels]
    penalties = (1.0, 1e-2, 1e-4)
    path = list(linear_path(network, module, X, Y.astype(float), None, penalties))
    for parameters, l2 in zip(path, penalties, strict=True):
        if classes:
            reference = linear_model.LogisticRegression(C=1 / (80 * l2), tol=1e-10, max_iter=10_000).fit(X, labels)
            expected = reference.predict_proba(X)[:, 1:] if classes == 2 else reference.predict_proba(X)
        else:
            reference = linear_model.Ridge(alpha=80 * l2 / 2).fit(X, Y[:, 0])
            expected = reference.predict(X)[:, None]
        ours = module.predict(parameters, X)
        W = module.unpack(parameters)["W1"]
        gap = penalized(ours, Y, W, l2, classes) - penalized(expected, Y, reference.coef_, l2, classes)
        assert gap <= 1e-7
        assert np.sqrt(np.mean((ours - expected) ** 2)) <= np.sqrt(2e-7)


def penalized(outputs, Y, W, l2, classes):
    """The loss that is minimized, with scikit-learn's formulas; a penalty is l2/2 of the sum of squared weights."""
    metrics = pytest.importorskip("sklearn.metrics")
    labels = Y[:, 0] if classes < 3 else Y.argmax(axis=1)
    loss = metrics.log_loss(labels, outputs) if classes else metrics.mean_squared_error(Y, outputs)
    return loss + l2 / 2 * np.sum(np.square(W))


def test_costs_of_rows():
    """The cost of each row is its log loss, for two classes or many, or any formula; certainty is not infinite."""
    metrics = pytest.importorskip("sklearn.metrics")
    chances, labels = RNG.dirichlet(np.ones(3), 30), RNG.integers(0, 3, 30)
    cost = criterion(Description(2, ((3, "softmax"),), "categorical_crossentropy"), True)
    assert cost(chances, np.eye(3)[labels]).mean() == pytest.approx(metrics.log_loss(labels, chances))
    assert np.isfinite(cost(np.eye(3), np.eye(3)[[1, 2, 0]])).all()
    cost = criterion(Description(2, ((1, "sigmoid"),), "binary_crossentropy"), True)
    assert cost(chances[:, :1], (labels[:, None] == 0) * 1.0).mean() == pytest.approx(
        metrics.log_loss(labels == 0, chances[:, 0])
    )
    cost = criterion(Description(2, ((1, "linear"),), "(output - target)**4"), False)
    np.testing.assert_allclose(cost(chances[:, :1], chances[:, 1:2]), (chances[:, 0] - chances[:, 1]) ** 4)


def test_folds_are_disjoint_and_hold_every_class():
    """Each row is left out once, and every fold has its share of each class."""
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    drawn = candidates_for(Target("t", ("a", "b", "c")), 100, 4, Settings())
    folds = split_folds(np.eye(3)[labels], True, drawn, 0)
    assert sorted(np.concatenate([held for _, held in folds])) == list(range(100))
    for rows, held in folds:
        assert sorted([*rows, *held]) == list(range(100))
        np.testing.assert_array_equal(np.bincount(labels[held]), [10, 6, 4])


def tried(family, outputs):
    """A candidate that puts out some outputs, for targets of 0."""
    losses = outputs[:, 0] ** 2
    return Tried(family, 1.0, None, None, float(losses.mean()), 0.0, outputs)


@pytest.mark.parametrize("seed", range(5))
def test_the_choice(seed):
    """The average is not a worse than any candidate; what may be better than the linear model by chance is not used."""
    rng = np.random.default_rng(seed)
    Y = np.zeros((400, 1))
    noise = rng.normal(size=(4, 400, 1))
    linear, others = tried(LINEAR, 1.5 * noise[0]), [tried(HIDDEN, noise[k]) for k in (1, 2, 3)]

    def losses(outputs, Y):
        return ((outputs - Y) ** 2)[..., 0]

    chosen = choose(Search((linear, *others), np.arange(400), losses, False), Y)
    assert sum(weight for _, weight in chosen.members) == pytest.approx(1)
    average = sum(weight * other.outputs for other, weight in chosen.members)
    assert chosen.loss == pytest.approx(losses(average, Y).mean())
    assert chosen.loss < min(other.loss for other in others)  # errors that do not depend on each other cancel
    assert chosen.gain == pytest.approx(linear.loss - chosen.loss)
    assert not chosen.prefers_simplest
    alike = [tried(HIDDEN, linear.outputs + 1e-3 * other) for other in noise[1:]]
    chosen = choose(Search((linear, *alike), np.arange(400), losses, False), Y)
    assert chosen.prefers_simplest == (chosen.gain <= chosen.error)
    worse = [tried(HIDDEN, 3 * linear.outputs)]
    assert choose(Search((linear, *worse), np.arange(400), losses, False), Y).members == ((linear, 1.0),)


def test_classes_are_chosen_for_right_predictions():
    """An average that is surer, but predicts the right class no more often, does not replace the linear model."""
    Y = (np.arange(200) % 2)[:, None].astype(float)
    linear, surer = (tried(LINEAR, np.where(Y > 0.5, p, 1 - p)) for p in (0.7, 0.99))
    cost = criterion(Description(2, ((1, "sigmoid"),), "binary_crossentropy"), True)
    searched = Search((linear, replace(surer, family=HIDDEN)), np.arange(200), cost, False)
    assert not choose(searched, Y).prefers_simplest
    with_classes = replace(searched, right=lambda outputs, Y: ((outputs > 0.5) == (Y > 0.5))[:, 0] * 1.0)
    assert choose(with_classes, Y).prefers_simplest
    wrong = replace(linear, outputs=np.where(np.arange(200)[:, None] < 9, 1 - linear.outputs, linear.outputs))
    assert not choose(replace(with_classes, tried=(wrong, searched.tried[1])), Y).prefers_simplest


def choice_of_classes(wrong, other, weight):
    """The choice between a linear model and a network that are wrong in some rows, (N,), which count by weights."""
    Y = (np.arange(len(weight)) % 2)[:, None].astype(float)
    cost = criterion(Description(2, ((1, "sigmoid"),), "binary_crossentropy"), True)
    surely, hardly = (np.where(Y > 0.5, p, 1 - p) for p in (0.999, 0.7))
    linear = tried(LINEAR, np.where(wrong[:, None], 1 - hardly, hardly))
    network = tried(HIDDEN, np.where(other[:, None], 1 - hardly, surely))

    def right(outputs, Y):
        return ((outputs > 0.5) == (Y > 0.5))[:, 0] * weight

    return choose(Search((linear, network), np.arange(len(Y)), cost, False, right), Y)


@given(
    st.integers(FEW_ERRORS + 6, 60).flatmap(
        lambda rows: st.tuples(
            st.lists(st.floats(0.01, 100.0), min_size=rows, max_size=rows),
            st.sets(st.integers(0, rows - 1), max_size=FEW_ERRORS),
            st.sets(st.integers(0, rows - 1), max_size=4),
        )
    )
)
def test_few_errors_of_the_linear_model_are_chance(drawn):
    """Nothing replaces a linear model with few errors, whatever it is right in, and however its rows are weighted."""
    weight, wrong, other = drawn
    rows = np.arange(len(weight))
    assert choice_of_classes(np.isin(rows, list(wrong)), np.isin(rows, list(other)), np.array(weight)).prefers_simplest


@pytest.mark.parametrize("better", range(8))
@pytest.mark.parametrize("worse", range(4))
def test_more_often_right_is_judged_as_by_mcnemar(better, worse):
    """A network replaces the linear model where McNemar's test with the correction for continuity is above 1."""
    rows = np.arange(1000)
    wrong, other = rows < better, (rows >= 500) & (rows < 500 + worse)
    chosen = choice_of_classes(wrong, other, np.ones(1000))
    assert chosen.prefers_simplest == (better - worse - 1 <= 0 or (better - worse - 1) ** 2 <= better + worse)


def test_nothing_else_is_tried_where_the_linear_model_has_few_errors(tmp_path, capsys):
    """The search ends after a linear model without errors, as nothing else could be chosen, and the report says so."""
    data = frame(kind="line").drop(columns=["c", "z"])
    data["t"] = np.where(data["a"] > 0, "in", "out")
    settings = replace(QUICK, l2=1e-6)
    fitted = fit(data, "t", settings=settings)
    assert fitted.search.few_errors
    assert [candidate.family.name for candidate in fitted.search.tried] == ["linear"]
    assert fitted.choice.prefers_simplest
    assert fitted.metrics[0].network == 1
    path = tmp_path / "data.csv"
    path.write_text(data.to_csv(index=False))
    run_fit(path, "t", None, (), (), (), settings, tmp_path / "model", False)
    assert "linear, l2 1e-06: at most 2 validation errors, too few to prefer" in capsys.readouterr().out


def test_the_better_half_goes_on():
    """Of the penalties of a family, the better half trains longer than the first rounds."""
    target, X = Target("t", (), 0.0, 1.0), RNG.normal(size=(60, 2))
    drawn = candidates_for(target, 60, 2, Settings())
    family = replace(HIDDEN, penalties=(1e-4, 2e-4, 3e-4, 4e-4), seeds=1)
    data = Rows(X, X[:, :1] * X[:, 1:], None, split_folds(X, False, drawn, 0))
    match = search(replace(drawn, families=(family,)), data, False, 0)
    first = sum(drawn.rounds.epochs[:FEWEST_ROUNDS])
    assert [candidate.l2 for candidate in match.tried] == list(family.penalties)
    assert sum(candidate.epochs > first for candidate in match.tried) == 2


def test_rows_are_predicted_by_networks_that_have_not_seen_them(monkeypatch):
    """What a candidate is measured by comes from the networks of the other folds; penalties and rounds are as told."""
    monkeypatch.setattr(candidates, "HIDDEN", ((((3, "tanh"),), False),))
    target, X = Target("t", (), 0.0, 1.0), RNG.normal(size=(50, 2))
    Y = X[:, :1] * X[:, 1:] + 0.1 * RNG.normal(size=(50, 1))
    drawn = candidates_for(target, 50, 2, Settings(l2=1e-3, learning_rate=0.01, epochs=8))
    data = Rows(X, Y, None, split_folds(Y, False, drawn, 0))
    match = search(drawn, data, False, 0)
    linear, hidden = match.tried
    assert (linear.epochs, hidden.l2, hidden.learning_rate) == (None, 1e-3, 0.01)
    assert hidden.epochs <= 8
    module, alone = module_of(hidden.family.network), Choice(((hidden, 1.0),), hidden.loss, linear, 0.0, 0.0)
    for rows, held in data.folds:
        (learned,) = learn(alone, drawn.rounds, X[rows], Y[rows], None, (2, 2), 0, 1)
        assert len(learned.parameters) == hidden.family.networks > hidden.family.seeds
        seeded = learned.parameters[: hidden.family.seeds]  # the others continue the sequence of seeds
        expected = outputs_of(module, seeded, X[held]).mean(axis=0)
        np.testing.assert_allclose(hidden.outputs[np.isin(match.rows, held)], expected)
    changed = Y.copy()
    changed[data.folds[0][1]] += 100  # the targets of a fold change nothing of what is predicted there
    again = search(drawn, Rows(X, changed, None, data.folds), False, 0)
    first = np.isin(match.rows, data.folds[0][1])
    np.testing.assert_array_equal(match.tried[0].outputs[first], again.tried[0].outputs[first])


# --- what a user decides -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["linear", "linear in pieces", "16 tanh + linear", "32-16 relu + linear in pieces"]),
        ({"layers": ()}, ["linear"]),
        ({"layers": (5, 4)}, ["5-4 relu"]),
        ({"layers": (5,), "activation": "z*exp(-z**2)"}, ["5 z*exp(-z**2)"]),
        ({"activation": "silu"}, ["linear", "linear in pieces", "16 silu + linear", "32-16 silu + linear in pieces"]),
    ],
)
def test_what_is_named_restricts_what_is_tried(settings, names):
    """Layers that are named are tried alone; other options hold for all candidates that have them."""
    pieces = pieces_of(200, 1, Settings(**settings))
    drawn = candidates_for(Target("t", ("a", "b")), 200, 4, Settings(**settings), pieces)
    assert [family.name for family in drawn.families] == names
    settings_of_all = Settings(
        **settings, l2=0.5, learning_rate=0.1, dropout=0.25, loss="mse", precision="float32", epochs=3
    )
    drawn = candidates_for(Target("t", ("a", "b")), 200, 4, settings_of_all, pieces)
    assert sum(drawn.rounds.epochs) == 3
    for family in drawn.families:
        hidden = len(family.network.layers) > 1
        assert family.penalties == (0.5,)
        assert family.rates == ((0.1,) if hidden else ())
        assert family.network.dropout == (0.25 if hidden else 0)
        assert (family.network.loss, family.network.precision) == ("mse", "float32")


def test_pieces_of_many_columns():
    """There are more pieces for many rows; many columns have fewer each, and very many have none."""
    pieces = [[pieces_of(rows, columns, Settings()) for columns in (0, 1, 100, 300)] for rows in (100, 5_000)]
    assert pieces == [[0, 8, 6, 0], [0, 32, 6, 0]]


def test_large_tables_are_tried_with_less():
    """Of very many rows a fifth is left out once, batches are larger, and there are fewer candidates."""
    small, large = (candidates_for(Target("t"), rows, 30, Settings()) for rows in (500, 100_000))
    assert (small.used, large.used) == (5, 1)
    assert large.rounds.batch > small.rounds.batch
    assert sum(large.rounds.epochs) < sum(small.rounds.epochs)
    counts = [sum(len(family.pairs) * family.seeds for family in drawn.families) for drawn in (small, large)]
    assert counts[0] > counts[1] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (0,)}, "the units of a layer must be an integer from 1 to 10000, not 0"),
        ({"layers": (10**11,)}, "the units of a layer"),
        ({"layers": (3,) * 21}, "there are 21 layers"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number"),
        ({"learning_rate": 0.0}, "learning_rate must be a number above 0, not 0.0"),
        ({"time_limit": 0}, "time_limit must be a number above 0"),
        ({"dropout": 1.0}, "dropout must be a number from 0, below 1"),
        ({"seed": 2**64}, "seed must be an integer"),
        ({"epochs": 2**63}, "epochs must be an integer"),
        ({"seed": 10**400}, "seed must be an integer"),
        ({"l2": 10**400}, "l2 must be a number from 0, not"),
        ({"l2": float("inf")}, "l2 must be a number"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"l2": -1.0}, "l2 must be a number from 0"),
        ({"l2": True}, "l2 must be a number"),
        ({"time_limit": float("inf")}, "time_limit must be a number"),
        ({"precision": "float16"}, "no precision 'float16'"),
        ({"layers": 5}, "layers are the units of each, such as"),
        ({"class_weight": "even"}, "class_weight is 'balanced' or"),
        ({"class_weight": [1.0, 2.0]}, "class_weight is 'balanced' or"),
        ({"class_weight": {"a": float("nan")}}, "the weight of a class"),
    ],
)
def test_settings_that_cannot_be_meant(settings, message):
    """A setting out of its bounds is told by name."""
    with pytest.raises(TableError, match=message):
        Settings(**settings)


def test_settings_are_declared_once():
    """The command has a flag for each setting, with its default, and the documentation a line with its meaning."""
    context = command.commands["fit"].make_context("fit", ["--target", "y", "rows.csv"])
    assert {name: context.params[name] for name in OPTIONS} == {name: each.default for name, each in OPTIONS.items()}
    assert all(f"\n    {name} " in Settings.__doc__ for name in OPTIONS)
    assert "{" not in Settings.__doc__.replace("{class: weight}", "")
    chosen = "--layers 8,4 --learning-rate 0.5 --class-weight a=2 --threads 2 --precision float32".split()
    context = command.commands["fit"].make_context("fit", ["--target", "y", *chosen, "rows.csv"])
    settings = Settings(**{name: context.params[name] for name in OPTIONS})
    expected = {"class_weight": {"a": 2.0}, "threads": 2, "precision": "float32"}
    assert settings == Settings(layers=(8, 4), learning_rate=0.5, **expected)


# --- all of it ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ring(compiler):
    """What was learned of a ring, which no linear model can tell."""
    return fit(frame(), "t", drop=("z",), settings=QUICK)


def test_a_ring_is_learned(ring):
    """Networks are chosen where a linear model does not do; the report, the metrics and the confusion say how well."""
    accuracy = ring.metrics[0]
    assert accuracy.network > 0.85 > accuracy.simple
    assert not ring.worse_than_baseline
    assert not ring.choice.prefers_simplest
    assert ring.search.tried[0] not in [class_name for class_name, _ in ring.choice.members]
    assert ring.confusion.sum() == ring.held_out == 24
    assert np.trace(ring.confusion) / 24 == accuracy.network
    assert [class_name.count for class_name in ring.classes] == ring.confusion.sum(axis=1).tolist()
    report = ring.model.report
    assert sum(class_name["weight"] for class_name in report["candidates"]) == pytest.approx(1)
    assert report["metrics"]["accuracy"]["network"] == accuracy.network
    assert report["confusion"] == ring.confusion.tolist()


def test_numbers_that_are_linear_are_predicted_as_by_the_linear_model():
    """On a linear table, what is chosen is measured no worse than the linear model alone."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(150, 2))
    data = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "t": X @ [2, -1] + rng.normal(size=150)})
    fitted, alone = (fit(data, "t", settings=Settings(layers=layers, threads=1)) for layers in (None, ()))
    assert fitted.choice.prefers_simplest
    assert fitted.metrics == alone.metrics
    assert [column.knots for column in fitted.model.columns] == [(), ()]


def test_a_line_is_left_to_the_linear_model():
    """Where networks are no better by more than chance, the linear model stands alone."""
    fitted = fit(frame(kind="line"), "t", drop=("z",), settings=QUICK)
    assert fitted.choice.prefers_simplest
    assert fitted.choice.gain <= fitted.choice.error


def test_predictions_are_averages(ring, tmp_path):
    """The probabilities are the weighted means of those of all networks, here and from the folder."""
    data = frame().drop(columns=["t", "z"])
    numbers = ring.model.columns[:2]
    scaled = np.column_stack([(data[c.name] - c.mean) / c.deviation for c in numbers])
    pieces = [np.interp(data[c.name], [low, high], [-1, 1]) for c in numbers for low, high in pairwise(c.knots)]
    X = np.column_stack([scaled, data["c"] == "x", data["c"] == "y", *pieces]).astype(float)
    expected = sum(
        member.weight
        * outputs_of(module_of(member.network), member.parameters, X[:, : member.network.inputs]).mean(axis=0)
        for member in ring.model.members
    )[:, 0]
    assert [member.weight for member in ring.model.members] == [weight for _, weight in ring.choice.members]
    predicted = ring.predict(data)
    np.testing.assert_allclose(predicted["probability of out"], expected)
    assert (predicted["t"] == np.where(expected > 0.5, "out", "in")).all()
    ring.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict(data), predicted)
    modules = [path.name for path in sorted((tmp_path / "model").iterdir()) if path.is_dir()]
    kinds = len({padded(member.network).built for member in ring.model.members})
    assert modules == ["module", *(f"module{k}" for k in range(2, kinds + 1))]
    (tmp_path / "data.csv").write_text(data.to_csv(index=False))
    pd.testing.assert_frame_equal(again.predict(str(tmp_path / "data.csv")), predicted)


def test_without_a_compiler_each_kind_of_network_is_tried_once(ring, compiler, monkeypatch):
    """NumPy predicts the same, and what cannot be compiled is not tried again for each of many networks."""
    tried = []

    def module_of(network):
        tried.append(network)
        raise nn.BuildError(f"there is no {compiler} compiler")  # a warning says so once in a process

    expected = ring.predict(frame())
    monkeypatch.setattr("nncodegen.estimators.network.modules.module_of", module_of)
    with pytest.warns(RuntimeWarning, match=f"no {compiler} compiler: NumPy evaluates the model, which is slow"):
        predicted = ring.predict(frame())
    pd.testing.assert_frame_equal(predicted, expected)
    assert len(tried) == len(ring.choice.members) < sum(len(member.parameters) for member in ring.model.members)


@pytest.mark.filterwarnings("ignore:no C compiler was found:RuntimeWarning")
def test_a_model_is_written_without_a_compiler(ring, tmp_path, monkeypatch):
    """The folder holds no modules then, also none of an earlier model, and predicts the same."""
    ring.save(tmp_path / "model")
    monkeypatch.setenv("CC", "/nonexistent")
    for folder in (tmp_path / "model", tmp_path / "other"):
        ring.save(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["model.json", "parameters.npz"]
        pd.testing.assert_frame_equal(load_model(folder).predict(frame()), ring.predict(frame()))


def test_a_simpler_model_replaces_one_with_more_modules(ring, tmp_path):
    """The modules of an earlier model do not remain, but what somebody else has put there does."""
    ring.save(tmp_path / "model")
    (tmp_path / "model" / "module2").mkdir(exist_ok=True)
    line = fit(frame(kind="line"), "t", drop=("z",), settings=Settings(layers=()))
    line.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "module", "parameters.npz"]
    load_model(tmp_path / "model")
    (tmp_path / "model" / "module2").mkdir()
    (tmp_path / "model" / "module2" / "notes.txt").write_text("mine")
    with pytest.raises(nn.BuildError, match="did not write"):
        line.save(tmp_path / "model")
    assert (tmp_path / "model" / "module2" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("layers", [(4,), pytest.param(None, marks=pytest.mark.thorough)])
def test_the_seed_decides_and_threads_do_not(layers):
    """The same seed gives the same bits with any number of threads; another seed gives others."""
    settings = Settings(layers=layers, l2=1e-3, learning_rate=0.01, epochs=40, threads=1)
    first, threaded, other = (
        fit(frame(), "t", drop=("z",), settings=replace(settings, **changed))
        for changed in ({}, {"threads": 3}, {"seed": 2**64 - 1})
    )
    for member, another in zip(first.model.members, threaded.model.members, strict=True):
        assert member.weight == another.weight
        np.testing.assert_array_equal(member.parameters, another.parameters)
    assert not np.array_equal(first.predict(frame()).iloc[:, 1], other.predict(frame()).iloc[:, 1])


def test_class_weights():
    """Weights make a rare class found more often; what is balanced is what the shares of the classes say."""
    data = frame(300, "line")
    data = data[(data["t"] == "in") | (np.arange(300) % 8 == 0)]
    few = "out" if (data["t"] == "out").sum() < (data["t"] == "in").sum() else "in"
    settings = [Settings(layers=(), l2=1e-2, class_weight=setting) for setting in (None, "balanced", {few: 1.0})]
    plain, balanced, same = (fit(data, "t", drop=("z", "b"), settings=setting) for setting in settings)
    recall = [
        next(class_name.recall for class_name in fitted.classes if class_name.name == few)
        for fitted in (plain, balanced)
    ]
    assert recall[1] > recall[0]
    pd.testing.assert_frame_equal(plain.predict(data), same.predict(data))  # 1 is what all rows count
    with pytest.raises(TableError, match="there is no class 'red' of t; there are: in, out"):
        fit(data, "t", settings=Settings(class_weight={"red": 2.0}))
    with pytest.raises(TableError, match="all classes that occur have the weight 0"):
        fit(data, "t", settings=Settings(class_weight={"in": 0.0, "out": 0.0}))


def test_dropout_and_weights_of_networks():
    """Networks with dropout, and with weights, learn too."""
    settings = Settings(layers=(6,), l2=1e-3, learning_rate=0.01, dropout=0.1, class_weight="balanced", epochs=40)
    fitted = fit(frame(60), "t", drop=("z",), settings=settings)
    assert fitted.choice.members[0][0].family.network.dropout == 0.1
    assert np.isfinite(fitted.predict(frame()).iloc[:, 1:].to_numpy()).all()


def test_the_time_limit():
    """After the limit no more is tried: what was tried is used, and nothing at all is an error."""
    fitted = fit(frame(), "t", drop=("z",), settings=Settings(time_limit=1e-9))
    assert fitted.search.out_of_time
    assert [candidate.family.name for candidate in fitted.search.tried] == ["linear"]
    with pytest.raises(TableError, match="nothing was learned within 1e-09 s: allow more time"):
        fit(frame(), "t", drop=("z",), settings=Settings(layers=(3,), time_limit=1e-9))


@pytest.mark.parametrize("layers", [pytest.param(None, marks=pytest.mark.thorough), (), (3,)])
def test_losses_that_are_never_finite(layers):
    """Where no candidate has a finite loss, the linear model no exception, nothing was learned, and that is said."""
    settings = Settings(layers=layers, loss="log(output - target - 2)", l2=1e-3, learning_rate=0.01, epochs=1)
    with pytest.raises(TableError, match="nothing was learned: every loss is infinite, or no number; choose another"):
        fit(frame(), "t", drop=("z",), settings=settings)


def test_networks_that_diverge_when_they_learn_again(monkeypatch):
    """They are left out of the average; where all of them diverge, the candidate is named."""
    settings = Settings(layers=(4,), l2=1e-3, learning_rate=0.01, epochs=4, threads=1)
    broken, original = [0], learning.train_round

    def train_round(*arguments):
        parameters = original(*arguments)
        parameters[broken] = np.nan
        return parameters

    monkeypatch.setattr(learning, "train_round", train_round)
    fitted = fit(frame(), "t", drop=("z",), settings=settings)
    (chosen,), (member,) = fitted.choice.members, fitted.model.members
    assert len(member.parameters) == chosen[0].family.networks - 1
    assert np.isfinite(fitted.predict(frame()).iloc[:, 1:].to_numpy()).all()
    broken += range(1, chosen[0].family.networks)
    with pytest.raises(TableError, match=r"4 relu, l2 0.001, learning rate 0.01 diverged .* from 96 rows"):
        fit(frame(), "t", drop=("z",), settings=settings)


def test_one_fold_of_many_rows(monkeypatch):
    """Where one fold is left out once, candidates are compared by its rows."""
    monkeypatch.setattr(candidates, "MOST_FOLDED", 50)
    fitted = fit(frame(), "t", drop=("z",), settings=QUICK)
    assert fitted.folds == 1
    assert len(fitted.search.rows) == 20
    assert fitted.metrics[0].network > 0.7


def test_frames():
    """A DataFrame means what its columns hold: categories, missing values, truth values; what is none is refused."""
    data = frame(kind="line").assign(d=pd.Categorical(["u", "v", None] * 40), e=[True, False] * 60)
    data.loc[3, "a"] = None
    settings = Settings(layers=[], l2=np.float32(0.01), seed=np.int64(0))
    fitted = fit(data, "t", settings=settings)
    same = fit(data, "t", drop="z", categories=["d"], settings=settings)
    assert [column.name for column in same.model.columns] == list("abcde")
    assert [type(column).__name__ for column in fitted.model.columns] == [
        "Number",
        "Number",
        "Category",
        "Number",
        "Category",
        "Number",
    ]
    assert len(fitted.predict(data.drop(columns="t").set_index("a", drop=False))) == 120
    for wrong, message in (
        (3, "not int"),
        (data.iloc[:0], "is empty"),
        (pd.concat([data, data], axis=1), "several"),
        (data.assign(a=1j), "column 'a' of the DataFrame holds complex numbers"),
    ):
        with pytest.raises(TableError, match=message):
            fit(wrong, "t")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("diabetes", {"layers": ()}),
        pytest.param("diabetes", {}, marks=pytest.mark.thorough),
        pytest.param("wine", {}, marks=pytest.mark.thorough),
    ],
)
def test_public_tables(name, settings, monkeypatch):
    """No worse by a hundredth, or one row, than logistic or ridge regression, nor than scikit-learn's boosting.

    By default with the linear model alone, which is the best for that table; with --thorough with all that is tried.
    """
    pytest.importorskip("sklearn")
    from nncodegen.table import compare as comparing
    from nncodegen.table.compare import compare, show

    monkeypatch.setattr(comparing, "Settings", partial(Settings, **settings))
    comparison = compare(name, 1)
    margin = max(0.01, 1.01 / (comparison.rows // 5))
    assert comparison.above_linear > -margin
    assert comparison.difference > -margin
    *_, of_table, group, every = show([comparison]).splitlines()
    assert f"| {comparison.difference:+.4f} | {comparison.above_linear:+.4f} |" in of_table
    assert "| 1 tables |" in group
    assert f"| {comparison.difference:+.4f} | at least {comparison.above_linear:+.4f} |" in every


def test_public_tables_as_skrub_understands_them(monkeypatch):
    """With skrub, the others are given the columns as they are: no encoding of `fit` reaches them."""
    skrub = pytest.importorskip("skrub")
    from sklearn.linear_model import RidgeCV

    from nncodegen.table import compare as comparing

    monkeypatch.setattr(comparing, "Settings", partial(Settings, layers=()))
    monkeypatch.setattr(comparing, "encode", None)
    comparison = comparing.compare("diabetes", 1, with_skrub=True)
    data = comparing.load_frame("diabetes")
    known, held_out = split_rows(as_table(data), Target("target"), 0)
    pipeline = skrub.tabular_pipeline(RidgeCV(np.logspace(-3, 4, 15)))
    X, y = data.drop(columns="target"), data["target"]
    pipeline.fit(X.iloc[known], y[known])
    assert comparison.linear == pytest.approx([pipeline.score(X.iloc[held_out], y[held_out])])
    assert abs(comparison.difference) < 0.05


def test_held_out_rows_have_no_part_in_the_choice():
    """They change nothing of what is tried, chosen and measured, nor its scale; only the model learns from them."""
    data = frame(60, "line").drop(columns="t")
    settings = Settings(layers=(), l2=0.1, threads=1)
    first = fit(data, "z", settings=settings)
    _, held_out = split_rows(as_table(data), Target("z"), settings.seed)
    changed = data.copy()
    changed.loc[held_out, "z"] = 1e6
    second = fit(changed, "z", settings=settings)
    assert first.measured.target == second.measured.target
    assert first.search.tried[0].loss == second.search.tried[0].loss
    predicted = first.measured.predict(data)["z"]
    assert predicted.tolist() == second.measured.predict(data)["z"].tolist()
    error = np.abs(predicted - data["z"])[held_out].mean()
    assert first.metrics[0].network == pytest.approx(error)
    assert first.model.target.mean == pytest.approx(data["z"].mean())
    assert second.predict(data)["z"].mean() == pytest.approx(changed["z"].mean())
