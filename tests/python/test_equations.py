"""Equations solved by small networks, against solutions that are known; derivatives, terms and points in modules."""

import operator

import mpmath
import numpy as np
import pytest
import sympy

import nncodegen as nn
from tests.support.built import built

pytestmark = pytest.mark.usefixtures("vector_compiler")

x, t, y, nu, mu = sympy.symbols("x t y nu mu")
u = sympy.Function("u")(x, t)
EQUATIONS = {
    "heat": u.diff(t) - u.diff(x, 2) / 10,
    "wave": u.diff(t, 2) - u.diff(x, 2),
    "poisson": u.diff(x, 2) + u.diff(t, 2) + 2 * sympy.sin(x) * sympy.sin(t),
    "kdv": u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3),
    "burgers": u.diff(t) + u * u.diff(x) - nu * u.diff(x, 2),
}


def test_parts_of_a_laplacian():
    """A Laplacian is one value in the loss; a module tells it and its parts, each by its name."""
    losses = {"equation": 2 * u.diff(x, 2) + 3 * u.diff(t, 2) + u.diff(x), "data": u - y}
    network = nn.Sequential(
        [nn.Dense(4, "tanh"), nn.Dense(1)], inputs=(x, t), outputs=u, losses=losses, name="laplacian"
    )
    module = nn.build(network)
    parameters, X = module.initial_parameters(1), np.array([[0.25, -0.5], [1.0, 0.75]])
    derivatives = module.derivatives(parameters, X)
    assert {*derivatives} == {"u", "u_sum", "u_x", "u_xx", "u_tt"}
    parts = module.unpack(parameters)
    W = np.stack([parts["W1_x"].ravel(), parts["W1_t"].ravel()])
    h = np.tanh(X @ W + parts["b1"])
    second = (-2 * h * (1 - h**2)) * parts["W2"].ravel()
    np.testing.assert_allclose(derivatives["u_xx"], second @ W[0] ** 2, rtol=1e-12)
    np.testing.assert_allclose(derivatives["u_tt"], second @ W[1] ** 2, rtol=1e-12)
    np.testing.assert_allclose(derivatives["u_sum"], derivatives["u_tt"] + derivatives["u_xx"] * 2 / 3, rtol=1e-12)
    left = module.residuals(parameters, {"equation": X})["equation"]
    np.testing.assert_allclose(left, 2 * derivatives["u_xx"] + 3 * derivatives["u_tt"] + derivatives["u_x"], rtol=1e-12)


@pytest.fixture(scope="module")
def module(vector_compiler):
    """One network for all equations: a term of weight 0 needs no data. The speed at the start is a term as well."""
    losses = {**EQUATIONS, "speed": u.diff(t), "data": u - y}
    layers = [nn.Dense(12, "tanh"), nn.Dense(12, "tanh"), nn.Dense(1)]
    return nn.build(nn.Sequential(layers, inputs=(x, t), outputs=u, losses=losses, name="equations"), fit=True)


def chosen(*names):
    """Weights by which all other terms are left out."""
    return {name: float(name in names) for name in (*EQUATIONS, "speed", "data")}


def edges(low, high, count, end=False):
    """Points on the edges of a box of x and t: the start, both sides, and the end if it is asked for."""
    (x0, t0), (x1, t1) = low, high
    boxes = [((x0, t0), (x1, t0)), ((x0, t0), (x0, t1)), ((x1, t0), (x1, t1)), ((x0, t1), (x1, t1))]
    return np.concatenate([nn.Points(*box, count).draw() for box in boxes[: 4 if end else 3]])


def cole_hopf(viscosity):
    """Burgers' equation from -sin(pi*x), by the transformation of Cole and Hopf and Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite.hermgauss(100)

    def exact(X):
        moved = X[:, :1] - nodes * 2 * np.sqrt(viscosity * np.maximum(X[:, 1:], 1e-300))
        kernel = weights * np.exp(-np.cos(np.pi * moved) / (2 * np.pi * viscosity))
        return -(np.sin(np.pi * moved) * kernel).sum(axis=1) / kernel.sum(axis=1)

    return exact


def soliton(X):
    """A wave of the equation of Korteweg and de Vries that keeps its form."""
    return 0.5 / np.cosh((X[:, 0] - X[:, 1]) / 2) ** 2


PROBLEMS = {
    "heat": ((0, 0), (np.pi, 2), lambda X: np.sin(X[:, 0]) * np.exp(-X[:, 1] / 10)),
    "wave": ((0, 0), (np.pi, 2), lambda X: np.sin(X[:, 0]) * np.cos(X[:, 1])),
    "poisson": ((0, 0), (np.pi, np.pi), lambda X: np.sin(X[:, 0]) * np.sin(X[:, 1])),
    "kdv": ((-4, 0), (4, 1), soliton),
    "burgers": ((-1, 0), (1, 1), cole_hopf(0.1)),
}
"""A box of x and t, and the solution there."""


@pytest.mark.parametrize("name", PROBLEMS)
def test_equations_are_solved(module, name):
    """From its values on the edges of a box, the solution within is found to a part in a thousand of its size."""
    low, high, exact = PROBLEMS[name]
    inside = nn.Points(low, high, 300)
    border = edges(low, high, 40, end=name == "poisson")
    start = nn.Points(low, (high[0], low[1]), 40)
    data = {name: (inside, 0.1) if name == "burgers" else inside, "data": (border, exact), "speed": start}
    terms = (name, "data", "speed") if name == "wave" else (name, "data")
    result = module.train(data=data, loss_weights=chosen(*terms), optimizer="lm", epochs=150)
    X = nn.Points(low, high, 1000, seed=1).draw()
    predicted = module.predict(result.parameters, X)[:, 0]
    assert np.linalg.norm(predicted - exact(X)) < 1e-3 * np.linalg.norm(exact(X)), result


def test_derivatives_and_residuals_are_told(module):
    """A module gives the derivatives that its losses hold, and its residuals, which make up the loss."""
    parameters = module.initial_parameters(3)
    low, high, exact = PROBLEMS["burgers"]
    X = nn.Points(low, high, 50).draw()
    derivatives = module.derivatives(parameters, X)
    assert [*derivatives] == ["u", "u_t", "u_x", "u_tt", "u_xx", "u_xxx"]
    np.testing.assert_array_equal(derivatives["u"], module.predict(parameters, X)[:, 0])
    step = np.array([[1e-4, 0.0]])
    slope = (module.predict(parameters, X + step) - module.predict(parameters, X - step))[:, 0] / 2e-4
    np.testing.assert_allclose(derivatives["u_x"], slope, atol=1e-7)
    data = {"burgers": (X, 0.1), "data": (edges(low, high, 7), exact)}
    left = module.residuals(parameters, data)
    np.testing.assert_allclose(
        left["burgers"], derivatives["u_t"] + derivatives["u"] * derivatives["u_x"] - 0.1 * derivatives["u_xx"]
    )
    weights = {**chosen("burgers"), "data": 5.0}
    loss = module.loss(parameters, *module.stack(data, weights))
    assert loss == pytest.approx(np.mean(left["burgers"] ** 2) + 5 * np.mean(left["data"] ** 2), rel=1e-12)


def test_derivatives_through_time_are_told():
    """Derivatives by inputs go through a recurrence, whose states before each step are read until the last of them."""
    layers = [nn.Dense(4, "tanh"), nn.Reshape((2, 2)), nn.GRU(1), nn.Dense(1)]
    model = nn.Sequential(layers, inputs=(x, t), outputs=u, losses={"one": EQUATIONS["heat"]}, name="sequence")
    sequence = nn.build(model, fit=False)
    parameters, X = sequence.initial_parameters(0) + 0.1, np.random.default_rng(0).uniform(-1, 1, (5, 2))
    derivatives = sequence.derivatives(parameters, X)
    step = np.array([0.0, 1e-5])
    slope = (sequence.predict(parameters, X + step) - sequence.predict(parameters, X - step))[:, 0] / 2e-5
    np.testing.assert_allclose(derivatives["u_t"], slope, atol=1e-9)


def test_adam_and_the_minimizers_of_scipy_train_terms(module):
    """Training by Adam with points that are drawn anew, then L-BFGS, lowers the same loss."""
    low, high, exact = PROBLEMS["heat"]
    data = {"heat": nn.Points(low, high, 200, every=40), "data": (edges(low, high, 20), exact)}
    options = {"data": data, "loss_weights": chosen("heat", "data")}
    first = module.train(**options, optimizer="adam", learning_rate=0.01, epochs=200)
    assert first.epochs == 200
    assert first.loss < 0.1 * first.history[0]
    last = module.minimize(**options, parameters=first.parameters, options={"maxiter": 100})
    assert last.loss < 0.1 * first.loss
    parts = [module.train(**options, epochs=40), module.train(**options, epochs=41)]
    drawn = module.stack({**data, "heat": nn.Points(low, high, 200, every=1)}, options["loss_weights"])
    anew = {**data, "heat": nn.Points(low, high, 200, every=40).draw(1)}
    np.testing.assert_array_equal(drawn[0], module.stack(data, options["loss_weights"])[0])
    last_update = module.train(
        data=anew, loss_weights=options["loss_weights"], parameters=parts[0].parameters, epochs=1
    )
    np.testing.assert_allclose(parts[1].parameters, last_update.parameters, rtol=1e-12)


@pytest.mark.parametrize(
    ("data", "weights", "message"),
    [
        (None, {}, "data is missing; expected a dictionary with samples for each term: heat, wave"),
        ({"heat": [[0, 0]]}, {"heat": 1}, "no samples for the term 'wave'"),
        ({"flow": [[0, 0]]}, {}, "data names 'flow', which there is not; there are: heat"),
        ({"heat": [[0, 0, 0]]}, chosen("heat"), r"data\['heat'\]: X has the shape \(1, 3\)"),
        ({"data": [[0, 0]]}, chosen("data"), r"data\['data'\] must be \(X, Y\), with the targets y in Y"),
        ({"data": ([[0, 0]], [1, 2])}, chosen("data"), r"the targets of data\['data'\] have the shape \(2, 1\)"),
        ({"data": ([[0, 0]], {"z": 1})}, chosen("data"), r"data\['data'\] has no array y; it has z"),
        ({"data": ([[0, 0]], [np.nan])}, chosen("data"), r"the targets of data\['data'\]\[0, 0\] is nan"),
        ({"heat": [[0, 0]]}, {**chosen("heat"), "flow": 1}, "loss_weights names 'flow'"),
        ({"heat": [[0, 0]]}, {**chosen("heat"), "heat": -1}, r"loss_weights\['heat'\]"),
        ({"heat": [[0, 0]]}, chosen(), "no samples for any term that counts"),
    ],
)
def test_data_that_do_not_fit_are_refused(module, data, weights, message):
    """An error names the term, and what it needs."""
    with pytest.raises(ValueError, match=message):
        module.train(data=data, loss_weights=weights)


def test_points_are_even_and_the_same_by_seed():
    """A quasi-random draw leaves no gap, stays within its box, and depends on the seed and the number alone."""
    points = nn.Points([0, -1, 2], [1, 1, 2], 512, seed=4)
    drawn = points.draw(3)
    np.testing.assert_array_equal(drawn, nn.Points([0, -1, 2], [1, 1, 2], 512, seed=4).draw(3))
    assert (drawn[:, 2] == 2).all()
    assert (abs(drawn[:, 1]) <= 1).all()
    assert not (drawn == points.draw(2)).all()
    counts = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=8, range=[(0, 1), (-1, 1)])[0]
    assert counts.min() >= 5
    assert counts.max() <= 11
    for arguments in (([0, 1], [1], 5), ([1], [0], 5), ([0], [1], 0), ([0], [np.inf], 5), ("a", [1], 5)):
        with pytest.raises(ValueError, match=r"low|high|count"):
            nn.Points(*arguments)
    with pytest.raises(ValueError, match="there is no method"):
        nn.Points(0, 1, 5, method="sobol")


def test_models_without_terms_take_no_data():
    """What is for losses by name says so elsewhere."""
    plain = built(nn.Sequential([nn.Dense(1)], inputs=1, name="plain"))
    with pytest.raises(ValueError, match="no terms with their own samples"):
        plain.train(data={"one": [[1.0]]})
    with pytest.raises(ValueError, match="is for networks with losses by name"):
        plain.derivatives([0.0, 0.0], [[1.0]])
    with pytest.raises(ValueError, match="a solution is drawn for networks with losses by name"):
        plain.train([[1.0]], [[1.0]], epochs=1).plot(kind="solution")


def test_solutions_are_drawn(module):
    """A result draws the solution over the plane, and the sizes of its residuals at the samples."""
    pytest.importorskip("matplotlib").use("Agg")
    low, high, exact = PROBLEMS["heat"]
    data = {"heat": nn.Points(low, high, 30), "data": (edges(low, high, 5), exact)}
    result = module.train(data=data, loss_weights=chosen("heat", "data"), epochs=1)
    left, right = result.plot().axes[:2]
    assert left.get_title() == "u"
    assert left.get_xlabel() == "x"
    assert len(right.collections[0].get_offsets()) == 45
    with pytest.raises(ValueError, match="there are no samples to draw"):
        module.minimize(*module.stack(data, chosen("heat", "data")), options={"maxiter": 1}).plot()


OSCILLATOR_DAMPING, OSCILLATOR_STIFFNESS = 0.4, 4.0


@pytest.fixture(scope="module")
def oscillator():
    """A damped oscillator that begins at rest at 1, which a formula around the network makes sure of."""
    w = sympy.Function("w")(t)
    equation = w.diff(t, 2) + mu * w.diff(t) + OSCILLATOR_STIFFNESS * w
    model = nn.Sequential(
        [nn.Dense(14, "tanh"), nn.Dense(1)],
        inputs=t,
        outputs={w: 1 + t**2 * w},
        name="oscillator",
        losses={"equation": equation, "data": w - y},
        parameters={mu: 0.1},
    )
    return nn.build(model, fit=True)


def test_an_unknown_damping_is_found_from_noisy_data(oscillator):
    """The coefficient of an equation is found to 1 % from 300 values with 2 % of noise."""
    generator = np.random.default_rng(0)
    times = np.sort(generator.uniform(0, 5, 300))
    rate = np.sqrt(OSCILLATOR_STIFFNESS - OSCILLATOR_DAMPING**2 / 4)
    decay = np.exp(-OSCILLATOR_DAMPING / 2 * times)
    motion = decay * (np.cos(rate * times) + OSCILLATOR_DAMPING / (2 * rate) * np.sin(rate * times))
    data = {"equation": np.linspace(0, 5, 100), "data": (times, motion + generator.normal(0, 0.02, 300))}
    fit = oscillator.train(data=data, loss_weights={"equation": 0.1}, optimizer="lm", epochs=150)
    assert oscillator.unpack(fit.parameters)["mu"] == pytest.approx(OSCILLATOR_DAMPING, rel=0.01)
    np.testing.assert_allclose(oscillator.predict(fit.parameters, times[:, None])[:, 0], motion, atol=0.01)
    start = oscillator.derivatives(fit.parameters, [[0.0]])
    assert start["w"] == 1
    assert start["w_t"] == 0
    pytest.importorskip("matplotlib").use("Agg")
    result = oscillator.train(data=data, parameters=fit.parameters, optimizer="lm", epochs=1)
    upper, lower = result.plot().axes
    assert len(upper.lines) == 1
    assert len(lower.lines) == 3


def test_second_derivatives_of_a_softmax():
    """The derivatives of several functions of one softmax are values at its places, one after the other."""
    p, q = (sympy.Function(name)(x, t) for name in "pq")
    losses = {"one": p.diff(x, 2) - q.diff(x, t), "two": q * p.diff(t, 2) - q.diff(x)}
    layers = [nn.Dense(3, "tanh"), nn.Dense(2, "softmax")]
    module = nn.build(nn.Sequential(layers, inputs=(x, t), outputs=(p, q), losses=losses, name="shares"), fit=True)
    parameters, X = module.initial_parameters(2), np.array([[0.25, -0.5], [1.0, 0.75]])
    derivatives = module.derivatives(parameters, X)
    np.testing.assert_allclose(derivatives["p"] + derivatives["q"], 1, rtol=1e-14)
    step = np.array([[1e-3, 0.0]])
    p_xx = second_difference(lambda Z: module.predict(parameters, Z)[:, 0], X, step)
    np.testing.assert_allclose(derivatives["p_xx"], p_xx, atol=1e-8)


def second_difference(function, X, step):
    """The second derivative along a step by five values, of the fourth order."""
    values = [function(X + k * step) for k in (-2, -1, 0, 1, 2)]
    return np.tensordot([-1, 16, -30, 16, -1], values, 1) / (12 * (step**2).sum())


# --- graphs of layers --------------------------------------------------------------------------------------------


def branches():
    """A path for each of two inputs, added."""
    place, time = nn.Input(x), nn.Input(t)
    h = nn.Activation("tanh")(nn.Dense(5, "tanh")(place) + nn.Dense(5, "tanh")(time))
    return [place, time], {u: nn.Dense(1)(h)}


def sharing():
    """One layer for two inputs, whose results are multiplied, with a path past it."""
    place, time = nn.Input(x), nn.Input(t)
    see = nn.Dense(4, "tanh", name="see")
    return [place, time], {u: nn.Dense(1)(nn.concatenate([see(place) * see(time), place]))}


def residual():
    """A block that is added to the inputs themselves, twice."""
    both = nn.Input((x, t))
    h = both + nn.Dense(2, "tanh")(both)
    return both, {u: nn.Dense(1)(h + nn.Dense(2, "tanh")(h))}


GRAPHS = {"branches": branches, "sharing": sharing, "residual": residual}


def by_mpmath(name, p, place, time):
    """The output of a graph, as it is meant, in many digits; p has the parameters by their names."""

    def dense(number, *values):
        weights = [p[key] for key in p if key.startswith(f"W{number}")]  # a matrix, or a column for each symbol
        b = np.atleast_1d(p[f"b{number}"])
        W = np.stack(weights, -1).reshape(len(b), len(values))
        return [mpmath.fdot(map(mpmath.mpf, row.tolist()), values) + float(c) for row, c in zip(W, b, strict=True)]

    def tanh(values):
        return [mpmath.tanh(value) for value in values]

    def joined(operation, first, second):
        return [operation(a, b) for a, b in zip(first, second, strict=True)]

    if name == "branches":
        (value,) = dense("5", *tanh(joined(operator.add, tanh(dense("1", place)), tanh(dense("2", time)))))
    elif name == "sharing":
        (value,) = dense("4", *joined(operator.mul, tanh(dense("_see", place)), tanh(dense("_see", time))), place)
    else:
        h = joined(operator.add, (place, time), tanh(dense("1", place, time)))
        (value,) = dense("5", *joined(operator.add, h, tanh(dense("3", *h))))
    return value


@pytest.mark.parametrize("name", GRAPHS)
def test_equations_of_graphs(name):
    """Branches, several inputs and shared layers: derivatives are those of many digits, gradients of differences."""
    losses = {"burgers": EQUATIONS["burgers"], "slope": u.diff(x) - y}
    model = nn.Network(*GRAPHS[name](), losses=losses, parameters={nu: 0.3}, name=name)
    module = nn.build(model, fit=True)
    parameters = np.random.default_rng(5).normal(size=module.parameter_count) / 2
    X, p = np.array([[0.25, -0.5], [1.0, 0.75], [-0.3, 0.1]]), module.unpack(parameters)
    derivatives = module.derivatives(parameters, X)
    with mpmath.workdps(40):
        for key, orders in {"u": (0, 0), "u_x": (1, 0), "u_t": (0, 1), "u_xx": (2, 0)}.items():
            function = lambda *at: by_mpmath(name, p, *at)  # noqa: E731
            expected = [float(mpmath.diff(function, tuple(map(mpmath.mpf, row)), orders)) for row in X.tolist()]
            np.testing.assert_allclose(derivatives[key], expected, rtol=1e-11, atol=1e-13)
    data = {"burgers": X, "slope": (X[:2], [0.5, -1.0])}
    samples = module.stack(data, {"slope": 3.0})
    left = derivatives["u_t"] + derivatives["u"] * derivatives["u_x"] - p["nu"] * derivatives["u_xx"]
    expected = np.mean(left**2) + 3 * np.mean((derivatives["u_x"][:2] - [0.5, -1.0]) ** 2)
    loss, gradient = module.loss_and_gradient(parameters, *samples)
    assert loss == pytest.approx(expected, rel=1e-12)
    steps = 1e-6 * np.eye(len(parameters))
    slopes = [module.loss(parameters + e, *samples) - module.loss(parameters - e, *samples) for e in steps]
    np.testing.assert_allclose(gradient, np.array(slopes) / 2e-6, rtol=1e-6, atol=1e-8)


def test_a_graph_solves_an_equation():
    """The wave equation by a network of two paths, around which a formula has the values and the speed at the start."""
    both = nn.Input((x, t))
    h = nn.Dense(10, "tanh")(both) + nn.Dense(10, "tanh")(nn.Dense(4)(both))
    model = nn.Network(
        both,
        {u: nn.Dense(1)(h)},
        formulas={u: sympy.sin(x) + t**2 * u},
        name="waves",
        losses={"wave": EQUATIONS["wave"], "data": u - y},
    )
    module = nn.build(model, fit=True)
    low, high, exact = PROBLEMS["wave"]
    border = np.concatenate([nn.Points((end, 0), (end, 2), 40).draw() for end in (0, np.pi)])
    data = {"wave": nn.Points(low, high, 300), "data": (border, exact)}
    result = module.train(data=data, optimizer="lm", epochs=150)
    X = nn.Points(low, high, 500, seed=1).draw()
    predicted = module.predict(result.parameters, X)[:, 0]
    assert np.linalg.norm(predicted - exact(X)) < 2e-3 * np.linalg.norm(exact(X)), result
