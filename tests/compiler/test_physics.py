"""Networks with losses of equations: what they are described as, and what is refused."""

import numpy as np
import pytest
import sympy

import nncodegen as nn

x, t, y, nu, k = sympy.symbols("x t y nu k")
u, v = (sympy.Function(name)(x, t) for name in "uv")
LAYERS = [nn.Dense(2, "tanh"), nn.Dense(1)]


def network(losses, layers=LAYERS, inputs=(x, t), outputs=u, **options):
    return nn.Sequential(layers, inputs=inputs, outputs=outputs, losses=losses, name="net", **options)


def test_the_program_is_readable():
    """Inputs are tensors of their own, derivatives are steps, and all terms are one residual."""
    program = network({"equation": u.diff(t) - nu * u.diff(x, 2), "data": u - y}, parameters={nu: 0.5}).describe()
    text = program.show()
    assert "parameters  W1_x[2]  W1_t[2]  b1[2]  W2[2]  b2  nu" in text
    assert "u_xx[n]     = Derivative(u[n], (x[n], 2))" in text
    assert "equation[n] = -nu*u_xx[n] + u_t[n]" in text
    assert "residual[n] = data[n]*scale_data[n] + equation[n]*scale_equation[n]" in text
    assert "loss_n[n]   = residual[n]**2" in text
    assert [tensor.name for tensor in program.targets] == ["scale_equation", "scale_data", "y"]


def test_derivatives_of_products_are_written_out():
    """A flux may be differentiated as it stands, with other known fields in it."""
    written = network({"flow": (k * u.diff(x) + u**2).diff(x)}).describe()
    by_hand = network({"flow": k * u.diff(x, 2) + 2 * u * u.diff(x)}).describe()
    assert written.steps == by_hand.steps
    assert written.terms[0].targets == ("k",)


def test_equations_of_powers():
    """Squares of derivatives stand alone, in sums, in other powers; nothing is chosen, as they are always finite."""
    square = u.diff(x) ** 2
    for equation in (square, u.diff(t) + square, (u.diff(t) ** 2 + square) ** 2):
        text = network({"equation": equation}).describe().show()
        assert "u_x[n]**2" in text
        assert "Piecewise" not in text


def test_initial_values_are_those_of_whole_layers():
    """W1 is given as (units, inputs), also where its columns are tensors of their own."""
    W1 = np.array([[1.0, 2.0], [3.0, 4.0]])
    model = network({"one": u.diff(x)}, initial={"W1": W1, "b2": [0.5], "W2": [[7.0, 8.0]]})
    initial = {tensor.name: np.frombuffer(tensor.initial.values) for tensor in model.describe().parameters}
    np.testing.assert_array_equal(initial["W1_x"], W1[:, 0])
    np.testing.assert_array_equal(initial["W1_t"], W1[:, 1])
    np.testing.assert_array_equal(initial["W2"], [7.0, 8.0])
    np.testing.assert_array_equal(initial["b2"], [0.5])


def test_initial_values_in_one_array_are_those_of_a_result():
    """A flat array has the values of all parameters, in the order of the program: what a training found."""
    losses, start = {"one": u.diff(x) - nu * u}, np.arange(1.0, 11.0)
    program = network(losses, parameters={nu: 0.5}, initial=start).describe()
    values = [np.frombuffer(tensor.initial.values) for tensor in program.parameters]
    np.testing.assert_array_equal(np.concatenate(values), start)
    with pytest.raises(nn.ModelError, match=r"must have the shape \(10,\), not \(9,\)"):
        network(losses, parameters={nu: 0.5}, initial=start[1:])


def test_initial_values_of_unknown_parameters_are_refused():
    """A name that no parameter has is an error, as in any network."""
    with pytest.raises(nn.ModelError, match="initial names 'W3', which is no parameter of net; there are: W1, b1, W2"):
        network({"one": u.diff(x)}, initial={"W3": [1.0]})


def test_values_of_other_terms_do_no_harm():
    """A term that is infinite at the samples of another one leaves the loss and its gradient finite."""
    model = network({"equation": u.diff(x, 2) + u.diff(x) / x, "boundary": u - 1})
    program = nn.compile_model(model, until="simplify", fit=False)["simplify"]
    parameters = np.linspace(-1, 1, program.parameter_count)
    X, Y = np.array([[0.5, 0.2], [0.0, 0.3]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    values = nn.evaluate(program, parameters, X, Y)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    assert np.isfinite(values[program.loss.tensor])
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ({"one": u - sympy.Derivative(u, nu)}, {"parameters": {nu: 1}}, "differentiates by nu, which is no input"),
        ({"one": u.diff(x, 3, t, 2)}, {}, "of order 5; the highest is 4"),
        ({"one": v - u}, {}, "contains v(x, t), which is no output (there are: u(x, t)); give it in outputs"),
        ({"one": u.subs(x, 0)}, {}, "contains u(0, t), which is no output"),
        ({"one": u.diff(x).subs(x, 0)}, {}, "has a value at a point"),
        ({"one": "u - y"}, {}, "must be an expression, such as"),
        ({"one": ()}, {}, "the loss 'one' of net is empty"),
        ({}, {}, "needs losses by name"),
        ({"one": u.diff(x) + sympy.I}, {}, "is complex"),
        ({"one": u - y}, {"parameters": {nu: 1}}, "the parameter nu occurs in no loss"),
        ({"one": u - y}, {"targets": (k,)}, "the target k occurs in no loss"),
        ({"one": u - y * nu}, {"parameters": {nu: "big"}}, "the initial value of nu must be a finite number"),
        ({"one": u}, {"outputs": (u, v)}, "has 1 units, but there are 2 outputs"),
        ({"one": u}, {"outputs": sympy.Function("u")(t, x)}, "a function of all inputs in their order"),
        ({"one": u}, {"outputs": None}, "needs functions of its inputs as outputs"),
        ({"one": u}, {"outputs": {u: x * t}}, "must be a formula of what the network gives"),
        ({"one": u}, {"inputs": "x t"}, "inputs must be symbols"),
        ({"one": u}, {"inputs": 2}, "give its inputs as symbols as well"),
        ({"one": u}, {"loss": "mae"}, "has losses by name: leave out loss"),
        ({"one": u - sympy.Symbol("h1")}, {}, "a tensor of the layers of net is called h1, too"),
        ({"one": u - sympy.Symbol("u")}, {}, "the name u is given twice"),
        (
            {"one": u.diff(x)},
            {"layers": [nn.Dense(2, "relu"), nn.Dense(1)]},
            "layer 1 of net has the activation relu, which has no continuous derivative of order 1",
        ),
        (
            {"one": u.diff(x, 2)},
            {"layers": [nn.WideAndDeep([nn.Dense(2, "elu")], 1)]},
            "layer 1_1 of net has the activation elu, which has no continuous derivative of order 2",
        ),
        ({"one": u}, {"layers": [nn.Dropout(0.5), nn.Dense(1)]}, "puts noise on its inputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(losses, options, message):
    """An error says what is wrong, and names it."""
    with pytest.raises(nn.ModelError) as caught:
        network(losses, **options)
    assert message in str(caught.value)


def test_a_function_of_the_user_may_jump_too():
    """Where an activation is a function, the step is named whose derivative jumps."""
    model = network({"one": u.diff(x, 2)}, layers=[nn.Dense(2, lambda z: sympy.Max(0, z) ** 2), nn.Dense(1)])
    with pytest.raises(
        nn.ModelError, match=r"h1\[n, j\] = Max\(0, z1\[n, j\]\)\*\*2 has no continuous derivative of order 2"
    ):
        nn.compile_model(model, until="differentiate", fit=False)


# --- graphs of layers --------------------------------------------------------------------------------------------


def graph(build, **options):
    """A network of what a function makes of the input (x, t), with one equation."""
    both = nn.Input((x, t))
    options = {"losses": {"one": u.diff(t) - u.diff(x, 2)}, **options}
    return nn.Network(both, build(both), name="net", **options)


def test_a_stack_with_equations_as_a_graph():
    """A chain of calls is the same program as a list, with the same names; formulas are those around outputs."""
    losses = {"equation": u.diff(t) - nu * u.diff(x, 2), "data": u - y}
    options = {"losses": losses, "parameters": {nu: 0.5}, "initial": {"W1": [[1.0, 2.0], [3.0, 4.0]]}}
    stack = nn.Sequential(LAYERS, inputs=(x, t), outputs={u: x * u}, name="net", **options)
    other = graph(lambda both: {u: LAYERS[1](LAYERS[0](both))}, formulas={u: x * u}, **options)
    assert other.describe() == stack.describe()
    pair = graph(lambda both: {(u, v): nn.Dense(2)(LAYERS[0](both))}, losses={"one": u.diff(x) - v})
    assert pair.describe() == network({"one": u.diff(x) - v}, [LAYERS[0], nn.Dense(2)], outputs=(u, v)).describe()


def test_inputs_of_a_graph():
    """Inputs of one symbol have weights of their own; a shared layer has them once, named by its first call."""
    place, time = nn.Input(x), nn.Input(t)
    apart = nn.Network([place, time], {u: nn.Dense(1)(nn.Dense(3)(place) + nn.Dense(3)(time))}, losses={"one": u})
    shapes = {tensor.name: tensor.shape for tensor in apart.describe().parameters}
    assert shapes == {"W1": (3,), "b1": (3,), "W2": (3,), "b2": (3,), "W4": (3,), "b4": ()}
    a, b, c, d = sympy.symbols("a b c d")
    f, see = sympy.Function("f")(a, b, c, d), nn.Dense(2, "tanh", name="see")
    first, second = nn.Input((a, b)), nn.Input((c, d))
    alike = nn.Network([first, second], {f: nn.Dense(1)(see(first) - see(second))}, losses={"one": f})
    names = [tensor.name for tensor in alike.describe().parameters]
    assert names == ["W_see_a", "W_see_b", "b_see", "W3", "b3"]
    assert "a, b (Input)" in summary_of(alike)
    assert repr(alike) == '<Network "network": a, b, c, d -> 3 layers -> f(a, b, c, d), with the losses one>'


def summary_of(model):
    lines = []
    model.summary(lines.append)
    return "\n".join(lines)


JOINED = {
    "concatenated": lambda h: {u: nn.Dense(1)(nn.concatenate([h, nn.Dense(2, "tanh")(h)]))},
    "added": lambda h: {u: nn.Dense(1)(nn.Dense(2, "tanh")(h) + h)},
    "two functions of one value": lambda h: {u: (a := nn.Dense(1, "tanh")(h)), v: nn.Flatten()(a)},
    "one function of another": lambda h: {u: (a := nn.Dense(1)(h)), v: nn.Dense(1, "tanh")(a)},
    "a layer for two outputs": lambda h: {u: (D := nn.Dense(1))(h), v: D(nn.Dense(2, "tanh")(h))},
    "an output at the inputs": lambda h: {(u, v): h + nn.Dense(2, "tanh")(h)},
    "a polynomial": lambda h: {u: nn.Dense(1)(nn.Polynomial(2, 2, "tanh")(h))},
    "a normalization": lambda h: {u: nn.Dense(1)(nn.LayerNormalization(epsilon=1.0)(nn.Dense(3)(h)))},
}


@pytest.mark.parametrize("name", JOINED)
def test_derivatives_of_graphs(name):
    """Derivatives by inputs, and gradients of the loss with them, are those of differences."""
    model = graph(JOINED[name], losses={"one": u.diff(t) - u * u.diff(x, 2)})
    stages = nn.compile_model(model, until="simplify", fit=False)
    program = stages["simplify"]
    rng = np.random.default_rng(3)
    parameters, X = rng.normal(size=program.parameter_count), rng.uniform(-1, 1, (3, 2))
    scales = np.ones((3, 1))

    def value(name, X, parameters=parameters):
        return np.asarray(nn.evaluate(program, parameters, X, scales)[name])

    def slope(function, step):
        values = [function(k * step) for k in (-2, -1, 1, 2)]
        return np.tensordot([1, -8, 8, -1], values, 1) / (12 * abs(step).sum())

    dx, dt = np.array([1e-3, 0]), np.array([0, 1e-3])
    u_x = lambda step: slope(lambda other: value("u", X + step + other), dx)  # noqa: E731
    expected = slope(lambda step: value("u", X + step), dt) - value("u", X) * slope(u_x, dx)
    np.testing.assert_allclose(value("one", X), expected, atol=1e-7)
    values = nn.evaluate(program, parameters, X, scales)
    gradient = np.concatenate([np.ravel(values[element.tensor]) for element in program.gradient])
    steps = 1e-3 * np.eye(len(parameters))
    numeric = [slope(lambda step: value("loss", X, parameters + step), step) for step in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-8)


HIDDEN = nn.Dense(2, "tanh")


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (HIDDEN, {}, "its outputs are no functions: name them by these, as in outputs={u: Dense(1)(h)}"),
        (HIDDEN, {"losses": None}, "which are for equations: give functions of them as outputs"),
        (lambda h: {u: HIDDEN(h)}, {}, "has 2 units, but there are 1 outputs (u(x, t)): it needs a unit for each"),
        (lambda h: {u: nn.Dense(1)(h), v: HIDDEN(h)}, {}, "the layer of v(x, t) has 2 units"),
        (lambda h: {(u, v): nn.Reshape((2, 1))(HIDDEN(h))}, {}, "has the shape (2, 1), not a number of units"),
        (lambda h: {u: h}, {}, "is an output as it is: there is nothing to train"),
        (lambda h: {u: nn.Dense(1)(h)}, {"losses": None}, "needs losses by name"),
        (lambda h: {u: nn.Dense(1)(h)}, {"losses": {}}, "needs losses by name"),
        (lambda h: {u: nn.Dense(1)(h)}, {"loss": "mae"}, "has losses by name: leave out loss"),
        (lambda h: {u: nn.Dense(1)(h)}, {"loss_weights": [1]}, "leave out loss_weights, which train takes for them"),
        (lambda h: {u: nn.Dense(1)(h)}, {"formulas": {v: u}}, "formulas has v(x, t), which is no output of net"),
        (lambda h: {u: nn.Dense(1)(h)}, {"formulas": x * u}, "formulas must map outputs to expressions"),
        (lambda h: {u: nn.Dense(1)(h)}, {"formulas": {u: x}}, "must be a formula of what the network gives"),
        (lambda h: {u: nn.Dense(1)(h), "b": HIDDEN(h)}, {}, "named by functions of the inputs, such as u or (u, v)"),
        (lambda h: {u: nn.Dense(1)(h), (u, v): HIDDEN(h)}, {}, "two outputs of net have the same function"),
        (lambda h: {sympy.Function("u")(t, x): nn.Dense(1)(h)}, {}, "a function of all inputs in their order"),
        (lambda h: {u: nn.Dense(1)(nn.Dense(2, "relu")(h) + HIDDEN(h))}, {}, "layer 1 of net has the activation relu"),
        (lambda h: {u: nn.Dense(1)(nn.Dropout(0.5)(h) + HIDDEN(h))}, {}, "layer 1 of net puts noise on its inputs"),
        (lambda h: {u: nn.Dense(1)(nn.BatchNormalization()(HIDDEN(h)))}, {}, "has derivatives by its inputs, which a"),
    ],
)
def test_graphs_that_cannot_be_meant_are_refused(build, options, message):
    """An error says what is wrong, and what to write."""
    with pytest.raises(nn.ModelError) as caught:
        graph(build, **options)
    assert message in str(caught.value)


def test_inputs_that_cannot_be_meant_are_refused():
    """Inputs are numbers of values, or symbols; equations need symbols."""
    with pytest.raises(nn.ModelError, match="must be symbols, such as"):
        nn.Input((x, 3))
    with pytest.raises(nn.ModelError, match="named by them: leave out the name 'place'"):
        nn.Input(x, "place")
    plain = nn.Input(2)
    with pytest.raises(nn.ModelError, match=r"the <Input of the shape \(2,\)> has no symbols: make it of these"):
        nn.Network(plain, {u: nn.Dense(1)(plain)}, losses={"one": u})
    with pytest.raises(nn.ModelError, match="has parameters or targets of equations: give its losses by name"):
        nn.Network(plain, nn.Dense(1)(plain), parameters={nu: 1})
