"""The numbers that choose the lengths of steps as a C header: those of the loop in NumPy."""

from __future__ import annotations

from decimal import Decimal

from nncodegen.compiler.ir.integrate import BEFORE, LEAST, MOST, NEAR, SAFE, TINY
from nncodegen.compiler.ir.systems import REACH

HEAD = """\
/* The numbers that choose the lengths of steps, each declared once, in nncodegen/compiler/ir/integrate.py and
   systems.py, which say what they mean. "pytest --update-golden" renews this file.

   Needs nothing. Gives STEP_SAFE, STEP_LEAST, STEP_MOST, STEP_BEFORE, STEP_NEAR, STEP_TINY, TINY_SQUARE and
   STEP_REACH. */

#ifndef NNCODEGEN_CONTROLLER_H
#define NNCODEGEN_CONTROLLER_H

/* The factor that keeps steps from being rejected; the least and the largest factor from one length to the next; the
   exponent of the norm of the step before; the logarithm of the smallest such norm, to the base 2; the smallest norm
   whose logarithm is taken. */
"""

LENGTHS = {"SAFE": SAFE, "LEAST": LEAST, "MOST": MOST, "BEFORE": BEFORE, "NEAR": NEAR, "TINY": TINY}
"""The numbers by the ends of their names in C."""


def emit_controller() -> str:
    """Return the text of ``runtime/c/nncodegen/solve/controller.h``."""
    reach = "/* The largest length of an explicit step times the bound of eigenvalues, of a method that chooses. */\n"
    square = "/* The square of STEP_TINY, for squares of norms. */\n"
    lengths = "".join(_defined(f"STEP_{name}", value) for name, value in LENGTHS.items())
    tiny = f"{square}{_defined('TINY_SQUARE', float(Decimal(repr(TINY)) ** 2))}"
    return f"{HEAD}{lengths}\n{tiny}\n{reach}{_defined('STEP_REACH', REACH)}\n#endif\n"


def _defined(name: str, value: float) -> str:
    """Return the definition of a number."""
    return f"#define {name} {value!r}\n" if value >= 0 else f"#define {name} ({value!r})\n"
