"""Starts of fits in groups that are looked for: never worse than the start that is there, and at the best minimum."""

import warnings

import numpy as np
import pytest

pytest.importorskip("scipy")

import nncodegen as nn

pytestmark = pytest.mark.usefixtures("quick_compiler")

KINDS = {
    "decays": ("a*exp(-k*x) + b*exp(-m*x) + c", ("m",), np.linspace(0, 8, 30), 0.03),
    "hill": ("bottom + (top - bottom)*x**h/(x**h + e**h)", ("top", "e"), np.geomspace(0.003, 300, 10), 0.02),
    "peaks": ("h*exp(-((x - m)/s)**2/2) + i", ("h", "m"), np.linspace(1500, 1700, 60), 0.1),
}
"""For each kind: a formula, its own parameters, x, and the noise."""


def drawn(kind, random):
    """Parameters of each group by name, (G,): two terms that may be exchanged, doses of all sizes, places."""
    draw = random.uniform
    if kind == "decays":
        return {
            "a": np.full(7, draw(1, 6)),
            "k": np.full(7, draw(0.8, 3)),
            "b": np.full(7, draw(1, 6)),
            "m": draw(0.05, 1.5, 7),
            "c": np.full(7, draw(0, 1)),
        }
    if kind == "hill":
        return {
            "bottom": np.full(9, draw(0, 0.3)),
            "top": draw(0.5, 1.5, 9),
            "h": np.full(9, draw(0.7, 4)),
            "e": 10 ** draw(-2, 2.5, 9),
        }
    return {"h": draw(1, 5, 5), "m": draw(1540, 1660, 5), "s": np.full(5, draw(6, 20)), "i": np.full(5, draw(0, 2))}


@pytest.fixture(scope="module")
def modules(quick_compiler):
    """A module of each kind, whose parameters begin at 1."""
    return {
        kind: nn.build(
            nn.Model(kind, "x", "y", dict.fromkeys(drawn(kind, np.random.default_rng(0)), 1.0), text, own=own)
        )
        for kind, (text, own, _, _) in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, *(pytest.param(k, marks=pytest.mark.thorough) for k in range(1, 40))])
def test_looking_for_a_start_is_never_worse(modules, kind, seed):
    """The fit ends where one from the true parameters does, and never above the fit from the model's own start."""
    random, module = np.random.default_rng(seed), modules[kind]
    _, _, x, noise = KINDS[kind]
    true = drawn(kind, random)
    points = np.column_stack([true[name] for name in module.parameter_names])
    Y = np.array([module.predict(point, x)[:, 0] for point in points])
    Y += noise * random.normal(size=Y.shape)
    every = np.tile(x, len(points)), Y.ravel()
    groups = np.repeat(np.arange(len(points)), len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of fits that end elsewhere
        without = module.fit(*every, groups=groups)
    best = module.fit(*every, groups=groups, p0=points)
    fitted = module.fit(*every, groups=groups, p0="auto")
    assert fitted.chi2 <= without.chi2 * (1 + 1e-6)
    assert fitted.chi2 <= best.chi2 * (1 + 1e-3)
    if kind == "peaks":
        again = module.fit(*every, groups=groups, p0="auto", threads=2)
        np.testing.assert_array_equal(fitted.parameters, again.parameters)


def test_a_time_limit_ends_the_search(modules):
    """A search that is ended has the start that was given."""
    x = KINDS["peaks"][2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        result = modules["peaks"].fit(
            np.tile(x, 2),
            np.tile(np.exp(-(((x - 1600) / 9) ** 2)), 2),
            groups=np.repeat([0, 1], len(x)),
            p0="auto",
            time_limit=1e-9,
        )
    assert result.status == "time_limit"
    assert np.isfinite(result.parameters).all()
