"""Rewrites of loop trees: each leaves whole trees, and a fault in any of them is named."""

from dataclasses import replace

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.ir import Element, Step
from nncodegen.compiler.schedule import formulas, layers, loops, single_sample
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.plans import FITS, FORMULA, LAYERS, ONE_BY_ONE, SINGLE_SAMPLE, TILE
from nncodegen.compiler.schedule.text import show
from nncodegen.compiler.schedule.tree import Call, CallerFlag, Carry, Compute, Cut, If, Let, Loop, Store, When
from nncodegen.compiler.schedule.tree_walks import only, rewritten, targets, walk
from nncodegen.errors import ProgramError
from tests.support.kinds import KINDS
from tests.support.placed import in_all, placed

PLANS = {
    "tile": (TILE, loops, "TILE", "features", "z1"),
    "tile of one sample": (ONE_BY_ONE, loops, "ONE_BY_ONE", "attention", "h3"),
    "single sample": (SINGLE_SAMPLE, single_sample, "SINGLE_SAMPLE", "single_samples", "z1"),
    "layers": (LAYERS, layers, "LAYERS", "single_samples", "z1"),
    "formula": (FORMULA, formulas, "FORMULA", "registers", "t2"),
    "fits": (FITS, formulas, "FITS", "registers", "t2"),
}
"""Each plan, the module that takes it and its name there, a model that has it, and one of the tensors there."""

_x = nn.Input((6, 5))
_attended = nn.MultiHeadAttention(2, 3)(nn.Dense(5)(_x), use_causal_mask=True)
MODELS = {
    **KINDS,
    "attention": (
        nn.Network(_x, nn.Dense(2)(nn.LayerNormalization()(_attended + _x)), name="attention"),
        "float64",
        {},
    ),
}

CASES = [(name, number) for name, (plan, *_) in PLANS.items() for number in range(len(plan.rewrites))]


def scheduled(model):
    precision, choices = MODELS[model][1:]
    return nn.compile_model(MODELS[model][0], precision, until="schedule", choices=choices)["schedule"]


def point(schedule):
    random = np.random.default_rng(0)
    sizes = (sum(tensor.size for tensor in tensors) for tensors in (schedule.program.inputs, schedule.program.targets))
    X, Y = (random.uniform(0.2, 0.9, (3, size)) for size in sizes)
    return random.normal(0, 0.5, schedule.program.parameter_count), X, Y


def planted(monkeypatch, name, number, plant):
    """A plan, one of whose rewrites is followed by a fault."""
    plan, module, attribute, model, tensor = PLANS[name]

    def faulty(kernel, program, layout):
        kernel = plan.rewrites[number](kernel, program, layout)
        return replace(kernel, trees=kernel.trees.each(lambda tree: plant(tree, tensor)))

    faulty.__name__ = f"faulty_{plan.rewrites[number].__name__}"
    rewrites = (*plan.rewrites[:number], faulty, *plan.rewrites[number + 1 :])
    monkeypatch.setattr(module, attribute, replace(plan, rewrites=rewrites))
    return model, tensor, faulty.__name__


def doubled(tree, tensor):
    """Twice the value of a tensor, whatever form its step has by now."""

    def value(statement):
        is_meant = statement.target.tensor == tensor and statement.value.terms != (statement.target,)
        terms = tuple(2 * term for term in statement.value.terms) if is_meant else statement.value.terms
        return (replace(statement, value=replace(statement.value, terms=terms)),)

    def steps(statement):
        doubled_steps = (
            replace(s, expression=2 * s.expression) if s.target.tensor == tensor else s for s in statement.steps
        )
        return (replace(statement, steps=tuple(doubled_steps)),)

    return rewritten(tree, {Compute: steps, Call: steps, Let: value, Store: value})


def left_out(tree, tensor):
    """A tree that does not compute a tensor."""
    tree = only(tree, lambda step: step.target.tensor != tensor)
    gone = {kind: lambda statement: () if statement.target.tensor == tensor else (statement,) for kind in (Let, Store)}
    return rewritten(tree, gone)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_wrong_value_in_any_rewrite_is_named(name, number, monkeypatch):
    """Where a rewrite of any plan doubles a value, the certificate says in which step the schedule is wrong."""
    model, tensor, _ = planted(monkeypatch, name, number, doubled)
    schedule = scheduled(model)
    fault = carried_out(schedule, *point(schedule))
    assert fault.stage == "schedule"
    assert fault.step.startswith(f"{tensor}[")


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_step_left_out_by_any_rewrite_is_refused(name, number, monkeypatch):
    """Where a rewrite of any plan loses a step, it is named, with the statement that reads what is lost."""
    model, tensor, rewrite = planted(monkeypatch, name, number, left_out)
    with pytest.raises(ProgramError, match=rf"rewrite {rewrite} has left an invalid tree: .*{tensor}\["):
        scheduled(model)


@pytest.mark.parametrize("rewrite", ["take_factors", "gather_loss_only", "split", "functions"])
def test_faults_before_places_are_known_are_named(rewrite, monkeypatch):
    """So are those of the rewrites before: a value by the certificate, a step that is lost by the rewrite."""
    right = getattr(loops, rewrite)
    for plant in (doubled, left_out):

        def faulty(trees, plant=plant, **options):
            return right(trees, **options).each(lambda tree: plant(tree, "z1"))

        faulty.__name__ = rewrite
        monkeypatch.setattr(loops, rewrite, faulty)
        if plant is left_out:
            with pytest.raises(ProgramError, match=rf"rewrite {rewrite} has left an invalid tree: z1\[n, j\] is used"):
                scheduled("features")
        else:
            schedule = scheduled("features")
            assert carried_out(schedule, *point(schedule)).step.startswith("z1[n, j]")


@pytest.mark.parametrize(
    ("model", "condition"),
    [
        ("features", When.FEW),
        ("features", When.MANY),
        ("networks", When.LOSS),
        ("blas", When.BLAS),
        ("single_samples", When.ADDED),
        ("single_samples", CallerFlag.NEW),
        ("registers", CallerFlag.DESCENT),
    ],
)
def test_a_fault_under_one_condition_alone_is_found(model, condition, monkeypatch):
    """Whatever is known only when a kernel runs, both cases of it are carried out."""

    def wrong(value):
        return replace(value, terms=tuple(2 * term + 1 for term in value.terms))

    changes = {
        Store: lambda changed_statement: (replace(changed_statement, value=wrong(changed_statement.value)),),
        Call: lambda changed_statement: (
            replace(
                changed_statement, steps=tuple(replace(s, expression=2 * s.expression) for s in changed_statement.steps)
            ),
        ),
    }

    def case(statement):
        is_meant = statement.condition is condition
        return (replace(statement, body=rewritten(statement.body, changes)) if is_meant else statement,)

    schedule = scheduled(model)
    assert carried_out(schedule, *point(schedule)) is None
    changed = 0
    for kernel in every_kernel(schedule):
        trees = kernel.trees.each(lambda tree: rewritten(tree, {If: case}))
        changed += trees != kernel.trees
        monkeypatch.setitem(kernel.__dict__, "trees", trees)
    assert changed
    assert carried_out(schedule, *point(schedule)).stage == "schedule"


def test_a_value_lost_where_loops_are_cut_is_found(monkeypatch):
    """A target may cut loops into parts; what the next part reads must be in memory then."""
    schedule = scheduled("features")
    lost = {Cut: lambda cut: (replace(cut, kept=()),)}
    for kernel in every_kernel(schedule):
        monkeypatch.setitem(kernel.__dict__, "trees", kernel.trees.each(lambda tree: rewritten(tree, lost)))
    fault = carried_out(schedule, *point(schedule))
    assert fault.stage == "schedule"
    assert "where loops are cut" in fault.message


def every_kernel(schedule):
    """All kernels of a schedule but those of its companions, in registers, and in plain C."""
    single = schedule.single_sample
    groups = [group.kernel for group in (schedule.side_by_side, schedule.fits) if group]
    alone = [kernel for kernel in (single.predict, single.gradient) if kernel] if single else []
    return [*schedule.kernels, *alone, *groups]


def test_loops_with_and_without_the_loss_are_given_what_a_tile_computes_once():
    model = nn.Model("peak_of_tiles", "x", "y", {"a": 1, "b": 0.5, "c": 0.8}, "a*exp(-(x - b)**2/c**2)")
    text = nn.compile_model(model, until="emit")["emit"].files["peak_of_tiles.c"]
    head = text[text.index("INLINE void gradient_loops_1(") :].split("{", 1)[0]
    _, arguments = head.split("const details *restrict more,")
    tile = text[text.index("static HOT void gradient_tile(") :].split("gradient_loops_1(", 1)[0]
    assert all(f"const {value.strip()} = " in tile for value in arguments.strip(" \n)").split(","))
    module, start, X = nn.build(model), np.array([1.0, 0.5, 0.8]), np.linspace(-1, 2, 700)[:, np.newaxis]
    Y = np.sin(X)
    update = {"learning_rate": 0.1, "epochs": 1, "batch_size": 700, "shuffle": False}
    after = module.train(X, Y, start, history=False, **update).parameters
    np.testing.assert_allclose(after, start - 0.1 * module.loss_and_gradient(start, X, Y)[1], rtol=1e-12)


@pytest.mark.parametrize("model", [model for model, _, _ in KINDS.values()], ids=KINDS)
def test_no_loop_stands_twice_for_calls_without_the_loss(model):
    """What only the loss needs is under a condition, within the loops that it shares; other calls skip it."""
    for kernel in every_kernel(nn.compile_model(model, until="schedule")["schedule"]):
        conditions = [
            each
            for tree in kernel.trees.in_order
            for each in walk(tree)
            if isinstance(each, If) and each.condition is When.LOSS
        ]
        assert not any(each.otherwise for each in conditions)
        for each in conditions:
            assert {target.tensor for target in targets(each.body)} <= kernel.of_loss
        free = {e.tensor for tree in kernel.trees.in_order for e in targets(_unconditional(tree))}
        assert not free & kernel.of_loss


def _unconditional(tree):
    return rewritten(tree, {If: lambda each: () if each.condition is When.LOSS else (each,)})


@pytest.mark.parametrize("model", [model for model, _, _ in KINDS.values()], ids=KINDS)
def test_nothing_is_left_to_be_written_out(model):
    """Before the rewrites, a tree has steps alone, in loops over time; after them, each step is written out."""
    for kernel in placed(model).kernels:
        before = [statement for tree in kernel.trees.in_order for statement in walk(tree)]
        assert {type(statement) for statement in before} == {Compute}
        steps = {step for each in in_all(kernel) for step in each.steps}
        schedule = placed(model)
        after = lower(kernel, schedule.program, schedule.layout).trees
        statements = [statement for tree in after.in_order for statement in walk(tree)]
        assert not any(isinstance(statement, Compute) for statement in statements)
        assert {e.tensor for e in _computed(statements)} <= {step.target.tensor for step in steps}


def _computed(statements):
    return [s.target for s in statements if isinstance(s, Let | Store)]


def test_a_tree_before_its_rewrites_reads_as_text():
    """Steps and the loops around them are told before any loop is written out."""
    h, v = Element("h", "nt"), Element("v", "nt")
    carry = Carry(Step(h, v, "before", ("t",)))
    compute = Compute((Step(v, 2 * h),), outer=("j",), samples=True, unrolled=("k",))
    assert show((Loop("t", 9, (carry, compute)),)).splitlines() == [
        "for t from 0 to 9, in any order",
        "  carry h[n, t] = before(t) v[n, t]",
        "  compute by loops over j, n, each k: v[n, t] = 2*h[n, t]",
    ]
