"""Derivatives by inputs, against those that mpmath finds by differences of 50 digits and more."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.ir import Element, needed
from nncodegen.compiler.ir.evaluate import interpret
from nncodegen.compiler.passes.higher_derivatives import Z, is_smooth, successive
from nncodegen.compiler.passes.tangent import tangent

x, t, y = sympy.symbols("x t y")
u, v = (sympy.Function(name)(x, t) for name in "uv")

EXACT = {
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "sin": mpmath.sin,
}
"""Smooth activations; one is a function of the user."""

ORDERS = [("x",), ("t",), ("x", "x"), ("x", "t"), ("x", "x", "x"), ("x", "t", "t"), ("x", "x", "t", "t"), ("x",) * 4]


def network(activations, order, width=3):
    """The program of a network whose loss holds one derivative, which is written out, and the program of its fields."""
    named = {"sin": sympy.sin}
    layers = [
        nn.Dense(width, named.get(activation, activation), bias_initializer="glorot_normal")
        for activation in activations
    ]
    equation = u.diff(*order) - u
    model = nn.Sequential([*layers, nn.Dense(1)], inputs=(x, t), outputs=u, losses={"equation": equation})
    stages = nn.compile_model(model, until="simplify", fit=False)
    return stages["simplify"], stages.findings.companions.simplified[0].program


def parameters_of(program, seed):
    return np.random.default_rng(seed).normal(0, 1, program.parameter_count)


def unpacked(program, parameters):
    """Parameters by name."""
    ends = np.cumsum([tensor.size for tensor in program.parameters])
    parts = np.split(parameters, ends[:-1])
    return {tensor.name: part.reshape(tensor.shape) for tensor, part in zip(program.parameters, parts, strict=True)}


def by_hand(program, parameters, activations):
    """The network as a function of mpmath numbers, written from its definition."""
    values = {name: np.frompyfunc(mpmath.mpf, 1, 1)(array) for name, array in unpacked(program, parameters).items()}

    def function(at_x, at_t):
        h = values["W1_x"] * at_x + values["W1_t"] * at_t
        for number, name in enumerate(activations, start=1):
            if number > 1:
                h = values[f"W{number}"] @ h
            h = np.array([EXACT[name](z) for z in h + values[f"b{number}"]])
        return h @ values[f"W{len(activations) + 1}"] + values[f"b{len(activations) + 1}"]

    return function


@given(st.lists(st.sampled_from([*EXACT]), min_size=1, max_size=2), st.sampled_from(ORDERS), st.integers(0, 100))
@settings(max_examples=12, deadline=None)
def test_derivatives_are_those_of_mpmath(activations, order, seed):
    """A derivative of any order, mixed or not, differs from that of 50 digits by 1e-12 of the norm at most."""
    program, companion = network(activations, [sympy.Symbol(name) for name in order])
    parameters = parameters_of(program, seed)
    points = np.random.default_rng(seed + 1).uniform(-1, 1, (3, 2))
    values = nn.evaluate(companion, parameters, points, np.ones((3, 1)))
    name = companion.outputs[1].tensor
    function = by_hand(program, parameters, activations)
    with mpmath.workdps(50):
        counts = order.count("x"), order.count("t")
        exact = [mpmath.diff(function, tuple(map(mpmath.mpf, map(float, point))), counts) for point in points]
        exact = np.array([float(value) for value in exact])
    assert np.linalg.norm(values[name] - exact) <= 1e-12 * max(np.linalg.norm(exact), 1e-3)


def windows():
    return [nn.Dense(6, "tanh"), nn.Reshape((3, 2)), nn.Conv1D(2, 2, activation="tanh", padding="same"), nn.Flatten()]


def transposed():
    return [
        nn.Dense(4, sympy.sin),
        nn.Reshape((2, 2)),
        nn.Conv1DTranspose(1, 3, strides=2),
        nn.AveragePooling1D(2),
        nn.GlobalAveragePooling1D(),
    ]


def both_directions():
    return [nn.Dense(4), nn.Reshape((2, 2)), nn.Bidirectional(nn.GRU(1, return_sequences=True)), nn.SimpleRNN(2)]


LAYERS = {
    "softmax": lambda: [nn.Dense(2, "tanh"), nn.Dense(3, "softmax")],
    "softmax first": lambda: [nn.Dense(3, "softmax"), nn.Dense(2, "softmax")],
    "normalization": lambda: [nn.Dense(3, "tanh"), nn.LayerNormalization()],
    "windows": windows,
    "transposed windows": transposed,
    "recurrence": lambda: [nn.Dense(4, "tanh"), nn.Reshape((2, 2)), nn.LSTM(1)],
    "recurrences": both_directions,
}
CASES = [(name, order) for name in LAYERS for order in ORDERS]
FEW = {
    ("softmax", ORDERS[4]),
    ("softmax first", ORDERS[3]),
    ("windows", ORDERS[3]),
    ("transposed windows", ORDERS[2]),
    ("recurrence", ORDERS[2]),
}
"""Those that are tried in every run; with --thorough, every order of every kind of layer."""


@pytest.mark.parametrize(
    ("name", "order"), [pytest.param(*case, marks=[] if case in FEW else [pytest.mark.thorough]) for case in CASES]
)
def test_derivatives_of_layers(name, order):
    """Through softmax, windows and recurrences, too, derivatives of any order are those of mpmath's differences."""
    layers = LAYERS[name]()
    equation = u.diff(*(sympy.Symbol(letter) for letter in order)) - u
    model = nn.Sequential([*layers, nn.Dense(1)], inputs=(x, t), outputs=u, losses={"equation": equation})
    stages = nn.compile_model(model, until="simplify", fit=False)
    program, described = stages["simplify"], stages["describe"]
    parameters, point = parameters_of(program, 0), [0.4, -0.7]
    companion = stages.findings.companions.simplified[0].program
    computed = nn.evaluate(companion, parameters, [point], np.ones((1, 1)))[companion.outputs[1].tensor].item()
    plain = replace(
        described,
        steps=needed(described.steps, described.outputs),
        loss=Element("weight", ("n",)),
        targets=(),
        task=replace(described.task, fields=(), residuals=(), terms=()),
    )

    def function(*at):
        values = nn.evaluate(plain, parameters, np.array([at], object), digits=mpmath.mp.dps)
        return values[described.outputs[0].tensor].item()

    with mpmath.workdps(50):
        counts = order.count("x"), order.count("t")
        exact = float(mpmath.diff(function, tuple(map(mpmath.mpf, point)), counts))
    assert math.isclose(computed, exact, rel_tol=1e-12, abs_tol=1e-13)


def test_a_saturated_softmax_keeps_the_digits_of_its_derivatives():
    """Where one of two is 1 to rounding, its derivatives are those of a sigmoid, which nearly vanish."""
    f, g = (sympy.Function(name)(x) for name in "fg")
    losses = {"first": f.diff(x) - g, "second": f.diff(x, 2)}
    model = nn.Sequential([nn.Dense(2, "softmax")], inputs=x, outputs=[f, g], losses=losses)
    program = nn.compile_model(model, until="simplify", fit=False).findings.companions.simplified[0].program
    values = nn.evaluate(program, [1.3, 0.7, 40.0, 0.0], [[0.0]], np.ones((1, 2)))
    q = math.exp(-40) / (1 + math.exp(-40))
    first, second = (values[element.tensor].item() for element in program.outputs[2:4])
    assert (first, second) == pytest.approx((0.6 * q, -(0.6**2) * q), rel=1e-14, abs=0)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (
            [nn.Dense(6, "tanh"), nn.Reshape((3, 2)), nn.GlobalMaxPooling1D(), nn.Dense(1)],
            r"a maximum has no continuous derivative, which an equation needs, in: .* = max\(.*: use a mean",
        ),
        (
            [nn.Dense(4, "tanh"), nn.Reshape((2, 2)), nn.LSTM(1, activation="relu"), nn.Dense(1)],
            "has the activation relu, which has no continuous derivative of order 1",
        ),
        (
            [nn.Reshape((1, 2)), nn.SimpleRNN(2), nn.Dense(1)],
            "x, t cannot be cut into windows or steps: put a layer of units, such as Dense, between them and",
        ),
    ],
    ids=["maximum", "relu", "inputs as steps"],
)
def test_what_has_no_derivatives_is_refused(layers, reason):
    """What has no continuous derivative is refused by name, and so are inputs that a window would mix."""

    def compiled():
        model = nn.Sequential(layers, inputs=(x, t), outputs=u, losses={"one": u.diff(x)})
        return nn.compile_model(model, until="differentiate")

    with pytest.raises(nn.ModelError, match=reason):
        compiled()


LAST = {
    "softmax": [nn.Dense(2, "softmax")],
    "window": [nn.Reshape((3, 2)), nn.Conv1D(2, 3), nn.Flatten()],
    "recurrence": [nn.Reshape((3, 2)), nn.LSTM(2)],
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] if name == "recurrence" else []) for name in LAST]
)
def test_outputs_of_layers_that_cannot_be_cut(name):
    """Functions may be the values of a recurrent layer, a window or a softmax: the terms have these values."""
    layers = [nn.Dense(6, "tanh"), *LAST[name]]
    model = nn.Sequential(layers, inputs=(x, t), outputs=(u, v), losses={"one": u.diff(x) - v.diff(t)})
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
    parameters, h = parameters_of(program, 1), 1e-6
    values = nn.evaluate(program, parameters, [[0.3, 0.2]], np.ones((1, 1)))
    near = [
        nn.evaluate(program, parameters, [[0.3 + i * h, 0.2 + j * h]], np.ones((1, 1)))
        for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    first, second = ([near_values[element.tensor].item() for near_values in near] for element in program.outputs)
    expected = (first[0] - first[1] - second[2] + second[3]) / (2 * h)
    assert values[program.loss.tensor].item() == pytest.approx(expected**2, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu"])
def test_successive_derivatives_keep_their_digits(name):
    """Each of the first four derivatives of an activation is right to 1e-12 of its size near there, also far out."""
    function = ACTIVATIONS[name](Z)
    points = np.array([-30.0, -8.0, -2.5, -0.3, 0.0, 1e-3, 0.7, 3.0, 9.0, 30.0])
    for order in range(1, 5):
        computed = _numpy(successive(function, order), points)
        with mpmath.workdps(60):
            for point, value in zip(points, computed, strict=True):
                derivatives = [mpmath.diff(EXACT[name], mpmath.mpf(float(point)), k) for k in (order, order + 1)]
                assert abs(value - derivatives[0]) <= 1e-12 * sum(map(abs, derivatives)) + 1e-300


def test_functions_with_jumps_are_known():
    """A function is smooth up to the order whose derivative does not jump where its branches meet."""
    smooth = {"relu": 0, "leaky_relu": 0, "selu": 0, "elu": 1, "softsign": 1, "tanh": 4, "gelu": 4}
    for name, highest in smooth.items():
        orders = [order for order in range(5) if is_smooth(ACTIVATIONS[name](Z), order)]
        assert orders == [*range(highest + 1)], name
    assert is_smooth(sympy.Max(0, Z - 2) ** 3, 2)
    assert not is_smooth(sympy.Max(0, Z - 2) ** 3, 3)


def test_a_first_layer_needs_no_steps_for_what_is_known():
    """Its derivatives are its weights, without an index for the samples, and its second derivatives are 0."""
    model = nn.Sequential(
        [nn.Dense(4, "tanh"), nn.Dense(1)], inputs=(x, t), outputs=u, losses={"one": u.diff(x, 2) + u.diff(t)}
    )
    program = tangent(nn.compile_model(model, until="stabilize")["stabilize"])
    steps = {str(step.target): str(step.expression) for step in program.steps}
    assert steps["h1_t[n, j]"] == "W1_t[j]*h1_d1[n, j]"
    assert steps["h1_xx[n, j]"] == "W1_x[j]**2*h1_d2[n, j]"
    assert not any(name.startswith(("s1_", "z1_")) for name in steps)


def test_an_affine_network_has_no_second_derivatives():
    """Where a derivative is 0 for every input, nothing is computed for it."""
    model = nn.Sequential([nn.Dense(3), nn.Dense(1)], inputs=(x, t), outputs=u, losses={"one": u.diff(x, 2) - u})
    program = tangent(nn.compile_model(model, until="stabilize")["stabilize"])
    assert [str(step.expression) for step in program.steps if step.target.tensor == "u_xx"] == ["0"]
    assert not any("_xx" in step.target.tensor for step in program.steps if step.target.tensor != "u_xx")


def test_distances_after_a_layer():
    """A sum of squares of differences has derivatives term by term, as of radial basis functions after a layer."""
    layers = [nn.Dense(2, "tanh"), nn.RBF(3), nn.Dense(1)]
    model = nn.Sequential(layers, inputs=(x, t), outputs=u, losses={"one": u.diff(x) + u.diff(x, t)})
    program = nn.compile_model(model, until="simplify", fit=False).findings.companions.simplified[0].program
    parameters, points = parameters_of(program, 0), np.random.default_rng(1).uniform(-1, 1, (4, 2))

    def at(move_x, move_t=0.0):
        values = nn.evaluate(program, parameters, points + np.array([move_x, move_t]), np.ones((4, 1)))
        return [values[element.tensor] for element in program.outputs]

    (_, by_x, by_x_and_t, _), h = at(0), 1e-5
    np.testing.assert_allclose(by_x, (at(h)[0] - at(-h)[0]) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(by_x_and_t, (at(0, h)[1] - at(0, -h)[1]) / (2 * h), atol=1e-8)


def test_a_laplacian_is_carried_as_one_sum():
    """A sum of second derivatives with constant factors takes one product a layer, and is what its parts add up to."""
    layers = [nn.Dense(3, "tanh"), nn.Dense(4, "sigmoid"), nn.Dense(1)]
    programs = []
    for losses in (
        {"one": 3 * (2 * u.diff(x, 2) + u.diff(t, 2)) - sympy.sin(x)},
        {"one": 6 * u.diff(x, 2) + 3 * u.diff(t, 2) - sympy.sin(x), "other": u.diff(x, 2)},
    ):
        model = nn.Sequential(layers, inputs=(x, t), outputs=u, losses=losses)
        programs.append(tangent(nn.compile_model(model, until="stabilize")["stabilize"]))
    collapsed, _apart = programs
    products = [[step for step in program.steps if step.target.tensor.startswith("s2")] for program in programs]
    assert [len(product) for product in products] == [4, 5]
    parameters = parameters_of(collapsed, 0)
    points = np.random.default_rng(1).uniform(-1, 1, (4, 2))
    first, second = (
        nn.evaluate(program, parameters, points, np.ones((4, len(program.targets)))) for program in programs
    )
    np.testing.assert_allclose(first["one"], second["one"], rtol=1e-12)


def test_gradients_through_derivatives_are_those_of_differences():
    """The reverse sweep runs through the steps of derivatives: the loss at 50 digits has this gradient."""
    nu = sympy.Symbol("nu")
    first = u.diff(t) + u * v.diff(x) - nu * u.diff(x, 2)
    model = nn.Sequential(
        [nn.Dense(3, "tanh"), nn.WideAndDeep([nn.Dense(2, "silu")], 2)],
        inputs=(x, t),
        outputs={u: x * u + v, v: sympy.exp(t) * v},
        parameters={nu: 0.3},
        losses={"system": (first, v.diff(x, t) - sympy.sin(u)), "data": u - y, "energy": nn.Mean(u.diff(x) ** 2 / 2)},
    )
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
    generator = np.random.default_rng(2)
    parameters, X = parameters_of(program, 3), generator.uniform(-1, 1, (6, 2))
    Y = np.zeros((6, 4))
    Y[np.arange(6), [0, 0, 1, 1, 2, 2]] = [1.5, 0.5, 1.0, 2.0, 1.0, 0.7]
    Y[:, 3] = generator.normal(size=6)
    values = nn.evaluate(program, parameters, X, Y)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    direction = generator.normal(size=parameters.size)
    with mpmath.workdps(50):
        step = mpmath.mpf(10) ** -20
        moves = [step * mpmath.mpf(d) for d in direction]
        ends = [
            nn.evaluate(
                program,
                [mpmath.mpf(p) + side * move for p, move in zip(parameters, moves, strict=True)],
                X,
                Y,
                digits=50,
            )[program.loss.tensor].item()
            for side in (1, -1)
        ]
        slope = float((ends[0] - ends[1]) / (2 * step))
    assert math.isclose(gradient @ direction, slope, rel_tol=1e-11)


def _numpy(expression, points):
    """A function of Z at some points, as the compiled code computes it."""
    return np.broadcast_to(interpret(expression, {Z: points}, False), points.shape)
