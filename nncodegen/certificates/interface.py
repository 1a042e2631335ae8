"""The functions for users: ``certify`` examines a module, ``verify`` examines it again, long after it was built."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

from nncodegen.certificates.algebra import algebra_of
from nncodegen.certificates.description import from_data, to_data
from nncodegen.certificates.diagnosis import Diagnosis
from nncodegen.certificates.differences import without_derivatives
from nncodegen.certificates.examination import Extent, examine, extent_of
from nncodegen.certificates.independent_model import PROGRAM, given
from nncodegen.certificates.layer_definitions import defined, unwrapped
from nncodegen.certificates.orders import violation
from nncodegen.certificates.precision import DIGITS
from nncodegen.certificates.results import REST, Examined, Found, Programs, figures
from nncodegen.certificates.scope import left_out, left_out_of_function
from nncodegen.certificates.steps import watch
from nncodegen.certificates.tolerances import (
    REFERENCE,
    ROWS,
    check_examined,
    digits_of,
    faults_of,
    points_of,
    system_of,
)
from nncodegen.certificates.tolerances import (
    examined as compared_at,
)
from nncodegen.certificates.tolerances import (
    left_out as left_out_of_method,
)
from nncodegen.certificates.trajectories import step_of
from nncodegen.certificates.updates_and_hessians import compare_all
from nncodegen.certificates.values import CertifiableFunction, given_function, with_derivatives
from nncodegen.compiler.building.build import Built, load, load_variant
from nncodegen.compiler.building.compiler import Compiler, find_compiler
from nncodegen.compiler.building.files import MODULES, reason_of, write_at_once
from nncodegen.compiler.building.targets import KERNEL_FLAGS, without_paths
from nncodegen.compiler.building.values import Kernels
from nncodegen.compiler.describe import Describable, identity_of
from nncodegen.compiler.describe.describable import Described
from nncodegen.compiler.describe.hints import cut
from nncodegen.compiler.describe.optimizers import OPTIMIZERS, describe_update
from nncodegen.compiler.emit import Sources
from nncodegen.compiler.ir import Program
from nncodegen.compiler.ir.program import DEFAULT
from nncodegen.compiler.motion import METHODS, Dynamics
from nncodegen.compiler.passes.by_inputs import ByInputs, differentiate_by_inputs
from nncodegen.compiler.passes.differentiate import differentiate
from nncodegen.compiler.passes.simplify import simplify
from nncodegen.compiler.passes.stabilize import stabilize
from nncodegen.compiler.pipeline import Compiled, compile_model
from nncodegen.errors import BuildError, ModelError
from nncodegen.runtime.module import Module
from nncodegen.runtime.python.ground.certificate import (
    TABLE,
    WRONG,
    Certificate,
    CertifiedBuild,
    Conditions,
    Fault,
    Figure,
    digest_of,
    file_of,
)

BY_INPUTS = "by_inputs"
"""The member of the program in a certificate of a function that says which derivatives were asked for."""


def certify(
    model: Describable | Module | Any,
    of: Describable | None = None,
    precision: str = "float64",
    march: str = "native",
    fit: bool | None = None,
    points: int | None = None,
    seed: int = 0,
    digits: str = DEFAULT,
) -> Certificate:
    """Compare the outputs, the loss and every derivative of a compiled model with exact ones, to fifty digits.

    model        a model, which is built for it as ``nn.build`` does, with these values of precision, march and fit;
                 or a built module, and the model that it is ``of``, unless the module has a certificate already;
                 or a function of ``nn.lambdify``, of which values and the derivatives asked for are examined
    points       how many points of each kind are drawn: by default 3 for formulas and small networks, 1 for others
    seed         the seed from which they are drawn
    digits       the choice ``digits`` with which the model is built, or the module has been

    The certificate is written to a file next to the module, where ``module.certificate`` finds it. This takes about a
    second for a formula, some seconds for the network 64-32-10, and a millisecond or two for each parameter of larger
    ones. Raises ModelError and BuildError.
    """
    if points is not None and (isinstance(points, bool) or not isinstance(points, int) or points < 1):
        raise ValueError(f"points must be a positive integer, not {points!r}")
    if isinstance(model, Describable):
        compiled = compile_model(model, precision, choices={"digits": digits}, march=march, fit=fit)
        return certify_compiled(compiled, model, march, points, seed)
    if hasattr(model, "certifiable"):
        if of is not None or fit or (precision, march, digits) != ("float64", "native", DEFAULT):
            raise ModelError("a function is certified as it was made: nncodegen.certify(f, points=..., seed=...)")
        return _of_function(model.certifiable(), points, seed)
    module = model
    if not hasattr(module, "loss_and_gradient"):
        raise ModelError(
            f"{cut(repr(model))} is neither a model nor a module: give what nncodegen.build takes or returns, or a "
            f"function of nncodegen.lambdify"
        )
    if of is None:
        known = module.certificate
        if known is None:
            raise ModelError(f"the module {module.name} does not know its model: nncodegen.certify(module, model)")
        of = Described(from_data(known.program))
    compiled = compile_model(
        of, module.precision, until="emit", choices={"digits": digits}, march=march, fit=fit, bits=module.bits
    )
    return _certificate(module, _file_of_module(module), compiled, of, march, points, seed)


def certify_compiled(
    compiled: Compiled, model: Describable, march: str = "native", points: int | None = None, seed: int = 0
) -> Certificate:
    """Return the certificate of a compiled model, after writing it next to its module in the cache."""
    return _certificate(load(compiled.built), compiled.built.path, compiled, model, march, points, seed)


def verify(module: Module | str | Path) -> Certificate:
    """Examine a module again that has a certificate: an imported one, its file, or the folder that contains it.

    The points are those of the certificate, the bounds those that it states: if an error is beyond its bound now, on
    this CPU, ``holds`` is false. Exact results are those of the program in the certificate, whose hash is that of the
    module's model. Raises ModelError if the module has no certificate, or that of another module.
    """
    path = _file_of_module(module)
    try:
        stated = Certificate.from_json(file_of(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} has no certificate beside it: {file_of(path).name} is missing") from error
    except ValueError as error:
        raise ModelError(f"{file_of(path)} cannot be read: {error}") from error
    if stated.module != digest_of(path):
        raise ModelError(f"{file_of(path)} is the certificate of another file than {path.name}: certify it again")
    described, count = from_data(stated.program), max(stated.points.values())
    loaded: Module | Kernels
    if (asked := stated.program.get(BY_INPUTS)) is not None:
        programs = _programs_of_function(described, _from_lists(asked))
        loaded = Kernels(path, programs.simplified)
        worst, counts = _worst(loaded, path, programs, count, stated)
    else:
        loaded = load(Built(path.name.split(".")[0], path, cached=True))
        _check_identity(loaded, stated.identity)
        _check_identity(loaded, identity_of(described))
        if system_of(described):
            solved, counts = compared_at(_variants(loaded, path), described, count, stated.rows, stated.seed)
            worst = figures([result.figure for result in solved], tuple(counts))
        else:
            worst, counts = _worst(loaded, path, _programs(described), count, stated)
    bounds = {(figure.quantity, figure.kind): figure.bound for figure in stated.figures}
    again = tuple(_held(figure, bounds) for figure in worst)
    conditions = replace(
        _conditions(loaded, stated.seed, counts, stated.reference if stated.method else PROGRAM, stated.digits),
        rows=stated.rows,
        left_out=stated.left_out,
        method=stated.method,
    )
    faults = tuple(dict.fromkeys((*stated.faults, *_of_table(described))))
    return replace(stated, conditions=conditions, figures=again, steps=(), faults=faults)


def _worst(
    module: Module | Kernels, path: Path, programs: Programs, count: int, stated: Certificate
) -> tuple[tuple[Figure, ...], dict[str, int]]:
    """Return the worst errors at the points of a certificate, and the number of points of each kind."""
    extent = Extent(count, stated.rows, extent_of(programs, None).pairs)
    results, counts = _examine(module, path, programs, extent, stated.seed)
    return figures([result.figure for result in results], tuple(counts)), counts


def _held(figure: Figure, bounds: dict[tuple[str, str], float]) -> Figure:
    """Return a figure with the bound that a certificate states, and the verdict for it."""
    stated = bounds.get((figure.quantity, figure.kind), 0.0)
    if figure.error <= stated:
        return replace(figure, bound=stated)
    return replace(figure, bound=stated, verdict=WRONG)


def _file_of_module(module: Any) -> Path:
    """Return the file of a module. Raises ModelError if it has none."""
    if not isinstance(module, str | Path):
        path = getattr(module, "__file__", None)
        if path is None:
            raise ModelError(f"{module!r} is not a module that was compiled: give one, or its file")
        return Path(path)
    given_path = Path(module)
    if given_path.is_dir():
        files = sorted(path for path in given_path.iterdir() if path.suffix in MODULES)
        if len(files) != 1:
            raise ModelError(f"{given_path} holds {len(files)} compiled modules: name the file of one")
        return files[0]
    if not given_path.is_file():
        raise ModelError(f"there is no file {given_path}")
    if given_path.suffix not in MODULES:
        raise ModelError(f"{given_path} is not a compiled module, whose name ends in {' or '.join(MODULES)}")
    return given_path


def _programs(described: Program) -> Programs:
    """Return the programs of a model from a certificate."""
    plain = without_derivatives(described)
    updates = (*map(describe_update, OPTIMIZERS), *described.updates)
    return Programs(plain, plain, simplify(differentiate(stabilize(described))), updates)


def _to_lists(asked: ByInputs) -> dict[str, Any]:
    """Return the derivatives asked for as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(asked).items()}


def _from_lists(data: Mapping[str, Any]) -> ByInputs:
    """Return the derivatives asked for in such data."""
    members: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    return ByInputs(**members)


def _programs_of_function(described: Program, asked: ByInputs) -> Programs:
    """Return the programs of a function from a certificate."""
    whole = with_derivatives(described, asked)
    return Programs(whole, whole, simplify(differentiate_by_inputs(stabilize(described), asked)))


def _check_identity(module: Any, identity: str) -> None:
    module_identity = module._model.facts.identity
    if module_identity != identity:
        raise ModelError(
            f"the module {module.name} computes another model ({module_identity[:16]}) than this one ({identity[:16]})"
        )


def _examine(
    module: Module | Kernels,
    path: Path,
    programs: Programs,
    extent: Extent,
    seed: int,
    diagnosis: Diagnosis | None = None,
) -> tuple[list[Found], dict[str, int]]:
    """Return the errors at all points, of all variants of the kernel that this CPU runs, and the number of points."""
    modules = module.each if isinstance(module, Kernels) else _variants(module, path)
    results: list[Found] = []

    def at(examined: Examined) -> None:
        if diagnosis and diagnosis.defined:
            results.extend(diagnosis.defined.compare(examined))
        for variant in modules:
            results.extend(compare_all(variant, examined))
        if diagnosis and examined.programs.part != REST:
            diagnosis.at(examined)

    counts = examine(programs, extent, seed, at)
    return results, counts


def _variants(module: Module, path: Path) -> list[Module]:
    """Return a module and those of all other kernels in its file that this CPU runs."""
    built = Built(path.name.split(".")[0], path, cached=True)
    return [module, *(load_variant(built, name) for name in module.variants if name != module.variant)]


def _certificate(
    module: Module, path: Path, compiled: Compiled, model: Describable, march: str, points: int | None, seed: int
) -> Certificate:
    described, simplified = compiled["describe"], compiled["simplify"]
    if isinstance(model, Described):  # its own optimizers are rules without a function
        updates = (*described.updates, *model.program.updates)
        described = replace(described, task=replace(described.task, updates=updates))
    _check_identity(module, identity_of(described))
    build = _build(module, path, identity_of(described), march)
    kept = compiled.findings.digits_report
    if system_of(described):
        check_examined(described)
        certificate = _of_method(module, path, described, compiled.sources, build, points, seed)
        return _written(path, replace(certificate, kept=kept))
    plain = without_derivatives(described)
    network = defined(unwrapped(model), plain)
    reference, what = given(unwrapped(model), plain, network)
    derived, companions = (compiled.findings.companions_after(stage) for stage in ("differentiate", "simplify"))
    programs = Programs(reference, plain, simplified, described.updates, companions=companions)
    algebra = algebra_of(reference, plain, without_derivatives(compiled["stabilize"]), compiled["differentiate"])
    steps = watch(simplified, march)
    both = {each.name: (each, in_c) for each, in_c in zip(derived, companions, strict=True)}
    diagnosis = Diagnosis(algebra, compiled["schedule"], compiled.sources, march, steps, network, both)
    extent = extent_of(programs, points)
    results, counts = _examine(module, path, programs, extent, seed, diagnosis)
    faults = diagnosis.conclude(results)
    conditions = replace(
        _conditions(module, seed, counts, what, DIGITS),
        rows=extent.rows,
        compared=diagnosis.compared,
        left_out=left_out(described, companions, steps is not None, network),
    )
    certificate = Certificate(
        build,
        conditions,
        figures=figures([each.figure for each in results], tuple(counts)),
        steps=tuple(figure for figure, _ in diagnosis.figures),
        kept=kept,
        faults=(*_of_table(described, model), *faults),
        program=to_data(described),
    )
    return _written(path, certificate)


def _conditions(
    module: Module | Kernels, seed: int, points: Mapping[str, int], reference: str, digits: int
) -> Conditions:
    """Return the conditions under which a module is examined now, on this machine, at points of ROWS samples."""
    return Conditions(_machine(), tuple(module.variants), reference, digits, points, ROWS, seed, _now())


def _of_table(described: Program, model: Describable | None = None) -> tuple[Fault, ...]:
    """Return the fault of a method whose table of coefficients misses a condition of its order.

    A program whose steps are chosen holds the table; of one with a number of steps, the model names the method.
    """
    system, inner_model = system_of(described), unwrapped(model) if model else None
    if system:
        table, step = system.control.table, str(step_of(described))
    elif isinstance(inner_model, Dynamics) and inner_model.differential:
        table, step = (
            METHODS[inner_model.method].table,
            f"{inner_model.steps} steps of {inner_model.method} from each time to the next",
        )
    else:
        return ()
    missed = violation(table)
    return (Fault(TABLE, step, "ordinary", 0.0, missed),) if missed else ()


def _build(module: Module | Kernels, path: Path, identity: str, march: str) -> CertifiedBuild:
    """Return what a certificate says of a module or function: what it computes, its file, and how that was compiled."""
    compiler = find_compiler(march)
    return CertifiedBuild(
        name=module.name,
        precision=module.precision,
        identity=identity,
        module=digest_of(path),
        version=_version(),
        compiler=_said_by(compiler),
        flags=(*without_paths(KERNEL_FLAGS), *compiler.target),
    )


def _of_method(
    module: Module,
    path: Path,
    described: Program,
    sources: Sources,
    build: CertifiedBuild,
    points: int | None,
    seed: int,
) -> Certificate:
    """Return the certificate of a model whose steps are chosen: its errors are those of a method."""
    system = system_of(described)
    assert system
    count = points_of(described, points)
    results, counts = compared_at(_variants(module, path), described, count, ROWS, seed)
    table = figures([result.figure for result in results], tuple(counts))
    conditions = replace(
        _conditions(module, seed, counts, REFERENCE, digits_of(described)),
        left_out=left_out_of_method(described, table),
        method=str(system.control),
    )
    return Certificate(
        build,
        conditions,
        figures=table,
        faults=(*_of_table(described), *faults_of(results, described, sources)),
        program=to_data(described),
    )


def _of_function(function: CertifiableFunction, points: int | None, seed: int) -> Certificate:
    """Return the certificate of a function: of its values, and of the derivatives asked for."""
    compiled, path, march = function.compiled, function.library, function.march
    described, simplified = compiled["describe"], compiled["simplify"]
    if not described.inputs:
        raise ModelError("the function has no arguments: its values are constants, and there are no points to examine")
    derived, scheduled = compiled["differentiate_by_inputs"], compiled["schedule_values"]
    reference, what = given_function(function.values, described, function.asked)
    programs = Programs(reference, reference, simplified)
    algebra = algebra_of(reference, described, compiled["stabilize"], derived)
    steps = watch(simplified, march)
    diagnosis = Diagnosis(algebra, scheduled, compiled.sources, march, steps)
    extent = extent_of(programs, points)
    kernels = Kernels(path, simplified)
    results, counts = _examine(kernels, path, programs, extent, seed, diagnosis)
    faults = diagnosis.conclude(results)
    build = _build(kernels, path, identity_of(with_derivatives(described, function.asked)), march)
    conditions = replace(
        _conditions(kernels, seed, counts, what, DIGITS),
        rows=extent.rows,
        compared=diagnosis.compared,
        left_out=left_out_of_function(function.asked.hessian, steps is not None),
    )
    certificate = Certificate(
        build,
        conditions,
        figures=figures([each.figure for each in results], tuple(counts)),
        steps=tuple(figure for figure, _ in diagnosis.figures),
        faults=faults,
        program={**to_data(described), BY_INPUTS: _to_lists(function.asked)},
    )
    return _written(path, certificate)


def _written(path: Path, certificate: Certificate) -> Certificate:
    """Return a certificate after writing it beside its module. Raise BuildError where that is not possible."""
    try:
        write_at_once(file_of(path), certificate.to_json().encode())
    except OSError as error:
        raise BuildError(f"cannot write {file_of(path)}: {reason_of(error)}") from error
    return certificate


def _said_by(compiler: Compiler) -> str:
    """Return the first line in which a compiler describes itself."""
    done = subprocess.run(
        [*compiler.command, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return next(iter(done.stdout.splitlines()), " ".join(compiler.command))


def _machine() -> str:
    """Return the name of the CPU, as far as Python or the system has it."""
    name = ""
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.machine()} {name or platform.processor()}".strip()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _version() -> str:
    return str(import_module("nncodegen").__version__)  # which has imported this file
