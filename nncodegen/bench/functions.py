"""The workload lambdify: expressions as functions, by nncodegen and its peers, in turn in one process.

A time is that of a core, not that of the clock: other processes do not count. Results are compared with those of
SymPy's lambdify before any time is shown.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import sympy as sp

import nncodegen as nn
from nncodegen.errors import BenchError

Call = Callable[[], Any]

POINTS, QUICK_POINTS = 2**20, 2**12

x, y, z = sp.symbols("x y z")


@dataclass(frozen=True)
class Case:
    """An expression, its symbols, whether it is called with arrays of many points, and the range of the arguments."""

    name: str
    symbols: tuple[sp.Symbol, ...]
    expression: Any
    vector: bool
    low: float = 0.1
    high: float = 1.0
    matrices: Any = None
    """The expression as matrices, which SymPy's lambdify for math does not know."""

    def arguments(self, points: int) -> list[Any]:
        """Return random arguments: arrays, or floats."""
        rng = np.random.default_rng(58)
        shape = (len(self.symbols), points) if self.vector else (len(self.symbols),)
        values = rng.uniform(self.low, self.high, shape)
        return list(values) if self.vector else values.tolist()


def cases() -> tuple[Case, ...]:
    """Return the cases of the workload."""
    waves = sp.Add(*(sp.sin(k * x) * sp.exp(-y / k) + sp.log(1 + k * x * y) for k in range(1, 4)))
    polynomial = sum(sp.Rational(k + 1, 25) * x**k for k in range(25))
    choice = sp.Piecewise((sp.exp(-x), x < 0.3), (sp.sqrt(x) * sp.log(x), x < 0.7), (sp.cos(x) / x, True))
    return (
        Case("transcendental", (x, y), waves, True),
        Case("polynomial, degree 24", (x,), polynomial, True),
        Case("piecewise", (x,), choice, True),
        Case("sea water", SEA, sea_water(), True, 1.0, 30.0),
        Case("two floats", (x, y), sp.sin(x) * sp.exp(-y) + sp.sqrt(x**2 + 1), False),
        Case("n bodies", *n_bodies(4), False),
        Case("pendulum, 8 links", *pendulum(8), False, matrices=matrices_of(8)),
    )


SEA = sp.symbols("S T p")


def sea_water() -> sp.Expr:
    """Return the density of sea water (kg/m3) by salinity, temperature (degrees Celsius) and pressure (bar).

    (UNESCO's equation of state EOS-80: Fofonoff and Millard, 1983.)
    """
    S, T, p = SEA

    def power_series(*coefficients: float) -> sp.Expr:
        return sp.Add(*(c * T**k for k, c in enumerate(coefficients)))

    pure = power_series(999.842594, 6.793952e-2, -9.095290e-3, 1.001685e-4, -1.120083e-6, 6.536332e-9)
    first = power_series(0.824493, -4.0899e-3, 7.6438e-5, -8.2467e-7, 5.3875e-9)
    density = pure + first * S + power_series(-5.72466e-3, 1.0227e-4, -1.6546e-6) * S ** sp.Rational(3, 2)
    density += 4.8314e-4 * S**2
    bulk = power_series(19652.21, 148.4206, -2.327105, 1.360477e-2, -5.155288e-5)
    bulk += power_series(54.6746, -0.603459, 1.09987e-2, -6.1670e-5) * S
    bulk += power_series(7.944e-2, 1.6483e-2, -5.3009e-4) * S ** sp.Rational(3, 2)
    slope = power_series(3.239908, 1.43713e-3, 1.16092e-4, -5.77905e-7)
    slope += power_series(2.2838e-3, -1.0981e-5, -1.6078e-6) * S + 1.91075e-4 * S ** sp.Rational(3, 2)
    bend = power_series(8.50935e-5, -6.12293e-6, 5.2787e-8) + power_series(-9.9348e-7, 2.0816e-8, 9.1697e-10) * S
    return density / (1 - p / (bulk + slope * p + bend * p**2))


def n_bodies(count: int) -> tuple[tuple[sp.Symbol, ...], list[sp.Expr]]:
    """Return the symbols and the accelerations of bodies that attract each other: positions, then masses."""
    places = [sp.symbols(f"x{k} y{k} z{k}") for k in range(count)]
    masses = sp.symbols(f"m:{count}")
    accelerations: list[sp.Expr] = []
    for here in places:
        total = [sp.S.Zero] * 3
        for there, mass in zip(places, masses, strict=True):
            if there is not here:
                apart = [b - a for a, b in zip(here, there, strict=True)]
                cube = sum(each**2 for each in apart) ** sp.Rational(3, 2)
                total = [each + mass * d / cube for each, d in zip(total, apart, strict=True)]
        accelerations += total
    return (*(symbol for place in places for symbol in place), *masses), accelerations


def matrices_of(links: int) -> list[sp.Matrix]:
    """Return the full mass matrix and the forcing of a pendulum."""
    _, entries = pendulum(links)
    size = 2 * links + 2
    return [sp.Matrix(size, size, entries[: size**2]), sp.Matrix(size, 1, entries[size**2 :])]


@cache
def pendulum(links: int) -> tuple[tuple[sp.Symbol, ...], list[sp.Expr]]:
    """Return the symbols, the entries of the full mass matrix, and those of the forcing, of a pendulum on a cart."""
    from sympy.physics.mechanics.models import n_link_pendulum_on_cart  # noqa: PLC0415 (slow to import)

    model = n_link_pendulum_on_cart(links)
    entries = [*model.mass_matrix_full, *model.forcing_full]
    functions = sorted(sp.Tuple(*entries).atoms(sp.core.function.AppliedUndef), key=str)
    known = {function: sp.Symbol(str(function.func)) for function in functions}
    entries = [entry.xreplace(known) for entry in entries]
    return tuple(sorted(sp.Tuple(*entries).free_symbols, key=str)), entries


def _ours(case: Case) -> Callable[..., Any]:
    return nn.lambdify(case.symbols, case.matrices or case.expression)


def _sympy(case: Case) -> Callable[..., Any]:
    return sp.lambdify(case.symbols, case.expression, "numpy" if case.vector else "math", cse=True)  # type: ignore[no-any-return]


def _numba(case: Case) -> Callable[..., Any]:
    import numba  # noqa: PLC0415

    function = sp.lambdify(case.symbols, _as_tuple(case.expression), "math", cse=True)
    if case.vector:
        return numba.vectorize(function)  # type: ignore[no-any-return]
    return numba.njit(function)  # type: ignore[no-any-return]


def _jax(case: Case) -> Callable[..., Any]:
    import jax  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)
    function = jax.jit(sp.lambdify(case.symbols, case.expression, "jax", cse=True))
    return lambda *arguments: jax.block_until_ready(function(*arguments))


def _symjit(case: Case) -> Callable[..., Any]:
    import symjit  # noqa: PLC0415

    expressions = case.expression if isinstance(case.expression, list) else [case.expression]
    function = symjit.compile_func(list(case.symbols), expressions)
    if case.vector or len(expressions) > 1 or not hasattr(function, "fast_func"):
        return function  # type: ignore[no-any-return]
    return function.fast_func() or function  # type: ignore[no-any-return]


def _as_tuple(expression: Any) -> Any:
    return tuple(expression) if isinstance(expression, list) else expression


OURS = "nncodegen"

PEERS: dict[str, tuple[str, Callable[[Case], Callable[..., Any]]]] = {
    OURS: ("nncodegen", _ours),
    "sympy": ("sympy", _sympy),
    "numba": ("numba", _numba),
    "jax": ("jax", _jax),
    "symjit": ("symjit", _symjit),
}
"""The peers, each with its module and the function that makes a function of a case."""


def measure_functions(quick: bool = False, rounds: int = 5) -> dict[str, Any]:
    """Return, for each case and peer, the seconds of making the function and of a call, in the median of rounds.

    The versions of the peers are in "versions". Raises BenchError where a peer computes something else.
    """
    present = [name for name, (module, _) in PEERS.items() if find_spec(module)]
    rows = []
    for case in cases():
        arguments = case.arguments(QUICK_POINTS if quick else POINTS)
        calls: dict[str, Call] = {}
        made: dict[str, float] = {}
        failed: dict[str, str] = {}
        expected = _values(_sympy(case)(*arguments))
        for name in present:
            begin = _taken()
            try:
                function = PEERS[name][1](case)
                values = _values(function(*arguments))
            except Exception as error:  # a peer may not know a function
                failed[name] = f"{type(error).__name__}: {error}"
                continue
            made[name] = _taken() - begin
            if not np.allclose(values, expected, rtol=1e-6, atol=1e-9):
                raise BenchError(f"{name} computes other values than SymPy's lambdify for {case.name}")
            calls[name] = partial(function, *arguments)
        times = _in_turn(calls, 2 if quick else rounds, 0.01 if quick else 0.2)
        rows.append({"case": case.name, "made": made, "seconds": times, "failed": failed})
    versions = {name: nn.__version__ if name == OURS else version(name) for name in present}
    return {"rows": rows, "versions": versions}


def _taken() -> float:
    """Return the processor time of this process, and of the compilers that it has run."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _values(result: Any) -> Any:
    """Return all numbers of a result, one after the other."""
    if isinstance(result, tuple | list):
        return np.concatenate([_values(part) for part in result])
    return np.ravel(np.asarray(result, dtype=float))


def _in_turn(calls: dict[str, Call], rounds: int, seconds: float) -> dict[str, float]:
    """Return the median seconds of a call of each function, which run in turn."""
    repetitions = {}
    for name, call in calls.items():
        begin, count = time.process_time(), 0
        while time.process_time() - begin < seconds / 4:
            call()
            count += 1
        repetitions[name] = max(1, 4 * count)
    runs: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.process_time()
            for _ in range(repetitions[name]):
                call()
            runs[name].append((time.process_time() - begin) / repetitions[name])
    return {name: float(np.median(each)) for name, each in runs.items()}
