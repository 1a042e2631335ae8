"""The plans of a program: the roles of its axes, and the ordered rewrites that every kernel of a plan takes."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.schedule.kernel import Plan, Role
from nncodegen.compiler.schedule.rewrites.descend import descend
from nncodegen.compiler.schedule.rewrites.expand import expand
from nncodegen.compiler.schedule.rewrites.guard_loss_only import guard_loss_only
from nncodegen.compiler.schedule.rewrites.hoist import hoist
from nncodegen.compiler.schedule.rewrites.join import join
from nncodegen.compiler.schedule.rewrites.mark_loss_only import mark_loss_only
from nncodegen.compiler.schedule.rewrites.one_by_one import one_by_one
from nncodegen.compiler.schedule.rewrites.one_function import one_function
from nncodegen.compiler.schedule.rewrites.one_sample import one_sample
from nncodegen.compiler.schedule.rewrites.pad import pad
from nncodegen.compiler.schedule.rewrites.prepare import prepare
from nncodegen.compiler.schedule.rewrites.set_loop_ends import set_loop_ends
from nncodegen.compiler.schedule.rewrites.sink_until_last_write import sink_until_last_write
from nncodegen.compiler.schedule.rewrites.specialize_for_call import specialize_for_call
from nncodegen.compiler.schedule.rewrites.store_or_add_gradient import store_or_add_gradient
from nncodegen.compiler.schedule.rewrites.unloop_single_sample import unloop_single_sample

TILE = Plan(
    "tile",
    Role.TILED,
    Role.ONE_BY_ONE,
    rewrites=(
        prepare,
        sink_until_last_write,
        mark_loss_only,
        set_loop_ends,
        pad,
        specialize_for_call,
        expand,
        guard_loss_only,
        unloop_single_sample,
        join,
    ),
)

ONE_BY_ONE = Plan(
    "tile of one sample",
    Role.ABSENT,
    Role.VECTOR,
    rewrites=(prepare, mark_loss_only, set_loop_ends, one_by_one, expand, hoist, guard_loss_only, join),
)

SINGLE_SAMPLE = Plan(
    "single sample",
    Role.ABSENT,
    Role.VECTOR,
    rewrites=(
        one_function,
        mark_loss_only,
        set_loop_ends,
        one_sample,
        expand,
        guard_loss_only,
        store_or_add_gradient,
        join,
    ),
)

UNROLLED = Plan("unrolled", Role.ABSENT, Role.UNROLLED)

PLAIN = Plan("plain", Role.ABSENT, Role.ONE_BY_ONE)

LAYERS = Plan(
    "models side by side, layers",
    Role.ONE_BY_ONE,
    Role.ONE_BY_ONE,
    Role.VECTOR,
    rewrites=(one_function, mark_loss_only, set_loop_ends, expand, guard_loss_only, join),
)

TRAJECTORIES = replace(LAYERS, name="models side by side, over time", samples=Role.ABSENT)

FITS = replace(LAYERS, name="fits side by side", samples=Role.ABSENT, units=Role.UNROLLED, lanes="FITS")

SWEEPS = replace(FITS, name="fits side by side, in loops", units=Role.ONE_BY_ONE)

FORMULA = Plan(
    "models side by side, formula",
    Role.ABSENT,
    Role.UNROLLED,
    Role.VECTOR,
    rewrites=(one_function, mark_loss_only, set_loop_ends, expand, guard_loss_only, descend, join),
)
