"""The expected curvature of a likelihood in which the scale of each target is a formula: Fisher's information.

The loss of such a target is no convex function of its location m and the logarithm of its scale s: its curvature in s
is negative where the target is close. The expected second derivatives are positive, and there are none between m and
log(s): 1/s**2 and 2 for a normal distribution, 1/s**2 and 1 for that of Laplace. With them in place of the second
derivatives, generalized Gauss-Newton is Fisher's scoring, and the triangle of a fit is that of the information.

Steps towards the kink of Laplace's density need more: where the distance is r, they take 1/(s*|r|), the curvature of
the parabola that touches |r|/s on both sides and lies above it elsewhere (iteratively reweighted least squares: E. J.
Schlossmacher, 1973). At the kink every slope between -1/s and 1/s is one of the loss: very close to it, the slope is in
proportion to r, so that a step leads to the kink and not beyond. The runtime says by ``known`` which of both curvatures
it wants: 1 for steps, 2 for the information.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympy import Abs, Expr, Max, Piecewise, Rational, exp, log, true

from nncodegen.compiler.ir import Element, Program, Step, needed
from nncodegen.compiler.ir.program import LAPLACE, OF_LOGARITHM
from nncodegen.compiler.passes.fitting.missing_targets import with_known
from nncodegen.compiler.passes.numbering import Numbering

NEAREST = {"float64": Rational(1, 10**8), "float32": Rational(1, 10**4)}
"""The distance from a kink, in units of the scale, up to which a target counts as one at the kink, by precision."""

Parts = tuple[Element, tuple[Element, ...], tuple[Element, ...], tuple[Element, ...]]
"""The loss of a sample without missing targets, ``known`` for each target, slopes, and curvatures times seeds."""


def information(
    sample_loss: Element,
    gradient: Sequence[Element],
    u_elements: Sequence[Element],
    seeds: Sequence[Element],
    program: Program,
    numbering: Numbering,
) -> Parts:
    """Return the loss of a sample without missing targets, and what steps of a fit need of each u.

    ``u_elements`` are the locations, then the logarithms of scales; ``gradient`` are the derivatives by them.
    """
    likelihood = program.task.fits.likelihood
    assert likelihood is not None
    count = len(likelihood.kinds)
    locations, log_scales = u_elements[:count], u_elements[count:]
    steps = needed_given(u_elements, numbering.steps, sample_loss)
    sample_loss, known = with_known(sample_loss, steps, locations, 1, program, numbering, log_scales)
    share = Rational(1, program.task.losses_per_sample)
    slopes, curvatures = list(gradient), []
    for place, kind in enumerate(likelihood.kinds):
        location, log_scale = locations[place], log_scales[place]
        curvature: Expr = exp(-2 * log_scale)
        if kind.endswith(LAPLACE):
            y = Element(program.targets[place].name, location.indices)
            value = log(y) if kind.startswith(OF_LOGARITHM) else y
            distance = numbering.define((location - value) * exp(-log_scale), "distance", location.indices)
            size = Max(Abs(distance), NEAREST[program.precision])
            curvature = Piecewise((curvature, known[place] > 1), (curvature / size, true))
            slope = share * exp(-log_scale) * distance / size
            slopes[place] = numbering.define(slope, f"d_{location.tensor}", location.indices)
        curvatures.append(share * curvature)
    curvatures += [share * (1 if kind.endswith(LAPLACE) else 2) for kind in likelihood.kinds]
    products = tuple(
        numbering.define(curvature * seed, None, seed.indices)
        for curvature, seed in zip(curvatures, seeds, strict=True)
    )
    return sample_loss, known, tuple(slopes), products


def needed_given(inner: Iterable[Element], steps: Iterable[Step], *results: Element) -> tuple[Step, ...]:
    """Return the steps on which results depend, given u."""
    known_tensors = {element.tensor for element in inner}
    return needed((step for step in steps if step.target.tensor not in known_tensors), results)
