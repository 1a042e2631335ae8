"""Tables and mappings as data: their columns are found by the names of the model, in any order and among others."""

import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import sympy
from hypothesis import given

import nncodegen as nn
from nncodegen.runtime.python.arguments.tables import Found, find

pytestmark = pytest.mark.usefixtures("quick_compiler")

X1, X2, A, B, Y = sympy.symbols("x1 x2 a b y")
POINT = [2.0, 3.0]


def as_polars(frame):
    return pytest.importorskip("polars").from_pandas(frame)


def as_arrow(frame):
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


def as_batch(frame):
    return pytest.importorskip("pyarrow").RecordBatch.from_pandas(frame)


def as_structured(frame):
    return np.asarray(frame.to_records(index=False))


def as_mapping(frame):
    return {name: frame[name].to_numpy() for name in frame}


KINDS = {
    "pandas": lambda frame: frame,
    "polars": as_polars,
    "arrow": as_arrow,
    "batch": as_batch,
    "structured": as_structured,
    "mapping": as_mapping,
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture(scope="module")
def plane(quick_compiler):
    return nn.build(nn.Model("plane", [X1, X2], [Y], {A: 1.0, B: 1.0}, A * X1 + B * X2**2))


@pytest.fixture(scope="module")
def data():
    """Columns in another order than that of the model, and more of them; exact values of the plane at POINT."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"plate": ["p", "q"] * 6, "x2": random.normal(size=12), "x1": random.normal(size=12)})
    frame["y"] = POINT[0] * frame.x1 + POINT[1] * frame.x2**2
    frame["error"] = random.uniform(0.1, 0.2, 12)
    return frame


@pytest.fixture(scope="module")
def plain(data):
    return data[["x1", "x2"]].to_numpy(), data["y"].to_numpy()


def as_rows(Y):
    return Y[:, None] if isinstance(Y, np.ndarray) and Y.dtype == float else Y


DOORS = {
    "predict": lambda m, X, Y: m.predict(POINT, X),
    "jacobian": lambda m, X, Y: m.jacobian(POINT, X),
    "loss": lambda m, X, Y: m.loss([1, 1], X, Y),
    "loss_and_gradient": lambda m, X, Y: m.loss_and_gradient([1, 1], X, Y)[1],
    "hessian": lambda m, X, Y: m.hessian([1, 1], X, Y),
    "hessian_product": lambda m, X, Y: m.hessian_product([1, 1], [1, 2], X, Y),
    "evaluate": lambda m, X, Y: m.evaluate([1, 1], X, Y, metrics="r2")["r2"],
    "train": lambda m, X, Y: m.train(X, Y, epochs=3).parameters,
    "validation": lambda m, X, Y: m.train(X, Y, epochs=2, validation_data=(X, Y)).metrics["val_loss"],
    "stream": lambda m, X, Y: m.train_on_stream([(X, Y), (X, Y)]).parameters,
    "train_many": lambda m, X, Y: m.train_many(X, Y, models=2, epochs=2).parameters,
    "train_many, each": lambda m, X, Y: m.train_many([X, X], [as_rows(Y)] * 2, epochs=2).parameters,
    "minimize": lambda m, X, Y: m.minimize(X, Y).parameters,
    "fit": lambda m, X, Y: m.fit(X, Y).parameters,
    "fit_many": lambda m, X, Y: m.fit_many(X, Y).parameters,
    "fit_many, each": lambda m, X, Y: m.fit_many([X, X], [Y, Y]).parameters,
    "groups": lambda m, X, Y: m.fit(X, Y, groups=["p", "q"] * 6, own=["a"]).parameters,
    "result": lambda m, X, Y: m.fit(X, Y).predict(X, interval="confidence"),
}


@every_kind
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_every_function_takes_columns_by_name(door, kind, plane, data, plain):
    """Each function of a module gives for a table of any library, in any order, what it gives for plain arrays."""
    table = kind(data)
    np.testing.assert_array_equal(door(plane, table, table), door(plane, *plain))


@every_kind
def test_groups_and_errors_in_tables(kind, plane, data, plain):
    """Labels of groups, and standard deviations of targets and inputs, may be columns of tables as well."""
    X, Y = plain
    errors = kind(data[["x1", "error"]].rename(columns={"error": "y"}))
    fitted = plane.fit(X, Y + 0.1 * X[:, 0] ** 2, sigma=errors)
    expected = plane.fit(X, Y + 0.1 * X[:, 0] ** 2, sigma=data["error"].to_numpy())
    np.testing.assert_array_equal(fitted.standard_errors, expected.standard_errors)
    table = kind(data)
    labels = kind(data[["plate"]])["plate"] if kind is as_mapping else kind(data[["plate"]])
    grouped = plane.fit(table, table, groups=labels, own=["a"])
    np.testing.assert_allclose(grouped.parameters, [3, 2, 2], rtol=1e-9)
    assert sorted(grouped.labels) == ["p", "q"]
    np.testing.assert_allclose(grouped.predict(table, groups=labels)[:, 0], Y, rtol=1e-9)


def test_errors_of_inputs_in_a_table(plane, data, plain):
    """Standard deviations of inputs are taken by name, too."""
    errors = pd.DataFrame({"x2": 0.1 + 0 * data.x1, "x1": data.error, "plate": data.plate})
    fitted = plane.fit(*plain, sigma_x=errors)
    expected = plane.fit(*plain, sigma_x=errors[["x1", "x2"]].to_numpy())
    np.testing.assert_array_equal(fitted.standard_errors, expected.standard_errors)


def test_columns_without_names_of_the_model(plane, data, plain):
    """Columns are taken by their places where none has a name of the model, whatever the library."""
    other = data[["x1", "x2"]].set_axis(["u", "v"], axis=1)
    for kind in (KINDS[name] for name in KINDS if name != "mapping"):
        np.testing.assert_array_equal(plane.predict(POINT, kind(other)), plane.predict(POINT, plain[0]))
    np.testing.assert_array_equal(plane.predict(POINT, other.set_axis([0, 1], axis=1)), plane.predict(POINT, plain[0]))


REFUSED = [
    (["x1", "error"], "X has no column x2; it has x1, error; expected one for each of x1, x2"),
    (["error", "y", "x2"], "X has no column x1; it has error, y, x2; expected one for each of x1, x2"),
    (["x1", "x2", "x1"], "2 columns have the name 'x1': give each a name of its own"),
]


@pytest.mark.parametrize(("names", "message"), REFUSED)
def test_columns_that_are_missing(names, message, plane, data):
    """If only some columns have names of the model, the error says which are missing; also if a name is there twice."""
    with pytest.raises(ValueError, match=message):
        plane.fit(data[names], data["y"])


def test_a_mapping_that_lacks_an_input(plane, data):
    """A mapping has no order to go by: all names must be there."""
    with pytest.raises(ValueError, match="X has no array x2; it has x1; expected one for each of x1, x2"):
        plane.predict(POINT, {"x1": data["x1"]})
    with pytest.raises(ValueError, match="X has no array x1, x2; it has u; expected one for each of x1, x2"):
        plane.predict(POINT, {"u": data["x1"]})


def test_texts_are_named(plane, data):
    """A text where a number belongs is named with its column."""
    with pytest.raises(ValueError, match=r"X\['x2'\]\[0\] is 'p', which is no real number"):
        plane.predict(POINT, data[["x1", "plate"]].rename(columns={"plate": "x2"}))


def test_another_order_is_told_once(quick_compiler, data, plain):
    """Where version 0.1 took columns by their places, a warning says once that they are taken by name."""
    module = nn.build(nn.Model("told", [X1, X2], [Y], {A: 1.0, B: 1.0}, A * X1 + B * X2**2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            module.predict(POINT, data[["x1", "x2"]])
            module.predict(POINT, data[["plate", "x2", "x1"]])
            module.predict(POINT, data[["x2", "x1"]])
    (message,) = [str(each.message) for each in caught]
    assert message == (
        "the columns of X (x2, x1) are taken by their names; version 0.1 took them by their places, as x1, x2"
    )
    assert caught[0].filename == __file__


def test_labels_in_tables(quick_compiler):
    """A column of class names with the name of the target is taken by it, though the target has several values."""
    network = nn.Sequential([nn.Dense(3, "softmax")], inputs=2, loss="categorical_crossentropy", name="labelled")
    module = nn.build(network)
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"y": random.choice(["a", "b", "c"], 30), "x": random.normal(size=30), "w": range(30)})
    expected = module.train(frame[["x", "w"]], frame["y"].to_numpy(), epochs=3, learning_rate=1e-3)
    for Y in (frame, as_mapping(frame), as_arrow(frame)):
        trained = module.train(frame[["x", "w"]], Y, epochs=3, learning_rate=1e-3)
        np.testing.assert_array_equal(trained.parameters, expected.parameters)
        assert trained.classes.tolist() == ["a", "b", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        by_value = module.predict(trained.parameters, frame[["w", "x"]].set_axis(["x[1]", "x[0]"], axis=1))
    np.testing.assert_array_equal(by_value, module.predict(trained.parameters, frame[["x", "w"]]))


@given(st.data())
def test_find_gives_each_value_its_column(drawn):
    """Any tensors are found in a table that holds their values among others, in any order and each way to name them."""
    sizes = drawn.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    tensors = tuple((f"t{k}", size) for k, size in enumerate(sizes))
    columns, expected, number = {}, [], 0.0
    for name, size in tensors:
        values = np.arange(number, number + 3 * size).reshape(3, size)
        number += 3 * size
        expected.append(values)
        if size == 1:
            columns[drawn.draw(st.sampled_from([name, f"{name}[0]"]))] = values[:, 0]
        elif drawn.draw(st.booleans()):
            columns[name] = values
        else:
            columns |= {f"{name}[{k}]": values[:, k] for k in range(size)}
    columns |= {f"other{k}": np.full(3, -1.0) for k in range(drawn.draw(st.integers(0, 3)))}
    names = drawn.draw(st.permutations(list(columns)))
    table = np.zeros(3, [(name, float, columns[name].shape[1:]) for name in names])
    for name in names:
        table[name] = columns[name]
    for values in (table, {name: columns[name] for name in names}):
        read = find("X", values, tensors)
        assert isinstance(read, Found)
        parts = [np.reshape(read.parts[name], (3, -1)) for name, _ in tensors]
        np.testing.assert_array_equal(np.hstack(parts), np.hstack(expected))
        lost = drawn.draw(st.sampled_from([name for name in names if not name.startswith("other")]))
        if len(names) - sum(name.startswith("other") for name in names) > 1:
            with pytest.raises(ValueError, match=r"X has no (column|array)"):
                find("X", {name: values[name] for name in names if name != lost}, tensors)
