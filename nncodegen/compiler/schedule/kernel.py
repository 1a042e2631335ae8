"""The kernels of a schedule: what one entry point computes, the places of its tensors, and the plan that it follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from nncodegen.compiler.ir import Element, Program
from nncodegen.compiler.schedule.layout import Layout
from nncodegen.compiler.schedule.shapes import Shape
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.text import show
from nncodegen.compiler.schedule.tree import Call, Compute, Trees
from nncodegen.compiler.schedule.tree_walks import steps_in, walk

PARTIALS = 4096
"""Number of weights up to which every lane keeps partial sums: 256 kB with the longest vectors."""


class Role(Enum):
    """The role of the samples, units or models in a plan."""

    ABSENT = "absent"
    TILED = "in tiles"
    ONE_BY_ONE = "one by one"
    VECTOR = "along the vector"
    UNROLLED = "written out"


@dataclass(frozen=True)
class Plan:
    """The roles of samples, units of layers and models in all loops of a kernel, and the rewrites that it takes.

    A rewrite maps a kernel to a new one. Each takes and leaves trees that ``verify`` accepts.
    """

    name: str
    samples: Role
    units: Role
    models: Role = Role.ABSENT
    lanes: str = "MODELS"
    """The name of the constant with the number of models or fits side by side."""
    rewrites: tuple[Callable[[Kernel, Program, Layout], Kernel], ...] = ()

    def show(self) -> str:
        """Return the roles, as text."""
        roles = {"samples": self.samples, "units": self.units, "models": self.models}
        return f"{self.name}: " + ", ".join(f"{axis} {role.value}" for axis, role in roles.items())


@dataclass(frozen=True)
class Kernel:
    """The trees of one entry point, the places of its tensors, and the memory that it takes.

    outputs        the outputs that metrics compare with targets; they are kept until the tile is done
    of_loss        the tensors of a tile that only the loss needs, not the gradient or metrics: not always computed
    along          the tensors that loops and calls read in vectors along the samples, when the places are known
    descends       whether sums in place come after everything that reads parameters: then they may be added to the
                   parameters at once
    vector         the vector length, if loops run over whole vectors, except those that copy inputs and outputs (see
                   ``vectors``); 0 otherwise, and samples are padded to vectors of the target
    whole_vectors  whether the caller must pass samples that fill whole vectors (see ``vectors``)
    """

    name: str
    plan: Plan
    trees: Trees
    storage: Mapping[str, Storage]
    memory: Memory
    outputs: tuple[Element, ...] = ()
    of_loss: frozenset[str] = frozenset()
    along: frozenset[str] = frozenset()
    descends: bool = False
    vector: int = 0
    whole_vectors: bool = False

    @property
    def direct(self) -> bool:
        """Return whether the lanes of a block are added up in every tile."""
        return self.memory.lane_sums > PARTIALS

    @cached_property
    def padded(self) -> bool:
        """Return whether any loop may run over the padding of the samples of a tile."""
        tiled = self.plan.samples is Role.TILED
        return tiled and any(storage.place is Place.ARRAY for storage in self.storage.values())

    def place(self, element: Element) -> Place:
        """Return the kind of place of an element."""
        return self.storage[element.tensor].place

    def stride(self, element: Element, index: str) -> int:
        """Return the distance between neighbours of an index; 0 for the samples of inputs, targets and outputs."""
        return dict(zip(element.indices, self.storage[element.tensor].strides, strict=True))[index]

    def copy_of(self, target: str) -> Element | None:
        """Return the array to which the loops of the tile copy a target, if there is one."""
        for step in steps_in(self.trees.tile):
            copied = isinstance(step.expression, Element) and step.expression.tensor == target and not step.over
            if copied and self.place(step.target) is Place.ARRAY:
                return step.target
        return None

    @property
    def shapes(self) -> frozenset[Shape]:
        """Return the shapes of the computed steps, other than loops."""
        statements = (each for tree in self.trees.without_metrics for each in walk(tree))
        step_shapes = {each.shape for each in statements if isinstance(each, Call | Compute)}
        return frozenset(step_shapes - {Shape.LOOPS})

    def show(self) -> str:
        """Return the loops, and the tensors that are not local variables, as text."""
        notes = {
            "on whole vectors": bool(self.vector or self.whole_vectors),
            "by which parameters may change where they are": self.descends,
        }
        lines = [", ".join([f"kernel {self.name}", *(note for note, holds in notes.items() if holds)])]
        lines.append(f"  {self.plan.show()}")
        lines += [f"  in {len(self.trees.parts)} functions"] if len(self.trees.parts) > 1 else []
        before = [step.target for tree in self.trees.before[:1] for step in steps_in(tree)]
        array_names = [element.tensor for element in before if self.place(element) is Place.ARRAY]
        lines += [f"  once for all tiles: {', '.join(array_names)}"] if array_names else []
        for title, tree in self.trees.functions:
            lines.append(f"  {title}")
            lines += [f"    {line}" for line in show(tree).splitlines()]
        lines.append(f"  work memory {self.memory.arrays} values, sums {self.memory.sums}")
        for name, storage in self.storage.items():
            if storage.place is Place.ARRAY:
                strides = f", strides {', '.join(map(str, storage.strides))}" if storage.strides else ""
                lines.append(f"    {name} at {storage.offset}{strides}")
        return "\n".join(lines) + "\n"
