"""Loops and places."""

import pytest
import sympy

import nncodegen as nn
from nncodegen.ir import SAMPLE
from nncodegen.schedule import Place


def scheduled(model):
    return nn.compile_model(model, until="schedule")["schedule"]


NETWORK = nn.Sequential([nn.Dense(4, "tanh"), nn.Dense(3, "softmax")], 5, "categorical_crossentropy")
a, b, x, y = sympy.symbols("a b x y")
FORMULA = nn.Model("m", [x], [y], {a: 1.0, b: 2.0}, a * x + b, (a * sympy.tanh(b * x) - y) ** 2)


def test_a_formula_is_one_loop_without_arrays():
    """All steps of a formula share one loop over samples; every value is a local variable."""
    for kernel in scheduled(FORMULA).kernels:
        assert [nest.outer for nest in kernel.tile] == [()]
        assert kernel.arrays == 0


@pytest.mark.parametrize("model", [NETWORK, FORMULA], ids=["network", "formula"])
def test_every_value_is_ready_when_it_is_read(model):
    """A nest reads what earlier nests or earlier steps of its own have computed; a reduction must be complete."""
    for kernel in scheduled(model).kernels:
        done = {name for name, s in kernel.storage.items() if s.place in (Place.PARAMETER, Place.INPUT, Place.TARGET,
                                                                         Place.WEIGHT)}  # fmt: skip
        for nest in (*kernel.before, *kernel.tile, *kernel.after):
            mine = set()
            for step in nest.steps:
                assert all(operand.tensor in done | mine for operand in step.operands), step
                if not step.over:
                    mine.add(step.target.tensor)
            done |= {step.target.tensor for step in nest.steps}


def test_arrays_do_not_overlap():
    """Every array has its own part of work memory, of one tile."""
    schedule = scheduled(NETWORK)
    for kernel in schedule.kernels:
        parts = sorted(s.offset for s in kernel.storage.values() if s.place is Place.ARRAY)
        assert len(set(parts)) == len(parts)
        assert kernel.arrays % schedule.tile == 0
        shapes = {step.target.tensor: step.target for nest in kernel.tile for step in nest.steps}
        used = 0
        for name, storage in kernel.storage.items():
            if storage.place is Place.ARRAY:
                assert SAMPLE in shapes[name].indices
                size = schedule.tile
                for index in shapes[name].indices:
                    size *= schedule.program.sizes[index] or 1
                used += size
        assert used == kernel.arrays


def test_show():
    """The loops print readably."""
    text = scheduled(NETWORK).show()
    assert "kernel gradient" in text
    assert "for j, i, n in blocks of outputs in registers:\n        s1[n, j] = sum(i) W1[j, i]*x tile[n, i]" in text
