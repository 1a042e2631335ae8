"""The plans of a program: the roles of its axes, and the ordered rewrites that every kernel of a plan takes."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.schedule.kernel import Plan, Role
from nncodegen.schedule.rewrites.add import add
from nncodegen.schedule.rewrites.alone import alone
from nncodegen.schedule.rewrites.bound import bound
from nncodegen.schedule.rewrites.choose import choose
from nncodegen.schedule.rewrites.descend import descend
from nncodegen.schedule.rewrites.expand import expand
from nncodegen.schedule.rewrites.hoist import hoist
from nncodegen.schedule.rewrites.hold import hold
from nncodegen.schedule.rewrites.join import join
from nncodegen.schedule.rewrites.on_request import on_request
from nncodegen.schedule.rewrites.one_by_one import one_by_one
from nncodegen.schedule.rewrites.one_sample import one_sample
from nncodegen.schedule.rewrites.pad import pad
from nncodegen.schedule.rewrites.prepare import prepare
from nncodegen.schedule.rewrites.request import request
from nncodegen.schedule.rewrites.together import together

TILE = Plan(
    "tile", Role.TILED, Role.ONE_BY_ONE,
    rewrites=(prepare, hold, request, bound, pad, choose, expand, on_request, alone, join),
)  # fmt: skip

ONE_BY_ONE = Plan(
    "tile of one sample", Role.ABSENT, Role.VECTOR,
    rewrites=(prepare, request, bound, one_by_one, expand, hoist, on_request, join),
)  # fmt: skip

SINGLE_SAMPLE = Plan(
    "single sample", Role.ABSENT, Role.VECTOR,
    rewrites=(together, request, bound, one_sample, expand, on_request, add, join),
)  # fmt: skip

UNROLLED = Plan("unrolled", Role.ABSENT, Role.UNROLLED)

PLAIN = Plan("plain", Role.ABSENT, Role.ONE_BY_ONE)

LAYERS = Plan(
    "models side by side, layers", Role.ONE_BY_ONE, Role.ONE_BY_ONE, Role.VECTOR,
    rewrites=(together, request, bound, expand, on_request, join),
)  # fmt: skip

TRAJECTORIES = replace(LAYERS, name="models side by side, over time", samples=Role.ABSENT)

FITS = replace(LAYERS, name="fits side by side", samples=Role.ABSENT, units=Role.UNROLLED, lanes="FITS")

SWEEPS = replace(FITS, name="fits side by side, in loops", units=Role.ONE_BY_ONE)

FORMULA = Plan(
    "models side by side, formula", Role.ABSENT, Role.UNROLLED, Role.VECTOR,
    rewrites=(together, request, bound, expand, on_request, descend, join),
)  # fmt: skip
