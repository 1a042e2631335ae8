"""The notation of names in formulas: w13 as w with 13 below, W1 of a layer as W with (1) above, d_z as z with a bar."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nncodegen.compiler.ir import SAMPLE, Element, Program

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "lamda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ",
    "sigma": "σ", "tau": "τ", "phi": "ϕ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
"""Names that are letters."""

_PARTS = re.compile(r"([A-Za-z]+)_?(\d+(?:_\d+)*)?|([A-Za-z]+)_([A-Za-z0-9]+(?:_[A-Za-z0-9]+)*)")

_ACCENTED = re.compile(rf"([A-Za-z]|{'|'.join(GREEK)})(hat|tilde|dot|ddot|vec)")
"""A letter with an accent, as SymPy names it. A bar is no accent of a user's: it marks derivatives."""

_OF_LAYER = re.compile(r"([A-Za-z])_([a-z]+)(?:_([a-z]))?_?(\d+)")
"""A name in a layer followed by a word, as z_i1, or z_i_f_1 for the forward part of a bidirectional layer."""

_IN_LAYER = re.compile(r"([A-Za-z])(\d+)_([A-Za-z]\w*)")
"""A name whose number comes before the word, as W1_x for the weights of the input x, and h1_xx for a derivative."""

_AFTER = "_after"
"""The suffix of a derivative at the next step of time."""


@dataclass(frozen=True)
class Name:
    """The notation of a name: the letter or word, the texts below and above it, its accent, and the number of bars.

    ``plain`` says that the base is a text as the user wrote it, which may hold anything.
    """

    base: str
    below: str = ""
    above: str = ""
    bars: int = 0
    plain: bool = False
    accent: str = ""


LOSS, LOSS_OF_ONE, WEIGHT = Name("ℒ"), Name("ℓ"), Name("ω")
"""The notation of the loss, of the loss of one sample, and of the weight of a sample."""


class Notation:
    """The notation of the elements of a program.

    In a formula, the index of the samples is left out, as everything but the parameters has it. In layers all indices
    are written, and the number of a layer stands above. ``samples`` overrides this for the index of the samples.
    ``d_z`` is the derivative of the loss by z.
    """

    def __init__(self, programs: Iterable[Program], samples: bool | None = None) -> None:
        programs = tuple(programs)
        self.layered = any(program.layered for program in programs)
        self.samples = self.layered if samples is None else samples
        self._known = {name for program in programs for name in program.shapes}
        self._names: dict[str, Name] = {}
        for program in programs:
            self._names[program.weight.name] = WEIGHT
            if program.loss is None:
                continue
            self._names[program.loss.tensor] = LOSS
            final = next((step for step in program.steps if step.target == program.loss), None)
            for element in final.operands if final is not None else ():
                if element.tensor.startswith("loss_n"):
                    self._names[element.tensor] = LOSS_OF_ONE

    def name(self, tensor: str) -> Name:
        """Return the notation of a tensor."""
        if tensor not in self._names:
            self._names[tensor] = self._parsed(tensor)
        return self._names[tensor]

    def indices(self, element: Element) -> tuple[str, ...]:
        """Return the indices that are written with an element."""
        return tuple(index for index in element.indices if self.samples or index != SAMPLE)

    def of(self, tensor: str) -> str | None:
        """Return the tensor by which a tensor is the derivative of the loss; None if it is no such derivative."""
        base = re.sub(r"_+$", "", tensor.removeprefix("d_"))
        if not tensor.startswith("d_") or tensor not in self._known:
            return None
        return next((name for name in (tensor.removeprefix("d_"), base) if name in self._known), None)

    def _parsed(self, tensor: str) -> Name:
        inner = self.of(tensor)
        if inner is not None and inner != tensor:
            known = self.name(inner)
            return replace(known, bars=known.bars + 1)
        if tensor.endswith(_AFTER) and tensor.removesuffix(_AFTER) in self._known:
            return replace(self.name(tensor.removesuffix(_AFTER)), below="after")
        match = _OF_LAYER.fullmatch(tensor) if self.layered else None
        if match:  # the number of the layer stands above
            return Name(match[1], match[2] + (f" {match[3]}" if match[3] else ""), f"({match[4]})")
        match = _IN_LAYER.fullmatch(tensor) if self.layered else None
        if match:
            return Name(match[1], match[3].replace("_", " "), f"({match[2]})")
        match = _PARTS.fullmatch(tensor)
        if not match:
            return Name(tensor, plain=True)
        base, number, word, below = match[1] or match[3], match[2] or "", match[3], match[4] or ""
        marked = _ACCENTED.fullmatch(base)
        base, accent = (marked[1], marked[2]) if marked else (base, "")
        letter = GREEK.get(base, base)
        if word:
            return Name(letter, GREEK.get(below, below.replace("_", " ")), accent=accent)
        number = number.replace("_", ".")
        above = self.layered and number and base != "t"  # t1, t2, ... are numbered by the compiler, not by layers
        return Name(letter, "", f"({number})", accent=accent) if above else Name(letter, number, accent=accent)
