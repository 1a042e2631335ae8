"""Optimizers against specifications, written in NumPy, and against PyTorch where installed; own rules."""

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen.compiler.describe.optimizers import OPTIMIZERS
from tests.support.built import built
from tests.support.exports import KEEPING_RULE

pytestmark = pytest.mark.usefixtures("quick_compiler")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
MODEL = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(2)], inputs=3, name="optimized")


def steps(module, step, epochs, batch, /, **state):
    """Training without shuffling, in NumPy: ``step(w, g, t, state)`` returns the new parameters."""
    w = module.initial_parameters(seed=0)
    state = {key: np.full_like(w, value) for key, value in state.items()}
    t = 0
    for _ in range(epochs):
        for begin in range(0, len(X), batch):
            t += 1
            rows = slice(begin, begin + batch)
            _, g = module.loss_and_gradient(w, X[rows], Y[rows])
            w = step(w, g, t, state)
    return w


def sgd(w, g, t, s):
    return w - 0.01 * g


def onnx_momentum(alpha, nesterov):
    """The operator Momentum of ONNX's ai.onnx.preview.training, with beta = 1 and no norm coefficient."""

    def step(X, G, t, s):
        s["V"] = alpha * s["V"] + G
        return X - 0.01 * (G + alpha * s["V"] if nesterov else s["V"])

    return step


def onnx_adagrad(decay_factor, epsilon):
    """The operator Adagrad of ONNX: T counts from 0."""

    def step(X, G, t, s):
        r = 0.01 / (1 + (t - 1) * decay_factor)
        s["H"] = s["H"] + G * G
        return X - r * G / (np.sqrt(s["H"]) + epsilon)

    return step


def onnx_adam(alpha, beta, epsilon):
    """The operator Adam of ONNX.

    It adds epsilon to the root before the bias of the root is corrected, Kingma and Ba (algorithm 1) after that:
    the epsilon of the operator that is the same is theirs times that correction.
    """

    def step(X, G, t, s):
        s["V"] = alpha * s["V"] + (1 - alpha) * G
        s["H"] = beta * s["H"] + (1 - beta) * G * G
        R = 0.01 * np.sqrt(1 - beta**t) / (1 - alpha**t)
        return X - R * s["V"] / (np.sqrt(s["H"]) + epsilon * np.sqrt(1 - beta**t))

    return step


def lion(w, g, t, s):
    """Chen et al. (2023), algorithm 2."""
    c = 0.9 * s["m"] + 0.1 * g
    s["m"] = 0.99 * s["m"] + 0.01 * g
    return w - 0.01 * np.sign(c)


def rprop(w, g, t, s):
    """Igel and Hüsken (2000): Rprop without weight-backtracking, iRPROP-, one parameter after the other."""
    for p in range(len(w)):
        product = s["before"][p] * g[p]
        if product > 0:
            s["step"][p] = min(1.2 * s["step"][p], 50)
        elif product < 0:
            s["step"][p] = max(0.5 * s["step"][p], 1e-6)
        s["before"][p] = 0 if product < 0 else g[p]
        w[p] -= np.sign(s["before"][p]) * s["step"][p]
    return w


def nadam(w, g, t, s):
    """Dozat (2016) with PyTorch's schedule of momenta, whose product is kept."""
    now, following = (0.9 * (1 - 0.5 * 0.96 ** (k * 0.004)) for k in (t, t + 1))
    s["product"] = s["product"] * now
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["v"] = 0.999 * s["v"] + 0.001 * g**2
    root = np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8
    direct = (1 - now) / (1 - s["product"]) * g
    return w - 0.01 * (direct + following / (1 - s["product"] * following) * s["m"]) / root


RULES = [
    ("sgd", {}, sgd, {}),
    ("momentum", {}, onnx_momentum(0.9, nesterov=False), {"V": 0}),
    ("nesterov", {"momentum": 0.8}, onnx_momentum(0.8, nesterov=True), {"V": 0}),
    ("adagrad", {}, onnx_adagrad(0, 1e-8), {"H": 0}),
    ("adagrad", {"decay": 0.1, "epsilon": 1e-3, "initial_accumulator": 0.2}, onnx_adagrad(0.1, 1e-3), {"H": 0.2}),
    ("adam", {}, onnx_adam(0.9, 0.999, 1e-8), {"V": 0, "H": 0}),
    ("adam", {"beta_1": 0.0, "beta_2": 0.5, "epsilon": 1e-3}, onnx_adam(0, 0.5, 1e-3), {"V": 0, "H": 0}),
    ("nadam", {}, nadam, {"m": 0, "v": 0, "product": 1}),
    ("lion", {}, lion, {"m": 0}),
    ("rprop", {}, rprop, {"before": 0, "step": 0.01}),
]


@pytest.mark.parametrize(("name", "arguments", "step", "state"), RULES)
@pytest.mark.parametrize("batch", [40, 16, 1])
def test_rule(name, arguments, step, state, batch):
    """Some epochs, also of batches that do not divide the samples, are the recurrence of the specification."""
    module = built(MODEL)
    result = module.train(
        X, Y, optimizer=name, learning_rate=0.01, epochs=7, batch_size=batch, shuffle=False, **arguments
    )
    assert result.parameters == pytest.approx(steps(module, step, 7, batch, **state), rel=1e-10, abs=1e-13)


def test_sgd_takes_momentum():
    """sgd with momentum and nesterov is the rule of that name, as in Keras and PyTorch."""
    module = built(MODEL)
    for arguments, name in (({"momentum": 0.7}, "momentum"), ({"momentum": 0.7, "nesterov": True}, "nesterov")):
        first = module.train(X, Y, optimizer="sgd", epochs=5, **arguments)
        second = module.train(X, Y, optimizer=name, epochs=5, momentum=0.7)
        assert np.array_equal(first.parameters, second.parameters)
    plain = module.train(X, Y, epochs=5)
    assert np.array_equal(module.train(X, Y, epochs=5, momentum=0.0, nesterov=False).parameters, plain.parameters)


def test_by_pytorch():
    """PyTorch, where installed, takes the same steps, adamw with the decay of 0.01 that is its default."""
    torch = pytest.importorskip("torch")
    module = built(MODEL)
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, eps=1e-8),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=0.05),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.05),
        "nadam": lambda p: torch.optim.NAdam(p, lr=0.05),
        "adamax": lambda p: torch.optim.Adamax(p, lr=0.05),
        "rprop": lambda p: torch.optim.Rprop(p, lr=0.05),
    }
    assert set(optimizers) == set(OPTIMIZERS) - {"lion"}  # which PyTorch does not have
    for name, make in optimizers.items():
        W1, b1, W2, b2 = (
            torch.tensor(value, requires_grad=True)
            for value in module.unpack(module.initial_parameters(seed=0).copy()).values()
        )
        optimizer = make([W1, b1, W2, b2])
        for _ in range(20):
            optimizer.zero_grad()
            output = torch.tanh(torch.tensor(X) @ W1.T + b1) @ W2.T + b2
            ((output - torch.tensor(Y)) ** 2).mean().backward()
            optimizer.step()
        expected = np.concatenate([part.detach().numpy().ravel() for part in (W1, b1, W2, b2)])
        result = module.train(X, Y, optimizer=name, learning_rate=0.05, epochs=20)
        precision = 1e-6 if name == "nadam" else 1e-9  # whose product of momenta PyTorch keeps in single precision
        assert result.parameters == pytest.approx(expected, rel=precision, abs=1e-12), name


def test_shuffling():
    """Every epoch uses every sample once, in an order of its own; by default if there are several batches."""
    module = built(MODEL)
    ordered = module.train(X, Y, epochs=1, batch_size=10, shuffle=False)
    shuffled = module.train(X, Y, epochs=1, batch_size=10)
    assert not np.array_equal(ordered.parameters, shuffled.parameters)
    full = [module.train(X, Y, epochs=3, shuffle=shuffle).parameters for shuffle in (None, False)]
    assert np.array_equal(full[0], full[1])
    # a learning rate so small that the parameters do not move: an epoch's loss is that of all samples
    still = module.train(X, Y, epochs=4, batch_size=7, learning_rate=1e-300)
    assert still.history == pytest.approx(np.full(4, module.loss(still.parameters, X, Y)), rel=1e-13)


def test_sequential_updates_use_every_optimizer():
    """One parameter at a time: each uses the gradient at what the ones before it have become."""
    module = built(MODEL)
    w = module.initial_parameters(seed=0)
    v = np.zeros_like(w)
    for _ in range(3):
        for p in range(len(w)):
            _, g = module.loss_and_gradient(w, X, Y)
            v[p] = 0.9 * v[p] + g[p]
            w[p] -= 0.05 * v[p]
    result = module.train(X, Y, optimizer="momentum", learning_rate=0.05, epochs=3, update="sequential")
    assert result.parameters == pytest.approx(w, rel=1e-11)


STILL = nn.Optimizer("still", lambda parameter, gradient, last: (parameter, gradient), ["last"])
"""A rule that changes no parameter."""


def heavy_ball(parameter, gradient, v, t, learning_rate, friction):
    """A rule of a user: friction that fades with the number of the update."""
    v = (1 - friction / t) * v - learning_rate * gradient
    return parameter + v, v


def test_own_rule():
    """A function of SymPy symbols is an optimizer: it trains, and its hyperparameters are listed and checked."""
    optimizer = nn.Optimizer("heavy_ball", heavy_ball, {"v": 0.001}, {"friction": 0.5})
    module = nn.build(nn.Sequential(MODEL.layers, 3, name="own", optimizers=[optimizer]), fit=False)

    def step(w, g, t, s):
        s["v"] = (1 - 0.3 / t) * s["v"] - 0.02 * g
        return w + s["v"]

    result = module.train(
        X, Y, optimizer="heavy_ball", friction=0.3, learning_rate=0.02, epochs=5, batch_size=16, shuffle=False
    )
    assert result.parameters == pytest.approx(steps(module, step, 5, 16, v=0.001), rel=1e-10)
    assert module.optimizers["heavy_ball"] == {"learning_rate": 0.01, "friction": 0.5}
    with pytest.raises(TypeError, match="the optimizer heavy_ball takes: learning_rate, friction"):
        module.train(X, Y, optimizer="heavy_ball", beta_1=0.9)
    with pytest.raises(ValueError, match="friction must be a number, not inf"):
        module.train(X, Y, optimizer="heavy_ball", friction=np.inf)
    formula = nn.Model(
        "formula", parameters={sympy.Symbol("a"): 1.0}, loss=sympy.Symbol("a") ** 2, optimizers=[optimizer]
    )
    assert nn.build(formula, fit=False).train(optimizer="heavy_ball", epochs=2).parameters[0] < 1


def test_rule_that_keeps_what_it_is_given():
    """The state may become the parameter, a hyperparameter or itself, and each parameter may read the number t."""
    a, updates = sympy.Symbol("a"), 4
    model = nn.Model("kept", parameters={a: 1.0}, loss=a**2, optimizers=[KEEPING_RULE, STILL])
    module = nn.build(model, fit=False)
    before, now, fixed = 0.25, 1.0, 0.5
    for t in range(1, updates + 1):
        step = 0.01 * (2 * now * t + fixed) * np.tanh(0.75) + (now - before) / 16
        before, now = now, now - step
    trained = module.train(optimizer="keeping", learning_rate=0.01, epochs=updates)
    assert trained.parameters == pytest.approx([now], rel=1e-13)
    assert module.train(optimizer="still", epochs=updates).parameters == [1.0]


def plain(parameter, gradient, learning_rate):
    return parameter - learning_rate * gradient


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", plain), "the name of an optimizer is a word"),
        (("a;b", plain), "the name of an optimizer is a word"),
        (("own", "plain"), "the rule of the optimizer own is a function"),
        (("own", lambda parameter, speed: parameter), "takes 'speed'; it may take: parameter, gradient, t, learn"),
        (("own", lambda parameter: (parameter, 1)), "returns 2 values; it must return 1: the new parameter"),
        (("own", plain, ("v",)), "returns 1 values; it must return 2: the new parameter, v, in this order"),
        (("own", lambda parameter: np.sqrt(parameter) + 1), "cannot be evaluated with symbols"),
        (
            ("own", lambda parameter: sympy.floor(parameter) + 1),
            "the new parameter of .* own contains floor",
        ),
        (("own", lambda parameter: sympy.Symbol("q")), "the new parameter of the optimizer own contains q"),
        (("own", plain, ("epochs",)), "has the name 'epochs', which is taken"),
        (("own", plain, ("v", "v")), "names a variable twice"),
        (("own", plain, "v"), "is a sequence of names"),
        (("own", plain, {"v": "w"}), "v of the optimizer own is at first a finite number or a hyperparameter"),
        (("own", plain, (), {"rate": "fast"}), "the default of 'rate' of the optimizer own must be a finite number"),
        (("own", plain, (), {"l r": 1.0}), "has a name that is not an identifier: 'l r'"),
        (("own", plain, (), ["rate"]), "is a name with a default, or a Hyperparameter, not 'rate'"),
    ],
)
def test_refused_rules(arguments, message):
    """A ModelError says what is wrong with a rule."""
    with pytest.raises(nn.ModelError, match=message):
        nn.Optimizer(*arguments)


@pytest.mark.parametrize(
    ("optimizers", "message"),
    [
        ([nn.Optimizer("adam", plain)], "there is an optimizer adam already"),
        ([nn.Optimizer("own", plain), nn.Optimizer("own", plain)], "there is an optimizer own already"),
        ([plain], "is not an optimizer: use nncodegen.Optimizer"),
        (nn.Optimizer("own", plain), "are a list of nncodegen.Optimizer"),
    ],
)
def test_refused_optimizers(optimizers, message):
    """A model takes a list of optimizers with names of their own."""
    with pytest.raises(nn.ModelError, match=message):
        nn.Sequential([nn.Dense(1)], 2, optimizers=optimizers)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_that_is_no_number_ends_the_training(name):
    """No rule loses a gradient that is NaN, though the loss is finite: its comparisons are false for it."""
    a, b = sympy.symbols("a b")
    module = nn.build(nn.Model("power", parameters={a: -2.0, b: 2.0}, loss=a**b), fit=False)
    loss, gradient = module.loss_and_gradient([-2.0, 2.0])
    assert loss == 4
    assert np.isnan(gradient).tolist() == [False, True]  # by the exponent: the logarithm of a negative number
    with pytest.warns(RuntimeWarning, match="training diverged after 0 epochs"):
        assert module.train(optimizer=name, epochs=3).status == "diverged"
