"""Noise whose scale is a formula: the distributions of targets about outputs, and the steps of their likelihood.

With the location m of a target y, and its scale s as a formula, the loss is -log of the density of y:

    normal       (y - m)**2/(2*s**2) + log(s) + log(2*pi)/2
    laplace      |y - m|/s + log(s) + log(2)

The location is the output, or its logarithm where log(y) is distributed in this way, which adds log(y) to the loss. In
the steps the loss is a function of m and log(s), with which no power of s overflows before the loss does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy
from sympy import Abs, Expr, Symbol, exp, log, pi

from nncodegen.compiler.describe.loss_steps import steps_of_mean
from nncodegen.compiler.ir import Element, Step
from nncodegen.compiler.ir.program import LAPLACE, NORMAL, OF_LOGARITHM, Likelihood
from nncodegen.errors import ModelError

OUTPUT = Symbol("output")
"""The symbol of a formula of noise that stands for the output whose noise it is, unless the model has this name."""


@dataclass(frozen=True)
class Noise:
    """A distribution of targets: its kind, which is the name of the function that makes it, and its scale."""

    kind: str
    scale: Any

    @property
    def of_logarithm(self) -> bool:
        """Return whether it is the distribution of the logarithms of targets."""
        return self.kind.startswith(OF_LOGARITHM)


Given: TypeAlias = "Noise | Expr | str | float"
"""The noise of an output as users give it: a formula alone is the standard deviation of a normal distribution."""


def normal(scale: Expr | str | float) -> Noise:
    """Return normal noise: ``scale`` is its standard deviation, a formula of all that the model knows."""
    return Noise(NORMAL, scale)


def laplace(scale: Expr | str | float) -> Noise:
    """Return noise with the density exp(-abs(y - output)/scale)/(2*scale): large errors are more frequent."""
    return Noise(LAPLACE, scale)


def log_normal(scale: Expr | str | float) -> Noise:
    """Return normal noise of log(y) about log(output): ``scale`` is about a relative error. Targets are above 0."""
    return Noise(OF_LOGARITHM + NORMAL, scale)


def log_laplace(scale: Expr | str | float) -> Noise:
    """Return noise of log(y) about log(output) as that of ``laplace``. Targets are above 0."""
    return Noise(OF_LOGARITHM + LAPLACE, scale)


def read_noise(noise: Any, outputs: Sequence[str], name: str) -> tuple[Noise, ...]:
    """Return the noise of each output, from one for all of them, a sequence, or a mapping by the names of outputs.

    Raises ModelError, which names the model, where they do not fit.
    """
    if isinstance(noise, Mapping):
        unknown = [str(key) for key in noise if str(key) not in outputs]
        missing = [output for output in outputs if output not in {str(key) for key in noise}]
        if unknown or missing:
            what = f"names {unknown[0]!r}, which is no output" if unknown else f"has nothing for {missing[0]}"
            raise ModelError(f"the noise of {name} {what}: give a formula for each of {', '.join(outputs)}")
        by_name = {str(key): value for key, value in noise.items()}
        several = [by_name[output] for output in outputs]
    elif isinstance(noise, list | tuple):
        several = list(noise)
        if len(several) != len(outputs):
            raise ModelError(
                f"the noise of {name} has {len(several)} formulas for {len(outputs)} outputs: give one for each of "
                f"them, or one formula, in which output is the one whose noise it is"
            )
    else:
        several = [noise] * len(outputs)
    return tuple(each if isinstance(each, Noise) else normal(each) for each in several)


def negative_log_density(noise: Noise, output: Expr, scale: Expr, target: Expr) -> Expr:
    """Return -log of the density of a target as a formula, for people to read."""
    location, value = (log(output), log(target)) if noise.of_logarithm else (output, target)
    rest = log(target) if noise.of_logarithm else sympy.S.Zero
    if noise.kind.endswith(LAPLACE):
        return Abs(value - location) / scale + log(scale) + log(2) + rest
    return (value - location) ** 2 / (2 * scale**2) + log(scale) + log(2 * pi) / 2 + rest


def likelihood_steps(
    noises: Sequence[Noise],
    outputs: Sequence[Element],
    scales: Sequence[Expr],
    targets: Sequence[Element],
    share: Expr,
    free: Callable[[str], str],
) -> tuple[tuple[Step, ...], Likelihood]:
    """Return the steps from outputs to the loss, and what a fit knows of them.

    ``scales`` are the formulas of the scales, in elements. The loss of a sample is the sum over its values, times
    ``share``. ``free`` returns an unused name in place of one that is taken.
    """
    steps: list[Step] = []
    locations, log_scales = [], []
    parts: list[tuple[Expr, tuple[str, ...]]] = []
    endings = [""] if len(outputs) == 1 else [str(k) for k in range(1, len(outputs) + 1)]
    for noise, output, scale, y, ending in zip(noises, outputs, scales, targets, endings, strict=True):
        location, value, rest = output, y, sympy.S.Zero
        if noise.of_logarithm:
            location = Element(free(f"log_output{ending}"), output.indices)
            steps.append(Step(location, log(output)))
            value = rest = log(y)
        log_scale = Element(free(f"log_scale{ending}"), output.indices)
        steps.append(Step(log_scale, log(scale)))
        distance = (location - value) * exp(-log_scale)
        parts.append((share * (density(noise.kind, distance, log_scale) + rest), y.indices[1:]))
        locations.append(location)
        log_scales.append(log_scale)
    likelihood = Likelihood(tuple(locations), tuple(log_scales), tuple(noise.kind for noise in noises))
    return (*steps, *steps_of_mean(parts, free, apart=True)), likelihood


def density(kind: str, distance: Expr, log_scale: Expr) -> Expr:
    """Return -log of a density, for the distance of a target from its location in units of the scale."""
    if kind.endswith(LAPLACE):
        return Abs(distance) + log_scale + log(2)
    return distance**2 / 2 + log_scale + log(2 * pi) / 2
