"""Derivatives by inputs, against those that mpmath finds by differences of 50 digits and more."""

import math

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import nncodegen as nn
from nncodegen.describe.activations import ACTIVATIONS
from nncodegen.ir.evaluate import interpret
from nncodegen.passes.successive import Z, is_smooth, successive
from nncodegen.passes.tangent import tangent

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
    """A network whose loss holds one derivative, and its program with that derivative written out."""
    named = {"sin": sympy.sin}
    layers = [nn.Dense(width, named.get(one, one), bias_initializer="glorot_normal") for one in activations]
    equation = u.diff(*order) - u
    model = nn.Sequential([*layers, nn.Dense(1)], inputs=(x, t), outputs=u, losses={"equation": equation})
    return model, nn.compile_model(model, until="simplify", fit=False)["simplify"]


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
    _, program = network(activations, [sympy.Symbol(name) for name in order])
    parameters = parameters_of(program, seed)
    points = np.random.default_rng(seed + 1).uniform(-1, 1, (3, 2))
    values = nn.evaluate(program.companions[0].program, parameters, points, np.ones((3, 1)))
    name = program.companions[0].program.outputs[1].tensor
    function = by_hand(program, parameters, activations)
    with mpmath.workdps(50):
        counts = order.count("x"), order.count("t")
        exact = [mpmath.diff(function, tuple(map(mpmath.mpf, map(float, point))), counts) for point in points]
        exact = np.array([float(value) for value in exact])
    assert np.linalg.norm(values[name] - exact) <= 1e-12 * max(np.linalg.norm(exact), 1e-3)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "silu"])
def test_successive_derivatives_keep_their_digits(name):
    """Each of the first four derivatives of an activation is right to 1e-12 of its size near there, also far out."""
    function = ACTIVATIONS[name](Z)
    points = np.array([-30.0, -8.0, -2.5, -0.3, 0.0, 1e-3, 0.7, 3.0, 9.0, 30.0])
    for order in range(1, 5):
        found = _numpy(successive(function, order), points)
        with mpmath.workdps(60):
            for point, value in zip(points, found, strict=True):
                derivatives = [mpmath.diff(EXACT[name], mpmath.mpf(float(point)), k) for k in (order, order + 1)]
                assert abs(value - derivatives[0]) <= 1e-12 * sum(map(abs, derivatives)) + 1e-300


def test_functions_with_jumps_are_known():
    """A function is smooth up to the order whose derivative does not jump where its branches meet."""
    smooth = {"relu": 0, "leaky_relu": 0, "selu": 0, "elu": 1, "softsign": 1, "tanh": 4, "gelu": 4}
    for name, highest in smooth.items():
        found = [order for order in range(5) if is_smooth(ACTIVATIONS[name](Z), order)]
        assert found == [*range(highest + 1)], name
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


def test_distances_behind_a_layer():
    """A sum of squares of differences has derivatives term by term, as of radial basis functions behind a layer."""
    layers = [nn.Dense(2, "tanh"), nn.RBF(3), nn.Dense(1)]
    model = nn.Sequential(layers, inputs=(x, t), outputs=u, losses={"one": u.diff(x) + u.diff(x, t)})
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"].companions[0].program
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
    products = [[step for step in one.steps if step.target.tensor.startswith("s2")] for one in programs]
    assert [len(found) for found in products] == [4, 5]
    parameters = parameters_of(collapsed, 0)
    points = np.random.default_rng(1).uniform(-1, 1, (4, 2))
    first, second = (nn.evaluate(one, parameters, points, np.ones((4, len(one.targets)))) for one in programs)
    np.testing.assert_allclose(first["one"], second["one"], rtol=1e-12)


def test_gradients_through_derivatives_are_those_of_differences():
    """The reverse sweep runs through the steps of derivatives: the loss at 50 digits has this gradient."""
    nu = sympy.Symbol("nu")
    first = u.diff(t) + u * v.diff(x) - nu * u.diff(x, 2)
    model = nn.Sequential(
        [nn.Dense(3, "tanh"), nn.WideAndDeep([nn.Dense(2, "silu")], 2)],
        inputs=(x, t), outputs={u: x * u + v, v: sympy.exp(t) * v}, parameters={nu: 0.3},
        losses={"system": (first, v.diff(x, t) - sympy.sin(u)), "data": u - y, "energy": nn.Mean(u.diff(x) ** 2 / 2)},
    )  # fmt: skip
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
            nn.evaluate(program, [mpmath.mpf(p) + side * move for p, move in zip(parameters, moves, strict=True)], X, Y,
                        digits=50)[program.loss.tensor].item()
            for side in (1, -1)
        ]  # fmt: skip
        slope = float((ends[0] - ends[1]) / (2 * step))
    assert math.isclose(gradient @ direction, slope, rel_tol=1e-11)


def _numpy(expression, points):
    """A function of Z at some points, as the compiled code computes it."""
    return np.broadcast_to(interpret(expression, {Z: points}, False), points.shape)
