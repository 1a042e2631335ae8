"""The update rules in C against the formulas of nncodegen.compiler.describe.optimizers, evaluated with NumPy."""

import numpy as np
import pytest

from nncodegen.compiler.describe.optimizers import OPTIMIZERS, describe_update
from nncodegen.compiler.ir import PARAMETER, Element
from nncodegen.compiler.ir.evaluate import interpret

PARAMETERS, STATE, OPTIONS = 10, 3, 5
NUMBERS = {name: number for number, name in enumerate(OPTIMIZERS)}


@pytest.fixture(scope="session")
def rules(model):
    return model


def options_of(update):
    """The hyperparameters by default, the learning rate first, with what would change nothing made to count."""
    values = [hyper.default or 0.05 for hyper in update.hyperparameters]
    return np.array(values + [0.0] * (OPTIONS - len(values)))


def initial_state(update, options, count):
    """What the state is at first; what it shall be then may be the value of a hyperparameter."""
    by_name = dict(zip((hyper.name for hyper in update.hyperparameters), options, strict=False))
    state = np.zeros((STATE, count))
    for variable, value in zip(state, update.initial, strict=False):
        variable[:] = by_name.get(value, value) if isinstance(value, str) else value
    return state


def by_formula(update, options, t, parameters, gradient, state):
    """The next parameters and the next state, from the formulas of the rule."""
    values = {Element(hyper.name): option for hyper, option in zip(update.hyperparameters, options, strict=False)}
    named = zip(("parameter", "gradient", *update.state), (parameters, gradient, *state), strict=False)
    values |= {Element("t"): t, **{Element(name, (PARAMETER,)): value for name, value in named}}
    for step in update.steps:
        values[step.target] = interpret(step.expression, values, exact=False)
    after = [np.broadcast_to(values[result], parameters.shape) for result in update.results]
    return after[0], np.array([*after[1:], *state[len(update.state) :]])


def gradients(updates, *shape):
    """Gradients of updates that are alike, as those of a training are, with a parameter that has none."""
    rng = np.random.default_rng(0)
    slopes = rng.normal(size=shape) + 0.5 * rng.normal(size=(updates, *shape))
    slopes[:, 3] = 0
    return slopes


@pytest.mark.parametrize("name", NUMBERS)
def test_rules(rules, name):
    """Five updates by a rule are, to rounding, those of its formulas."""
    update = describe_update(name)
    options = options_of(update)
    parameters = rules.array(np.random.default_rng(1).normal(size=PARAMETERS))
    state = rules.array(initial_state(update, options, PARAMETERS))
    expected, expected_state = parameters.astype(float), state.astype(float)
    for t, gradient in enumerate(gradients(5, PARAMETERS), 1):
        after = rules.array(gradient)
        expected, expected_state = by_formula(update, options, t, expected, after.astype(float), expected_state)
        assert rules.call("update_one", NUMBERS[name], 0, PARAMETERS, options, t, parameters, state, after) == 0
        parameters = after
    assert rules.call("variables_of", NUMBERS[name]) == len(update.state)
    assert parameters == pytest.approx(expected, rel=100 * rules.eps, abs=100 * rules.eps)
    assert state == pytest.approx(expected_state, rel=100 * rules.eps, abs=100 * rules.eps)


@pytest.mark.parametrize("name", NUMBERS)
def test_groups(rules, name):
    """A group of models, each with its learning rate, is updated as each of them would be by itself."""
    update, models = describe_update(name), rules.call("models")
    options = options_of(update)
    rates = rules.array(options[0] * np.linspace(0.5, 2, models))
    parameters = rules.array(np.random.default_rng(1).normal(size=(PARAMETERS, models)))
    state = rules.array(initial_state(update, options, PARAMETERS * models).reshape(STATE, PARAMETERS, models))
    singles = [(parameters[:, m].copy(), state[..., m].copy()) for m in range(models)]
    for t, gradient in enumerate(gradients(4, PARAMETERS, models), 1):
        after = rules.zeros(PARAMETERS, models)
        g = rules.array(gradient)
        rules.call("update_group_of", NUMBERS[name], options, t, rates, parameters, g, state, after)
        parameters = after
        for m, (single, its_state) in enumerate(singles):
            options_of_one, next_single = np.array([rates[m], *options[1:]], float), g[:, m].copy()
            rules.call("update_one", NUMBERS[name], 0, PARAMETERS, options_of_one, t, single, its_state, next_single)
            singles[m] = (next_single, its_state)
    for m, (single, its_state) in enumerate(singles):
        assert parameters[:, m] == pytest.approx(single, rel=8 * rules.eps, abs=rules.eps)
        assert state[..., m] == pytest.approx(its_state, rel=8 * rules.eps, abs=rules.eps)


@pytest.mark.parametrize("name", NUMBERS)
def test_ranges(rules, name):
    """A sequential update changes one parameter and its state, and no other."""
    update = describe_update(name)
    options = options_of(update)
    parameters = rules.array(np.random.default_rng(1).normal(size=PARAMETERS))
    gradient = rules.array(np.random.default_rng(2).normal(size=PARAMETERS))
    whole, part = (rules.array(initial_state(update, options, PARAMETERS)) for _ in range(2))
    at_first, all_after, one_after = part.copy(), gradient.copy(), gradient.copy()
    rules.call("update_one", NUMBERS[name], 0, PARAMETERS, options, 1, parameters, whole, all_after)
    rules.call("update_one", NUMBERS[name], 4, 5, options, 1, parameters, part, one_after)
    others = np.arange(PARAMETERS) != 4
    assert one_after[4] == pytest.approx(all_after[4], rel=8 * rules.eps)
    assert part[:, 4] == pytest.approx(whole[:, 4], rel=8 * rules.eps)
    assert np.array_equal(one_after[others], gradient[others])
    assert np.array_equal(part[:, others], at_first[:, others])


@pytest.mark.parametrize("name", NUMBERS)
def test_lost_parameters(rules, name):
    """An update tells when a parameter is no longer finite; where a rule says so, such a parameter remains lost."""
    update = describe_update(name)
    options = options_of(update)
    parameters, state = rules.zeros(PARAMETERS), rules.array(initial_state(update, options, PARAMETERS))
    after = rules.array(np.full(PARAMETERS, 0.5))
    parameters[7] = np.inf
    assert rules.call("update_one", NUMBERS[name], 0, PARAMETERS, options, 1, parameters, state, after) == 1
    assert np.isfinite(after).sum() == PARAMETERS - 1
    if rules.call("stays_lost", NUMBERS[name]):
        for gradient in (0, -np.inf, np.nan, 1):
            parameters, after = after, rules.array(np.full(PARAMETERS, gradient))
            with np.errstate(all="ignore"):
                assert rules.call("update_one", NUMBERS[name], 0, PARAMETERS, options, 2, parameters, state, after) == 1
            assert not np.isfinite(after[7])
