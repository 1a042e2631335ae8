"""The options of an export, each declared once: name, type, default, check, description, and the help of its flag.

The declarations in ``ExportOptions`` determine the checks and the documentation of ``nn.export``, the flags of the
command ``export``, and what an exporter is given. To add an option, declare it here, name it in the signature of
``export`` (``command.py``), which type checkers and editors read, and in the line of each destination that has it,
unless all have it.
"""

from __future__ import annotations

from nncodegen.compiler.describe import PRECISIONS, check_bits
from nncodegen.compiler.ir.program import BITS, DEFAULT, DIGITS, OFF, PORTABLE
from nncodegen.runtime.python.arguments.declarations import FLAG, Kind, Options, option, unchecked


class ExportOptions(Options):
    """The checked options of an export: the given values, and the defaults of all others."""

    train: bool = option(FLAG, False, "what is written can train, not only predict")
    optimizers: tuple[str, ...] = option(
        Kind("Sequence[str]", lambda model, name, value: tuple(value)),
        ("sgd",),
        "with ``train``, the names of the optimizers by which it can train",
        help="Its update rules.",
        metavar="NAME,...",
    )
    precision: str | None = option(
        unchecked("str | None")._replace(choices=PRECISIONS),
        None,
        '"float64" or "float32"; by default the model\'s own',
        help="[default: the model's own, or float64]",
    )
    libm: bool = option(
        FLAG,
        True,
        "whether the C may call functions of another library, that of mathematics",
        help="The C calls no function of another library.",
    )
    vectors: bool = option(FLAG, False, "the C is fast, for the vectors of a CPU, instead of small")
    cross: str | None = option(
        unchecked("str | None"), None, "another machine to make binaries for: aarch64-linux-gnu", metavar="CPU-SYSTEM"
    )
    generate: bool = option(
        FLAG,
        False,
        "what is written can continue sequences of tokens step by step, as ``module.generate`` does",
        help="What is written can continue sequences of tokens step by step.",
    )
    name: str | None = option(
        unchecked("str | None"),
        None,
        "another name than the model's own; one that is taken where the files are used, such as\nnumpy, is refused",
        help="Another name than the model's own.",
    )
    digits: str | None = option(
        unchecked("str | None")._replace(choices=DIGITS),
        None,
        'what a form of a formula may cost that keeps more digits: "off", "fast" or "best", as for\n'
        '``build``; by default "fast", and "off" where bits are portable, which go without the others',
        help=f"What a form of a formula may cost that keeps more digits.  "
        f"[default: ({DEFAULT}; {OFF} with --bits {PORTABLE})]",
    )
    bits: str | None = option(
        Kind("str | None", lambda model, name, value: check_bits(value), choices=BITS),
        None,
        'with "portable", packages, and C with ``vectors``, have the bits of a module that is built so;\n'
        "by default bits are those of an estimator, where the destination can keep them: the report\n"
        "says where it cannot",
        help="portable: a package, or C with --vectors, has the same bits everywhere.",
    )
    opset: int | None = option(
        unchecked("int | None"), None, "the version of the operators of ONNX: 13, or 23 with those of attention"
    )


OPTIONS = ExportOptions.declared
"""The declarations by name, in the order of the command's help."""
