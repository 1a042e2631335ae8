"""The class of compiled functions: calls with arrays, and what a function tells about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from nncodegen.compiler.building.values import caller, load_function, source_of
from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.ir import Program, evaluate
from nncodegen.compiler.ir.program import NATIVE
from nncodegen.errors import BuildError, ModelError
from nncodegen.functions.arguments import Arguments
from nncodegen.functions.results import Result, assembled
from nncodegen.runtime.python.ground.certificate import Certificate, certificate_beside
from nncodegen.runtime.python.ground.types import Array

if TYPE_CHECKING:
    from nncodegen.certificates.values import CertifiableFunction
    from nncodegen.compiler.describe.values import Values
    from nncodegen.compiler.passes.by_inputs import ByInputs
    from nncodegen.compiler.pipeline import Compiled
    from nncodegen.formats.export.subject import Exportable

FEW_POINTS = 8192
"""Points for which no further thread is begun, which takes about as long as these."""

SIGNATURES = {
    "quad": ("double (double, void *)", "double (int, double *, void *)"),
    "filter": ("int (double *, intptr_t, double *, void *)",),
    "geometric_transform": ("int (intptr_t *, double *, int, int, void *)",),
}
"""The uses of a function in C by SciPy, each with its signatures."""


@dataclass(frozen=True)
class Facts:
    """The facts about a function: what it was made from, and how it is called."""

    arguments: Arguments
    result: Result
    expression: Any
    """The expression, as it was given."""
    limit: int | None
    """The number of characters of the expression that help shows."""
    options: dict[str, Any]
    """The options of ``lambdify`` that differ from the defaults."""
    precision: str
    threads: int
    again: Callable[[], Function]
    """The call that makes the function again."""
    compiled: Callable[[], Compiled]
    """The results of all stages, which run again where the function was in the cache."""
    described: Callable[[], tuple[Values, ByInputs]]
    """The formulas, and the derivatives asked for, as the stages take them."""
    march: str = "native"
    bits: str = NATIVE

    @property
    def program(self) -> Program:
        """Return the program after ``simplify``."""
        program: Program = self.compiled()["simplify"]
        return program

    @cached_property
    def text(self) -> str:
        """Return the expression as text, which may be cut."""
        text = str(self.expression)
        return text if self.limit is None or len(text) <= self.limit else f"{text[: self.limit]} ..."


class Function:
    """A function of SymPy's expressions, made by ``nncodegen.lambdify``.

    It is called with a value for each argument, in the nesting of ``args``: numbers, or arrays that are broadcast
    against each other, of any strides. ``out`` is an array, or a nesting of arrays, for the results. Numbers give
    numbers, arrays give arrays; the axes of matrices come after those of the arguments. Raises TypeError and
    ValueError for arguments that do not fit, naming them.
    """

    _facts: Facts

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Return the values at some arguments."""
        return self._call(*given, **named)

    def _call(self, *given: Any, out: Any = None, **named: Any) -> Any:
        facts = self._facts
        values = facts.arguments.bound(given, named)
        inputs = facts.arguments.arrays(values, facts.precision)
        try:
            shape = np.broadcast_shapes(*(array.shape for array in inputs))
        except ValueError as error:
            shapes = ", ".join(
                f"{leaf} {array.shape}" for leaf, array in zip(facts.arguments.leaves, inputs, strict=True)
            )
            raise ValueError(f"the arguments have shapes that cannot be broadcast together: {shapes}") from error
        arrays = self._outputs(shape, out, inputs)
        targets = [*self._rows(arrays, shape)]
        rows = [np.broadcast_to(array, shape) if array.shape != shape else array for array in inputs]
        if out is not None:
            rows = [row.copy() if any(np.may_share_memory(row, each) for each in arrays) else row for row in rows]
        if shape and 0 not in shape:
            self._compute(shape, rows, targets)
        elif not shape:
            self._compute((1,), [row.reshape(1) for row in rows], [target.reshape(1) for target in targets])
        return self._finished(arrays, shape, out)

    def _outputs(self, shape: tuple[int, ...], out: Any, inputs: Sequence[Array]) -> list[Array]:
        """Return an array for each number and array of the result, those of the user if there are any."""
        leaves = [*self._facts.result.leaves()]
        if out is None:
            if len(shape) > 1 and _is_fortran(inputs, shape) and not any(leaf.shape for leaf in leaves):
                return [np.empty(shape[::-1], self._facts.precision).T for _ in leaves]
            return [np.empty((*shape, *leaf.shape), self._facts.precision) for leaf in leaves]
        outs = _outs(out, leaves)
        if len(outs) != len(leaves):
            raise ValueError(f"out has {len(outs)} arrays, and the function has {len(leaves)} results")
        for array, leaf in zip(outs, leaves, strict=True):
            _check_out(array, (*shape, *leaf.shape), leaf, self._facts.precision)
        return [
            np.empty(array.shape, self._facts.precision) if leaf.holds_truths else array
            for array, leaf in zip(outs, leaves, strict=True)
        ]

    def _rows(self, arrays: Sequence[Array], shape: tuple[int, ...]) -> Iterator[Array]:
        """Yield an array for each output: those of a matrix have its axes last."""
        for array, leaf in zip(arrays, self._facts.result.leaves(), strict=True):
            if not leaf.shape:
                yield array
                continue
            for place in np.ndindex(*leaf.shape):
                yield array[(..., *place)]

    def _compute(self, shape: tuple[int, ...], rows: Sequence[Array], targets: Sequence[Array]) -> None:
        """Write the outputs of all points."""
        if len(shape) > 1 and targets and targets[0].flags.f_contiguous and not targets[0].flags.c_contiguous:
            shape, rows, targets = shape[::-1], [row.T for row in rows], [target.T for target in targets]
        threads = self._facts.threads if np.prod(shape, dtype=np.int64) > FEW_POINTS else 1
        self._run(shape, (*rows, *targets), threads)  # type: ignore[attr-defined]

    def _finished(self, arrays: Sequence[Array], shape: tuple[int, ...], out: Any) -> Any:
        leaves = [*self._facts.result.leaves()]
        if out is not None:
            outs = _outs(out, leaves)
            for array, leaf, target in zip(arrays, leaves, outs, strict=True):
                if leaf.holds_truths:
                    target[...] = array != 0
            return out
        values = [array != 0 if leaf.holds_truths else array for array, leaf in zip(arrays, leaves, strict=True)]
        return assembled(self._facts.result, values, shape)

    def low_level_callable(self, use: str = "quad") -> Any:
        """Return the function in C, as SciPy calls it: ``scipy.LowLevelCallable``.

        ``use`` is "quad", for ``quad`` and ``nquad`` and functions of numbers that have one number as result; "filter",
        for ``ndimage.generic_filter``, which gives the numbers around a point; or "geometric_transform", for that of
        ndimage, with an argument for each axis of the output and a result for each axis of the input. Raises
        ModelError for a function whose arguments or results do not fit, or that is not compiled.
        """
        from scipy import LowLevelCallable  # noqa: PLC0415 (which not everybody has)

        if use not in SIGNATURES:
            raise ModelError(f"there is no use {use!r}; there are: {', '.join(SIGNATURES)}")
        numbers = [*self._facts.result.leaves()]
        if use != "geometric_transform" and (len(numbers) != 1 or numbers[0].shape):
            raise ModelError(
                f"{use} takes functions with one number as result; this one gives {self._facts.result.show()}"
            )
        signature = SIGNATURES[use][-1]
        if use == "quad" and len(self._facts.arguments.leaves) == 1:
            signature = SIGNATURES[use][0]
        if not hasattr(self, "_low_level"):
            raise ModelError("the function is not compiled, so that there is none in C")
        try:
            return LowLevelCallable(self._low_level(signature))
        except ValueError as error:
            raise ModelError("SciPy calls functions of up to 64 numbers in C: this one has more") from error

    def exportable(self) -> Exportable:
        """Return the function as ``nncodegen.export`` takes it, with the derivatives that it has.

        Its inputs are the symbols of all arguments, its outputs all numbers of the result, both one after the other.
        """
        from nncodegen.formats.export.subject import Exportable  # noqa: PLC0415 (which calls do not need)

        program = self._facts.compiled()["differentiate_by_inputs"]
        inputs = tuple(map(str, self._facts.arguments.leaves))
        return Exportable(Described(program), self._facts.precision, (), inputs, bits=self._facts.bits)

    def certifiable(self) -> CertifiableFunction:
        """Return the function as ``nncodegen.certify`` takes it. Raises ModelError for one that is not compiled."""
        raise ModelError("NumPy evaluates the function, so that there is nothing compiled to certify")

    @property
    def c(self) -> str:
        """Return the C of the function. Raises BuildError for one that is not compiled."""
        raise BuildError("the function is not compiled: it has no C")

    @property
    def variant(self) -> str:
        """Return "c" for a function that is compiled, "numpy" for one that NumPy evaluates."""
        return "numpy"

    def __repr__(self) -> str:
        return f"<function ({self._facts.arguments.signature}) -> {self._facts.text}>"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """Return what ``help`` shows: the expression, the arguments, and the shape of the result."""
        facts = self._facts
        lines = [f"f({facts.arguments.signature}) = {facts.text}", "", "Arguments:"]
        for argument in facts.arguments.arguments:
            what = "a number" if argument.form is None else f"a sequence: {', '.join(map(str, argument.leaves))}"
            lines.append(f"    {argument.name}: {what}, or an array along further axes")
        lines += ["", f"Returns {facts.result.show()}; ... are the axes of the arguments, broadcast together."]
        if facts.options:
            lines.append(f"Options: {', '.join(f'{name}={value!r}' for name, value in facts.options.items())}.")
        lines.append('Forms that keep more digits are not searched for (digits="off") unless that is asked for.')
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self._facts.again,)

    def __copy__(self) -> Function:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        return self


class EvaluatedFunction(Function):
    """A function that NumPy evaluates, where there is no C compiler."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def _run(self, shape: tuple[int, ...], arrays: Sequence[Array], threads: int) -> None:
        program = self._facts.program
        count = len(program.inputs)
        points = [np.broadcast_to(array, shape).reshape(-1) for array in arrays[:count]]
        X = np.stack(points, axis=1) if points else np.empty((int(np.prod(shape)), 0))
        values = evaluate(program, np.empty(0), X)
        for target, output in zip(arrays[count:], program.outputs, strict=True):
            target[...] = np.broadcast_to(values[output.tensor], len(X)).reshape(shape)


def compiled_function(library: Any, facts: Facts) -> Function:
    """Return the function of a library in the cache. Raises BuildError."""
    kind = _class()
    table = load_function(library)
    function: Function = kind(table, facts.arguments.form, facts.result.native(facts.precision), np.empty, np.ndarray)
    function._facts = facts
    function._library = library  # type: ignore[attr-defined]
    return function


@cache
def _class() -> Any:
    """Return the class of compiled functions, whose calls begin in C."""

    class CompiledFunction(caller().Caller, Function):  # type: ignore[misc]
        """A function that is compiled."""

        __doc__ = Function.__doc__

        @property
        def __file__(self) -> str:
            """Return the path of the library."""
            return str(self._library)

        @property
        def certificate(self) -> Certificate | None:
            """Return the certificate beside the library; None if there is none, or it belongs to another file."""
            return certificate_beside(str(self._library))

        def certifiable(self) -> CertifiableFunction:
            """Return the function as ``nncodegen.certify`` takes it."""
            from nncodegen.certificates.values import CertifiableFunction  # noqa: PLC0415 (which calls do not need)

            facts = self._facts
            values, asked = facts.described()
            return CertifiableFunction(self._library, values, asked, facts.compiled(), facts.march)

        @property
        def c(self) -> str:
            """Return the C of the function. Raises BuildError if the cache has lost it."""
            return source_of(self._library)

        @property
        def variant(self) -> str:
            """Return how the function is computed."""
            return "c"

    return CompiledFunction


def _made_again(again: Callable[[], Function]) -> Function:
    return again()


def _outs(out: Any, leaves: Sequence[Result]) -> list[Any]:
    """Return the arrays of a nesting for results; of a single result, whatever stands for it."""
    return [*_flattened(out)] if len(leaves) > 1 or isinstance(out, tuple | list) else [out]


def _flattened(out: Any) -> Iterator[Any]:
    if isinstance(out, dict):
        out = list(out.values())
    if isinstance(out, tuple | list):
        for part in out:
            yield from _flattened(part)
    else:
        yield out


def _check_out(array: Any, shape: tuple[int, ...], leaf: Result, precision: str) -> None:
    """Raise TypeError or ValueError for an array that cannot take a result."""
    dtype = "bool" if leaf.holds_truths else precision
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        kind = getattr(array, "dtype", type(array).__name__)
        raise TypeError(f"out must be an array of {dtype}, not of {kind}")
    if array.shape != shape:
        raise ValueError(f"out has the shape {array.shape}; the result has {shape}")
    if not array.flags.writeable:
        raise ValueError("out cannot be written to")


def _is_fortran(inputs: Sequence[Array], shape: tuple[int, ...]) -> bool:
    """Return whether all arrays that have the full shape have their first axis side by side."""
    whole = [array.flags for array in inputs if array.shape == shape]
    return bool(whole) and all(flags.f_contiguous and not flags.c_contiguous for flags in whole)
