"""The page: the values of its sections, and how they are put into the template."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from markupsafe import Markup

from nncodegen.compiler.ir import RECURRENCES, Program, Step
from nncodegen.compiler.ir.functions import Primitive
from nncodegen.compiler.pipeline import Compiled
from nncodegen.compiler.show import ABOUT
from nncodegen.reports.code import Code, anchor_of, code
from nncodegen.reports.drawing import Drawing, drawing
from nncodegen.reports.folded import Folded, folded
from nncodegen.reports.formulas import Setter, partial_derivatives, training_function
from nncodegen.reports.graph import graph_of
from nncodegen.reports.loops import linked, sweep_places
from nncodegen.reports.plain_text import shape_text
from nncodegen.reports.reverse_sweep import Row, sweep
from nncodegen.reports.stages import Shared, kinds, lowered, overview, rules_applied, shared

LIMIT = 2_000_000
"""The most bytes of a page."""

FACE = "/* the font of formulas */"
"""The text that stands in a page where the font of its formulas is to be."""

SHARES = (1.0, 0.4, 0.15, 0.05, 0.01)
"""The shares of the long parts that are tried: the whole, and less where the page would be too large."""

MOST_LINES, MOST_STEPS, MOST_SHARED, MOST_RULES, MOST_PARTIALS = 6_000, 600, 40, 200, 100
"""Limits of what is shown: lines of C and of the schedule, steps, shared values, rules, partial derivatives."""


@dataclass(frozen=True)
class ListedStep:
    """A step of the simplified program: its anchor, its formula, how often it is read, and where C computes it."""

    anchor: str
    formula: Markup
    uses: int
    places: list[Any]
    operations: int


def derivation(compiled: Compiled, share: float) -> dict[str, Any]:
    """Return the values of the sections about the derivation; ``share`` is the shown part of the long lists."""
    described, stable, differentiated, simplified = (
        compiled[name] for name in ("describe", "stabilize", "differentiate", "simplify")
    )
    steps = max(8, int(MOST_STEPS * share))
    setter = Setter(described, stable, differentiated, simplified)
    listing = _code(compiled, simplified, max(40, int(MOST_LINES * share)))
    rows = sweep(differentiated)
    partials = partial_derivatives(setter, differentiated, max(4, int(MOST_PARTIALS * share)))
    functions = training_function(setter, described, stable)[:steps]
    texts = [str(step) for step in described.steps] if described.layered else [f.latex for f in functions]
    of_function = folded(list(zip(texts, functions, strict=False)), lambda pair: pair[0])
    return {
        "graph": _graph(described, stable),
        "tensors": folded(_tensors(setter, described), lambda tensor: f"{tensor['name']} {tensor['role']}"),
        "functions_latex": setter.latex.aligned(described.steps[:steps]),
        "functions": Folded(*([f for _, f in part] for part in (of_function.shown, of_function.repeated))),
        "partials": folded(partials, lambda partial: partial.in_values.latex or partial.plain),
        "partials_left": len(differentiated.gradient) - len(partials),
        "sweep": _folded_sweep(setter, rows[:steps]),
        "sweep_left": max(0, len(rows) - steps),
        "sweep_latex": setter.latex.aligned(differentiated.steps[:steps]),
        "stages": overview(compiled, ABOUT),
        "kinds": kinds(simplified),
        **_rules(setter, described, differentiated, simplified, max(4, int(MOST_RULES * share))),
        **_shared(setter, simplified, max(4, int(MOST_SHARED * share))),
        "steps": _steps(setter, simplified, listing, steps),
        "steps_left": max(0, len(simplified.steps) - steps),
        "schedule": _schedule(compiled, max(40, int(MOST_LINES * share)), rows[:steps], steps, listing),
        "code": listing,
        "layered": described.layered,
        "scaled": bool(described.terms),
        "recurrent": ", ".join(dict.fromkeys(i for s in described.steps if s.operator in RECURRENCES for i in s.over)),
    }


def render(values: dict[str, Any]) -> str:
    """Return the page with some values."""
    return str(_environment().get_template("report.html").render(values))


@cache
def _environment() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined  # noqa: PLC0415 (optional)

    folder = files("nncodegen.reports") / "templates"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()}
    environment = Environment(
        loader=DictLoader(texts), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.globals["face"] = Markup(FACE)
    environment.globals["plain"] = lambda name: Markup(texts[name])
    return environment


# --- values of sections ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnGraph:
    """The graph of a model, laid out, and its description in words."""

    drawing: Drawing
    about: str


def _graph(described: Program, stable: Program) -> DrawnGraph:
    graph = graph_of(described, stable)
    return DrawnGraph(drawing(graph), graph.about)


def _tensors(setter: Setter, program: Program) -> list[dict[str, Any]]:
    """Return the tensors of a model: name, role, shape, and start of a parameter."""
    roles = (("input", program.inputs), ("target", program.targets), ("parameter", program.parameters))
    return [
        {
            "name": tensor.name,
            "symbol": setter.symbol(setter.notation.name(tensor.name)),
            "role": role,
            "shape": shape_text(tensor.shape),
            "start": _start(tensor) if role == "parameter" else "",
        }
        for role, tensors in roles
        for tensor in tensors
    ]


def _start(tensor: Any) -> str:
    initial = tensor.initial
    fixed = "" if tensor.trained else ", not trained"
    if initial.distribution == "given":
        return f"given{fixed}"
    if initial.distribution == "constant":
        return f"{initial.scale:g}{fixed}"
    return f"{initial.distribution.replace('_', ' ')}, scale {initial.scale:.4g}{fixed}"


def _folded_sweep(setter: Setter, rows: list[Row]) -> Folded[dict[str, Any]]:
    """Return the rows of the sweep, of which those whose steps repeat others are folded."""
    groups = folded(rows, lambda row: str(row.step))
    return Folded(*([_row(setter, row) for row in part] for part in (groups.shown, groups.repeated)))


def _row(setter: Setter, row: Row) -> dict[str, Any]:
    """Return a row of the sweep: the step, its local derivatives, and the derivative of the loss by it."""
    adjoint = None if row.adjoint is None else setter.equation(setter.latex.bar(row.step.target), row.adjoint)
    return {
        "number": row.number,
        "anchor": f"d-{row.number}",
        "step": setter.step(row.step),
        "local": [
            setter.equation(setter.latex.partial(row.step.target, local.operand), local.value) for local in row.local
        ],
        "adjoint": adjoint,
        "steps": [setter.step(each) for each in row.steps],
    }


def _rules(
    setter: Setter, described: Program, differentiated: Program, simplified: Program, most: int
) -> dict[str, Any]:
    """Return the rules of ``stabilize`` that applied, by name, and the functions that ``simplify`` wrote out."""
    by_rule: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    applied = rules_applied(described)
    for rewriting in applied[:most]:
        long = max(int(rewriting.before.count_ops()), int(rewriting.after.count_ops())) > 120
        by_rule[rewriting.rule.replace("_", " "), rewriting.algebra].append(
            {
                "step": setter.expression(rewriting.step.target),
                "before": None if long else setter.expression(rewriting.before),
                "after": None if long else setter.expression(rewriting.after),
                "operations": (int(rewriting.before.count_ops()), int(rewriting.after.count_ops())),
            }
        )
    functions = [
        {
            "kind": {"Pow": "power"}.get(each.kind, each.kind),
            "steps": [setter.expression(step.target) for step in each.steps[:12]],
            "more": max(0, len(each.steps) - 12),
            "before": setter.expression(each.before),
            "after": setter.expression(each.after),
        }
        for each in lowered(differentiated)[:most]
        if each.before.count_ops() + each.after.count_ops() < 200
    ]
    rules = [{"name": name, "algebra": algebra, "places": places} for (name, algebra), places in by_rule.items()]
    return {"rules": rules, "rules_count": len(applied), "lowered": functions, "primitives": _primitives(simplified)}


def _primitives(program: Program) -> list[dict[str, str]]:
    """Return the functions that the C defines and a program uses, each with the docstring of its class."""
    used = {type(node): None for step in program.steps for node in step.expression.atoms(Primitive)}
    return [
        {"name": kind.__name__, "about": " ".join((kind.__doc__ or "").split("\n\n")[0].split())}
        for kind in sorted(used, key=lambda kind: kind.__name__)
    ]


def _shared(setter: Setter, program: Program, most: int) -> dict[str, Any]:
    """Return the values that are computed once and read several times."""
    lines: list[Shared] = shared(program)
    shown = [
        {
            "anchor": anchor_of(line.step.target.tensor),
            "symbol": setter.expression(line.step.target),
            "formula": setter.step(line.step),
            "uses": line.uses,
            "each": line.each,
            "saved": line.saved,
        }
        for line in lines[:most]
    ]
    return {"shared": shown, "shared_count": len(lines), "shared_saved": sum(line.saved for line in lines)}


def _steps(setter: Setter, program: Program, listing: Code, most: int) -> list[ListedStep]:
    """Return the steps of the simplified program, with the places where C computes them."""
    uses: defaultdict[str, int] = defaultdict(int)
    for step in program.steps:
        for element in step.operands:
            uses[element.tensor] += 1
    return [
        ListedStep(
            anchor_of(step.target.tensor),
            _set(setter, step),
            uses[step.target.tensor],
            listing.places.get(step.target.tensor, []),
            program.count(step.indices) * int(step.expression.count_ops()),
        )
        for step in program.steps[:most]
    ]


def _set(setter: Setter, step: Step) -> Markup:
    if step.expression.count_ops() > 200:
        return Markup("<code>{}</code>").format(f"{step.target} = … ({step.expression.count_ops()} operations)")
    return setter.step(step)


def _schedule(compiled: Compiled, most: int, rows: list[Row], most_steps: int, listing: Code) -> dict[str, Any]:
    """Return the schedule as text: first its reasons, then the loops of every kernel, with links from steps."""
    simplified: Program = compiled["simplify"]
    text = compiled["schedule"].show()
    head, _, rest = text.partition("\nkernel ")
    lines = f"kernel {rest}".splitlines() if rest else []
    reasons = _together([line for line in head.splitlines() if line.strip()])
    shown = [step.target.tensor for step in simplified.steps[:most_steps]]
    text_lines = linked(lines[:most], shown, sweep_places(rows, simplified), listing.places)
    return {"reasons": folded(reasons, str), "lines": text_lines, "left": max(0, len(lines) - most)}


def _together(reasons: list[str]) -> list[str]:
    """Return the reasons; consecutive ones that say the same of several tensors are joined: s2, t9 (12 x 12): ..."""
    sentences = []
    for (size, why), group in groupby(reasons, lambda line: line.partition(" (")[1:]):
        names = [line.partition(" (")[0] for line in group]
        sentences += [f"{', '.join(names)}{size}{why}"] if size else names
    return sentences


def _code(compiled: Compiled, simplified: Program, most: int) -> Code:
    sources = compiled.sources
    names = [step.target.tensor for step in simplified.steps]
    return code(sources.files[f"{sources.module}.c"], simplified, names, most)
