"""Exports for CasADi, compiled, and called as acados calls what CasADi generates."""

import ctypes
import subprocess

import numpy as np

import nncodegen as nn
from tests.support.compilers import WARNINGS

POINTERS = ctypes.POINTER(ctypes.POINTER(ctypes.c_double))


def compiled(model, folder, name, parameters=None, options=()):
    """The path of the library of a model, compiled strictly."""
    nn.export(model, "casadi", folder, parameters=parameters, name=name)
    library = folder / f"lib{name}.so"
    command = ["gcc", "-std=c99", "-O0", "-shared", "-fPIC", *WARNINGS, "-Wconversion", *options]
    done = subprocess.run(
        [*command, f"{name}.c", "-o", library, "-lm"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return library


class ExternalFunction:
    """A function of a library with casadi_int=int, as acados' ``external_function_casadi`` knows it.

    Its ``external_function_casadi_create`` asks ``NAME_work``, ``NAME_n_in``, ``NAME_n_out``, ``NAME_sparsity_in`` and
    ``NAME_sparsity_out``; its wrapper converts matrices by these patterns, and calls ``NAME`` (acados,
    acados/utils/external_function_generic.c).
    """

    SPARE = 4
    """Values after the work memory, which must stay as they are."""

    def __init__(self, library, name):
        """Asks what there is to know."""
        self._call = getattr(library, name)
        self._call.argtypes = [POINTERS, POINTERS, *[ctypes.c_void_p] * 2, ctypes.c_int]
        asked = [ctypes.c_int(-1) for _ in range(4)]
        assert getattr(library, f"{name}_work")(*map(ctypes.byref, asked)) == 0
        self.sizes = [value.value for value in asked]
        self.given, self.found = (self._patterns(library, name, side) for side in ("in", "out"))
        assert len(self.given) <= self.sizes[0]
        assert len(self.found) <= self.sizes[1]

    @staticmethod
    def _patterns(library, name, side):
        """For each argument or result: the shape, and the (row, column) of each value."""
        ask = getattr(library, f"{name}_sparsity_{side}")
        ask.restype = ctypes.POINTER(ctypes.c_int)
        patterns = []
        for number in range(getattr(library, f"{name}_n_{side}")()):
            rows, columns, dense, *_ = (pattern := ask(number))[:3]
            if dense:
                patterns.append(((rows, columns), [(row, column) for column in range(columns) for row in range(rows)]))
                continue
            begins = pattern[2 : columns + 3]
            places = [(pattern[columns + 3 + k], c) for c in range(columns) for k in range(begins[c], begins[c + 1])]
            patterns.append(((rows, columns), places))
        return patterns

    def __call__(self, *arguments, wanted=None):
        """The results as dense matrices; None for those that are not wanted. An argument may be None, for zeros."""
        stored = [None if a is None else self._stored(a, p) for a, p in zip(arguments, self.given, strict=True)]
        results = [np.full(len(places) or 1, np.nan) for _, places in self.found]
        asked = [result if wanted is None or k in wanted else None for k, result in enumerate(results)]
        work = np.full(self.sizes[3] + self.SPARE, -7.0)
        integers = (ctypes.c_int * (self.sizes[2] + 1))()
        pointers = _pointers(stored, self.sizes[0]), _pointers(asked, self.sizes[1])
        assert self._call(*pointers, integers, work.ctypes.data, 0) == 0
        assert (work[self.sizes[3] :] == -7).all()
        return [None if a is None else self._dense(a, p) for a, p in zip(asked, self.found, strict=True)]

    @staticmethod
    def _stored(matrix, pattern):
        shape, places = pattern
        matrix = np.reshape(matrix, shape, order="F")
        return np.array([matrix[place] for place in places] or [0.0], float)

    @staticmethod
    def _dense(values, pattern):
        shape, places = pattern
        matrix = np.zeros(shape)
        for place, value in zip(places, values, strict=False):
            matrix[place] = value
        return matrix


def _pointers(arrays, count):
    pointer = ctypes.POINTER(ctypes.c_double)
    return (pointer * count)(*(pointer() if array is None else array.ctypes.data_as(pointer) for array in arrays))
