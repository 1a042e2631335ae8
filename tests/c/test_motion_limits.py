"""A limit of the steps of solutions in a call: it is that of a model that allows no more; and searches for starts."""

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.runtime.python.arguments.fit_options import CheckedFitOptions
from nncodegen.runtime.python.fitting.automatic import usual_steps
from nncodegen.runtime.python.fitting.problem import Problem
from nncodegen.runtime.python.fitting.starting_points import reached
from tests.support.built import built
from tests.support.motion import VALUES
from tests.support.solutions import EXAMPLES

pytestmark = pytest.mark.usefixtures("quick_compiler")

PREY = EXAMPLES["prey"]
TIMES = np.linspace(0, 8, 9)
TRUTH = np.array([*VALUES.values()])
STEPS = 48
"""A number of steps that some solutions need, and others do not."""


def prey(method, most):
    """The model of prey that allows a number of steps."""
    return PREY.model(9, method=method, max_steps=most, name=f"prey_limit_{method}_{most}")


def with_network(most):
    """An oscillator with two layers in its equation that allows a number of steps."""
    network = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(1)], inputs=2)
    return nn.Dynamics(
        ["u' = v", "v' = -c*u + force(u, v)"],
        {"u": "a", "v": "b"},
        {"c": 1.5},
        inputs=["a", "b"],
        times=9,
        networks={"force": network},
        max_steps=most,
        name=f"driven_limit_{most}",
    )


CASES = {
    "tsit5": (lambda most: prey("tsit5", most), "float64", np.vstack([TIMES, TIMES / 9, 4 * TIMES]), TRUTH, STEPS),
    "rodas5p": (lambda most: prey("rodas5p", most), "float32", np.vstack([TIMES, TIMES / 9, 4 * TIMES]), TRUTH, STEPS),
    "network": (
        with_network,
        "float64",
        np.hstack([np.vstack([TIMES, TIMES / 9, 3 * TIMES]), np.ones((3, 2))]),
        np.random.default_rng(3).normal(size=18) / 2 + np.eye(18)[0],
        30,
    ),
}


def bits(values):
    """The bits of numbers, which tell why one is NaN."""
    return values.view(f"u{values.itemsize}").tolist()


@pytest.mark.parametrize("case", CASES)
def test_a_limit_of_a_call_is_that_of_the_model(case):
    """Outputs and derivatives have the bits of a model that allows as many steps; a larger limit changes nothing."""
    model, precision, X, parameters, steps = CASES[case]
    native, less = (built(model(most), precision)._model.native for most in (100_000, steps))
    X, parameters = X.astype(precision), parameters.astype(precision)
    shape = (3, 18)

    def computed(of, limit):
        outputs, slopes = np.empty(shape, precision), np.empty((*shape, len(parameters)), precision)
        of.predict(parameters, X, 3, outputs, limit)
        of.jacobian(parameters, X, 3, slopes, limit)
        return outputs, slopes

    expected, usual = computed(less, 0), computed(native, 0)
    solved = np.isfinite(expected[0]).all(axis=1)
    assert solved.any()
    assert not solved.all()
    assert np.isfinite(usual[0]).all()
    for array, same in zip(computed(native, steps), expected, strict=True):
        assert bits(array) == bits(same)
    for limit in (100_000, 2**40):
        for array, same in zip(computed(native, limit), usual, strict=True):
            assert bits(array) == bits(same)
    for array, same in zip(computed(less, 100_000), expected, strict=True):
        assert bits(array) == bits(same)


@pytest.mark.parametrize(("method", "steps"), [("tsit5", STEPS), ("rodas5p", 150)])
def test_a_limit_of_fits_is_that_of_the_model(method, steps):
    """Fits have the results of a model that allows as many steps: alone, and side by side from several starts."""
    precision = "float64" if method == "tsit5" else "float32"
    usual, less = (built(prey(method, most), precision) for most in (100_000, steps))
    X = TIMES[None].astype(precision)
    random = np.random.default_rng(0)
    Y = usual.predict(TRUTH, X) * (1 + 0.01 * random.normal(size=(1, 18))).astype(precision)
    starts = (TRUTH * np.exp(0.8 * random.normal(size=(21, 6)))).astype(precision)
    unlimited, of_few_steps = (
        Problem(module._model, X, Y.astype(precision), None, CheckedFitOptions.of(tolerance=1e-6, max_iterations=50))
        for module in (usual, less)
    )
    limited = unlimited.limited(steps)
    fits, expected, free = (reached(each, starts, None, 1, None) for each in (limited, of_few_steps, unlimited))
    for values, wanted in zip(fits, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)
    assert np.isfinite(free[0]).sum() > np.isfinite(fits[0]).sum() > 0
    for start in starts[:6]:
        single, wanted = (each.solve(start, None) for each in (limited, of_few_steps))
        np.testing.assert_array_equal(single.parameters, wanted.parameters)
        assert single.ending == wanted.ending


def test_a_search_with_few_steps_finds_what_all_steps_do():
    """Where a fit is good, the start is that of a search whose model allows no more steps."""
    usual = built(PREY.model(9, name="prey_search"))
    limit = usual_steps(usual._model)
    less = built(PREY.model(9, max_steps=limit, name="prey_search_less"))
    assert 0 < limit < usual._model.facts.steps.max_steps
    assert usual_steps(less._model) == 0
    Y = usual.predict(TRUTH, TIMES[None]) * (1 + 0.02 * np.random.default_rng(1).normal(size=(1, 18)))
    fitted, other = (module.fit(TIMES[None], Y, p0="auto") for module in (usual, less))
    np.testing.assert_array_equal(fitted.parameters, other.parameters)
    assert fitted.converged
    assert fitted.chi2 <= usual.fit(TIMES[None], Y, p0=TRUTH).chi2 * (1 + 1e-6)


def test_a_search_where_all_solutions_need_many_steps():
    """Where none is solved within the first limit, the search goes on with the steps that the model allows."""
    model = nn.Dynamics("u' = 600*(a*exp(-b*t) - u)", {"u": 0}, {"a": 1, "b": 1}, times=10, name="quick_search")
    module, times = built(model), np.linspace(0.5, 10, 10)[None]
    truth = np.array([3.0, 0.4])
    Y, outputs = module.predict(truth, times), np.empty((1, 10))
    module._model.native.predict(truth, times, 1, outputs, usual_steps(module._model))
    assert np.isnan(outputs).any()
    np.testing.assert_allclose(module.fit(times, Y, p0="auto").parameters, truth, rtol=1e-5)
