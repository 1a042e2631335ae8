"""Makes a report: compiles the model up to the C, collects its numbers, and puts both into the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncodegen import perceptron
from nncodegen.certificates.interface import certify_compiled
from nncodegen.compiler.describe import Describable, describe
from nncodegen.compiler.emit import MARK, identifier
from nncodegen.compiler.ir import Program
from nncodegen.compiler.pipeline import Compiled, build_module, compile_model
from nncodegen.errors import ModelError
from nncodegen.formats.export.initial_parameters import start_of
from nncodegen.formats.export.subject import exportable
from nncodegen.reports.arguments import GivenData, data_of
from nncodegen.reports.attention import attention_plots
from nncodegen.reports.certificate import MISSING, certificate_of, find_certificate
from nncodegen.reports.live_training import in_page
from nncodegen.reports.many_results import data_of_best, is_of_many, outcome_of_many
from nncodegen.reports.math_font import face
from nncodegen.reports.outcome import Outcome, before_of, outcome_of, profile_plots
from nncodegen.reports.page import FACE, LIMIT, SHARES, derivation, render
from nncodegen.reports.path import Path, path_plots, train_perceptron
from nncodegen.reports.results import output_plots, weight_plots

SECTIONS = (
    ("graph", "Graph"),
    ("formulas", "Formulas"),
    ("sweep", "Reverse sweep"),
    ("stages", "Stages"),
    ("schedule", "Schedule"),
    ("c", "The kernel in C"),
    ("certificate", "Certificate"),
    ("numbers", "Numbers"),
    ("train", "Training in the page"),
)


def make(
    model: Any, result: Any, data: Any, precision: str | None, certificate: Any, certify: bool, version: str
) -> str:
    """Return the page of a model. Raises ModelError, and MissingDependencyError where a library is missing."""
    if certify and certificate is not None:
        raise ModelError("a report either makes a certificate or is given one: leave out one of the two")
    subject = exportable(model, precision, None, "shown in a report")
    compiled = compile_model(subject.model, subject.precision, until="build" if certify else "emit")
    described: Program = compiled["describe"]
    samples = data_of(data_of_best(data, result) if is_of_many(result) else data, described)
    chosen = subject.parameters if result is None else result
    path = None
    if chosen is None and described.task.identity == _identity_of_perceptron(described) and _is_its_sample(samples):
        samples = data_of((perceptron.X, perceptron.Y), described)
        path = train_perceptron(build_module(subject.model, subject.precision))
        chosen = path.result
    elif chosen is None and samples is not None and samples.Y is not None and _can_be_fitted(compiled):
        chosen = build_module(subject.model, subject.precision).fit(*_arguments(samples))
    if is_of_many(chosen):
        outcome: Outcome | None = outcome_of_many(chosen, *before_of(described))
    else:
        outcome = outcome_of(chosen, compiled)
    if certify:
        certificate = certify_compiled(compiled, subject.model)
    elif certificate is None:
        certificate = find_certificate(compiled.sources, described)
    values = {
        "name": described.name,
        "version": version,
        "mark": MARK,
        "lead": _lead(described, subject.model),
        "figures": _figures(compiled),
        "sections": _sections(outcome is not None, described.layered),
        "graph_title": _graph_title(described.layered),
        "legend": _legend(described),
        **_numbers(described, outcome, samples, path),
        **_training(subject.model, described, samples, path),
        "certificate": certificate_of(certificate, described),
        "no_certificate": MISSING.format(name=identifier(described.name)),
    }
    page = ""
    for share in SHARES:
        page = render({**values, **derivation(compiled, share)})
        page = page.replace(FACE, face(page), 1)
        if len(page.encode()) <= LIMIT:
            return page
    raise ModelError(
        f"the report of {described.name} has {len(page.encode()):,} bytes, more than {LIMIT:,}: give it fewer data"
    )


def _sections(result: bool, layered: bool) -> list[tuple[str, str]]:
    """Return the sections in their order: with a result, its numbers come first."""
    named = [(id, _graph_title(layered) if id == "graph" else title) for id, title in SECTIONS]
    return sorted(named, key=lambda section: result and section[0] != "numbers")


def _graph_title(layered: bool) -> str:
    """Return the title of the section with the graph: a formula is no network."""
    return "Network" if layered else "Graph"


def _identity_of_perceptron(program: Program) -> str:
    """Return the identity of the perceptron that nncodegen ships, in the precision of a program."""
    return describe(perceptron.model, program.precision).task.identity


def _is_its_sample(data: GivenData | None) -> bool:
    """Return whether no data are given, or those of the perceptron."""
    if data is None:
        return True
    return bool(data.Y is not None and data.X.tolist() == perceptron.X and data.Y.tolist() == perceptron.Y)


def _can_be_fitted(compiled: Compiled) -> bool:
    """Return whether the module has a fit: whether it is a formula that allows one."""
    return not compiled.findings.not_fitted


def _arguments(data: GivenData) -> tuple[Any, Any]:
    """Return X and Y as a module takes them."""
    return (data.X if data.X.shape[1] else None), data.Y


def _lead(program: Program, model: Describable) -> str:
    """Return a sentence that says what the model is."""
    inputs, outputs = sum(t.size for t in program.inputs), sum(program.count(e.indices) for e in program.outputs)
    kind = "network of layers" if program.layered else "formula"
    return (
        f"A {kind} with {_counted(program.parameter_count, 'parameter')}, from {_counted(inputs, 'input')} to "
        f"{_counted(outputs, 'output')}: what it computes, how its gradient is derived, and the C that "
        f"comes of it."
    )


def _figures(compiled: Compiled) -> list[tuple[str, str]]:
    """Return the figures at the top of the page."""
    program: Program = compiled["simplify"]
    before, simplified = compiled.findings.operations or (0, 0)
    name = "operations before" if program.layered else "operations as formulas"
    return [
        ("parameters", f"{program.parameter_count:,}"),
        ("steps", f"{len(program.steps):,}"),
        *([(name, _large(before))] if before else []),
        ("operations compiled", _large(simplified)),
        ("precision", program.precision),
    ]


def _large(count: int) -> str:
    """Return a count with all its digits, or rounded if they are many: 1.79 · 10⁹."""
    if count < 10**7:
        return f"{count:,}"
    digits, _, exponent = f"{count:.2e}".partition("e+")
    return f"{digits} · 10{str(int(exponent)).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def _legend(program: Program) -> str:
    if program.layered:
        return "Σ stands for the sum over the units that come in."
    return (
        "Σ stands for the sum of what comes in; a parameter that is used once stands at its edge, one that is shared "
        "is a node."
    )


def _numbers(program: Program, outcome: Outcome | None, data: GivenData | None, path: Path | None) -> dict[str, Any]:
    """Return the values of the section of numbers."""
    parameters = np.asarray(start_of(program), float) if outcome is None else outcome.after
    about = {
        None: "Outputs with the initial parameters, as no result was given.",
        "parameters": "Outputs with the parameters that were given.",
        "training": "Results of the training.",
        "fit": "Results of the fit, with standard errors of the parameters.",
        "many": "" if outcome is None else outcome.about,
    }[None if outcome is None else outcome.kind]
    if data is not None and data.samples:
        about += f" The data have {_counted(data.samples, 'sample')}."
    return {
        "numbers_about": about,
        "outcome": outcome,
        "path_plots": [] if path is None else path_plots(path),
        "history_plots": [] if outcome is None else outcome.history,
        "output_plots": [
            *output_plots(program, parameters, outcome, data),
            *attention_plots(program, parameters, data),
            *([] if outcome is None else profile_plots(outcome.profiles)),
        ],
        "weight_plots": [] if outcome is None or outcome.kind == "fit" else weight_plots(outcome, program),
    }


def _training(model: Describable, program: Program, data: GivenData | None, path: Path | None) -> dict[str, Any]:
    """Return the training in the page, for the perceptron with the settings of its command; or why it has none."""
    chosen: dict[str, Any] = {"optimizer": "adam"}
    if path is not None:
        chosen = {
            "optimizer": "sgd",
            "learning_rate": perceptron.LEARNING_RATE,
            "epochs": perceptron.EPOCHS,
            "update": "sequential",
        }
    page_training, reason = in_page(model, program, data, chosen)
    return {"training": page_training, "no_training": reason}


def _counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as: 1 input, 2 inputs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
