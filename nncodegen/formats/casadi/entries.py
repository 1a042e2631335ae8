"""The functions that CasADi looks for in a library: the model, its Jacobian, its adjoint, and the Hessian.

CasADi finds the derivatives of ``NAME`` by their names and arguments, as it would generate them itself: ``jac_NAME``,
``adj1_NAME`` (the derivatives of the outputs times their seeds), ``jac_adj1_NAME`` (the Jacobian of these, which is the
Hessian) and ``jac_jac_NAME`` (the Hessians of all outputs). So nothing is approximated by differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from nncodegen.compiler.ir import Element, Program, Tensor
from nncodegen.compiler.passes.identities import contract
from nncodegen.compiler.passes.sensitivities import Jacobian, adjoint, jacobian
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.formats.c.reserved import check_function
from nncodegen.formats.casadi.matrices import Matrix, Part, Pattern, empty, matrix, parts_of, stacked, vector
from nncodegen.formats.export.programs import described, of_outputs, without_moves
from nncodegen.formats.export.request import Request

KINDS = {"x": "inputs", "p": "parameters", "adj_y": "targets"}
"""For each argument that kernels read: its name in them. CasADi knows the values of other arguments already."""


@dataclass(frozen=True)
class Argument:
    """An argument of a function, by its name: x, p, y, and others derived from these."""

    name: str
    pattern: Pattern


@dataclass(frozen=True)
class Result:
    """A result of a function, by its name."""

    name: str
    matrix: Matrix


@dataclass(frozen=True)
class Function:
    """A function of the library."""

    name: str
    about: str
    arguments: tuple[Argument, ...]
    results: tuple[Result, ...]


Derivative = tuple[int, Tensor | None]
"""The number of an output, and the variable by which it is differentiated; None for the output itself."""


class CasadiModel:
    """A model for CasADi, in double precision; everything follows from the request. Raises ModelError."""

    def __init__(self, request: Request) -> None:
        check_function(request.name)
        self.request = replace(request, subject=replace(request.subject, precision="float64"))
        self.name, self.upper = request.name, request.name.upper()
        self.program = stabilize(of_outputs(without_moves(described(self.request), "CasADi")))

    @cached_property
    def constants(self) -> Any:
        """Return the trained parameters, or None where they are an argument."""
        parameters = self.request.parameters
        return None if parameters is None else parameters.astype("float64")

    @cached_property
    def variables(self) -> dict[str, tuple[Tensor, ...]]:
        """Return the arguments by which the functions are differentiated, with their tensors."""
        parameters = {} if self.constants is not None or not self.program.parameters else {"p": self.program.parameters}
        return {"x": self.program.inputs, **parameters}

    @property
    def kinds(self) -> set[str]:
        """Return the names in kernels of the arguments that they may read."""
        return {KINDS[name] for name in (*self.variables, "adj_y")}

    @cached_property
    def outputs(self) -> tuple[Part, ...]:
        """Return the parts of the output y."""
        return parts_of(self.program.output_tensors)

    @property
    def count(self) -> int:
        """Return the number of outputs."""
        return sum(part.size for part in self.outputs)

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """Return all functions of the library, in the order of their derivatives."""
        name = self.name
        arguments = tuple(Argument(group, Pattern(_size(tensors), 1)) for group, tensors in self.variables.items())
        seeds = Argument("adj_y", Pattern(self.count, 1))
        values = (Result("y", self._values),)
        slopes = tuple(Result(f"jac_y_{group}", self._slope(group)) for group in self.variables)
        adjoints = tuple(self._adjoints())
        to_slopes, to_adjoints = (*arguments, *_known(values)), (*arguments, *_known(values), seeds)
        hessian = "The derivatives of what adj1 gives: the Hessian of adj_y times y, and the transposed Jacobian."
        hessians = "The derivatives of the Jacobian, its columns one below the other: the Hessians of all outputs."
        return (
            Function(name, "The outputs y.", arguments, values),
            Function(f"jac_{name}", "The Jacobian of y.", to_slopes, slopes),
            Function(f"adj1_{name}", "The transposed Jacobian of y times adj_y.", to_adjoints, adjoints),
            Function(f"jac_adj1_{name}", hessian, (*to_adjoints, *_known(adjoints)), tuple(self._hessian())),
            Function(f"jac_jac_{name}", hessians, (*to_slopes, *_known(slopes)), tuple(self._hessians())),
        )

    @cached_property
    def _values(self) -> Matrix:
        program = simplify(self.program)
        return vector(program, program.outputs, self.outputs)

    @cached_property
    def _all(self) -> tuple[Tensor, ...]:
        """Return the tensors of all variables."""
        return tuple(tensor for tensors in self.variables.values() for tensor in tensors)

    @cached_property
    def _slopes(self) -> Derivatives:
        numbers = [(number, None) for number in range(len(self.outputs))]
        return Derivatives(jacobian(self.program, self._all), numbers, self._all)

    def _slope(self, group: str, transposed: bool = False) -> Matrix:
        """Return the Jacobian of the outputs by an argument."""
        numbers = [(number, None) for number in range(len(self.outputs))]
        return self._slopes.matrix(numbers, self.outputs, self.variables[group], transposed)

    @cached_property
    def _adjoint(self) -> tuple[Program, dict[Tensor, Element | None]]:
        program, slopes = adjoint(self.program, self._all)
        return program, dict(zip(self._all, slopes, strict=True))

    def _adjoints(self) -> Iterator[Result]:
        derived, slopes = self._adjoint
        program = simplify(derived)
        results = iter(program.outputs)
        entries = {tensor: None if slope is None else next(results) for tensor, slope in slopes.items()}
        for group, tensors in self.variables.items():
            gradient = vector(program, [entries[tensor] for tensor in tensors], parts_of(tensors))
            yield Result(f"adj_{group}", gradient)

    def _hessian(self) -> Iterator[Result]:
        """Yield the derivatives of the adjoint: of each of its results, by each argument."""
        derived, slopes = self._adjoint
        functions = [(0, tensor) for tensor, slope in slopes.items() if slope is not None]
        curvature = Derivatives(jacobian(derived, self._all), functions, self._all)
        for group, tensors in self.variables.items():
            functions = [(0, tensor) for tensor in tensors]
            for other, others in self.variables.items():
                block = curvature.matrix(functions, parts_of(tensors), others)
                yield Result(f"jac_adj_{group}_{other}", block)
            yield Result(f"jac_adj_{group}_out_y", Matrix(empty(_size(tensors), self.count)))
            yield Result(f"jac_adj_{group}_adj_y", self._slope(group, transposed=True))

    def _hessians(self) -> Iterator[Result]:
        """Yield the derivatives of the Jacobian: of each of its results, by each argument."""
        slopes = self._slopes.slopes
        everything = product(range(len(self.outputs)), self._all)
        functions = [function for function, entry in zip(everything, slopes.entries, strict=True) if entry is not None]
        curvature = Derivatives(jacobian(slopes.program, self._all), functions, self._all, slopes.identities)
        for group, tensors in self.variables.items():
            functions = list(product(range(len(self.outputs)), tensors))
            for other, others in self.variables.items():
                rows = stacked(self.outputs, parts_of(tensors))
                yield Result(f"jac_jac_y_{group}_{other}", curvature.matrix(functions, rows, others))
            yield Result(f"jac_jac_y_{group}_out_y", Matrix(empty(self.count * _size(tensors), self.count)))


class Derivatives:
    """The derivatives of some functions by variables.

    A function is a pair: the number of an output, and the variable by which it is already differentiated, or None.
    """

    def __init__(
        self,
        slopes: Jacobian,
        functions: Sequence[Derivative],
        variables: Sequence[Tensor],
        known: tuple[str, ...] = (),
    ) -> None:
        self.slopes = slopes
        self._identities = (*known, *slopes.identities)
        self._program = contract(simplify(slopes.program), self._identities)
        results = iter(self._program.outputs)
        entries = [None if entry is None else next(results) for entry in slopes.entries]
        self._entries = dict(zip(product(functions, variables), entries, strict=True))
        self._number = {variable: number for number, variable in enumerate(variables)}

    def matrix(
        self,
        functions: Sequence[Derivative],
        rows: Sequence[Part],
        variables: Sequence[Tensor],
        transposed: bool = False,
    ) -> Matrix:
        """Return the derivatives of some of the functions, which make up the given rows, by some of the variables."""
        entries = [self._entry(*function, variable) for function in functions for variable in variables]
        return matrix(self._program, entries, rows, parts_of(variables), self._identities, transposed)

    def _entry(self, output: int, first: Tensor | None, second: Tensor) -> Element | None:
        """Return a derivative; second derivatives by scalars are symmetric, and only one of each pair is stored."""
        if first and first.size == second.size == 1 and self._number[first] > self._number[second]:
            first, second = second, first
        return self._entries.get(((output, first), second))


def _known(results: Sequence[Result]) -> tuple[Argument, ...]:
    """Return results of a function as arguments of its derivatives: they are not read, and so they are empty."""
    return tuple(Argument(f"out_{result.name}", empty(*result.matrix.pattern.shape)) for result in results)


def _size(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.size for tensor in tensors)
