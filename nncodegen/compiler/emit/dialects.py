"""Dialects of C expressions: for modules, for registers, and for the runtime.

One printer (see ``printer``) prints all dialects, also those of exports; their differences are data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sympy import Expr
from sympy.printing.c import known_functions_C99

from nncodegen.compiler.ir import Element
from nncodegen.compiler.ir.elementary import RECORDS
from nncodegen.compiler.passes.latency import exp_plus_1, half_expm1_plus_1, odds, odds_plus_1, ready


@dataclass(frozen=True)
class Dialect:
    """The differences between the places where C expressions stand.

    functions   the name of a function in SymPy -> its text, with {} for each argument; "sqrt" stands for square roots,
                "power" for the power of a base by the number of the update, and "same_power" for others whose bits
                depend on neither the CPU nor the compiler, if it is not POWER. Functions that have no text are those
                of the C library; without one for decay, it is an exponential, whose argument has the other sign.
    helpers     the names of functions -> what must stand in the file where they are called
    any_type    whether numbers are cast to real, in a text that does not know what type that is
    order       puts the parts of a sum or a product in order; None for the order of SymPy
    """

    functions: Mapping[str, str]
    helpers: Mapping[str, str] = field(default_factory=dict)
    any_type: bool = False
    order: Callable[[Iterable[Expr]], list[Expr]] | None = None


INLINE = {record.name: record.c for record in RECORDS if record.is_inline}
"""The functions of formulas that are emitted inline -> their names in C."""

OWN_FUNCTIONS = {**INLINE, "odds": "odds_of", "Max": "maximum", "Min": "minimum"}
"""The functions that are emitted inline, so that compilers can vectorize loops over them -> their names in C."""

ARGUMENTS = {"tanh_of": 3, "faddeeva_real_of": 2, "faddeeva_imag_of": 2, "Max": 2, "Min": 2}
"""The number of arguments of these functions, if it is not one."""

OF_ONE_ARGUMENT = {f.__name__: f.__name__ for f in (exp_plus_1, half_expm1_plus_1, odds, odds_plus_1)}
OF_ONE_ARGUMENT |= {"exp": "exp_scalar"}
"""Functions that have a variant with a shorter latency for one argument at a time -> its name in C."""

POWER, POWER_OF_ONE = "power_of", "power_scalar"
"""The functions for powers whose bits depend on neither the CPU nor the compiler (powers.h): for many bases at once,
and for one at a time."""

FUNCTIONS = frozenset(
    {POWER, POWER_OF_ONE, *OWN_FUNCTIONS.values(), *OF_ONE_ARGUMENT.values()}
    | {record.c for record in RECORDS if record.c}
    | {name for name in known_functions_C99.values() if isinstance(name, str)}
)
"""The functions that printed text may call."""


def calls(names: Mapping[str, str], argument: str = "{}") -> dict[str, str]:
    """Return the texts of calls, given names in C and the text of each argument."""
    return {name: f"{called}({', '.join([argument] * ARGUMENTS.get(name, 1))})" for name, called in names.items()}


IN_MODULES = Dialect(calls(OWN_FUNCTIONS))
"""The dialect of the kernels of modules."""

OF_A_POINT = Dialect({**IN_MODULES.functions, "exp": "exp_scalar({})"})
"""The dialect of the values of one point, each of which is computed once."""

ANY_TYPE = Dialect({**IN_MODULES.functions, "Abs": "magnitude({})", "sqrt": "root({})"}, any_type=True)
"""The dialect of the common update rules in the runtime, which is compiled for either floating-point type."""


def in_registers(known: Mapping[Element, int]) -> Dialect:
    """Return the dialect of latency-bound scalar text, where parts that are ready early come first.

    ``known`` has the cycles until each element is ready.
    """
    names = {name: called for name, called in OWN_FUNCTIONS.items() if name != "decay"} | OF_ONE_ARGUMENT
    texts = {**calls(names), "same_power": f"{POWER_OF_ONE}({{}}, {{}})"}
    return Dialect(texts, order=lambda parts: sorted(parts, key=lambda part: (ready(part, known), str(part))))
