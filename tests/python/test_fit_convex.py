"""Fits by losses that are no sums of squares: generalized Gauss-Newton, and what it refuses."""

import importlib

import numpy as np
import pytest
import sympy

import nncodegen as nn

curvature = importlib.import_module("nncodegen.compiler.passes.fitting.curvature")

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 1))
LABELS = (RNG.random((300, 1)) < 1 / (1 + np.exp(-0.5 - 1.5 * X))).astype(float)
COUNTS = RNG.poisson(np.exp(1 + 0.5 * X)).astype(float)
DESIGN = np.hstack([np.ones_like(X), X])
x, y, a, b = sympy.symbols("x y a b")
LINE = a + b * x


def formula(name, output, loss, start=(0, 0)):
    start = dict(zip((a, b), start, strict=True))
    return nn.build(nn.Model(name, inputs=x, targets=y, parameters=start, output=output, loss=loss))


@pytest.fixture(scope="module")
def logistic():
    p = 1 / (1 + sympy.exp(-LINE))
    return formula("logistic", p, -(y * sympy.log(p) + (1 - y) * sympy.log(1 - p)))


@pytest.fixture(scope="module")
def poisson():
    rate = sympy.exp(LINE)
    return formula("poisson", rate, rate - y * sympy.log(rate))


def newton(mean, weight, targets):
    """The maximum of a likelihood with canonical link, by Newton's method, and the inverse of its information."""
    beta = np.zeros(2)
    for _ in range(50):
        eta = DESIGN @ beta[:, None]
        information = DESIGN.T @ (DESIGN * weight(eta))
        beta = beta - np.linalg.solve(information, DESIGN.T @ (mean(eta) - targets))[:, 0]
    return beta, np.linalg.inv(information)


def sigmoid(eta):
    return 1 / (1 + np.exp(-eta))


def test_logistic_regression(logistic):
    """Parameters and covariance are those of the maximum of the likelihood and of Fisher's information."""
    result = logistic.fit(X, LABELS)
    beta, inverse = newton(sigmoid, lambda eta: sigmoid(eta) * (1 - sigmoid(eta)), LABELS)
    assert result.converged
    assert np.allclose(result.parameters, beta, rtol=1e-10)
    assert np.allclose(result.covariance, inverse, rtol=1e-9)
    p = sigmoid(DESIGN @ beta[:, None])
    assert result.cost == pytest.approx(-np.sum(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p)), rel=1e-12)


def test_poisson_regression(poisson):
    """So they are for counts, where losses may be negative, and so is the sum of them."""
    result = poisson.fit(X, COUNTS)
    beta, inverse = newton(np.exp, np.exp, COUNTS)
    assert result.cost < 0
    assert np.allclose(result.parameters, beta, rtol=1e-10)
    assert np.allclose(result.covariance, inverse, rtol=1e-9)


def test_outputs_that_are_fitted_together(poisson):
    """Two regressions as one network: parameters, errors and costs are those of each alone, and values are counted."""
    module = nn.build(nn.Sequential([nn.Dense(2, sympy.exp)], 1, "poisson", name="two_rates"), fit=True)
    both = np.hstack([COUNTS, RNG.poisson(np.exp(0.2 - 0.7 * X))])
    costs = []
    together = module.fit(X, both, callback=lambda progress: costs.append(progress.cost))
    alone = [poisson.fit(X, targets) for targets in both.T]
    expected = np.concatenate([fit.parameters for fit in alone])
    slopes, constants = together.parameters[:2], together.parameters[2:]
    assert np.allclose(np.column_stack([constants, slopes]).ravel(), expected, rtol=1e-9)
    errors = together.standard_errors
    expected = np.concatenate([fit.standard_errors for fit in alone])
    assert np.allclose(np.column_stack([errors[2:], errors[:2]]).ravel(), expected, rtol=1e-7)
    assert together.used == 600
    assert together.cost == pytest.approx(sum(fit.cost for fit in alone), rel=1e-9)
    assert costs[-1] == pytest.approx(together.cost, rel=1e-12)


def test_steps_of_a_sequence():
    """Each step of a sequence of classes has a likelihood: errors are those of its steps as samples of their own."""
    sequence, points, targets = several("steps")
    module, single = (
        nn.build(model, fit=True)
        for model in (sequence, nn.Sequential([nn.Dense(3, "softmax")], 2, "categorical_crossentropy", name="class_of"))
    )
    fitted = module.fit(points, targets, fixed=HELD)
    expected = single.fit(points.reshape(-1, 2), targets.reshape(-1, 3), p0=fitted.p0, fixed=HELD)
    assert fitted.used == expected.used == 360
    assert np.allclose(fitted.parameters, expected.parameters, rtol=1e-7)
    assert np.allclose(fitted.covariance, expected.covariance, rtol=1e-6)
    assert (fitted.cost, fitted.bic) == pytest.approx((expected.cost, expected.bic), rel=1e-9)


def test_bounds(poisson):
    """A bound that holds a parameter leaves the best of the other."""
    result = poisson.fit(X, COUNTS, bounds={"b": (None, 0.2)})
    assert result.at_bound.tolist() == [False, True]
    alone = np.log(COUNTS.sum() / np.exp(0.2 * X).sum())  # where the derivative by a is 0
    assert np.allclose(result.parameters, [alone, 0.2], rtol=1e-9)


def test_criteria(poisson):
    """The cost counts as a negative log-likelihood; what belongs to squares is NaN, or raises ValueError."""
    result = poisson.fit(X, COUNTS)
    assert result.aic == 2 * result.cost + 4
    assert result.bic == 2 * result.cost + 2 * np.log(300)
    assert np.isnan([result.chi2, result.reduced_chi2, result.r2]).all()
    assert "sum of losses" in str(result)
    assert "chi2" not in str(result) + repr(result)
    for arguments in ({"sigma": 1.0}, {"loss": "huber"}):
        with pytest.raises(ValueError, match="is for least squares"):
            poisson.fit(X, COUNTS, **arguments)
    with pytest.raises(ValueError, match="no residuals to draw"):
        result.plot(kind="fit")


def test_profile_intervals(poisson):
    """Profiles of the likelihood end where it has fallen as far as the quantile says."""
    pytest.importorskip("scipy")
    result = poisson.fit(X, COUNTS)
    low, high = result.confidence_intervals(method="profile")[1]
    for end in (low, high):
        fixed = poisson.fit(X, COUNTS, p0=[result.parameters[0], end], fixed=["b"])
        assert 2 * (fixed.cost - result.cost) == pytest.approx(1.959963985**2, rel=1e-6)


def test_missing_rows(poisson):
    """A row without its target is left out."""
    missing = COUNTS.copy()
    missing[7:90:3] = np.nan
    known = ~np.isnan(missing[:, 0])
    result, expected = poisson.fit(X, missing), poisson.fit(X[known], COUNTS[known])
    assert result.used == known.sum() == expected.used
    assert np.allclose(result.parameters, expected.parameters, rtol=1e-12)


def test_sums_around_an_output():
    """A loss is seen to depend on an output whose sum SymPy has merged with it; then there is a jacobian."""
    rate = sympy.exp(b * x) + 1
    model = nn.Model("shifted", inputs=x, targets=y, parameters={b: 0}, output=rate, loss=rate - y * sympy.log(rate))
    module = nn.build(model)
    result = module.fit(X, COUNTS)
    (slope,) = result.parameters
    outputs = np.exp(slope * X) + 1
    assert abs(np.sum((1 - COUNTS / outputs) * X * (outputs - 1))) < 1e-6
    assert np.allclose(module.jacobian([slope], X)[:, 0], X * np.exp(slope * X), rtol=1e-12)


def test_jacobian_of_logits(logistic):
    """Where the fit differentiates logits, there is no jacobian of the outputs."""
    with pytest.raises(ValueError, match="has no jacobian: its fit differentiates"):
        logistic.jacobian([0.0, 1.0], X)


@pytest.mark.parametrize("loss", ["huber", "log_cosh"])
def test_robust_losses(loss):
    """They are fitted from a start at which all of the data are outliers, where huber has no curvature."""
    pytest.importorskip("scipy")
    module = nn.build(nn.Sequential([nn.Dense(1)], 1, loss), fit=True)
    data = 20 + 3 * X + RNG.normal(size=X.shape)
    result = module.fit(X, data)
    best = module.minimize(X, data, options={"gtol": 1e-12, "ftol": 1e-15})
    assert result.converged
    assert np.allclose(result.parameters, best.parameters, rtol=1e-6)
    assert result.cost / 300 <= best.loss * (1 + 1e-12)


@pytest.mark.parametrize("seed", [0, 13])  # rounding once hid one of the three shifts with 13
def test_softmax(seed):
    """A regression of classes, with labels, whose parameters are determined up to a shift alone."""
    pytest.importorskip("scipy")
    module = nn.build(nn.Sequential([nn.Dense(3, "softmax")], 2, "categorical_crossentropy"), fit=True)
    random = np.random.default_rng(seed)
    points = random.normal(size=(400, 2))
    labels = np.argmax(points @ [[1.0, -1, 0], [0, 1, -1]] + random.gumbel(size=(400, 3)), axis=1)
    result = module.fit(points, labels)
    best = module.minimize(points, labels, options={"gtol": 1e-12, "ftol": 1e-15})
    assert result.converged
    assert result.rank == 6
    assert result.cost / 400 == pytest.approx(best.loss, rel=1e-10)


def test_not_convex():
    """A negative curvature is an error, with the row where it was met."""
    module = formula("valley", LINE, (LINE**2 - y) ** 2, (1, 0))
    targets = np.zeros((150, 1))
    targets[100] = 50
    with pytest.raises(ValueError, match="not convex in the outputs at row 100"):
        module.fit(X[:150], targets)


def test_no_curvature():
    """A loss without curvature is an error that says so."""
    module = formula("distances", LINE, sympy.Abs(LINE - y))
    with pytest.raises(ValueError, match="no curvature in the outputs"):
        module.fit(X, COUNTS)
    with pytest.raises(nn.ModelError, match="no curvature in the outputs"):
        nn.build(nn.Sequential([nn.Dense(1)], 1, "mae"), fit=True)


@pytest.mark.parametrize("times", [1, 6])
def test_likelihood_as_an_output(times):
    """A loss that is affine in the outputs is refused, with what to use: its parameters are those of minimize."""
    at = np.linspace(0, 2, times)
    data = 3 * np.exp(-0.5 * at) + 0.1 * RNG.normal(size=(20, times))
    model = nn.Dynamics(
        "u' = -0.5*u",
        initial={"u": "u0"},
        parameters={"u0": 1, "log_sigma": 0},
        columns="seen",
        observed={"value_loss": "log_sigma + (u - seen)**2/2*exp(-2*log_sigma)"},
        loss=lambda value_loss, _: value_loss,
        times=times,
        steps=4,
        name=f"likelihood_{times}",
    )
    module = nn.build(model)
    rows, unused = np.hstack([np.tile(at, (20, 1)), data]), np.zeros((20, times))
    for refused in (module.fit, lambda *_: module.jacobian(np.ones(2), rows)):
        with pytest.raises(ValueError, match=r"affine in the outputs.*; use minimize: .* hessian") as e:
            refused(rows, unused)
        assert "is none" not in str(e.value)
    best = module.minimize(rows, unused)
    curve = np.exp(-0.5 * at)
    u0 = (data @ curve).mean() / (curve @ curve)
    deviation = np.sqrt(((data - u0 * curve) ** 2).mean())
    assert np.allclose(best.parameters, [u0, np.log(deviation)], atol=1e-5)
    information = data.size * module.hessian(best.parameters, rows, unused)
    assert np.allclose(np.linalg.inv(information)[1, 1], 1 / (2 * data.size), rtol=1e-3)  # of a normal distribution


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        ("(a*x - s)**2 + exp(-b*x)", "affine in output2, .*; use minimize"),
        ("(exp(-b*x) - t)**2*1.5 + a*x*s", "affine in output1, .*; use minimize"),
        ("(a*x - s)**2 + Abs(exp(-b*x) - t)", "no curvature in output2, .*; use train or minimize"),
    ],
)
def test_some_outputs_without_curvature(loss, reason):
    """A loss that has no curvature in one of its outputs is refused, by the name of this output."""
    module = nn.build(nn.Model("half", "x", "s t", {"a": 1, "b": 0.5}, ["a*x", "exp(-b*x)"], loss=loss))
    at = np.linspace(0.1, 1, 20)[:, None]
    with pytest.raises(ValueError, match=reason):
        module.fit(at, np.hstack([2 * at, np.exp(-at)]))


def test_curvature_in_each_output():
    """A loss with curvature in each output is fitted where it is no sum of squares, too: gradients vanish there."""
    loss = "(a*x - s)**2 + (exp(-b*x) - t)**2 + a*x*exp(-b*x)/10"
    module = nn.build(nn.Model("both", "x", "s t", {"a": 1, "b": 0.5}, ["a*x", "exp(-b*x)"], loss=loss))
    at = np.linspace(0.1, 1, 20)[:, None]
    data = at, np.hstack([2 * at, np.exp(-at)])
    fitted = module.fit(*data)
    assert fitted.status == "converged"
    assert np.abs(module.loss_and_gradient(fitted.parameters, *data)[1]).max() < 1e-7


HELD = [4, 5, 8]
"""The parameters of one of the classes of "steps", which may have any: the others determine the probabilities."""


def several(name, ending=""):
    """A model with a convex loss of several outputs, and data for it."""
    random = np.random.default_rng(8)
    if name == "motion":
        model = nn.Dynamics(
            "u' = -k*u",
            {"u": "u0"},
            {"k": 0.5, "u0": 30.0},
            times=9,
            steps=2,
            name=f"counts_of_motion{ending}",
            observed={"h": "log(u)", "g": "log(u**2 + 1)"},
            loss=lambda h, count: sympy.exp(h) - count * h,
        )
        times = np.sort(random.uniform(0, 4, (3, 9)), axis=1)
        rates = 20 * np.exp(-0.4 * times)
        return model, times, random.poisson(np.hstack([rates, rates**2 + 1])).astype(float)
    points = random.normal(size=(90, 8))
    if name == "outputs":
        model = nn.Sequential(
            [nn.Dense(2, "tanh"), nn.Dense(3, "sigmoid")], 8, "binary_crossentropy", name=f"yes_or_no{ending}"
        )
        return model, points, (random.random((90, 3)) < 0.4).astype(float)
    model = nn.Sequential([nn.Dense(3, "softmax")], (4, 2), "categorical_crossentropy", name=f"steps{ending}")
    return model, points, np.eye(3)[random.integers(0, 3, (90, 4))].reshape(90, 12)


def fit_and_block(model, points, targets, held):
    """The first steps of a fit, and the number of outputs in each block of second derivatives."""
    block = nn.compile_model(model, until="simplify", fit=True).findings.fitting.block
    return nn.build(model, fit=True).fit(points, targets, max_iterations=4, fixed=held), block


@pytest.mark.filterwarnings("ignore:the fit of .* did not converge")
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("name", "size"), [("motion", 1), ("outputs", 1), ("steps", 3)])
def test_blocks(name, size, missing, monkeypatch):
    """Taken in blocks, second derivatives give the fit that they give as one matrix."""
    model, points, targets = several(name, "_in_blocks")
    if missing:
        targets[1] = np.nan  # as one matrix, a row is left out whole
    arguments = points, targets, HELD if name == "steps" else []
    in_blocks, block = fit_and_block(model, *arguments)
    monkeypatch.setattr(curvature, "block_of", lambda steps, seeds, products, program: targets.shape[1])
    expected, whole = fit_and_block(several(name, "_as_one")[0], *arguments)  # a part of the module is made by its fit
    assert (block, whole) == (size, targets.shape[1])
    assert (in_blocks.used, in_blocks.rank, in_blocks.iterations) == (expected.used, expected.rank, expected.iterations)
    assert in_blocks.cost == pytest.approx(expected.cost, rel=1e-11)
    assert np.allclose(in_blocks.parameters, expected.parameters, rtol=1e-7, atol=1e-9)
    assert np.allclose(in_blocks.covariance, expected.covariance, rtol=1e-6)


def losses_of(name, predicted, targets):
    """The losses of "motion", "outputs" or "steps", one for each block of outputs."""
    if name == "motion":
        return np.exp(predicted) - targets * predicted
    if name == "outputs":
        return -targets * np.log(predicted) - (1 - targets) * np.log1p(-predicted)
    return -(targets * np.log(predicted)).reshape(-1, 4, 3).sum(axis=2)


@pytest.mark.filterwarnings("ignore:the fit of .* did not converge")
@pytest.mark.parametrize(("name", "block"), [("motion", 1), ("outputs", 1), ("steps", 3)])
def test_missing_targets_of_several(name, block):
    """A missing target leaves out its own value, or the step one of whose probabilities it is, and no others."""
    model, points, targets = several(name, "_with_gaps")
    targets[0, 0] = targets[1, 2] = np.nan
    targets[2, :] = np.nan
    module = nn.build(model, fit=True)
    result = module.fit(points, targets, max_iterations=4, fixed=HELD if name == "steps" else [])
    losses = losses_of(name, module.predict(result.parameters, points), targets)
    assert result.used == np.isfinite(losses).sum() == targets.size // block - 2 - targets.shape[1] // block
    assert result.cost == pytest.approx(np.nansum(losses), rel=1e-12)


def test_errors_with_missing_targets():
    """The minimum and the Fisher information are those of the values that are known."""
    model, times, counts = several("motion", "_with_some")
    missing = np.random.default_rng(4).random(counts.shape) < 0.3
    counts[missing] = np.nan
    module = nn.build(model, fit=True)
    result = module.fit(times, counts)
    assert result.converged
    means = np.exp(module.predict(result.parameters, times))
    slopes = module.jacobian(result.parameters, times)[~missing]
    information = slopes.T @ (means[~missing][:, None] * slopes)
    assert np.allclose(slopes.T @ (means - counts)[~missing], 0, atol=1e-4 * np.sqrt(np.diag(information)))
    assert np.allclose(result.covariance, np.linalg.inv(information), rtol=1e-6)


def test_a_loss_of_all_targets():
    """Where a loss sees all outputs together, as those of a softmax, a missing target leaves out the row."""
    random = np.random.default_rng(9)
    module = nn.build(
        nn.Sequential([nn.Dense(3, "softmax")], 2, "categorical_crossentropy", name="one_of_three"), fit=True
    )
    points, targets = random.normal(size=(60, 2)), np.eye(3)[random.integers(0, 3, 60)]
    targets[7, 1] = np.nan
    known = np.arange(60) != 7
    held = [4, 5, 8]
    result, expected = (module.fit(*data, fixed=held) for data in ((points, targets), (points[known], targets[known])))
    assert result.used == expected.used == 59
    assert np.allclose(result.parameters, expected.parameters, rtol=1e-9)


def test_several_probabilities_of_different_sizes():
    """Two softmax outputs have the values, losses and gradients of NumPy; their fit is that of one for each.

    Where a target is missing, the sample is left out: their second derivatives are one block.
    """

    def probabilities(z):
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    random, sizes = np.random.default_rng(11), {"kind": 3, "sort": 4}
    rows = random.normal(size=(150, 2))
    drawn = [probabilities(rows @ random.normal(size=(2, count))) for count in sizes.values()]
    labels = [np.eye(p.shape[1])[[random.choice(p.shape[1], p=row) for row in p]] for p in drawn]
    Y = np.hstack(labels)
    inputs = nn.Input(2, "x")
    outputs = {name: nn.Dense(count, "softmax")(inputs) for name, count in sizes.items()}
    module = nn.build(
        nn.Network(inputs, outputs, loss=dict.fromkeys(sizes, "categorical_crossentropy"), name="heads"), fit=True
    )

    def of(parameters):
        W1, b1, W2, b2 = module.unpack(parameters).values()
        predicted = np.hstack([probabilities(rows @ W1.T + b1), probabilities(rows @ W2.T + b2)])
        slopes = [part.T @ np.c_[rows, np.ones(150)] / 150 for part in np.split(predicted - Y, [3], axis=1)]
        gradient = np.concatenate([part.ravel() for slope in slopes for part in (slope[:, :2], slope[:, 2])])
        return predicted, -(Y * np.log(predicted)).sum() / 150, gradient

    start = module.initial_parameters(1)
    expected, loss, gradient = of(start)
    np.testing.assert_allclose(module.predict(start, rows), expected, rtol=1e-13)
    np.testing.assert_allclose(module.loss(start, rows, Y), loss, rtol=1e-13)
    np.testing.assert_allclose(module.loss_and_gradient(start, rows, Y)[1], gradient, atol=1e-14)
    trained = module.train(rows, Y, start, learning_rate=0.5, epochs=1)
    np.testing.assert_allclose(trained.parameters, start - 0.5 * gradient, rtol=1e-12)
    held = {"b1[2]": 0, "W1[2,0]": 0, "W1[2,1]": 0, "b2[3]": 0, "W2[3,0]": 0, "W2[3,1]": 0}
    fitted = module.fit(rows, Y, fixed=held)
    assert fitted.status == "converged"
    assert np.abs(of(fitted.parameters)[2]).max() < 1e-9
    singles = [
        nn.Sequential([nn.Dense(count, "softmax")], 2, "categorical_crossentropy", name=f"head_of_{name}")
        for name, count in sizes.items()
    ]
    places = [{"b1[2]": 0, "W1[2,0]": 0, "W1[2,1]": 0}, {"b1[3]": 0, "W1[3,0]": 0, "W1[3,1]": 0}]
    costs = [
        nn.build(single, fit=True).fit(rows, part, fixed=fixed).cost
        for single, part, fixed in zip(singles, labels, places, strict=True)
    ]
    np.testing.assert_allclose(fitted.cost, sum(costs), rtol=1e-12)
    missing = Y.copy()
    missing[:10, 1], missing[10:15, 5] = np.nan, np.nan
    again, expected = (module.fit(*data, fixed=held) for data in ((rows, missing), (rows[15:], Y[15:])))
    assert again.used == expected.used == 135
    np.testing.assert_allclose(again.parameters, expected.parameters, rtol=1e-7)
