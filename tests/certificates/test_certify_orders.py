"""Tables of coefficients are examined by the conditions of their order; certificates name one that misses any."""

from dataclasses import fields, replace

import pytest

import nncodegen as nn
from nncodegen.certificates.interface import _of_table
from nncodegen.certificates.orders import violation
from nncodegen.compiler.ir.systems import LinearlyImplicit
from nncodegen.compiler.motion.methods import METHODS

TABLES = {name: method.table for name, method in METHODS.items()}


@pytest.mark.parametrize("name", TABLES)
def test_methods_have_their_order(name):
    """The tables that come with nncodegen meet all conditions."""
    assert violation(TABLES[name]) == ""


def changes(value, change):
    """A number, or rows of numbers, with each of its numbers changed in turn, but for those that are 0."""
    if not isinstance(value, tuple):
        yield from [value + change] if value else []
        return
    for place, part in enumerate(value):
        for other in changes(part, change):
            yield (*value[:place], other, *value[place + 1 :])


COEFFICIENTS = [
    (name, field.name)
    for name in ("rk4", "tsit5", "rodas5p")
    for field in fields(TABLES[name])
    if isinstance(getattr(TABLES[name], field.name), tuple | float) and (name, field.name) != ("rodas5p", "errors")
]
"""All coefficients but one: the estimate of Rodas5P is its last stage, and any multiple of it meets the conditions."""


@pytest.mark.parametrize(("name", "what"), COEFFICIENTS)
def test_a_changed_coefficient_is_found(name, what):
    """Each coefficient of each method counts: a change in its eleventh digit misses a condition, which is named."""
    table = TABLES[name]
    changed_columns = list(changes(getattr(table, what), 1e-10))
    for other in changed_columns[:: max(1, len(changed_columns) // 6)]:
        message = violation(replace(table, **{what: other}))
        assert message, other
        assert name in message


def decay(**options):
    return nn.Dynamics("u' = -k*u", {"u": 1}, {"k": 0.5}, times=3, name="decay", **options)


@pytest.mark.parametrize("options", [{}, {"steps": 2}, {"method": "rodas5p"}, {"method": "auto"}])
def test_certificates_name_the_table(options, monkeypatch):
    """With chosen steps and with a number of them, a wrong table is a fault of its own, however small the error is."""
    assert _of_table(decay(**options).describe(), decay(**options)) == ()
    name = options.get("method", "tsit5")
    method = METHODS[name]
    changed = replace(method, explicit=wrong(method.explicit)) if name == "auto" else wrong(method)
    monkeypatch.setitem(METHODS, name, changed)
    (fault,) = _of_table(decay(**options).describe(), decay(**options))
    assert str(fault).startswith("solved with a wrong coefficient, in the step")
    assert isinstance(TABLES[name], LinearlyImplicit) or "tsit5" in fault.message


def wrong(method):
    """A method with a changed coefficient."""
    first, *others = method.stages
    return replace(method, stages=((*first[:-1], float(first[-1]) + 1e-9), *others))
