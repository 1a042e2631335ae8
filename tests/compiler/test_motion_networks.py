"""Networks in equations of motion as programs: against loops over steps in NumPy, and what is refused."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from tests.support.motion import outputs, trajectory, weights_of

T = np.array([[0.0, 0.3, 0.5, 1.4, 2.0], [1.0, 1.1, 1.9, 2.5, 2.5]])
"""Times of two samples; the second has only four."""

STARTS = np.array([[1.0, 0.3], [-0.5, 0.8]])
X = np.hstack([T, STARTS])


def perceptron(units=3, inputs=2, outputs=1):
    return nn.Sequential([nn.Dense(units, "tanh"), nn.Dense(outputs)], inputs=inputs)


def oscillator(equations=("u' = v", "v' = -c*u + force(u, v)"), networks=None, **options):
    options = {"steps": 2, "inputs": ["a", "b"], "times": 5, **options}
    networks = {"force": perceptron()} if networks is None else networks
    return nn.Dynamics(list(equations), {"u": "a", "v": "b"}, {"c": 1.5}, networks=networks, **options)


def drawn(model):
    """Parameters of a model: c, then weights that are not 0."""
    count = sum(parameter.size for parameter in model.describe().parameters)
    return np.r_[1.5, np.random.default_rng(5).normal(size=count - 1)]


def layers(weights, *values, name="force"):
    """The outputs of two layers for the values of their inputs."""
    hidden = np.tanh(weights[f"{name}_W1"] @ np.array(values) + weights[f"{name}_b1"])
    return weights[f"{name}_W2"] @ hidden + weights[f"{name}_b2"]


def check(model, rate, parameters, observed=lambda states: states):
    """Compare what is observed with a loop over the steps of a method."""
    observations = [*outputs(model, parameters, X).values()]
    for n, times in enumerate(T):
        states = np.array(trajectory(rate, STARTS[n], times, model.method, model.steps))
        np.testing.assert_allclose(
            np.array([observation[n] for observation in observations]).T, observed(states), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(("method", "steps"), [("rk4", 1), ("rk4", 3), ("tsit5", 1), ("tsit5", 2)])
def test_solutions_are_those_of_a_loop_over_steps(method, steps):
    """At each stage of each step, the layers are computed for the states there."""
    model = oscillator(method=method, steps=steps)
    weights = weights_of(model, parameters := drawn(model))
    check(model, lambda t, y: [y[1], -1.5 * y[0] + layers(weights, *y)[0]], parameters)


def test_weights_are_parameters_that_start_as_those_of_layers():
    """They have the shapes of layers under the name of the network, and the initial values that it was given."""
    initial = {"W2": np.array([[1.0, 2.0, 3.0]])}
    network = nn.Sequential(perceptron().layers, inputs=2, initial=initial)
    by_full_name = {
        parameter.name: parameter for parameter in oscillator(networks={"force": network}).describe().parameters
    }
    assert [*by_full_name] == ["c", "force_W1", "force_b1", "force_W2", "force_b2"]
    assert [parameter.shape for parameter in by_full_name.values()] == [(), (3, 2), (3,), (1, 3), (1,)]
    assert "parameters c, force_W1, force_b1, force_W2, force_b2>" in repr(oscillator(networks={"force": network}))
    by_name = {parameter.name: parameter for parameter in network.describe().parameters}
    for name in ("W1", "b1", "W2", "b2"):
        assert by_full_name[f"force_{name}"].initial == by_name[name].initial
        assert by_full_name[f"force_{name}"].penalized == by_name[name].penalized


def test_the_steps_do_not_depend_on_the_number_of_units():
    """A layer stays a sum over an index: a wider one has no more steps."""
    shown = [oscillator(networks={"force": perceptron(units)}).describe().show() for units in (3, 500)]
    assert shown[0].replace("[3", "[500").replace(", 3]", ", 500]") == shown[1]


def test_a_network_of_several_outputs():
    """Each has a name; a network is computed once where several of them are called with the same values."""
    networks = {("du", "dv"): perceptron(outputs=2)}
    model = oscillator(["u' = du(u, v)", "v' = dv(u, v) - c*u"], networks)
    weights = weights_of(model, parameters := drawn(model))

    def rate(t, y):
        first, second = layers(weights, *y, name="du")
        return [first, second - 1.5 * y[0]]

    check(model, rate, parameters)
    of_first_layer = [step for step in model.describe().steps if "du_W1" in str(step)]
    assert len(of_first_layer) == 6


def test_calls_of_formulas_of_calls_and_several_times():
    """Arguments are formulas of states, parameters and the time, also with calls; abbreviations may call."""
    networks = {"f": perceptron(inputs=1), "g": perceptron(4)}
    equations = ["r = f(c*u)", "u' = v*r", "v' = g(f(sin(v)), t) - f(r)"]
    model = oscillator(equations, networks, observed={"u": "u", "r": "r", "w": "g(u, v)"})
    weights = weights_of(model, parameters := drawn(model))

    def f(x):
        return layers(weights, x, name="f")[0]

    def g(x, y):
        return layers(weights, x, y, name="g")[0]

    def rate(t, y):
        u, v = y
        r = f(1.5 * u)
        return [v * r, g(f(np.sin(v)), t) - f(r)]

    check(model, rate, parameters, lambda y: [[u, f(1.5 * u), g(u, v)] for u, v in y])


def test_graphs_and_sympy():
    """A network may be a graph, and a call a function of SymPy."""
    x = nn.Input(2)
    h = nn.Dense(3, "tanh")(x)
    graph = nn.Network(x, nn.Dense(1)(nn.Concatenate()(h, x)))
    t, a, b, c = sympy.symbols("t a b c")
    u, v = (sympy.Function(name)(t) for name in "uv")
    force = sympy.Function("force")
    options = {"inputs": "a b", "times": 5, "steps": 2}
    equations = {u.diff(t): v, v.diff(t): -c * u + force(u, v)}
    model = nn.Dynamics(equations, {u: a, v: b}, {c: 1.5}, networks={force: graph}, **options)
    assert model.describe().show() == oscillator(networks={"force": graph}).describe().show()
    weights = weights_of(model, parameters := drawn(model))

    def rate(t, y):
        hidden = np.tanh(weights["force_W1"] @ np.array(y) + weights["force_b1"])
        return [y[1], -1.5 * y[0] + (weights["force_W3"] @ np.r_[hidden, y] + weights["force_b3"])[0]]

    check(model, rate, parameters)


def test_equations_from_time_to_time():
    """A network of earlier values is a recurrent one; the order of equations follows what they read."""
    model = nn.Dynamics(
        "w = 2*s; s = cell(before(s), x)", {"s": 0.5}, times=4, columns="x", networks={"cell": perceptron()}
    )
    parameters = np.random.default_rng(2).normal(size=13)
    weights, s = weights_of(model, parameters), 0.5
    column = np.array([[0.1, -0.4, 0.8, 0.2]])
    output_values = outputs(model, parameters, column)
    for k in range(4):
        s = layers(weights, s, column[0, k], name="cell")[0]
        np.testing.assert_allclose([output_values["s"][0, k], output_values["w"][0, k]], [s, 2 * s], rtol=1e-13)


def test_one_time_of_observation():
    """There is no step then, and what is observed may call."""
    model = oscillator(times=1, observed="force(u, v)")
    weights = weights_of(model, parameters := drawn(model))
    output_values = outputs(model, parameters, np.hstack([T[:, :1], STARTS]))
    for n in range(2):
        np.testing.assert_allclose(next(iter(output_values.values()))[n], layers(weights, *STARTS[n]), rtol=1e-13)


U = ("u' = v", "v' = -c*u + force(u, v)")
WRONG = {
    "no mapping": (U, [perceptron()], {}, 'maps names to networks, as in networks={"force": nncodegen.Sequential('),
    "a list of layers": (U, {"force": [nn.Dense(1)]}, {}, "the network force of dynamics is a Sequential or a Network"),
    "many weights": (
        U,
        {"force": perceptron(500)},
        {"steps": None, "method": "rodas5p"},
        "2,001 weights. rodas5p solves",
    ),
    "more than sums": (
        U,
        {"force": nn.Sequential([nn.Dense(3, "softmax"), nn.Dense(1)], inputs=2)},
        {"steps": None, "method": "auto"},
        "has softmax, which methods that read the Jacobian of the rates do not take",
    ),
    "too few arguments": (["u' = v", "v' = c*force(u)"], None, {}, "force is a network with 2 inputs: give it as"),
    "no call": (["u' = v", "v' = -c*u"], None, {}, "no equation of dynamics has the network force: call it, as in"),
    "a network without its arguments": (["u' = v", "v' = c*force"], None, {}, "force is none of c, a, b"),
    "an unknown argument": (["u' = v", "v' = c*force(u, w)"], None, {}, "w is none of c, a, b"),
    "a name of a function": (U, {"tanh": perceptron()}, {}, "a network tanh, but that is a function of all formulas"),
    "a name of a state": (U, {"u": perceptron()}, {}, "the name u of dynamics is given twice, in the equations and in"),
    "a name of a weight": (U, None, {"inputs": "a b force_W1"}, "in inputs and in the weights of networks"),
    "a name that is none": (U, {"my force": perceptron()}, {}, "has names as keys, or tuples of names"),
    "two names": (U, {"force": perceptron(), ("g", "force"): perceptron(outputs=2)}, {}, "the name force: rename one"),
    "several outputs": (U, {"force": perceptron(outputs=2)}, {}, "output of the shape (2,): give it a name for each"),
    "an image": (U, {"force": nn.Sequential([nn.Flatten(), nn.Dense(1)], (2, 2))}, {}, "has one input, with a number"),
    "noise": (U, {"force": nn.Sequential([nn.Dropout(0.5), nn.Dense(1)], 2)}, {}, "has noise, as that of Dropout"),
    "a batch": (U, {"force": nn.Sequential([nn.BatchNormalization(), nn.Dense(1)], 2)}, {}, "statistics of a batch"),
    "a layer that joins times": (
        U,
        {"force": nn.Sequential([nn.Dense(3), nn.Flatten(), nn.Dense(1)], 2)},
        {},
        "not one function of its inputs",
    ),
    "a weight for each time": (U, {"force": nn.Sequential([nn.PReLU(), nn.Dense(1)], 2)}, {}, "not one function"),
    "numbers alone": (["u' = v", "v' = c*force(1, 2)"], None, {}, "force(1, 2) is not a number"),
    "a circle": (["r = force(r, v)", "u' = r", "v' = -c*u"], None, {}, "go in a circle: r"),
    "a condition": (["u' = v", "v' = c*force(u > 0, v)"], None, {}, "force takes numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(case):
    """A message says what is wrong with a network or its call."""
    equations, networks, options, message = WRONG[case]
    with pytest.raises(nn.ModelError) as error:
        oscillator(equations, networks, **options)
    assert message in str(error.value)


def test_a_network_in_an_initial_value_is_refused():
    """A start is a formula of parameters and inputs alone."""
    with pytest.raises(
        nn.ModelError, match=r"the initial value of u of dynamics has f\(a\): networks are for equations"
    ):
        nn.Dynamics("u' = -f(u)", {"u": "f(a)"}, inputs="a", times=3, steps=1, networks={"f": perceptron(inputs=1)})
