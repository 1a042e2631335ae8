"""The kernels of a tile in C: for each, a function that works on a tile of samples, and one that finishes the sums."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from nncodegen.compiler.emit.calls import CallsOfTile
from nncodegen.compiler.emit.elements import Elements
from nncodegen.compiler.emit.lines import Lines, wrapped
from nncodegen.compiler.emit.loops import LoopPrinter
from nncodegen.compiler.ir import SAMPLE, Element, Tensor, slices_of
from nncodegen.compiler.ir.program import PORTABLE
from nncodegen.compiler.schedule.storage import Place
from nncodegen.compiler.schedule.tree import Group, Tree
from nncodegen.compiler.schedule.vectors import chooses_functions

TITLES = {
    "predict": "The outputs of a tile of samples.",
    "values": "The outputs of a tile of points.",
    "jacobian": "For each sample of a tile, a row: values, if any, and then derivatives by the parameters.",
    "loss": "Adds the losses of a tile of samples to the sums.",
    "gradient": "Adds the losses of a tile of samples and their derivatives to the sums.",
    "direction": "Adds the derivatives of a tile of samples, as they change in a direction, to the sums.",
}


OF_ALL = ("parameters", "inputs", "targets", "weights", "count", "work")
"""The arguments that all kernels have, which come first."""

WITHOUT_SUMS = ("predict", "jacobian", "values")
"""The kernels that return a row for each sample."""


BLENDED = "static HOT BLENDED"
"""The words before a function whose loops compute all branches of a choice (base.h)."""


class KernelEmitter:
    """Writer of the functions of a kernel."""

    of_all: tuple[str, ...] = OF_ALL
    """The arguments that all kernels have."""
    begin = "WITHIN_TILE(count);"
    """The statement that tells the compiler how many samples there can be."""
    kind = "static HOT"
    """The words before the functions of a tile."""

    def __init__(self, elements: Elements, lines: Lines, parts: dict[tuple[str, str], str] | None = None) -> None:
        """Remember what to write. ``parts`` are the names of functions that kernels share, by their text."""
        self._parts = {} if parts is None else parts
        self._program, self._kernel, self._at, self._lines = elements.program, elements.kernel, elements, lines
        if chooses_functions(self._program.steps):
            self.kind = BLENDED
        self._trees = elements.kernel.trees
        self._loops = LoopPrinter(elements, CallsOfTile(elements), lines)

    def emit(self) -> None:
        """Write the function of a tile and, if it has sums, the one that finishes them."""
        kernel, lines = self._kernel, self._lines
        self._emit_prepare()
        self._emit_twice()
        *parts, (_, last) = self._trees.parts
        calls = [self._emit_part(f"{kernel.name}_part_{number}", tree) for number, (_, tree) in enumerate(parts, 1)]
        *apart, measured = self._trees.metrics
        metrics = [self._emit_part(f"{kernel.name}_metrics_{number}", tree) for number, tree in enumerate(apart, 1)]
        alone = kernel.name == "gradient" and self._program.required_loss.tensor not in kernel.storage
        lines.add(f"/* {TITLES['direction' if alone else kernel.name]} */")
        phased = kernel.trees.phases > 1
        head = f"{self.kind} void {kernel.name}_tile({self._declarations})"
        with lines.function(head):
            lines.add(self.begin)
            for call, (phase, _) in zip(calls, parts, strict=True):
                if phased:
                    lines.add(f"if (more->first_phase <= {phase} && {phase} <= more->last_phase)")
                lines.add(f"{'    ' * phased}{call}")
            if phased:
                lines.add(f"if (more->last_phase < {kernel.trees.phases - 1})", "    return;")
            self._emit_loops(last, bool(kernel.outputs))
            if kernel.outputs:
                emit_measured(self._at, self._loops, measured, "count", lines, metrics)
        lines.add("")
        if kernel.name == "gradient":
            self._emit_finish()

    def _emit_part(self, name: str, tree: Tree) -> str:
        """Write the function of a part of a tile, unless another kernel has the same; return its call.

        Kernels begin with the same steps: those of the outputs, which most time of compilers goes into.
        """
        lines, begin = self._lines, len(self._lines)
        with lines.function(""):
            lines.add(self.begin)
            self._emit_loops(tree)
        body = lines.cut(begin)
        further_arguments = self._arguments[len(self.of_all) :]
        shared = not set(re.findall(r"\w+", body)).intersection(further_arguments)
        declarations = self._declared_for_all if shared else self._declarations
        known = self._parts.get((declarations, body)) if shared else None
        if known is None:
            head = f"{self.kind} void {name}({declarations})"
            lines.add("/* A part of the loops for a tile. */", *head.splitlines())
            lines.include(body)
            lines.add("")
            if shared:
                self._parts[declarations, body] = name
        return f"{known or name}({', '.join(self.of_all if shared else self._arguments)});"

    def _emit_twice(self) -> None:
        """Write the functions of groups that are compiled twice: for calls that ask for the loss, and for others."""
        groups = [each for _, tree in self._trees.parts for each in tree if isinstance(each, Group) and each.twice]
        for number, group in enumerate(groups, 1):
            name, lines = f"{self._kernel.name}_loops_{number}", self._lines
            lines.add("/* Loops for a tile, which are compiled for either value of with_loss. */")
            variables = self._given(group)
            last = "\n".join(wrapped(", ".join(f"real {value}" for value in variables)))
            declarations = ",\n    ".join(filter(None, (self._declarations, last)))
            with lines.function(f"INLINE void {name}({declarations})"):
                self._emit_loops((replace(group, twice=False),))
            lines.add("")
            self._loops.twice[group] = [self._call(name, with_loss, variables) for with_loss in (1, 0)]

    def _given(self, group: Group) -> list[str]:
        """Return the local variables that loops read, and that statements before them compute for the whole tile."""
        targets = {step.target for step in group.steps}
        read = dict.fromkeys(operand for step in group.steps for operand in step.operands)
        return [self._at.variable(each) for each in read if each not in targets and self._at.place(each) is Place.LOCAL]

    def _call(self, name: str, with_loss: int, variables: Iterable[str]) -> str:
        arguments = (str(with_loss) if each == "with_loss" else each for each in self._arguments)
        return f"{name}({', '.join((*arguments, *variables))});"

    @property
    def _arguments(self) -> list[str]:
        """Return the arguments of the function of a tile."""
        results = {
            **{name: ["outputs"] for name in WITHOUT_SUMS},
            "loss": ["sums"],
            "gradient": ["with_loss", "single_tile", "scale", "sums", "gradient_sums", "partials"],
        }
        names = [*OF_ALL, *results[self._kernel.name]]
        names += [] if self._kernel.name in WITHOUT_SUMS else ["metrics", "counts"]
        return names + (["more"] if self._kernel.name == "gradient" else [])

    @property
    def _declarations(self) -> str:
        """Return these arguments with their types; parameters are not restrict if an update may change them."""
        restrict = "" if self._kernel.descends else "restrict "
        measures = "int metrics, const real *restrict counts"
        results = {
            **dict.fromkeys(WITHOUT_SUMS, "real *restrict outputs"),
            "loss": f"double *restrict sums, {measures}",
        }
        results["gradient"] = (
            f"int with_loss, int single_tile, real scale, double *restrict sums, real *{restrict}gradient_sums,\n"
            f"    real *restrict partials, {measures}, const details *restrict more"
        )
        return f"{self._declared_for_all},\n    {results[self._kernel.name]}"

    @property
    def _declared_for_all(self) -> str:
        """Return the arguments that all kernels have, with their types."""
        restrict = "" if self._kernel.descends else "restrict "
        return (
            f"const real *{restrict}parameters, const real *restrict inputs,\n"
            f"    const real *restrict targets, const real *restrict weights, size_t count, real *restrict work"
        )

    def _emit_loops(self, tree: Tree, measures: bool = False) -> None:
        """Write the loops of a tile; if it measures, with declarations for metrics, too."""
        kernel, measured = self._kernel, self._trees.metrics[-1] if measures else ()
        here = (*_here(tree), *measured)
        if kernel.padded and here:
            self._lines.add(self._padded())
        if measures:
            self._emit_tree(tree, measured, self._compared())
        else:
            self._emit_tree(tree)

    def _padded(self) -> str:
        """Return the declaration of the number of samples with those that pad a tile."""
        kernel = self._kernel
        pad = str(kernel.vector) if kernel.vector else "PAD"
        whole = f"(count + {pad} - 1)/{pad}*{pad}"  # with portable bits, sums may have more lanes than vectors
        same = self._program.bits == PORTABLE and not kernel.vector
        return f"const size_t padded = {'PADDED(count)' if same else whole};"

    def _compared(self) -> list[Element]:
        """Return the arrays that metrics compare: the outputs, and the copies of targets."""
        copies = (self._kernel.copy_of(target.name) for target in self._program.targets)
        return [*self._kernel.outputs, *filter(None, copies)]

    def _emit_prepare(self) -> None:
        """Write the function for arrays that depend on parameters only, computed once for all tiles."""
        prepared, *_ = self._trees.before
        if not prepared:
            return
        lines = self._lines
        lines.add("/* What tiles need that depends on parameters only. */")
        arguments = "const real *restrict parameters, size_t samples, real *restrict work"
        with lines.function(f"static void {self._kernel.name}_prepare({arguments})"):
            self._emit_tree(prepared)
        lines.add("")

    def _emit_finish(self) -> None:
        kernel, lines = self._kernel, self._lines
        declarations = (
            "const real *restrict parameters, const double *restrict sums,\n"
            "    const real *gradient_sums, real *restrict work, real *gradient"
        )
        *parts, last = self._trees.finish
        for number, tree in enumerate(parts, 1):
            lines.add("/* A part of the gradient, from the sums over all samples of a batch. */")
            with lines.function(f"static HOT void gradient_finish_{number}({declarations})"):
                self._emit_tree(tree)
            lines.add("")
        lines.add("/* The gradient, from the sums over all samples of a batch. */")
        with lines.function(f"static HOT void gradient_finish({declarations})"):
            for number in range(1, len(self._trees.finish)):
                lines.add(f"gradient_finish_{number}(parameters, sums, gradient_sums, work, gradient);")
            self._emit_tree(last)
        if kernel.trees.phases > 1:
            lines.add("", "/* What a phase needs of the finished sums of the one before it. */")
            arguments = "const real *restrict parameters, const double *restrict sums,\n    size_t samples"
            with lines.function(f"static void gradient_between(int phase, {arguments}, real *restrict work)"):
                for phase, tree in enumerate(self._trees.before[1:], 1):
                    with lines.block(f"if (phase == {phase})"):
                        self._emit_tree(tree)
        lines.add("")

    def _emit_tree(self, tree: Tree, later: Tree = (), others: Iterable[Element] = ()) -> None:
        """Write a tree, after the declarations of everything that it, a later tree and others read."""
        self._lines.add(*self._at.declarations((*_here(tree), *later), others))
        self._loops.print(tree)


def _here(tree: Tree) -> Tree:
    """Return the statements that are not in separate functions."""
    return tuple(statement for statement in tree if not (isinstance(statement, Group) and statement.twice))


def emit_measured(
    at: Elements, loops: LoopPrinter, tree: Tree, samples: str, lines: Lines, calls: Iterable[str] = ()
) -> None:
    """Write the sums of the metrics that are asked for, given the number of samples and calls before them as text."""
    lines.add("")
    with lines.block("if (metrics)"):
        lines.add(*calls)
        loops.print(tree)
        for output, (target, target_columns) in zip(at.kernel.outputs, slices_of(at.program.targets), strict=True):
            compared = f"{_columns(output, at)}, {_columns_of_target(target, at)}"
            columns = f"{target.size}, {target_columns.start}"
            lines.add(*wrapped(f"measure(metrics, {samples}, {columns}, {compared}, counts, sums + SUMS);"))


def _columns(element: Element, at: Elements) -> str:
    """Return an array as arguments: its begin, the distance between samples, and that between columns."""
    strides = dict(zip(element.indices, at.kernel.storage[element.tensor].strides, strict=True))
    column = next((stride for index, stride in reversed(strides.items()) if index != SAMPLE), 0)
    name = at.names[element.tensor]
    return f"{name if element.indices else f'&{name}'}, {strides.get(SAMPLE, 0)}, {column}"


def _columns_of_target(target: Tensor, at: Elements) -> str:
    """Return a target as such arguments: its copy in the tile, if it has one, or the rows of the caller."""
    copy = at.kernel.copy_of(target.name)
    return _columns(copy, at) if copy else f"targets + {at.kernel.storage[target.name].offset}, TARGETS, 1"
