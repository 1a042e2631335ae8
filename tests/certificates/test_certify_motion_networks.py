"""Exact solutions of equations with networks, their derivatives by weights, and certificates of chosen steps."""

import json

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import nncodegen as nn
from nncodegen.certificates import trajectories
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.examination_points import Point
from nncodegen.certificates.radau import Radau
from nncodegen.certificates.tolerances import KINDS, _derivatives_of_steps, examined, left_out, system_of
from nncodegen.certificates.trajectories import MOST_WEIGHTS, compared_of, exact_of
from nncodegen.compiler.describe import identity_of
from tests.support.motion import Taken, weights_of

pytestmark = pytest.mark.usefixtures("quick_compiler")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Give these tests a cache of their own: workers that share one write the certificate of the same module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNCODEGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def layers(*units, inputs=1, activation="tanh"):
    """A network whose last layer has no activation."""
    *hidden, last = units
    return nn.Sequential([*(nn.Dense(count, activation) for count in hidden), nn.Dense(last)], inputs=inputs)


def scalar(network=None, **options):
    """One state that a network drives."""
    network = layers(2, 1) if network is None else network
    return nn.Dynamics("u' = f(u) - u", {"u": "a"}, inputs="a", networks={"f": network}, **{"times": 3, **options})


def planar(*units, activation="tanh", **options):
    """Two states with a network that has two outputs."""
    return nn.Dynamics(
        ["u' = f(u, v)", "v' = c*g(u, v) - v"],
        {"u": "a", "v": 1},
        {"c": 1.2},
        inputs="a",
        networks={("f", "g"): layers(*units, 2, inputs=2, activation=activation)},
        **{"times": 3, **options},
    )


def steered():
    """A state with held columns, doses, a start that is a parameter, and an observed network."""
    return nn.Dynamics(
        "u' = f(u, w) - k*u",
        {"u": "u0"},
        {"k": 0.5, "share": 1.2, "u0": 0.8},
        columns=["w", "dose"],
        jumps={"u": "u + share*dose"},
        observed={"u": "u", "force": "k*f(u, w)"},
        start=0,
        times=3,
        networks={"f": layers(2, 1, inputs=2, activation="softplus")},
    )


def exact_at(model, parameters, X, derived=True):
    """The exact results of one row."""
    program = model.describe()
    targets = sum(tensor.size for tensor in program.targets)
    point = Point("ordinary", np.asarray(parameters, float), np.array([X], float), np.full((1, targets), 0.3))
    (exact,) = exact_of(program, point, derived)
    return exact


def drawn(model, scale=1.0):
    """Parameters of a model."""
    return scale * np.random.default_rng(3).normal(size=model.describe().parameter_count)


def by_differences(model, parameters, X, number):
    """The derivatives of outputs and loss by one parameter, as central differences of exact solutions."""
    ends = []
    for side in (1, -1):
        moved = parameters.copy()
        moved[number] += side * 2.0**-20
        exact_values = exact_at(model, moved, X, derived=False)
        ends.append((np.array([*exact_values.outputs.exact.flat, exact_values.loss.exact[0]]), moved[number]))
    return ((ends[0][0] - ends[1][0]) / (ends[0][1] - ends[1][1])).astype(float)


# --- exact solutions ---------------------------------------------------------------------------------------------


def test_states_and_derivatives_by_the_series_of_mpmath():
    """A solution, and its derivative along a direction of all weights, are those of mpmath's odefun to 13 digits."""
    model, times = scalar(), [0, 0.4, 1.0]
    parameters = drawn(model)
    exact_values = exact_at(model, parameters, [*times, 0.7])
    direction = np.random.default_rng(4).normal(size=len(parameters))
    W, b, V, c = (mpmath.matrix(weight.ravel().tolist()) for weight in weights_of(model, parameters).values())
    dW, db, dV, dc = (mpmath.matrix(weight.ravel().tolist()) for weight in weights_of(model, direction).values())

    def rates(t, z):
        u, along = z
        h = [mpmath.tanh(W[j] * u + b[j]) for j in range(2)]
        moved = [(1 - h[j] ** 2) * (dW[j] * u + W[j] * along + db[j]) for j in range(2)]
        force = sum(V[j] * h[j] for j in range(2)) + c[0]
        return [force - u, sum(dV[j] * h[j] + V[j] * moved[j] for j in range(2)) + dc[0] - along]

    with mpmath.workdps(20):
        series = mpmath.odefun(rates, 0, [mpmath.mpf(0.7), mpmath.mpf(0)])
        for t, u, slopes in zip(times, exact_values.outputs.exact[0], exact_values.jacobian.exact, strict=True):
            state, along = series(t)
            assert abs(state - u) < 1e-13
            assert abs(along - mpmath.fdot(slopes, direction.tolist())) < 1e-13


def test_two_layers_of_some_units():
    """States are those of SciPy with layers in NumPy, derivatives by weights differences of exact solutions."""
    model, times = planar(4, 3), [0, 0.3, 0.8]
    parameters = drawn(model, 0.5)
    w = weights_of(model, parameters)
    exact_values = exact_at(model, parameters, [*times, 0.7])

    def rates(t, y):
        h = np.tanh(w["f_W2"] @ np.tanh(w["f_W1"] @ y + w["f_b1"]) + w["f_b2"])
        f, g = w["f_W3"] @ h + w["f_b3"]
        return [f, parameters[0] * g - y[1]]

    expected = solve_ivp(rates, (0, 0.8), [0.7, 1], "DOP853", times, rtol=1e-12, atol=1e-13).y
    np.testing.assert_allclose(exact_values.outputs.exact.astype(float), expected, rtol=1e-9, atol=1e-10)
    slopes, gradient = exact_values.jacobian.exact.astype(float), exact_values.gradient.exact.astype(float)
    for number in (0, 20, len(parameters) - 1):
        expected = by_differences(model, parameters, [*times, 0.7], number)
        np.testing.assert_allclose([*slopes[:, number], gradient[number]], expected, rtol=1e-8, atol=1e-10)


def test_columns_jumps_and_an_observed_network():
    """Derivatives go through columns and jumps, and by weights that what is observed reads beside the states."""
    model = steered()
    parameters = np.array([0.5, 1.2, 0.8, *drawn(model)[3:]])
    row = [0.5, 1.0, 2.0, 0.3, 1.0, -0.5, 1.0, 0.0, 0.7]
    exact_values = exact_at(model, parameters, row)
    slopes, gradient = exact_values.jacobian.exact.astype(float), exact_values.gradient.exact.astype(float)
    for number in (0, 1, 2, 5, len(parameters) - 1):
        expected = by_differences(model, parameters, row, number)
        np.testing.assert_allclose([*slopes[:, number], gradient[number]], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "layer", [nn.LayerNormalization(), nn.Activation("softmax"), nn.BatchNormalization(frozen=True)]
)
def test_layers_that_mix_units(layer):
    """Normalizations and a softmax over the units have exact derivatives, too; what is not trained has zeros."""
    network = nn.Sequential([nn.Dense(3), layer, nn.Activation("tanh"), nn.Dense(1)], inputs=1)
    model = scalar(network, times=2)
    initial = np.concatenate(
        [np.full(parameter.size, 1 + 0.1 * k) for k, parameter in enumerate(model.describe().parameters)]
    )
    parameters = initial * np.linspace(0.8, 1.3, len(initial))
    exact_values = exact_at(model, parameters, [0, 1, 0.7])
    slopes = exact_values.jacobian.exact.astype(float)
    kept = np.concatenate([[parameter.trained] * parameter.size for parameter in model.describe().parameters])
    assert np.all(slopes[:, ~kept] == 0)
    for number in np.flatnonzero(kept)[[4, -5, -1]]:
        expected = by_differences(model, parameters, [0, 1, 0.7], number)
        np.testing.assert_allclose(slopes[:, number], expected[:-1], rtol=1e-8, atol=1e-10)


def test_a_stiff_network():
    """Large weights make equations stiff: states are those of SciPy's Radau."""
    model, times = planar(4), [0, 0.01, 1.0]
    parameters = drawn(model)
    w = weights_of(model, parameters)
    for name, factor in (("f_W1", 3), ("f_W2", 200)):
        w[name] *= factor
    parameters = np.array([parameters[0], *np.concatenate([w[k].ravel() for k in ("f_W1", "f_b1", "f_W2", "f_b2")])])

    def rates(t, y):
        f, g = w["f_W2"] @ np.tanh(w["f_W1"] @ y + w["f_b1"]) + w["f_b2"]
        return [f, parameters[0] * g - y[1]]

    exact_values = exact_at(model, parameters, [*times, 0.7], derived=False)
    expected = solve_ivp(rates, (0, 1), [0.7, 1], "Radau", times, rtol=1e-11, atol=1e-12).y
    np.testing.assert_allclose(exact_values.outputs.exact.astype(float), expected, rtol=1e-8, atol=1e-8)


def test_double_precision_is_only_a_guess(monkeypatch):
    """States that are first solved in double precision are those that are not, to twice as many digits."""
    model = planar(3)
    row, parameters = [0, 0.5, 2.0, 0.7], drawn(model)
    whole = exact_at(model, parameters, row)
    monkeypatch.setattr(trajectories, "Radau", lambda *arguments: Radau(*arguments[:5]))
    again = exact_at(model, parameters, row)
    for first, second in (
        (whole.solution.states, again.solution.states),
        (whole.solution.slopes, again.solution.slopes),
    ):
        assert np.all(abs(first - second) <= 1e-14 * np.max(abs(second), axis=0) + 1e-16)


# --- certificates ------------------------------------------------------------------------------------------------


CERTIFIED = planar(2, rtol=1e-5, name="certified_network")


def test_a_certificate():
    """Every figure of a network holds, with the derivatives by all of its weights, and holds again when verified."""
    model = CERTIFIED
    certificate = nn.certify(model, points=1)
    assert certificate.holds
    assert certificate.points == dict.fromkeys(KINDS, 1)
    weights = {"d_c", "d_f_W1", "d_f_b1", "d_f_W2", "d_f_b2"}
    assert {figure.quantity for figure in certificate.figures} == {"u", "v", "loss", "jacobian", *weights}
    assert all(figure.error < figure.bound == 100 for figure in certificate.figures)
    assert nn.verify(nn.build(model)).holds


def test_another_activation_is_found_out():
    """A module whose layers are others than those of the model is far from the exact solution."""
    network, other = (planar(2, activation=activation, rtol=1e-4).describe() for activation in ("tanh", "softsign"))
    for program, verdicts in ((network, {"holds"}), (other, {"holds", "wrong"})):
        compared, _ = examined([Taken(program, differences=False)], network, 1, 1, 0)
        assert {result.figure.verdict for result in compared if result.figure.quantity == "u"} == verdicts
        assert any(result.figure.verdict == "wrong" for result in compared if result.figure.quantity.startswith("d_f"))


def test_derivatives_of_the_steps_that_are_taken():
    """The gradient of a module is that of the same steps in NumPy: if it is far off, no fault of the C is named."""
    model = CERTIFIED
    program, X = model.describe(), np.array([[0, 0.5, 1.0, 0.7]])
    point = Point("ordinary", drawn(model), X, np.full((1, 6), 0.3))
    assert _derivatives_of_steps(nn.build(model), program, point)
    assert not _derivatives_of_steps(Taken(program, differences=False), program, point)


def test_equations_are_read_back():
    """Layers in the equations go through the file of a certificate, and keep the hash of the model."""
    for model in (planar(3, 2), steered()):
        program = model.describe()
        read = from_data(json.loads(json.dumps(to_data(program))))
        assert system_of(read) == system_of(program)
        assert identity_of(read) == identity_of(program)


def test_very_many_weights():
    """Of many weights some of each tensor are drawn, and the certificate says so; other parameters are all compared."""
    few, many = planar(8, 8).describe(), planar(40, 20).describe()
    assert [*compared_of(few)] == [*range(few.parameter_count)]
    compared = compared_of(many)
    assert 0 in compared
    assert MOST_WEIGHTS - 10 < len(compared) < MOST_WEIGHTS + 10
    ends = np.cumsum([parameter.size for parameter in many.parameters])
    assert {*np.searchsorted(ends, compared, "right")} == {*range(len(many.parameters))}
    assert any("weights" in parameter for parameter in left_out(many, ()))
    assert not any("weights of networks" in parameter for parameter in left_out(few, ()))
