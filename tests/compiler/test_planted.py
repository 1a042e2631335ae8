"""A wrong rule in any of the seven stages is caught, and named by its stage and by the step where it begins."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import sympy

import nncodegen as nn
from nncodegen import perceptron
from nncodegen.certificates.scheduled import carried_out
from nncodegen.compiler.describe import activations
from nncodegen.compiler.emit import dialects
from nncodegen.compiler.ir import functions
from nncodegen.compiler.passes import rules
from nncodegen.compiler.schedule import arrays, lowering, places, statements, tree, tree_walks, windows
from nncodegen.compiler.schedule.tree_walks import targets
from nncodegen.errors import ProgramError
from nncodegen.runtime.python.ground.certificate import Certificate

pytestmark = pytest.mark.usefixtures("quick_compiler")

build = importlib.import_module("nncodegen.compiler.building.build")  # the package has a function of this name


def network():
    return nn.Sequential([nn.Dense(2, "tanh"), nn.Dense(2, "softmax")], 2, "categorical_crossentropy", name="planted")


def doubled_tanh(patch):
    """describe: an activation by name is another function."""
    patch.setitem(activations.ACTIVATIONS, "tanh", lambda z: functions.tanh(2 * z))


def mirrored_sigmoid(patch):
    """stabilize: 1/(1 + exp(u)) is taken for sigmoid(u)."""

    def rule(node):
        constant, rest = node.base.as_coeff_Add()
        return functions.sigmoid(rest.args[0]) if constant == 1 and rest.func is sympy.exp else None

    patch.setitem(rules.RULES, sympy.Pow, (rule,))


def root_of_a_derivative(patch):
    """differentiate: the derivative of tanh is sech, not its square."""
    patch.setattr(functions.tanh, "fdiff", lambda self, argindex=1: functions.sech(self.args[0]))


def other_stable_form(patch):
    """simplify: sech2 is written out as something else."""

    def stable(z):
        r = functions._distance(z)
        return r * (2 - r / 2)

    patch.setattr(functions.sech2, "stable", staticmethod(stable))


def lost_term(patch):
    """schedule: a sum that is written out ends before its last term."""
    whole = statements.terms
    patch.setattr(statements, "terms", lambda step, program: whole(step, program)[:-1] or whole(step, program))


def wrong_operator(patch):
    """emit: log1p is printed as a logarithm."""
    patch.setitem(dialects.IN_MODULES.functions, "log1p", "log_of({})")


def wrong_option(patch):
    """build: the compiler may rearrange what stabilize has arranged."""
    patch.setattr(build, "KERNEL_FLAGS", (*build.KERNEL_FLAGS, "-ffast-math"))


PLANTED = {
    "describe": (doubled_tanh, "h1[n, j] = tanh(2*z1[n, j])"),
    "stabilize": (mirrored_sigmoid, "output[n] = sigmoid(-2*w0 - w35*sigmoid("),
    "differentiate": (root_of_a_derivative, "d_z1[n, j] = t4[n, j]*t5[n, j]"),
    "simplify": (other_stable_form, "t5[n, j] = sech2(z1[n, j])"),
    "schedule": (lost_term, "z1[n, j] = b1[j] + s1[n, j]"),
    "emit": (wrong_operator, "t11[n] = log1p(t10[n])"),
    "build": (wrong_option, "t11[n] = log1p(t10[n])"),
}
"""For each stage: what plants a fault in it, and how the text of the step begins where it does."""

ALIKE = ("describe", "stabilize", "simplify", "schedule", "build")
"""Stages whose faults are found as those of ``differentiate`` or of ``emit`` are, or that other tests plant here."""


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[pytest.mark.thorough] if stage in ALIKE else []) for stage in PLANTED]
)
def test_a_planted_fault_is_named(stage, monkeypatch, forget_derivatives):
    """The certificate of a model with one wrong rule does not hold; it says in which stage and step that begins."""
    plant, step = PLANTED[stage]
    plant(monkeypatch)
    forget_derivatives()
    model = perceptron.model if stage == "stabilize" else network()
    certificate = nn.certify(model, points=1, fit=False)
    assert not certificate.holds
    (fault,) = certificate.faults
    assert fault.stage == stage
    assert fault.step.startswith(step)
    assert f"wrong since the stage {stage}, in the step\n    {step}" in str(certificate)
    assert Certificate.from_json(certificate.to_json()) == certificate
    assert json.loads(certificate.to_json())["faults"][0]["stage"] == stage


def test_two_arrays_in_one_place(monkeypatch):
    """A schedule that puts an array where another is still read is refused; carried out, it names the step."""
    model = nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(3)], 5, name="shared")
    point = nn.build(model, fit=False).initial_parameters(seed=1), *inputs_and_targets(5, 3)
    right = nn.compile_model(model, until="schedule", fit=False)["schedule"]
    assert carried_out(right, *point) is None
    place = arrays.Arrays.place

    def everything_at_the_beginning(self, *arguments):
        place(self, *arguments)
        return 0

    monkeypatch.setattr(arrays.Arrays, "place", everything_at_the_beginning)
    with pytest.raises(ProgramError, match="kernel gradient of shared: t7 and h1 lie in the same memory while both"):
        nn.compile_model(model, until="schedule", fit=False)
    monkeypatch.setattr(lowering, "verify_trees", lambda *ignored: 0)
    fault = carried_out(nn.compile_model(model, until="schedule", fit=False)["schedule"], *point)
    assert fault.stage == "schedule"
    assert fault.step.startswith("s1[n, j] = sum(i)")


def strides_lost(patch):
    """A window reads as if it moved by one place, where it moves by two."""
    place = windows.Window.place

    def without_factors(self, element, storage):
        equations = (replace(each, terms=tuple((index, 1) for index, _ in each.terms)) for each in self.equations)
        return place(replace(self, equations=tuple(equations)), element, storage)

    patch.setattr(windows.Window, "place", without_factors)


def one_row_for_all_times(patch):
    """What a loop over time leaves for the reverse sweep lies in one row, which holds the last time alone."""

    def all_of_them(sites, kept):
        return frozenset(
            e.tensor for site in sites if site.time for e in targets([site.compute]) if e.tensor not in kept
        )

    patch.setattr(places, "in_one_row", all_of_them)


WINDOWS = nn.Sequential([nn.Conv1D(1, 2, strides=2), nn.Flatten(), nn.Dense(1)], (4, 1), name="planted_windows")
TIMES = nn.Sequential([nn.SimpleRNN(1), nn.Dense(1)], (2, 1), name="planted_times")
MOVING = {
    "windows": (strides_lost, WINDOWS, "s1[n, k, l] = sum(j, m) W1[l, j, m]*x[n, 2*k + m, j]"),
    "times": (one_row_for_all_times, TIMES, "t7[n, i, l] = 2 - t3[n, i, l]"),
}
"""What plants a fault in the schedule of what moves, a model, and the step where it begins."""


@pytest.mark.parametrize("what", MOVING)
def test_a_fault_in_the_schedule_of_what_moves(what, monkeypatch):
    """Where the loops of a window, or those over time, are carried out, the step in which a fault begins is named."""
    plant, model, step = MOVING[what]
    right = nn.compile_model(model, until="schedule", fit=False)["schedule"]
    data = np.full(right.program.parameter_count, 0.3), *inputs_and_targets(right.program.inputs[0].size, 1)
    assert carried_out(right, *data) is None
    plant(monkeypatch)
    fault = carried_out(nn.compile_model(model, until="schedule", fit=False)["schedule"], *data)
    assert (fault.stage, fault.step) == ("schedule", step)


def test_a_fault_in_the_loops_of_a_single_sample():
    """Kernels of single samples are carried out as well: of a layer, a step left out; of a sequence, its beginning."""
    layer = nn.Sequential([nn.Dense(20, "tanh"), nn.Dense(3)], 5, name="single")
    for model, kind, left_out, step in (
        (layer, tree.Group, lambda group: group.steps[0].target.tensor == "z1", "s2[k] = sum(j) W2"),
        (TIMES, tree.Move, lambda move: True, "r1["),
    ):
        schedule = nn.compile_model(model, until="schedule", fit=False)["schedule"]
        program, single = schedule.program, schedule.single_sample
        data = (
            np.full(program.parameter_count, 0.3),
            *inputs_and_targets(program.inputs[0].size, program.targets[0].size),
        )
        assert carried_out(schedule, *data) is None
        ((phase, whole),) = single.predict.trees.parts
        cut = tree_walks.rewritten(
            whole, {kind: lambda statement, left_out=left_out: () if left_out(statement) else (statement,)}
        )
        wrong = replace(single.predict, trees=replace(single.predict.trees, parts=((phase, cut),)))
        fault = carried_out(replace(schedule, single_sample=replace(single, predict=wrong)), *data)
        assert fault.stage == "schedule"
        assert fault.step.startswith(step)
        assert "the loops of a single sample, for the kernel predict" in fault.message


@pytest.mark.thorough
@pytest.mark.parametrize("what", MOVING)
def test_the_certificate_of_what_moves(what, monkeypatch):
    """A certificate names such a fault, and no other; what the machine computes is wrong."""
    plant, model, step = MOVING[what]
    plant(monkeypatch)
    certificate = nn.certify(model, points=1, fit=False)
    assert not certificate.holds
    assert [(fault.stage, fault.step) for fault in certificate.faults] == [("schedule", step)]
    assert "wrong" in {figure.verdict for figure in certificate.figures}


def inputs_and_targets(inputs, targets):
    random = np.random.default_rng(0)
    return random.uniform(0.1, 0.9, (3, inputs)), random.uniform(0.1, 0.9, (3, targets))
