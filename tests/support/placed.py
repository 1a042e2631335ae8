"""Schedules before their rewrites: the places of tensors are known, but no loop is written out."""

from unittest.mock import patch

import nncodegen as nn
from nncodegen.compiler.schedule.tree_walks import computes


def placed(model, **choices):
    """The schedule of a model, whose kernels for tiles are as the rewrites of their plans get them."""
    with patch("nncodegen.compiler.schedule.lower", lambda kernel, program, layout: kernel):
        return nn.compile_model(model, until="schedule", fit=False, choices=choices)["schedule"]


def in_tile(kernel):
    """What is computed for a tile, in its order."""
    return [*computes(kernel.trees.tile)]


def in_all(kernel):
    """What a kernel computes, in the order in which it runs."""
    return [each for tree in kernel.trees.in_order for each in computes(tree)]
