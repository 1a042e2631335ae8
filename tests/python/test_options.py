"""The options of a training: each is declared once, and everything else follows."""

import inspect

import pytest

import nncodegen as nn
from nncodegen.compiler.describe.optimizers import TAKEN, describe_update
from nncodegen.runtime.python.arguments.calls import MINIMIZE, STREAM, TRAIN
from nncodegen.runtime.python.arguments.measures import Measure
from nncodegen.runtime.python.arguments.options import MEMBERS, OPTIONS, CheckedOptions
from nncodegen.runtime.python.ground.metrics import FIGURES
from nncodegen.runtime.python.ground.rules import RULES

CALLS = {"train": TRAIN, "train_on_stream": STREAM, "minimize": MINIMIZE}


@pytest.mark.parametrize("name", CALLS)
def test_signatures(perceptron, name):
    """The signature of a function is that of its options, in their order and with their defaults."""
    *options, others = inspect.signature(getattr(perceptron, name)).parameters.values()
    assert [option.name for option in options] == list(CALLS[name].options)
    assert others.kind is inspect.Parameter.VAR_KEYWORD
    for position, option in enumerate(options):
        required = option.default is inspect.Parameter.empty
        assert required == (position < CALLS[name].required)
        assert required or option.default == CALLS[name].defaults[option.name]


def test_every_option_is_documented(perceptron):
    """The documentation of train tells what each option does."""
    told = inspect.getdoc(perceptron.train)
    for name, option in TRAIN.options.items():
        assert f"\n{name} " in told
        for line in option.meaning.split("\n"):
            assert line in told
    assert "{" not in perceptron.train_on_stream.__doc__


def test_defaults_are_allowed(perceptron):
    """Every default passes the check of its option."""
    for name, option in OPTIONS.items():
        assert option.kind.check(perceptron._model, name, option.default) == option.default


def test_shared_options(perceptron):
    """What other functions take under the name of an option has its default."""
    for function in (perceptron.train_many, perceptron.partial_fit, perceptron.predict):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in OPTIONS and parameter.default is not inspect.Parameter.empty:
                assert parameter.default == OPTIONS[name].default, name


def test_arguments_by_place_and_name(perceptron):
    """Arguments are bound as Python binds them, and what cannot be bound is a TypeError that names the function."""
    x, y = [[0.35, 0.9]], [0.5]
    by_place = perceptron.train(x, y, None, "adam", 0.1, 5)
    by_name = perceptron.train(X=x, Y=y, optimizer="adam", learning_rate=0.1, epochs=5)
    assert by_place.parameters.tolist() == by_name.parameters.tolist()
    with pytest.raises(TypeError, match=r"train\(\) got multiple values for argument 'Y'"):
        perceptron.train(x, y, Y=y)
    with pytest.raises(TypeError, match=r"train\(\) takes at most \d+ positional arguments, but 99 were given"):
        perceptron.train(*[None] * 99)
    with pytest.raises(TypeError, match=r"train_on_stream\(\) missing a required argument: 'batches'"):
        perceptron.train_on_stream()


def test_members_in_c():
    """The structure in C holds every member once; its values follow from the settings."""
    assert len({member.name for member in MEMBERS}) == len(MEMBERS)
    assert {member.type for member in MEMBERS} <= {"int", "double", "size_t"}
    metrics = tuple(Measure(name, name, FIGURES[name]) for name in ("mae", "r2"))
    given = {"update": "sequential", "monitor": "val_r2", "mode": "max", "metrics": metrics}
    settings = CheckedOptions({**TRAIN.defaults, **given})
    members = settings.members()
    assert (members["sequential"], members["monitor"], members["higher"], members["metrics"]) == (1, 7, 1, 6)
    assert CheckedOptions(TRAIN.defaults).members() == {member.name: 0 for member in MEMBERS} | {
        "threads": 1,
        "monitor": -1,
    }


@pytest.mark.parametrize("name", ["history", "final_loss", "models", "result", "batches", "threads", "nesterov", "t"])
def test_names_that_a_rule_may_not_take(name):
    """A hyperparameter whose name an option of a training has is refused: it could not be given."""
    with pytest.raises(nn.ModelError, match=f"has the name '{name}', which is taken: choose another"):
        nn.Optimizer("own", lambda parameter, gradient: parameter - gradient, (), {name: 0.5})


def test_names_that_a_rule_may_take():
    """All options are taken but the two that are hyperparameters; names of the runtime itself are not."""
    assert set(TRAIN.options) - {"learning_rate", "weight_decay"} <= set(TAKEN)
    hypers = {"model": 0.5, "given": 0.25, "named": 0.125, "weight_decay": 0.0, "self": 1.0}
    optimizer = nn.Optimizer(
        "own", lambda parameter, gradient, model, given: parameter - model * given * gradient, (), hypers
    )
    module = nn.build(nn.Sequential([nn.Dense(1)], 1, name="own_names", optimizers=[optimizer]), fit=False)
    result = module.train([[1.0]], [1.0], optimizer="own", epochs=1, model=0.5, given=0.5, named=1.0, self=2.0)
    expected = module.train([[1.0]], [1.0], learning_rate=0.25, epochs=1)
    assert result.parameters.tolist() == expected.parameters.tolist()


@pytest.mark.parametrize("name", RULES)
def test_rules_and_formulas(name):
    """What a training is told of a rule is what its formula has."""
    update = describe_update(name)
    assert update.hyperparameters == RULES[name].hyperparameters
    assert dict(zip(update.state, update.initial, strict=True)) == dict(RULES[name].state)
    rated = any(operand.tensor == "learning_rate" for step in update.steps for operand in step.operands)
    assert rated == RULES[name].scheduled
