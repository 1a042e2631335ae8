"""Expressions in plain C for any compiler, with a C library or without; see ``emit.dialects``."""

from __future__ import annotations

from dataclasses import replace

from nncodegen.compiler.emit.dialects import INLINE, OWN_FUNCTIONS, Dialect, calls

BESIDES = ("half_expm1", "tanh_of")
"""The functions that no C library has: each is a helper with the same name."""

LONG = ("faddeeva_real_of", "faddeeva_imag_of")
"""Further functions that no C library has, of more lines: those of functions64.h and functions32.h."""


def exported(libm: bool) -> Dialect:
    """Return the dialect of kernels, with the functions of the C library or with those of nncodegen."""
    functions = (*BESIDES, *LONG) if libm else (*INLINE,)
    extrema = {name: OWN_FUNCTIONS[name] for name in ("Max", "Min")}
    return Dialect(
        calls({name: OWN_FUNCTIONS[name] for name in functions} | extrema) | {"sign": "(real) (({0} > 0) - ({0} < 0))"},
        {**{name: name if libm and name in BESIDES else "functions" for name in functions}, **extrema},
    )


def doubles(precision: str, libm: bool) -> Dialect:
    """Return the dialect of update rules, which compute in double whatever the precision of the model.

    Powers whose exponent is the number of the update are computed by products. Without a C library, nncodegen's
    functions take reals; only the square root has a version for doubles.
    """
    plain = exported(libm)
    functions, helpers = {"power": "power({}, t)"}, {"power": "power"}
    if not libm:
        functions |= calls({name: OWN_FUNCTIONS[name] for name in INLINE} | {"Abs": "fabs"}, "(real) ({})")
    if not libm and precision == "float32":
        functions["sqrt"], helpers["sqrt"] = "root_of({})", "root"
    return replace(plain, functions={**plain.functions, **functions}, helpers={**plain.helpers, **helpers})
