"""The peers: each is a file with a function that prepares a task. To add one, add an entry.

The function takes a task and the number of threads, and returns a run: a function without arguments that does the whole
task, from the initial parameters, and returns its result as an array. The time to make the run counts as build time;
the imports at the top of the file do not count, nor does a function ``prepare`` in it, which does what belongs to the
installation of the peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from nncodegen.bench.moving import FITS

Run = Callable[[], Any]

ONLY_OURS = dict.fromkeys(("build", "growth", "solution"), "only nncodegen is measured")
ALONE = {**ONLY_OURS, **dict.fromkeys(("motion", "trajectories", "stiff"), "it solves no differential equations")}
NO_WINDOWS = dict.fromkeys(("lenet", "conv1d"), "it has no convolutions")
NO_TIME = {
    **dict.fromkeys(("lstm", "lstm-16"), "it has no recurrent layers"),
    **dict.fromkeys(("microgpt", "transformer"), "it has no attention"),
}
NO_FITS = dict.fromkeys(("fit", "fits", "nist"), "it has no least squares") | ALONE


@dataclass(frozen=True)
class Peer:
    """A program that is compared with nncodegen.

    ``place`` is a module and a function in it. ``needs`` are the modules that must be installed; the first gives the
    version. ``left_out`` maps workloads in which the peer does not take part to reasons. ``iterations`` and ``fits``
    are the numbers of iterations and of fits of a peer that is too slow for the full numbers. ``cases`` are the only
    ones of its workloads that it takes part in, if not all.
    """

    title: str
    place: str
    needs: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    precisions: tuple[str, ...] = ("float64", "float32")
    iterations: int | None = None
    fits: int | None = None
    threads: bool = True
    cases: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the modules that are needed and not installed."""
        return tuple(name for name in self.needs if find_spec(name) is None)


def _formulas_only(reason: str) -> dict[str, str]:
    names = ("simplechains", "spiral", "digits", "online", "wide", "lenet", "conv1d", "networks", "predict", "burgers")
    return {**dict.fromkeys((*names, "lstm", "lstm-16", "microgpt", "transformer"), reason), **NO_FITS}


_SYMPY = {**_formulas_only("it is for formulas"), "ensemble": "it would take the perceptron's time for each model"}
_SUBS = {**_SYMPY, "curve": "it would take three minutes for one update"}
_NO_EQUATIONS = {"burgers": "it has no derivatives by inputs"}
_PERCEPTRON = "it is for the perceptron and for trajectories"
_BY_HAND = {**_formulas_only(_PERCEPTRON), "curve": _PERCEPTRON}
del _BY_HAND["trajectories"]

_SMALL = {
    **dict.fromkeys(("lstm", "lstm-16"), "the products of a step are small"),
    **dict.fromkeys(("microgpt", "transformer"), "samples run one by one, in products of our own"),
    **dict.fromkeys(("lenet", "conv1d"), "a window is no product of matrices here"),
    **dict.fromkeys(("perceptron", "curve", "ensemble"), "a formula has no products of matrices"),
    **dict.fromkeys(("simplechains", "spiral", "digits", "online", "networks", "predict"), "its layers are small"),
    **dict.fromkeys(("fit", "fits", "nist"), "a formula has no products of matrices"),
    "burgers": "its layers are small",
    **ALONE,
}

_ONE_AT_A_TIME = "it trains one network at a time"
_LAYERS_ONLY = {
    **dict.fromkeys(("lstm", "lstm-16", "microgpt", "transformer"), "the eager form has the same layer"),
    **dict.fromkeys(("lenet", "conv1d"), "the eager form is the faster one"),
    **dict.fromkeys(("perceptron", "curve", "ensemble"), "a formula has no layers"),
    "networks": _ONE_AT_A_TIME,
    "burgers": "torch stands for it",
    **NO_FITS,
}

_TRAINED = (
    "perceptron", "curve", "simplechains", "spiral", "digits", "online", "wide", "lenet", "conv1d", "ensemble",
    "networks", "lstm", "lstm-16", "microgpt", "transformer",
)  # fmt: skip
_FITS_ONLY = {**dict.fromkeys((*_TRAINED, "predict", "burgers"), "it is for least squares"), **ALONE}
_EQUATIONS_ONLY = {**dict.fromkeys((*_TRAINED, "predict"), "it is for equations"), **NO_FITS}
_MOTION_ONLY = {
    **dict.fromkeys((*_TRAINED, "predict", "burgers", "fit", "fits", "nist"), "it is for differential equations"),
    "trajectories": "it would take minutes for a call",
    **ONLY_OURS,
}
FEW = 500
"""The number of fits of a peer that makes them one by one. The whole set would take seconds in each run, and the median
would be no more accurate."""

SLOW_FITS = 10
"""The number of fits of a peer for each of which it takes a large part of a second."""

OURS = "nncodegen"

PEERS = {
    OURS: Peer("nncodegen", "ours:make"),
    "numpy": Peer("NumPy by hand", "numpy:make", ("numpy",), NO_FITS | NO_WINDOWS | NO_TIME | _NO_EQUATIONS),
    "jax": Peer("JAX, all in one jit", "jax:make", ("jax",), ALONE),
    "jax-vmap": Peer(
        "JAX, one vmap over all fits", "jax_fits:vmapped", ("jax",),
        {**_FITS_ONLY, **dict.fromkeys(("fit", "nist"), "it makes many fits at once")}, threads=False,
    ),
    "jax-by-hand": Peer("JAX, derivatives by hand", "jax_equations:by_hand", ("jax",), _EQUATIONS_ONLY),
    "torch": Peer("PyTorch, eager", "torch:eager", ("torch",), NO_FITS),
    "torch-modules": Peer("PyTorch, as tutorials write it", "torch:modules", ("torch",), _LAYERS_ONLY),
    "torch-compile": Peer("PyTorch, compiled steps", "torch:compiled", ("torch",),
                          {**NO_FITS, "burgers": "it compiles no derivatives of derivatives"}),
    "sklearn": Peer(
        "scikit-learn", "sklearn:make", ("sklearn",),
        {
            "perceptron": "it has no network whose neurons share one bias",
            "ensemble": "it has no network whose neurons share one bias",
            "curve": "it has no formulas",
            "networks": _ONE_AT_A_TIME,
            **NO_WINDOWS,
            **NO_TIME,
            "simplechains": "its Adam adds epsilon before it corrects the bias, which is another update",
            "spiral": "it has one logistic output, not a softmax, for two classes",
            **_NO_EQUATIONS,
            **NO_FITS,
        },
    ),
    "numba": Peer("numba", "numba:make", ("numba", "scipy"), NO_FITS | NO_WINDOWS | NO_TIME | _NO_EQUATIONS),
    "c": Peer("C by hand", "c:make", (), _BY_HAND, threads=False),
    "sympy-lambdify": Peer("SymPy, lambdify", "sympy:compiled", ("sympy",), _SYMPY, ("float64",), threads=False),
    "sympy-subs": Peer("SymPy, subs", "sympy:substituted", ("sympy",), _SUBS, ("float64",), 3, threads=False),
    "curve_fit": Peer("SciPy, curve_fit", "scipy:curve_fit", ("scipy",), _FITS_ONLY, fits=FEW, threads=False),
    "curve_fit-jac": Peer(
        "SciPy, curve_fit, our Jacobian", "scipy:with_our_jacobian", ("scipy",), _FITS_ONLY, fits=FEW, threads=False
    ),
    "least_squares": Peer(
        "SciPy, least_squares", "scipy:least_squares", ("scipy",), _FITS_ONLY, fits=FEW, threads=False
    ),
    "lmfit": Peer("lmfit", "lmfit:make", ("lmfit", "scipy"), _FITS_ONLY, fits=FEW, threads=False),
    "one-by-one": Peer("nncodegen, one by one", "ours:one_by_one", (), {**_MOTION_ONLY, "stiff": "it is for fits"},
                       fits=FEW, threads=False, cases=(FITS,)),
    "odeint": Peer("SciPy, odeint", "scipy_motion:make", ("scipy",), _MOTION_ONLY, ("float64",), fits=SLOW_FITS,
                   threads=False),
    "radau": Peer("SciPy, Radau", "scipy_motion:radau", ("scipy",),
                  {**_MOTION_ONLY, "motion": "it is for stiff equations"}, ("float64",), threads=False),
    "diffrax": Peer("diffrax", "diffrax:make", ("diffrax", "jax"), _MOTION_ONLY, ("float64",), fits=FEW, threads=False),
    "blas": Peer("nncodegen, BLAS", "ours:with_blas", ("scipy",), _SMALL),
}  # fmt: skip
