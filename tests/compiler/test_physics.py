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
        ({"one": u.diff(x)}, {"layers": [nn.Dense(2, "relu"), nn.Dense(1)]},
         "layer 1 of net has the activation relu, which has no continuous derivative of order 1"),
        ({"one": u.diff(x, 2)}, {"layers": [nn.WideAndDeep([nn.Dense(2, "elu")], 1)]},
         "layer 1_1 of net has the activation elu, which has no continuous derivative of order 2"),
        ({"one": u}, {"layers": [nn.Dropout(0.5), nn.Dense(1)]}, "puts noise on its inputs"),
    ],
)  # fmt: skip
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
