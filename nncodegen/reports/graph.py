"""The network as a graph: its nodes and its edges. ``drawing`` lays it out.

In layers, a product with parameters begins a node, and the elementwise steps that follow belong to it. In a formula,
a node is a neuron: a function, with the sum that it is applied to. A parameter that is used once stands at its edge, as
in textbooks; a shared one is a separate node.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from sympy import Add, Expr, Function, Mul, exp

from nncodegen.compiler.describe.activations import ACTIVATIONS
from nncodegen.compiler.ir import Element, Program, Step, needed
from nncodegen.compiler.passes.numbering import Numbering, split
from nncodegen.reports.plain_text import plain_text, shape_text

MOST_NODES = 80
"""The most nodes of a graph that is drawn node by node: larger ones would be unreadable."""

MERGED = 12
"""The most operations of a value and its use together, if a value that is used once is drawn with its use."""


@dataclass
class DrawnNode:
    """A node: its kind, and its lines of text. The first line is its title."""

    key: str
    kind: str
    lines: list[str]


@dataclass(frozen=True)
class Edge:
    """An edge from one node to another, with the factor that it multiplies by."""

    source: str
    target: str
    label: str = ""


@dataclass
class Diagram:
    """Nodes by their keys, in the order of the computation, and edges."""

    nodes: dict[str, DrawnNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    about: str = ""

    def add(self, key: str, kind: str, *lines: str) -> None:
        """Add a node, unless the graph has it already."""
        self.nodes.setdefault(key, DrawnNode(key, kind, [line for line in lines if line]))

    def connect(self, source: str, target: str, label: str = "") -> None:
        """Add an edge, unless the graph has it already."""
        edge = Edge(source, target, label)
        if source != target and edge not in self.edges:
            self.edges.append(edge)


def graph_of(described: Program, stable: Program) -> Diagram:
    """Return the graph of a model, from its program as it was given and in stable form."""
    if described.layered:
        return _layers(described)
    graph = _formula(described, stable)
    return graph if len(graph.nodes) <= MOST_NODES else _summary(described)


# --- layers ------------------------------------------------------------------------------------------------------


def _layers(program: Program) -> Diagram:
    groups = _groups(program)
    if len(set(groups.values())) > MOST_NODES:
        return _summary(program)
    graph = Diagram()
    shapes = {tensor.name: shape_text(tensor.shape) for tensor in program.declared}
    parameters = {tensor.name for tensor in program.parameters}
    for tensor in program.inputs:
        graph.add(tensor.name, "input", tensor.name, "input", _values(tensor.size))
    members: defaultdict[str, list[Step]] = defaultdict(list)
    for step in program.steps:
        members[groups[step.target.tensor]].append(step)
    outputs = {element.tensor for element in program.outputs}
    for key, steps in members.items():
        targets = {step.target.tensor for step in steps}
        read = list(dict.fromkeys(element.tensor for step in steps for element in step.operands))
        if program.required_loss.tensor in targets:
            for tensor in program.targets:
                graph.add(tensor.name, "target", tensor.name, "target", _values(tensor.size))
            before = [step for step in steps if step.target.tensor != program.required_loss.tensor]
            graph.add(key, "loss", "loss", plain_text(_in_outputs(program, _composed(before))) if before else "")
        else:
            shown = next((step for step in reversed(steps) if step.target.tensor in outputs), steps[-1])
            title = f"{shown.target.tensor} · {_values(program.count(shown.target.indices))}"
            held = ", ".join(f"{name} {shapes[name]}" for name in read if name in parameters)
            formula = plain_text(_composed(steps, shown))
            kind = "output" if outputs & targets else "neuron"
            graph.add(key, kind, title, formula, held, "output" if kind == "output" else "")
    for key, steps in members.items():  # after all nodes: a recurrence reads what is defined later
        targets = {step.target.tensor for step in steps}
        for name in dict.fromkeys(element.tensor for step in steps for element in step.operands):
            source = groups.get(name, name)
            if source in graph.nodes and name not in targets:
                graph.connect(source, key)
    graph.about = _about(graph, program)
    return graph


def _groups(program: Program) -> dict[str, str]:
    """Return, for each tensor that a step defines, the node that it belongs to."""
    groups: dict[str, str] = {}
    targets = {tensor.name for tensor in program.targets}
    for step in program.steps:
        before = {groups[e.tensor] for e in step.operands if e.tensor in groups}
        reads_target = any(element.tensor in targets for element in step.operands)
        if reads_target or "loss" in before:
            groups[step.target.tensor] = "loss"
        elif len(before) == 1 and step.operator != "sum":
            groups[step.target.tensor] = before.pop()
        elif step.operator is None and before and _closes(step, program):
            groups[step.target.tensor] = groups[_last(step, groups)]
        else:
            groups[step.target.tensor] = step.target.tensor
    loss = program.required_loss.tensor
    return {name: loss if group == "loss" or name == loss else group for name, group in groups.items()}


def _closes(step: Step, program: Program) -> bool:
    """Return whether a step adds up the products of one layer: all defined tensors that it reads are products."""
    defined = {each.target.tensor: each for each in program.steps}
    return all(defined[e.tensor].operator == "sum" for e in step.operands if e.tensor in defined)


def _last(step: Step, groups: dict[str, str]) -> str:
    return [element.tensor for element in step.operands if element.tensor in groups][-1]


def _composed(steps: list[Step], last: Step | None = None) -> Expr:
    """Return what a node computes as one expression; a sum is written as a function of its terms.

    A sum in which equations fix all indices of summation takes a part, such as that of one gate, or of the last step.
    """
    known: dict[Element, Expr] = {}
    for step in steps:
        value = _as_activation(step).xreplace(known)
        if step.operator == "sum":
            value = Function("Σ" if step.written[0] else "part of")(value)
        elif step.operator:
            value = Function(step.operator)(value)
        known[step.target] = value
    return known[(last or steps[-1]).target]


def _as_activation(step: Step) -> Expr:
    """Return the expression of a step; a named activation becomes a function of that name."""
    if step.operator is None and len(step.operands) == 1:
        (z,) = step.operands
        for name, activation in ACTIVATIONS.items():
            if step.expression == activation(z) and name != "linear":
                return Function(name)(z)
    return step.expression


def _in_outputs(program: Program, loss: Expr) -> Expr:
    """Return a loss as it is written with the outputs, where it holds their formulas."""
    known: dict[Expr, Expr] = {}
    for step in program.steps:
        if step.target in program.outputs and step.operator is None:
            known[step.expression] = step.target
        for other in program.steps if step.target in program.outputs and step.operator == "softmax" else ():
            if other.operator == "log_softmax" and other.expression == step.expression:
                known[exp(other.target)] = step.target
    return loss.xreplace(known)


def _values(count: int) -> str:
    """Return a number of values with its noun: 1 value, 32 values."""
    return f"{count:,} value{'' if count == 1 else 's'}"


# --- formulas ----------------------------------------------------------------------------------------------------


def _formula(described: Program, stable: Program) -> Diagram:
    steps, loss = _neurons(described, stable)
    graph = Diagram()
    roles = {tensor.name: "input" for tensor in described.inputs}
    roles |= {tensor.name: "target" for tensor in described.targets}
    parameters = {tensor.name for tensor in described.parameters}
    uses = Counter(e.tensor for step in steps for e in step.operands) + Counter(e.tensor for e in loss.operands)
    outputs = {element.tensor for element in stable.outputs}
    for step in [*steps, loss]:
        key = step.target.tensor
        labels, rest = _at_edges(step.expression, parameters, uses)
        kind = "loss" if step is loss else "output" if key in outputs else "neuron"
        for element in step.operands:
            if element.tensor not in graph.nodes and element.tensor not in labels.values():
                role = roles.get(element.tensor, "parameter")
                graph.add(element.tensor, role, element.tensor)
        graph.add(key, kind, "loss" if step is loss else "", plain_text(rest), key if kind == "output" else "")
        for element in step.operands:
            if element.tensor in labels.values():
                continue
            graph.connect(element.tensor, key, labels.get(element.tensor, _factor(step.expression, element)))
    graph.about = _about(graph, described)
    return graph


def _neurons(described: Program, stable: Program) -> tuple[list[Step], Step]:
    """Return the steps of the outputs, merged to neurons, and the loss of a sample, in terms of outputs if possible."""
    numbering = Numbering((tensor.name for tensor in stable.declared), to_differentiate=True)
    known = split(stable.steps, numbering)
    output_step = stable.steps[-2] if len(stable.steps) > 1 else stable.steps[-1]
    by_outputs = described.task.loss_of_outputs
    results = [known[element] for element in stable.outputs]
    if by_outputs is not None:
        names = dict(zip(described.outputs, results, strict=True))
        loss = Step(stable.required_loss, by_outputs.xreplace(names))
    else:
        value = known[output_step.target]
        defined = next((step for step in numbering.steps if step.target == value), None)
        loss = Step(stable.required_loss, defined.expression if defined is not None else value)
        results = [*results, *(e for e in loss.operands)]
    steps = list(needed(numbering.steps, results))
    kept = {element.tensor for element in (*stable.outputs, *results, *loss.operands)}
    return _merged(steps, kept), loss


def _merged(steps: list[Step], kept: set[str]) -> list[Step]:
    """Return the steps with sums or products that are used once merged into their use."""
    uses = Counter(element.tensor for step in steps for element in step.operands)
    known: dict[Element, Expr] = {}
    merged = []
    for step in steps:
        expression = step.expression
        for element in step.operands:
            if element in known:
                whole = expression.xreplace({element: known[element]})
                if whole.count_ops() <= MERGED or isinstance(expression, Function):
                    expression = whole
                    del known[element]
        full = Step(step.target, expression)
        mergeable = not isinstance(expression, Function) and uses[step.target.tensor] == 1
        if mergeable and step.target.tensor not in kept:
            known[step.target] = expression
        merged.append(full)
    return list(needed(merged, [step.target for step in merged if step.target.tensor in kept]))


def _at_edges(expression: Expr, parameters: set[str], uses: Counter[str]) -> tuple[dict[str, str], Expr]:
    """Return the parameters at edges, by the nodes where these begin, and the expression without what edges show.

    Edges have labels where the expression is a sum, or a function of one, and each term of the sum is the value of an
    edge times its parameter.
    """
    inner = expression.args[0] if isinstance(expression, Function) and len(expression.args) == 1 else expression
    terms = Add.make_args(inner)
    labels: dict[str, str] = {}
    shown = len(terms) > 1
    for term in terms:
        coefficient, rest = term.as_coeff_Mul()
        factors = Mul.make_args(rest)
        edge_parameters = [
            f for f in factors if isinstance(f, Element) and f.tensor in parameters and uses[f.tensor] == 1
        ]
        others = [f for f in factors if f not in edge_parameters]
        simple = len(edge_parameters) == len(others) == 1 and isinstance(others[0], Element) and coefficient == 1
        if simple and sum(bool(each.has(others[0])) for each in terms) == 1:
            labels[others[0].tensor] = edge_parameters[0].tensor
            continue
        shown = shown and len(factors) == 1 and isinstance(rest, Element) and bool(coefficient.is_Integer)
    if not shown:
        return {}, expression
    total = Element("Σ")
    return labels, expression.func(total) if inner is not expression else total


def _factor(expression: Expr, element: Element) -> str:
    """Return the integer factor of an edge as text, such as ×2; an empty text for others."""
    inner = expression.args[0] if isinstance(expression, Function) and len(expression.args) == 1 else expression
    for term in Add.make_args(inner):
        coefficient, rest = term.as_coeff_Mul()
        if rest == element and coefficient.is_Integer and coefficient != 1:
            return f"×{coefficient}" if coefficient > 0 else f"×(−{-coefficient})"
    return ""


# --- both --------------------------------------------------------------------------------------------------------


def _summary(program: Program) -> Diagram:
    """Return a graph with one node for everything between inputs and loss."""
    graph = Diagram()
    steps, values = len(program.steps), program.parameter_count
    graph.add("model", "neuron", program.name, f"{steps} steps", f"{values:,} parameters")
    for kind, tensors in (("input", program.inputs), ("target", program.targets)):
        if tensors:
            names = ", ".join(tensor.name for tensor in tensors[:4]) + (", …" if len(tensors) > 4 else "")
            graph.add(kind, kind, names, _values(sum(tensor.size for tensor in tensors)))
    graph.add("loss", "loss", "loss")
    graph.connect("input", "model")
    graph.connect("model", "loss")
    graph.connect("target", "loss")
    graph.edges = [edge for edge in graph.edges if edge.source in graph.nodes]
    graph.about = f"{_about(graph, program)} It has too many parts to be drawn one by one."
    return graph


def _about(graph: Diagram, program: Program) -> str:
    """Return a description of the graph in words."""
    shared = [node.key for node in graph.nodes.values() if node.kind == "parameter"]
    into = Counter(edge.source for edge in graph.edges)
    several = [f"{key} enters {into[key]} nodes" for key in shared if into[key] > 1]
    count, neurons = len(program.inputs), sum(node.kind in ("neuron", "output") for node in graph.nodes.values())
    text = f"From {count} inputs t" if count > 1 else "From one input t" if count else "T"
    text += f"hrough {neurons} {'nodes' if neurons != 1 else 'node'} to the loss."
    return text + (f" {'; '.join(several)}." if several else "")
