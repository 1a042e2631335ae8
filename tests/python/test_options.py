"""The options of a training: each is declared once, and everything else follows."""

import inspect
import pickle
from types import SimpleNamespace

import pytest

import nncodegen as nn
from nncodegen.compiler.describe.optimizers import TAKEN, describe_update
from nncodegen.compiler.emit.fit_parameters import DEFAULTS, NAMES, OF_CALLS, OF_DATA
from nncodegen.runtime.python.arguments.calls import FIT, FIT_MANY, MINIMIZE, STREAM, TRAIN, documentation
from nncodegen.runtime.python.arguments.fit_options import STORED, CheckedFitOptions, restored
from nncodegen.runtime.python.arguments.measures import Measure
from nncodegen.runtime.python.arguments.options import MEMBERS, OPTIONS, CheckedOptions
from nncodegen.runtime.python.fitting.grouped import GroupedProblem
from nncodegen.runtime.python.fitting.problem import Problem
from nncodegen.runtime.python.ground.metrics import FIGURES
from nncodegen.runtime.python.ground.rules import RULES

CALLS = {"train": TRAIN, "train_on_stream": STREAM, "minimize": MINIMIZE, "fit": FIT, "fit_many": FIT_MANY}


@pytest.mark.parametrize("name", CALLS)
def test_signatures(perceptron, name):
    """The signature of a function is that of its options, in their order and with their defaults."""
    options = list(inspect.signature(getattr(perceptron, name)).parameters.values())
    if CALLS[name].others is not None:
        assert options.pop().kind is inspect.Parameter.VAR_KEYWORD
    assert [option.name for option in options] == list(CALLS[name].options)
    for position, option in enumerate(options):
        required = option.default is inspect.Parameter.empty
        assert required == (position < CALLS[name].required)
        assert required or option.default == CALLS[name].defaults[option.name]


@pytest.mark.parametrize("function", ["train", "fit", "fit_many"])
def test_every_option_is_documented(perceptron, function):
    """The documentation of a function tells what each option does."""
    documentation = inspect.getdoc(getattr(perceptron, function))
    for name, option in CALLS[function].options.items():
        assert f"\n{name} " in documentation
        for line in option.meaning.split("\n"):
            assert line in documentation
    assert "{" not in perceptron.train_on_stream.__doc__


@pytest.mark.parametrize("keywords", [FIT, FIT_MANY, TRAIN, STREAM, MINIMIZE], ids=lambda each: each.function)
def test_names_stand_apart_from_their_descriptions(keywords):
    """Two spaces make a line a row of a table, for readers and for the site: also after the longest name."""
    lines = documentation(keywords.options, 4).splitlines()
    for name in keywords.options:
        assert [line for line in lines if line.strip().startswith(f"{name}  ")], name


def test_defaults_are_allowed(perceptron):
    """Every default passes the check of its option."""
    for name, option in [*OPTIONS.items(), *FIT.options.items(), *FIT_MANY.options.items()]:
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


def test_options_of_a_fit_are_told_as_python_tells_them(perceptron):
    """So are the options of a fit, with the hint what to give instead, and old names by place and name."""
    x, y = [[0.35, 0.9]], [0.5]
    with pytest.raises(TypeError, match=r"fit\(\) got multiple values for argument 'Y'"):
        perceptron.fit(x, y, Y=y)
    with pytest.raises(TypeError, match=r"fit\(\) takes at most \d+ positional arguments, but 99 were given"):
        perceptron.fit(*[None] * 99)
    with pytest.raises(TypeError, match=r"fit\(\) got an unexpected keyword argument 'tol': give tolerance"):
        perceptron.fit(x, y, tol=1e-3)
    with pytest.raises(TypeError, match=r"fit_many\(\) got an unexpected keyword argument 'loss'"):
        perceptron.fit_many(x, y, loss="huber")


def test_the_record_of_a_fit_holds_what_files_and_pickles_need():
    """Options that a problem keeps are pickled and stored by themselves, without data and callbacks; others are not."""
    options = {"loss": "huber", "f_scale": 2.5, "tolerance": 1e-4, "max_iterations": 7, "absolute_sigma": True}
    model = SimpleNamespace(
        precision="float64",
        facts=SimpleNamespace(steps=SimpleNamespace(rtol=0.0)),
        parameter_count=2,
        tiny=0.0,
        fit_options=None,
    )
    record = CheckedFitOptions.of(X=[1.0], callback=print, **options).kept(model, None, True)
    assert vars(pickle.loads(pickle.dumps(record))) == {**options, "bounds": None}
    arrays = {name: record.stored(name) for name in STORED}
    assert arrays == {"numbers": (2.5, 1e-4), "counts": (7, True), "texts": ("huber",)}  # as files of 0.2 have them
    assert vars(restored(model, None, **arrays)) == vars(record)
    assert restored(model, None, numbers=[2.5], counts=[7], texts=["huber"]).absolute_sigma is False
    with pytest.raises(ValueError, match="f_scale must be a number above 0, not -1"):
        restored(model, None, numbers=[-1.0])


@pytest.mark.parametrize("kind", [Problem, GroupedProblem])
def test_problems_that_version_0_2_pickled(kind):
    """Their options, which were attributes one by one, are the record of the present version."""
    problem = kind.__new__(kind)
    problem.__setstate__({"loss": "cauchy", "f_scale": 3.0, "bounds": None, "tolerance": 1e-6, "max_iterations": 9})
    expected = {"loss": "cauchy", "f_scale": 3.0, "bounds": None, "tolerance": 1e-6, "max_iterations": 9}
    assert vars(problem.options) == expected
    assert not hasattr(problem, "loss")


def test_parameters_of_estimators_are_options_of_fit():
    """Every option of fit that is none of data or of one call is a parameter of the estimators that fit."""
    estimators = pytest.importorskip("nncodegen.estimators")
    left = {NAMES.get(name, name) for name in FIT.options if name not in (*OF_DATA, *OF_CALLS)}
    for kind in (estimators.FormulaRegressor, estimators.DynamicsRegressor):
        parameters = inspect.signature(kind).parameters
        assert left <= parameters.keys()
        assert all(parameters[name].default == DEFAULTS[name] for name in left)
        documentation = inspect.getdoc(kind)
        assert all(f"\n{name} " in documentation for name in left)
        assert "{options}" not in documentation
        with pytest.raises(TypeError, match=rf"{kind.__name__}.__init__\(\) got an unexpected .* 'f_scal'"):
            kind(None, f_scal=1)


def test_members_in_c():
    """The structure in C holds every member once; its values follow from the settings."""
    assert len({member.name for member in MEMBERS}) == len(MEMBERS)
    assert {member.type for member in MEMBERS} <= {"int", "double", "size_t"}
    metrics = tuple(Measure(name, name, FIGURES[name]) for name in ("mae", "r2"))
    options = {"update": "sequential", "monitor": "val_r2", "mode": "max", "metrics": metrics}
    settings = CheckedOptions({**TRAIN.defaults, **options})
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
    hypers = {"model": 0.5, "positional": 0.25, "named": 0.125, "weight_decay": 0.0, "self": 1.0}
    optimizer = nn.Optimizer(
        "own", lambda parameter, gradient, model, positional: parameter - model * positional * gradient, (), hypers
    )
    module = nn.build(nn.Sequential([nn.Dense(1)], 1, name="own_names", optimizers=[optimizer]), fit=False)
    result = module.train([[1.0]], [1.0], optimizer="own", epochs=1, model=0.5, positional=0.5, named=1.0, self=2.0)
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
