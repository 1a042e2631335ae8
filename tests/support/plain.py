"""Exported C, as compilers see it, and called from Python."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.formats import c
from nncodegen.formats.c import sizes
from tests.support import compilers

WARNINGS = ("-std=c99", *compilers.WARNINGS, "-Wconversion")

COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)]

REALS = {"float64": ctypes.c_double, "float32": ctypes.c_float}


def exported(model, folder, *, tested=True, **options):
    """The export of a model to a folder: its texts by name. Its size is not measured, which takes as long.

    Without ``tested``, the text of its test is empty: what that compares with, NumPy evaluates, which may take longer.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "measure", lambda *_: [])
        if not tested:
            patch.setattr(c, "self_test", lambda _: "")
        written = nn.export(model, "c", folder, **options)
    return {name: content.decode() for name, content in written.files.items()}


def compiled(sources, target, compiler="gcc", options=("-O1",), warnings=WARNINGS):
    """Compiles sources, of several models in one go, to a program or a shared library; a warning is an error."""
    shared = ("-shared", "-fPIC") if target.suffix == ".so" else ()
    output = () if "-fsyntax-only" in options else ("-o", str(target), "-lm")
    command = [compiler, *warnings, *options, *shared, *map(str, sources), *output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if any("-fsanitize" in option for option in options) and done.returncode and "cannot find" in done.stderr:
        pytest.skip("the compiler has come without its sanitizers")
    assert done.returncode == 0, done.stderr
    return target


class PlainC:
    """The functions of an exported model in a shared library. Arrays have a row for each sample."""

    def __init__(self, library: Path, name: str, header: str, precision: str) -> None:
        self.name, self.precision = name, precision
        self._functions, self._real = ctypes.CDLL(str(library)), REALS[precision]
        pairs = [line.strip().rstrip(",").split(" = ") for line in header.splitlines() if line.startswith("    ")]
        self.sizes = {pair[0].removeprefix(f"{name.upper()}_"): int(pair[1]) for pair in pairs if len(pair) == 2}
        self.work = np.full(max(self.sizes["PREDICT_WORK"], self.sizes.get("TRAIN_WORK", 0)) + 1, np.nan, precision)

    def call(self, function, *arguments, returns=False):
        """Calls a function with arrays, None, whole numbers and numbers of ctypes."""
        called = getattr(self._functions, f"{self.name}_{function}")
        called.restype = self._real if returns else None
        return called(*map(_argument, arguments))

    def array(self, values):
        """Values in the precision of the model, or None."""
        return None if values is None else np.array(values, self.precision, order="C")

    def real(self, value):
        """A number, to be handed over."""
        return self._real(value)

    @property
    def parameters(self):
        """The parameters that are written."""
        table = (self._real * self.sizes["PARAMETERS"]).in_dll(self._functions, f"{self.name}_parameters")
        return np.array(table)

    def predict(self, parameters, X, samples=None):
        """The outputs (samples, OUTPUTS)."""
        outputs = np.full((len(X) if samples is None else samples, self.sizes["OUTPUTS"]), np.nan, self.precision)
        arguments = self.array(parameters), len(outputs), self.array(X), outputs, self.work
        self.call("predict_batch", *arguments)
        return outputs

    def loss(self, parameters, X, Y):
        """The loss of each sample."""
        return np.array(
            [
                self.call("loss", self.array(parameters), self.array(x), self.array(y), self.work, returns=True)
                for x, y in zip(X, Y, strict=True)
            ]
        )

    def loss_and_gradient(self, parameters, X, Y, weights=None, noise=(), samples=None):
        """The mean loss and its gradient."""
        gradient = np.full(self.sizes["PARAMETERS"], np.nan, self.precision)
        samples = samples or len(X)
        arguments = self.array(parameters), samples, self.array(X), self.array(Y), self.array(weights)
        counter = [ctypes.c_uint64(number) for number in noise]
        return self.call("loss_and_gradient", *arguments, gradient, *counter, self.work, returns=True), gradient


def loaded(folder, exports, compiler="gcc", options=("-O1",), tested=()):
    """The functions of several exports, compiled in one go: {name: (model, options of the export)} -> by name.

    Only the exports that ``tested`` names come with their tests.
    """
    texts = {
        name: exported(model, folder / name, tested=name in tested, name=name, **export_options)
        for name, (model, export_options) in exports.items()
    }
    sources = [folder / name / f"{name}.c" for name in texts]
    library = compiled(sources, folder / f"exports-{compiler}.so", compiler, options)
    return {
        name: PlainC(library, name, text[f"{name}.h"], exports[name][1].get("precision") or "float64")
        for name, text in texts.items()
    }


def _argument(value):
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    if value is None:
        return ctypes.c_void_p(None)
    return ctypes.c_size_t(value) if isinstance(value, int) else value
