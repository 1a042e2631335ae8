"""``nncodegen.lambdify``: from SymPy's expressions to a compiled function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sympy import Basic, Expr, Symbol, srepr
from sympy.core.function import AppliedUndef

from nncodegen.compiler.building.values import Kernels, build_function, discard_function, kept_function, key_of
from nncodegen.compiler.ir.graphs import contains, graph_of, rewritten
from nncodegen.errors import CheckError, CompilerNotFoundError, ModelError
from nncodegen.functions.arguments import Argument, Arguments, read_arguments
from nncodegen.functions.function import EvaluatedFunction, Facts, Function, compiled_function
from nncodegen.functions.results import ARRAY, LIST, NUMBER, TUPLE, Result, read_results
from nncodegen.runtime.python.ground.warn import warn

if TYPE_CHECKING:
    from nncodegen.compiler.describe.values import Values
    from nncodegen.compiler.passes.by_inputs import ByInputs

LIBRARIES = ("math", "numpy", "scipy", "sympy", "numexpr")
"""The libraries that SymPy's lambdify may take functions from; here they are compiled, whatever their library."""

LONGEST = 500
"""Characters of an expression that help shows."""


def lambdify(
    args: Any,
    expr: Any,
    modules: Any = None,
    printer: Any = None,
    use_imps: Any = None,
    dummify: bool = False,
    cse: Any = True,
    docstring_limit: int | None = LONGEST,
    *,
    jacobian: Any = None,
    hessian: Any = None,
    jvp: Any = None,
    vjp: Any = None,
    threads: int = 1,
    precision: str = "float64",
    bits: str = "native",
    march: str = "native",
    digits: str = "off",
) -> Function:
    """Return a compiled function that computes an expression of SymPy, as ``sympy.lambdify`` returns one in Python.

    args are symbols, undefined functions such as q(t), their derivatives, Indexed, MatrixSymbol, and nested lists and
    matrices of these, as the function is called; expr is an expression or a condition, a text, a matrix or array, or
    lists, tuples and dictionaries of these in any nesting. Numbers give numbers. Arrays are broadcast as by NumPy's
    ufuncs; nested arguments are unpacked along their first axis, and the axes of matrices come last: (..., rows,
    columns). modules may map names of undefined functions to formulas: {"f": lambda x: x**2}. dummify and cse are
    accepted, and change nothing: names never clash, and what is equal is computed once.

    jacobian is an argument, a symbol, or a list of symbols: the function then returns the value and its derivatives by
    these n symbols, (..., shape of expr, n), for a list of m numbers (..., m, n). hessian likewise, for a number: (...,
    n, n); with both, it returns value, Jacobian and Hessian. With jvp, the function has a further argument
    ``direction`` with n components, and returns the value and its derivative in this direction; with vjp, an argument
    ``factors`` of the shape of expr, and the derivatives (..., n) of the sum of the numbers times these.

    threads share arrays of many points; precision is "float64" or "float32"; bits, march and digits are as in
    ``nncodegen.build``, but no forms that keep more digits are searched for (digits="off") unless that is asked for.

    The function is kept in the cache: it is made again, in any process, in milliseconds. Without a C compiler, NumPy
    evaluates it, and a RuntimeWarning says so. Raises ModelError for what cannot be computed, naming it, and BuildError
    where the compiler or the disk fails.
    """
    _check_options(printer, use_imps, threads, precision, march)
    arguments = read_arguments(args)
    names = {name: leaf for leaf in arguments.leaves for name in _names(leaf)}
    result, outputs = read_results(expr, names)
    outputs = _with_formulas(outputs, modules)
    asked = {"jacobian": jacobian, "hessian": hessian, "jvp": jvp, "vjp": vjp}
    request = _Request(arguments, result, outputs, {name: by for name, by in asked.items() if by is not None})
    making = {"precision": precision, "bits": bits, "digits": digits}
    key = key_of(request.texts(making), march)
    compiled = cache(partial(request.compiled, making))
    options = {name: by for name, by in asked.items() if by is not None}
    defaults = {"precision": "float64", "bits": "native", "digits": "off", "march": "native", "threads": 1}
    chosen = making | {"march": march, "threads": threads}
    options |= {name: value for name, value in chosen.items() if value != defaults[name]}
    facts = Facts(
        arguments=request.called,
        result=request.result,
        expression=expr,
        limit=docstring_limit,
        options=options,
        precision=precision,
        threads=threads,
        again=partial(lambdify, args, expr, modules, **options),
        compiled=compiled,
        described=request.described,
        march=march,
        bits=bits,
    )
    library = kept_function(key)
    if library is None:
        try:
            library = build_function(compiled().sources, key, march)
            request.try_derivatives(library, compiled())
        except CompilerNotFoundError as error:
            if bits != "native":
                raise
            return _evaluated(facts, error)
    try:
        return compiled_function(library, facts)
    except CompilerNotFoundError as error:
        return _evaluated(facts, error)


def _evaluated(facts: Facts, error: CompilerNotFoundError) -> Function:
    from nncodegen.compiler.building.compiler import in_one_line  # noqa: PLC0415 (rarely needed)

    facts.compiled()  # what cannot be computed is refused now
    warn(f"{in_one_line(error)}: NumPy evaluates the function, which is slow", RuntimeWarning)
    return EvaluatedFunction(facts)


class _Request:
    """A request: the outputs and derivatives of a function, with the arguments and results that follow."""

    def __init__(
        self, arguments: Arguments, result: Result, outputs: tuple[Basic, ...], asked: Mapping[str, Any]
    ) -> None:
        self.arguments, self.outputs = arguments, outputs
        by = {name: _leaves(value, arguments, name) for name, value in asked.items()}
        if len({*by.values()}) > 1:
            raise ModelError(f"{' and '.join(by)} are asked for by different symbols: make a function for each")
        self.by: tuple[Basic, ...] = next(iter(by.values()), ())
        self.asked = tuple(by)
        self.called, self.further = self._with_further(result)
        self.result = self._with_derivatives(result)

    def _with_further(self, result: Result) -> tuple[Arguments, tuple[str, ...]]:
        """Return the arguments of a call, and the names of the inputs that no formula has."""
        further: list[Argument] = []
        if "jvp" in self.asked:
            names = tuple(Symbol(f"direction[{k}]") for k in range(len(self.by)))
            further.append(Argument("direction", (None,) * len(names), names))
        if "vjp" in self.asked:
            form, count = _form_of(result), result.size
            names = tuple(Symbol(f"factors[{k}]") for k in range(count))
            further.append(Argument("factors", form, names))
        taken = {argument.name for argument in self.arguments.arguments}
        for argument in further:
            if argument.name in taken:
                raise ModelError(f"an argument is called {argument.name}, as the one of {self.asked[0]}: rename it")
        inputs = tuple(leaf.name for argument in further for leaf in argument.leaves)
        return Arguments((*self.arguments.arguments, *further)), inputs

    def _with_derivatives(self, result: Result) -> Result:
        """Return the result of a call: with derivatives, a tuple of the value and these."""
        if not self.asked:
            return result
        count, place = len(self.by), result.size
        parts = [result]
        if "jacobian" in self.asked:
            shape = _shape_of(result, "jacobian")
            parts.append(Result(ARRAY, place, shape=(*shape, count)))
            place += result.size * count
        if "hessian" in self.asked:
            if result.kind != NUMBER:
                raise ModelError(f"hessian is for a number, and the expression is {result.show()}")
            parts.append(Result(ARRAY, place, shape=(count, count)))
            place += count * count
        if "jvp" in self.asked:
            shape = _shape_of(result, "jvp")
            parts.append(Result(ARRAY if shape else NUMBER, place, shape=shape))
            place += result.size
        if "vjp" in self.asked:
            parts.append(Result(ARRAY, place, shape=(count,)))
        return Result(TUPLE, 0, tuple(parts))

    def texts(self, making: Mapping[str, str]) -> list[str]:
        """Return texts that tell the function from any other: what its C follows from."""
        numbers = {leaf: number for number, leaf in enumerate(self.arguments.leaves)}
        graph = graph_of(self.outputs)
        texts = [repr([*making.items()]), repr(self.further), repr((self.asked, [numbers[leaf] for leaf in self.by]))]
        texts += map(_name_text, self.arguments.leaves)
        for node, operands in zip(graph.nodes, graph.operands, strict=True):
            if node in numbers:
                texts.append(f"argument {numbers[node]}")
            else:
                kind = type(node)
                texts.append(f"{kind.__module__}.{kind.__name__} {operands}" if operands else srepr(node))
                if isinstance(node, AppliedUndef):
                    texts.append(str(node.func))
        return [*texts, repr(graph.roots)]

    def compiled(self, making: Mapping[str, str]) -> Any:
        """Return the results of all stages up to the C. Raises ModelError."""
        # imported here: what is in the cache needs none of the stages
        from nncodegen.compiler.pipeline import compile_values  # noqa: PLC0415

        return compile_values(*self.described(), making["precision"], making["bits"], making["digits"])

    def try_derivatives(self, library: Path, compiled: Any) -> None:
        """Try the derivatives of a library that has just been compiled. If one is wrong, discard it, and raise."""
        if not self.asked:
            return
        from nncodegen.compiler.trial import check_function  # noqa: PLC0415

        try:
            check_function(Kernels(library, compiled["simplify"]).predict, compiled["describe"], self.described()[1])
        except CheckError:
            discard_function(library)
            raise

    def described(self) -> tuple[Values, ByInputs]:
        """Return the formulas, and the derivatives asked for, as the stages take them."""
        from nncodegen.compiler.describe.values import Values  # noqa: PLC0415
        from nncodegen.compiler.passes.by_inputs import ByInputs  # noqa: PLC0415

        values = Values("formula", self.arguments.leaves, self.outputs, self.further)
        known = dict(zip(self.arguments.leaves, values.names, strict=False))
        further = values.names[len(self.arguments.leaves) :]
        directions = further[: len(self.by)] if "jvp" in self.asked else ()
        asked = ByInputs(
            tuple(known[leaf] for leaf in self.by),
            "jacobian" in self.asked,
            "hessian" in self.asked,
            directions,
            further[len(directions) :],
        )
        return values, asked


def _check_options(printer: Any, use_imps: Any, threads: Any, precision: Any, march: Any) -> None:
    if printer is not None:
        raise ModelError("lambdify has no printer: expressions become C, by nncodegen's own")
    if use_imps is not None:
        raise ModelError('lambdify has no use_imps: give formulas of functions, as modules={"f": lambda x: x**2}')
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ModelError(f"threads must be a whole number from 1 on, not {threads!r}")
    if precision not in ("float64", "float32"):
        raise ModelError(f"there is no precision {precision!r}; there are: float64, float32")
    if march not in ("native", "portable"):
        raise ModelError(f"there is no march {march!r}; there are: native, portable")


def _names(leaf: Any) -> Iterable[str]:
    """Return the names by which texts mean an argument."""
    if isinstance(leaf, AppliedUndef):
        return (str(leaf.func),)
    return (leaf.name,) if isinstance(leaf, Symbol) else ()


def _name_text(leaf: Any) -> str:
    return str(leaf.func) if isinstance(leaf, AppliedUndef) else str(getattr(leaf, "name", leaf))


def _with_formulas(outputs: tuple[Basic, ...], modules: Any) -> tuple[Basic, ...]:
    """Return the outputs with the formulas of functions in ``modules``. Raises ModelError for other modules."""
    parts = modules if isinstance(modules, list | tuple) else () if modules is None else (modules,)
    formulas: dict[str, Callable[..., Any]] = {}
    for part in parts:
        if isinstance(part, Mapping):
            for name, formula in part.items():
                if not callable(formula):
                    raise ModelError(f"modules has {name!r} as {formula!r}: give a function of symbols")
                formulas[str(name)] = formula
        elif getattr(part, "__name__", part) not in LIBRARIES:
            raise ModelError(
                f"modules has {part!r}: functions are compiled, for real numbers of 64 or 32 bits; it takes "
                f"{', '.join(LIBRARIES)}, which change nothing, and a dictionary of formulas"
            )
    if not formulas or not any(contains(output, AppliedUndef) for output in outputs):
        return outputs

    def change(node: Basic) -> Basic:
        if not isinstance(node, AppliedUndef) or str(node.func) not in formulas:
            return node
        try:
            value = formulas[str(node.func)](*node.args)
        except Exception as error:
            raise ModelError(
                f"the function {node.func} of modules cannot be evaluated with symbols: {type(error).__name__}: "
                f"{error}; write it with SymPy's functions"
            ) from error
        if not isinstance(value, int | float | Expr):
            raise ModelError(f"the function {node.func} of modules returns {value!r}, which is no expression")
        return node * 0 + value if not isinstance(value, Expr) else value

    return tuple(rewritten(output, change) for output in outputs)


def _leaves(by: Any, arguments: Arguments, role: str) -> tuple[Basic, ...]:
    """Return the symbols by which derivatives are asked for. Raises ModelError for others than arguments."""
    if isinstance(by, str):
        named = [argument for argument in arguments.arguments if argument.name == by]
        if not named:
            raise ModelError(f"{role} is by {by!r}, which is no argument; there are: {arguments.signature}")
        return named[0].leaves
    try:
        leaves = read_arguments(by).leaves
    except ModelError as error:
        raise ModelError(f"{role} is an argument, or a list of symbols, not {by!r}") from error
    for leaf in leaves:
        if leaf not in arguments.leaves:
            raise ModelError(f"{role} is by {leaf}, which is no argument; there are: {arguments.signature}")
    return leaves


def _shape_of(result: Result, role: str) -> tuple[int, ...]:
    """Return the shape of a number, an array, or a list of numbers. Raises ModelError for other nestings."""
    if result.kind in (NUMBER, ARRAY):
        return result.shape
    if result.kind in (LIST, TUPLE) and all(part.kind == NUMBER for part in result.parts):
        return (len(result.parts),)
    raise ModelError(f"{role} is for a number, a list of numbers, or an array; the expression is {result.show()}")


def _form_of(result: Result) -> Any:
    """Return the nesting of an argument with the shape of a result."""

    def nested(shape: tuple[int, ...]) -> Any:
        return None if not shape else (nested(shape[1:]),) * shape[0]

    return nested(_shape_of(result, "vjp"))
