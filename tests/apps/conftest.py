"""What tests of estimators share: the modules that are built."""

import pytest

from nncodegen.estimators.network import modules


@pytest.fixture
def built(monkeypatch):
    """The numbers of inputs of the modules that are built in a test, which finds none."""
    numbers, original = [], modules.build_module
    monkeypatch.setattr(modules, "_modules", {})
    monkeypatch.setattr(
        modules,
        "build_module",
        lambda model, *others, **options: numbers.append(model.inputs) or original(model, *others, **options),
    )
    return numbers
