"""Arguments that would change nothing are refused, with the name of the one that was meant; by compiled modules and by
those that NumPy evaluates."""

from functools import cache

import numpy as np
import pytest
import sympy

import nncodegen as nn

pytestmark = [
    pytest.mark.usefixtures("quick_compiler"),
    pytest.mark.filterwarnings("ignore:for a test. NumPy evaluates the model:RuntimeWarning"),
]

a, b, x, y = sympy.symbols("a b x y")
u = sympy.Function("u")
LINE = nn.Model("line", x, y, {a: 1.0, b: 2.0}, a + b * x)
LAYERS = nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(1)], 1, "mse", name="layers")
X = np.linspace(0, 1, 8)
Y = 3 - 2 * X
ONES = np.ones(8)


TERMS = nn.Sequential(
    [nn.Dense(2, "tanh"), nn.Dense(1)], inputs=x, outputs=u(x), losses={"all": u(x).diff(x) - 1}, name="terms"
)


@cache
def module(kind):
    """The module of a kind."""
    model = {"line": LINE, "layers": LAYERS}[kind]
    fit = None if kind == "line" else True
    return nn.build(model, fit=fit)


SIGMA = "what each sample counts is sigma"
WEIGHT = "what each sample counts is sample_weight"
DRAWN = "seed has no effect: the initial parameters of line are not drawn"
GIVEN = "seed has no effect beside"

CASES = {
    "fit, weights of samples": ("line", "fit", {"loss_weights": ONES}, SIGMA),
    "fit, seed of a formula": ("line", "fit", {"seed": 3}, f"{DRAWN}; starting points are, where n_starts is given"),
    "fit, seed beside parameters": ("layers", "fit", {"seed": 3, "p0": 7}, f"{GIVEN} p0"),
    "train, weights of samples": ("line", "train", {"loss_weights": ONES}, WEIGHT),
    "train, interval of no callback": ("line", "train", {"callback_interval": 9}, "without a callback: give callback"),
    "train, min_delta of nothing": ("line", "train", {"min_delta": 0.1}, "without patience or monitor"),
    "train, clipped signs": ("line", "train", {"optimizer": "rprop", "clipnorm": 1.0}, "the signs of the gradient"),
    "lm, seed of a formula": ("line", "train", {"optimizer": "lm", "seed": 3}, DRAWN),
    "lm, seed beside parameters": ("layers", "train", {"optimizer": "lm", "seed": 3, "parameters": 7}, GIVEN),
    "lm, learning rate": ("line", "train", {"optimizer": "lm", "learning_rate": 0.1}, "takes none of these"),
    "lm, interval of no callback": ("line", "train", {"optimizer": "lm", "callback_interval": 9}, "takes none of"),
    "lm, weights of samples": ("line", "train", {"optimizer": "lm", "loss_weights": ONES}, SIGMA),
    "minimize, weights of samples": ("line", "minimize", {"loss_weights": ONES}, WEIGHT),
    "minimize, seed of a formula": ("line", "minimize", {"seed": 3}, DRAWN),
    "minimize, seed beside parameters": ("layers", "minimize", {"seed": 3, "parameters": 7}, GIVEN),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case):
    """Each of them is a ValueError that says what is missing, or what is meant."""
    kind, function, arguments, message = CASES[case]
    if function == "minimize":
        pytest.importorskip("scipy")
    made = module(kind)
    arguments = {
        name: made.initial_parameters() if isinstance(value, int) and value == 7 else value
        for name, value in arguments.items()
    }
    with pytest.raises(ValueError, match=message):
        getattr(made, function)(X, Y, **arguments)


def test_a_seed_that_goes_on():
    """Another seed than that of a training which goes on is refused; the same is not."""
    made = module("layers")
    first = made.train(X, Y, epochs=2, seed=4)
    assert made.train(X, Y, epochs=3, seed=4, resume=first).epochs == 3
    with pytest.raises(ValueError, match="resume began with 4; leave seed out"):
        made.train(X, Y, epochs=3, seed=5, resume=first)


@pytest.mark.filterwarnings("ignore:the fit of layers did not converge:RuntimeWarning")
def test_a_seed_of_a_network():
    """The seed of a fit draws the initial parameters of a network, as that of a training does."""
    made = module("layers")
    np.testing.assert_array_equal(made.fit(X, Y, seed=4, max_iterations=5).p0, made.initial_parameters(4))


def test_weights_of_samples_that_are_drawn_anew():
    """Samples of points that are drawn anew have no weights of their own: those that are given are refused."""
    made = nn.build(TERMS)
    arguments = {"data": {"all": nn.Points(0, 1, 8, every=2)}, "loss_weights": {"all": 2.0}, "sample_weight": ONES}
    assert made.train(**arguments, epochs=2).epochs == 2
    with pytest.raises(ValueError, match="sample_weight has no effect on points that are drawn anew"):
        made.train(**arguments, epochs=3)


def test_predictions_without_an_interval():
    """What only an interval depends on is refused where a prediction has none."""
    result = module("line").fit(X, Y)
    for name, value in (("sigma", 1.0), ("level", 0.9)):
        with pytest.raises(ValueError, match=f"{name} has no effect without an interval"):
            result.predict(X, **{name: value})


def test_curve_fit():
    """curve_fit refuses what the fit of its module refuses."""
    with pytest.raises(ValueError, match=SIGMA):
        nn.curve_fit("a + b*x", X, Y, loss_weights=ONES)
