"""Summaries, and how models, layers and modules are printed."""

import re
import warnings

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.pipeline import evaluated_module
from tests.support.built import built

PICTURES = nn.Sequential(
    [
        nn.Conv2D(3, 3, activation="relu"),
        nn.BatchNormalization(),
        nn.Flatten(),
        nn.Dense(4, "tanh", name="hidden"),
        nn.Dropout(0.5),
        nn.Dense(2, "softmax"),
    ],
    inputs=(5, 5, 1),
    loss="categorical_crossentropy",
    name="pictures",
)


def lines_of(model):
    """The lines that a model prints."""
    lines = []
    assert model.summary(print_fn=lines.append) is None
    return lines


def rows_of(model):
    """The cells of the table in a summary."""
    lines = lines_of(model)
    first, last = (place for place, line in enumerate(lines) if set(line) == {"="})
    return [re.split(" {3,}", line) for line in lines[first + 1 : last]]


def test_summary_of_a_stack():
    """Each layer has its name and kind, the shape of its output and its parameters; the sums tell which are trained."""
    assert rows_of(PICTURES) == [
        ["conv2d_1 (Conv2D)", "(None, 3, 3, 3)", "30"],
        ["batch_normalization_2 (BatchNormalization)", "(None, 3, 3, 3)", "12"],
        ["flatten_3 (Flatten)", "(None, 27)", "0"],
        ["hidden (Dense)", "(None, 4)", "112"],
        ["dropout_5 (Dropout)", "(None, 4)", "0"],
        ["dense_6 (Dense)", "(None, 2)", "10"],
    ]
    lines = lines_of(PICTURES)
    assert lines[0] == 'Model: "pictures"'
    assert lines[-3:] == ["Total params: 164", "Trainable params: 158", "Non-trainable params: 6"]
    assert PICTURES.describe().parameter_count == 164


def test_a_summary_is_printed(capsys):
    """Without a function for its lines, a summary goes to the standard output."""
    PICTURES.summary()
    assert capsys.readouterr().out.splitlines() == lines_of(PICTURES)


def test_summary_of_a_graph():
    """Inputs come first, and each layer tells what it is called on, also where that is twice; frozen is not trained."""
    left, right, steps = nn.Input(6, name="left"), nn.Input(6, name="right"), nn.Input((5, 2), name="steps")
    see = nn.Dense(5, "tanh", name="see")
    sequence, state = nn.GRU(3, return_sequences=True, return_state=True)(steps)
    frozen = nn.BatchNormalization(frozen=True)(see(right))
    joined = nn.concatenate([nn.Flatten()(sequence), frozen, state, see(left)])
    network = nn.Network([left, right, steps], nn.Dense(1)(joined), name="alike")
    rows = rows_of(network)
    assert rows[:2] == [["left (Input)", "(None, 6)", "0", "-"], ["right (Input)", "(None, 6)", "0", "-"]]
    by_name = {name: (shape, parameters, connected) for name, shape, parameters, connected in rows}
    assert by_name["gru_1 (GRU)"] == ("(None, 5, 3)", "63", "steps")
    assert by_name["see (Dense)"] == ("(None, 5)", "35", "right, left")
    assert by_name["concatenate_5 (Concatenate)"][2] == "flatten_2, batch_normalization_4, gru_1[1], see"
    assert sum(int(parameters) for _, _, parameters, _ in rows) == network.describe().parameter_count
    assert lines_of(network)[-1] == "Non-trainable params: 10"


def test_summary_of_a_formula():
    """A formula has its inputs, targets, parameters and outputs."""
    x, y, a, b = sympy.symbols("x y a b")
    model = nn.Model("line", inputs=x, targets=y, parameters={a: 1, b: 0}, output=a * x + b)
    assert [row[:2] for row in rows_of(model)] == [
        ["x", "input"],
        ["y", "target"],
        ["a", "parameter"],
        ["b", "parameter"],
        ["output", "output"],
    ]
    assert "Total params: 2" in lines_of(model)


def test_summary_of_a_module():
    """A module tells its parameters by name, and how many are trained; NumPy's twin prints the same."""
    module = built(PICTURES, fit=False)
    rows = rows_of(module)
    assert {name: shape for name, role, shape, _ in rows if role == "parameter"} == {
        name: str(shape) for name, shape in module.parameter_shapes.items()
    }
    assert (rows[0][:3], rows[-1][1:3]) == (["x", "input", "(None, 5, 5, 1)"], ["output", "(None, 2)"])
    assert lines_of(module)[-3:] == lines_of(PICTURES)[-3:]
    with pytest.warns(RuntimeWarning, match="NumPy evaluates"):
        assert lines_of(evaluated_module(PICTURES, reason="for a test of summaries", fit=False)) == lines_of(module)


def test_shapes_of_predictions():
    """Where predictions have another shape than the outputs in the table, a line says which."""
    sequence = nn.Input((4, 2), name="sequence")
    h = nn.LSTM(3, return_sequences=True)(sequence)
    labelled = nn.Network(sequence, nn.Dense(5)(h), name="labelled")
    several = nn.Network(sequence, {"steps": nn.Dense(5)(h), "whole": nn.Dense(2)(nn.Flatten()(h))}, name="several")
    for model, columns, how in (
        (labelled, 20, "the values of a sample one after the other"),
        (several, 22, "outputs side by side"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that NumPy evaluates it, which is said once in a process
            module = evaluated_module(model, reason="for a test of summaries", fit=False)
        for shown in (model, module):
            assert lines_of(shown)[-1] == f"Predictions: (None, {columns}), {how}"
        assert module.predict(module.initial_parameters(0), np.zeros((2, 8))).shape == (2, columns)
    assert lines_of(PICTURES)[-1].startswith("Non-trainable params")


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Dense(32, "tanh"), 'Dense(32, "tanh")'),
        (nn.Dense(3, use_bias=False, name="last"), 'Dense(3, use_bias=False, name="last")'),
        (nn.Conv2D(4, (3, 2), padding="same"), 'Conv2D(4, (3, 2), padding="same")'),
        (nn.Flatten(), "Flatten()"),
        (nn.Bidirectional(nn.LSTM(4)), "Bidirectional(LSTM(4))"),
        (nn.WideAndDeep([nn.Dense(8), nn.Dropout(0.1)], 2), "WideAndDeep([Dense(8), Dropout(0.1)], 2)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_layers_are_printed_as_they_are_made(layer, text):
    """A layer is printed as the call that makes it, without what has its default."""
    assert repr(layer) == text
    assert eval(text, vars(nn)) == layer


class Scale(nn.Layer):
    """A layer of one's own, without fields."""


class Named(nn.Layer):
    """A layer of one's own that prints itself."""

    def __repr__(self):
        return "mine"


def test_other_layers_are_printed():
    """Functions are printed by their names, layers of one's own by their class, or as they print themselves."""
    assert repr(nn.Dense(2, np.square)) == "Dense(2, square)"
    assert (repr(Scale()), repr(Named())) == ("Scale()", "mine")


def test_models_are_printed():
    """A stack is printed as it is made; a graph and a formula tell what goes in and comes out; long ones are cut."""
    stack = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], inputs=3, name="stack")
    assert repr(stack) == 'Sequential([Dense(2, "tanh"), Dense(1)], inputs=3, loss="mse", name="stack")'
    deep = nn.Sequential([nn.Dense(2)] * 40, inputs=2)
    assert "Dense(2), ... 28 more, Dense(2)" in repr(deep)
    x = nn.Input((4, 2))
    graph = nn.Network(x, {"size": nn.Dense(1)(nn.Flatten()(x))}, name="graph")
    assert repr(graph) == '<Network "graph": x (4, 2) -> 2 layers -> size>'
    a, t, y = sympy.symbols("a t y")
    model = nn.Model("decay", inputs=t, targets=y, parameters={a: 1}, output=sympy.exp(-a * t))
    assert repr(model) == '<Model "decay": output exp(-a*t), loss (-y + exp(-a*t))**2, parameters a>'
    value = a
    for _ in range(8):
        value = value + t * sympy.sin(value) * value  # thrice as large each time
    assert "output a long formula" in repr(
        nn.Model("long", inputs=t, parameters={a: 1}, output=value, loss=(a - t) ** 2)
    )
    u = sympy.Function("u")(t)
    wave = nn.Sequential(
        [nn.Dense(1, "tanh")], t, outputs=u, losses={"law": u.diff(t) + u, "start": u - 1}, name="wave"
    )
    assert repr(wave) == '<Sequential "wave": [Dense(1, "tanh")], with the losses law, start>'


def test_modules_are_printed():
    """A module tells what it is: its name, its size, its precision, the CPUs that it was compiled for."""
    module = built(PICTURES, fit=False)
    assert (
        repr(module)
        == f"<compiled module 'pictures': 25 inputs, 2 outputs, 164 parameters, float64, for {module.variant}>"
    )
