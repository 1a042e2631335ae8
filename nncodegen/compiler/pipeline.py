"""The compilation of a model: the only module that knows the order of the stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from threading import Thread
from typing import Any

from nncodegen.compiler.building.build import Built, build, check_folder, discard, is_any_kept, kept, load, write
from nncodegen.compiler.building.compiler import find_compiler, in_one_line
from nncodegen.compiler.building.parts import offer, offer_errors
from nncodegen.compiler.building.searches import Searches
from nncodegen.compiler.describe import Describable, Model, check_program, describe
from nncodegen.compiler.describe.checks import bounded
from nncodegen.compiler.describe.values import Values
from nncodegen.compiler.emit import MARK, Sources, emit, facts, identifier
from nncodegen.compiler.ir import Program, verify
from nncodegen.compiler.ir.program import DEFAULT, NATIVE, OFF, PORTABLE
from nncodegen.compiler.naming import check_free
from nncodegen.compiler.passes.by_inputs import NOTHING_ASKED, ByInputs, differentiate_by_inputs
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.digits.answers import Answers
from nncodegen.compiler.passes.findings import NO_FINDINGS, Companions, Findings
from nncodegen.compiler.passes.simplify import counts_of_operations, simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.schedule import NO_CHOICES, Schedule, schedule
from nncodegen.compiler.schedule.values import schedule_values
from nncodegen.compiler.slow import slow_module
from nncodegen.compiler.trial import TRIALS, check_built
from nncodegen.compiler.without_gc import without_collector
from nncodegen.errors import BuildError, CheckError, CompilerNotFoundError, NncodegenError
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.facts import read
from nncodegen.runtime.python.ground.renamed import renamed
from nncodegen.runtime.python.interface import BUILT_FROM

STAGES: tuple[Callable[..., Any], ...] = (describe, stabilize, differentiate, simplify, schedule, emit, build)
"""The stages from a model to a compiled module; each takes the result of the one before it."""


STAGES_OF_VALUES: tuple[Callable[..., Any], ...] = (
    describe,
    stabilize,
    differentiate_by_inputs,
    simplify,
    schedule_values,
    emit,
)
"""The stages from a function to its C, which computes values and the derivatives that are asked for."""

ANSWERS = Answers(Searches())
"""The results of searches for forms of formulas, those of other processes included."""


@dataclass(frozen=True)
class Stage:
    """The result of a stage, and the seconds that it took."""

    name: str
    result: Any
    seconds: float
    findings: Findings = NO_FINDINGS
    """The findings of the stages up to this one."""

    def show(self, companions: bool = True) -> str:
        """Return the result of a stage up to ``schedule`` as text, with the companions of the program or without."""
        if isinstance(self.result, Program):
            return self.findings.show(self.result, self.findings.companions_after(self.name) if companions else ())
        result: Schedule = self.result
        return (result if companions else replace(result, companions=())).show()


@dataclass(frozen=True)
class Compiled:
    """A model and the result of every stage, and their texts, if these were written while compilers ran."""

    stages: tuple[Stage, ...]
    written: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"<Compiled {self.stages[0].result.name}: {', '.join(stage.name for stage in self.stages)}>"

    def __getitem__(self, name: str) -> Any:
        return next(stage.result for stage in self.stages if stage.name == name)

    @property
    def findings(self) -> Findings:
        """Return the findings of the stages about the program: its companions, its operations, its digits."""
        return self.stages[-1].findings

    @property
    def sources(self) -> Sources:
        """Return the sources of the module."""
        sources: Sources = self["emit"]
        return sources

    @property
    def built(self) -> Built:
        """Return the compiled module, on disk."""
        built: Built = self["build"]
        return built

    def texts(self) -> dict[str, str]:
        """Return the results of the stages up to ``schedule``, as readable text files, by name."""
        return dict(self.written) if self.written else _texts(self.stages)


def _texts(stages: Iterable[Stage]) -> dict[str, str]:
    """Return the results of stages as readable text files, by name."""
    shown = [stage for stage in stages if isinstance(stage.result, Program | Schedule)]
    return {
        f"stages/{number}-{stage.name}.txt": f"# {MARK}: the program after {stage.name}.\n\n{stage.show()}"
        for number, stage in enumerate(shown, start=1)
    }


def compile_model(
    model: Describable,
    precision: str = "float64",
    force: bool = False,
    observe: Callable[[Stage], None] = lambda stage: None,
    until: str = "build",
    choices: Mapping[str, object] = NO_CHOICES,
    march: str = "native",
    fit: bool | None = None,
    cross: str | None = None,
    apart: bool = False,
    bits: str = NATIVE,
    dump: bool = False,
) -> Compiled:
    """Take a model through the stages; ``observe`` is called after each of them.

    With ``force``, no module is taken from the cache. ``choices`` overrides those of the schedule, ``march`` is
    "native" or "portable", ``fit`` says whether the module can fit by least squares, ``cross`` names another machine
    that the module is for, such as "aarch64-linux-gnu", which needs the package ziglang. With ``apart``, what few call
    is compiled when it is first called (see ``building/parts.py``). With ``bits`` "portable", results depend neither on
    the CPU nor on the compiler. With ``dump``, the texts of the stages are written while the compilers run. Raises
    ModelError for a model or choices that cannot be compiled, and BuildError where the compiler or the disk fails.
    """
    if until not in (stage.__name__ for stage in STAGES):
        raise ValueError(f"there is no stage {until!r}; there are: {', '.join(stage.__name__ for stage in STAGES)}")
    stages: list[Stage] = []
    written: dict[str, str] = {}
    meanwhile = (lambda: written.update(_texts(stages))) if dump else None
    findings, report = NO_FINDINGS, list[str]()
    # Stages take what the ones before them have found.
    options: dict[Any, Callable[[], tuple[Any, ...]]] = {
        describe: lambda: (precision, _digits(choices, bits), bits),
        stabilize: lambda: (None, ANSWERS, lambda finding: report.append(str(finding))),
        differentiate: lambda: (findings.companions and findings.companions.prepared,),
        schedule: lambda: (_of_schedule(choices), findings),
        build: lambda: (force, march, cross, apart, meanwhile),
    }
    if until == build.__name__:
        with suppress(RuntimeError):  # no thread can begin, as at the end of a process
            Thread(target=_ask_compiler, args=(march, cross), daemon=True).start()
    value: Any = model
    for function in STAGES:
        start = time.perf_counter()
        with nullcontext() if function is build else without_collector():
            with bounded(f"the model, in the stage {function.__name__},"):
                value = function(value, *options.get(function, tuple)())
                if function is stabilize:
                    companions = Companions(value, fit, only_fit=apart)
                    findings = Findings(companions, lazy=apart, digits_report=tuple(report))
                if function is simplify:
                    findings = replace(findings, operations=counts_of_operations(stages[-1].result, value))
                if isinstance(value, Program):
                    derived = (companion.program for companion in findings.companions_after(function.__name__))
                    for program in (value, *derived):
                        check_program(verify(program))
            stages.append(Stage(function.__name__, value, time.perf_counter() - start, findings))
            observe(stages[-1])
        if function.__name__ == until:
            break
    return Compiled(tuple(stages), written)


def compile_values(
    function: Values,
    asked: ByInputs = NOTHING_ASKED,
    precision: str = "float64",
    bits: str = NATIVE,
    digits: str = OFF,
    choices: Mapping[str, object] = NO_CHOICES,
) -> Compiled:
    """Take a function through the stages up to its C: it has no loss, and nothing trains or fits it.

    ``asked`` are derivatives by its inputs. No search for forms that keep more digits is made, unless ``digits`` is
    "fast" or "best". Raises ModelError for a function that cannot be compiled.
    """
    stages: list[Stage] = []
    options: dict[Any, tuple[Any, ...]] = {
        describe: (precision, digits, bits),
        stabilize: (None, ANSWERS),
        differentiate_by_inputs: (asked,),
        schedule_values: (choices,),
    }
    value: Any = function
    for stage in STAGES_OF_VALUES:
        start = time.perf_counter()
        with without_collector(), bounded(f"the function, in the stage {stage.__name__},"):
            value = stage(value, *options.get(stage, ()))
            if isinstance(value, Program):
                check_program(verify(value))
        stages.append(Stage(stage.__name__, value, time.perf_counter() - start))
    return Compiled(tuple(stages))


def _ask_compiler(march: str, cross: str | None) -> None:
    """Ask the compiler about itself, while the model is being derived; ``build`` gets the same answers, and errors."""
    with suppress(NncodegenError):
        find_compiler(march, cross)


@renamed("0.3.0", schedule="choices")
def build_module(
    model: Describable,
    precision: str = "float64",
    out: str | Path | None = None,
    dump: bool = False,
    force: bool = False,
    choices: Mapping[str, object] = NO_CHOICES,
    march: str = "native",
    fit: bool | None = None,
    segment_length: int | None = None,
    bits: str = NATIVE,
) -> Module:
    """Compile a model and import the module. This is ``nncodegen.build``.

    precision is "float64" or "float32". The compiled module is kept in a cache, and built again only when the
    model, the compiler or nncodegen has changed (or with ``force``). With ``out``, the sources and the module are
    also written to that folder, with its types (NAME.pyi), and with ``dump`` the text of every stage as well. Without
    ``out``, fits, many models side by side, the Hessian and fields are compiled when they are first called.

    ``choices`` overrides those of the stage ``schedule``, which stages/5-schedule.txt shows: "tile" is the number of
    samples that the loops work through at once, "features" the indices whose elements are adjacent in memory (see
    compiler/schedule/layout.py), "blas" (True, False, or a list of their tensors) the products that are computed by
    SciPy's BLAS, if it is installed, "transposed" (True, False, or a list of parameters) the weights that are kept
    transposed while they are trained, "block_length" the queries of a block of long attention. "digits" ("off", "fast"
    or "best"; "fast" by default) bounds what forms of formulas may cost that keep more digits than the rules do; with
    "off", none are looked for.

    ``march`` is "native", for this CPU, or "portable", for every CPU of its family: such a module holds its kernel for
    several of them, uses the fastest that the CPU where it is imported can run (``module.variant``), and its results
    differ between CPUs by rounding. ``fit`` says whether the module can fit its
    model by least squares (``module.fit``, ``train(optimizer="lm")``): formulas can by default, a network needs
    fit=True, as that takes more time to compile.

    ``segment_length`` is for long sequences: a training keeps the states of recurrent layers only before each
    ``segment_length``-th step, and computes the steps between again on its way back. That takes less memory and more
    time; the results are the same, gradients to rounding.

    ``bits`` is "native", or "portable" for results that have the same bits whatever the CPU and the compiler:
    predictions, gradients, trained parameters, fits with their errors. What cannot promise that, such as ``minimize``,
    is refused in words (docs/guide/bits.md).

    Returns a module, whose functions and attributes ``nncodegen.Module`` documents. Without a C compiler, and without
    ``out``, it is not compiled: NumPy evaluates it, which is slow (``module.variant`` is "numpy"), and it cannot be
    trained; a RuntimeWarning says so once.

    What has just been compiled is tried: a derivative that is not that of the values raises CheckError, and the module
    is not kept (docs/how/promises.md). Raises ModelError and BuildError.
    """
    if dump and out is None:
        raise BuildError("dump writes the text of every stage to the folder out: name one")
    choices = dict(choices) if segment_length is None else {**choices, "segment_length": segment_length}
    if out is not None:
        check_out(Path(out), model)  # before the work, not after it
    apart = out is None and march == "native"
    again = partial(build_module, model, precision, choices=choices, march=march, fit=fit, bits=bits)
    if apart and (kept_whole := _kept_whole(model, precision, choices, fit, bits)):
        if not force:
            return _loaded(kept_whole, model, precision, bits, again)
        apart = False
    try:
        compiled = compile_model(
            model, precision, force, choices=choices, march=march, fit=fit, apart=apart, bits=bits, dump=dump
        )
    except CompilerNotFoundError as error:
        if out is not None or bits != NATIVE:
            raise
        return _with_origin(evaluated_module(model, precision, fit, in_one_line(error), choices), again)
    module = _loaded(compiled.built, model, precision, bits, again)
    if not compiled.built.cached:
        _check(module, compiled, apart)
    if out is not None:
        write_out(compiled, Path(out), dump)
    if apart:
        check = partial(check_built, module, compiled["describe"])
        offer(compiled.built.path, partial(_with_parts, compiled["describe"], choices, fit), check)
    return module


def _check(module: Module, compiled: Compiled, apart: bool) -> None:
    """Try the derivatives of a module that has just been compiled. If one is wrong, discard it and raise CheckError."""
    try:
        for part in ("",) if apart else TRIALS:
            check_built(module, compiled["describe"], part)
    except CheckError:
        discard(compiled.built)
        raise


def _with_origin(module: Module, again: Callable[[], Module]) -> Module:
    """Return a module that remembers how it is built again, by which it is pickled."""
    vars(module)[BUILT_FROM] = again
    return module


def _loaded(built: Built, model: Describable, precision: str, bits: str, again: Callable[[], Module]) -> Module:
    """Return a module, after remembering how the one for errors in the inputs of its model is made, if it has any."""
    module: Any = _with_origin(load(built), again)
    if isinstance(model, Model) and model.inputs and model.targets:
        make = cache(lambda: build_module(model.with_errors(), precision, bits=bits))
        offer_errors(module._model.facts.identity, precision, bits, make)
    return module  # type: ignore[no-any-return]


def _kept_whole(
    model: Describable, precision: str, choices: Mapping[str, object], fit: bool | None, bits: str
) -> Built | None:
    """Return the whole module of a model in the cache, with all of its parts, if there is one; it may be certified."""
    name = getattr(model, "name", None)
    if not isinstance(name, str) or not is_any_kept(identifier(name)):
        return None
    with suppress(BuildError):  # the build itself says what is wrong
        sources = compile_model(model, precision, until="emit", choices=choices, fit=fit, bits=bits).sources
        path = kept(sources)
        return Built(sources.module, path, cached=True) if path else None
    return None


def _digits(choices: Mapping[str, object], bits: str) -> str:
    """Return how much a form of a formula may cost that keeps more digits: the choice of the stage ``stabilize``."""
    return str(choices.get("digits", OFF if bits == PORTABLE else DEFAULT))


def _of_schedule(choices: Mapping[str, object]) -> Mapping[str, object]:
    """Return the choices of the stage ``schedule``."""
    return {name: choice for name, choice in choices.items() if name != "digits"}


def _with_parts(described: Program, choices: Mapping[str, object], fit: bool | None, of_fits: bool) -> Sources:
    """Return the sources of a model with all of its parts, or with those of fits alone, given its description."""
    companions = Companions(stabilize(described, None, ANSWERS), fit, only_fit=of_fits)
    differentiated = differentiate(companions.program, companions.prepared)
    program = simplify(differentiated)
    findings = Findings(companions, operations=counts_of_operations(differentiated, program))
    sources: Sources = emit(schedule(program, _of_schedule(choices), findings))
    return sources


def evaluated_module(
    model: Describable,
    precision: str = "float64",
    fit: bool | None = None,
    reason: str = "not compiled",
    choices: Mapping[str, object] = NO_CHOICES,
) -> Module:
    """Return a module that NumPy evaluates; a warning, once in a process, says so and gives the reason."""
    return evaluated(compile_model(model, precision, until="schedule", fit=fit, choices=choices), reason)


def evaluated(compiled: Compiled, reason: str) -> Module:
    """Return the module that NumPy evaluates of a model, which has gone through the stages up to ``schedule``."""
    companions = compiled.findings.companions_after("simplify")
    return slow_module(compiled["simplify"], companions, read(facts(compiled["schedule"])), reason)


def check_out(out: Path, model: Describable) -> None:
    """Raise ModelError for a model whose name no module can have, BuildError for a folder that cannot take it."""
    if isinstance(getattr(model, "name", None), str):  # describe refuses what is no model
        check_free(model.name, "python")
    check_folder(out)


def write_out(compiled: Compiled, out: Path, dump: bool, beside: Sequence[Path] = ()) -> Path:
    """Write the sources, the module and (``dump``) the stages to a folder; return the path of the module.

    ``beside`` are files that stand beside the module in the cache; they are written to the folder as well.
    """
    texts = (compiled.texts() if dump else {}) | {path.name: path.read_text(encoding="utf-8") for path in beside}
    return write(compiled.built, {**compiled.sources.files, **texts}, out)
