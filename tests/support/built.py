"""Models at work: what a process has compiled once is used by all its tests.

To take a model through the stages takes longer than most tests, even where the module itself is in the cache.
"""

import os

import nncodegen as nn

_kept = {}
"""(model, options, compiler) -> the model itself, so that its id stays its own, and what was made of it."""

_derived = {}
"""(model, options) -> the model itself, and the stages that it has gone through."""


def _once(make, model, precision, choices, *what):
    key = (make.__name__, id(model), precision, repr(sorted(choices.items())), os.environ.get("CC"), *what)
    if key not in _kept:
        _kept[key] = model, make()
    return _kept[key][1]


def built(model, precision="float64", fit=None, **choices):
    """The module of a model object; a test that needs one of its own calls ``nncodegen.build``."""

    def module():
        return nn.build(model, precision, choices=choices, fit=fit)

    return _once(module, model, precision, choices, fit)


def stage(model, name="simplify", precision="float64", fit=None, **choices):
    """What a stage makes of a model object, a Program unless it is a later one."""
    return compiled_until(model, name, precision, fit, **choices)[name]


def compiled_until(model, name="simplify", precision="float64", fit=None, **choices):
    """A model object and what the stages make of it, up to one of them, with their findings."""
    key = id(model), precision, fit, repr(sorted(choices.items()))
    _, compiled = _derived.get(key, (model, None))
    if not compiled or name not in (each.name for each in compiled.stages):
        compiled = nn.compile_model(model, precision, until=name, choices=choices, fit=fit)
        _derived[key] = model, compiled
    return compiled
