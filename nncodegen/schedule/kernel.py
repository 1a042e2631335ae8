"""The kernels of a schedule: the loops of one entry point, and the places of its tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nncodegen.ir import Element, Step, needed
from nncodegen.schedule.nest import Nest, Place, Role, Shape, Storage, only
from nncodegen.schedule.tree import Trees, show

PARTIALS = 4096
"""Weights up to which every lane keeps partial sums: 256 kB with the longest vectors."""

PART = 240
"""Statements of a function, beyond which compilers take time that grows faster than these."""


@dataclass(frozen=True)
class Plan:
    """What the samples, the units of layers and the models do in all loops of a kernel."""

    name: str
    samples: Role
    units: Role
    models: Role = Role.ABSENT

    def show(self) -> str:
        """The roles, as text."""
        roles = {"samples": self.samples, "units": self.units, "models": self.models}
        return f"{self.name}: " + ", ".join(f"{axis} {role.value}" for axis, role in roles.items())


TILE = Plan("tile", Role.TILED, Role.ONE_BY_ONE)
SINGLE_SAMPLE = Plan("single sample", Role.ABSENT, Role.VECTOR)
UNROLLED = Plan("unrolled", Role.ABSENT, Role.UNROLLED)
LAYERS = Plan("models side by side, layers", Role.ONE_BY_ONE, Role.ONE_BY_ONE, Role.VECTOR)
FORMULA = Plan("models side by side, formula", Role.ABSENT, Role.UNROLLED, Role.VECTOR)


@dataclass(frozen=True)
class Kernel:
    """The loops of one entry point, and the places of its tensors."""

    name: str
    before: tuple[Nest, ...]
    tile: tuple[Nest, ...]
    after: tuple[Nest, ...]
    storage: dict[str, Storage]
    arrays: int
    sums: int
    gradient_sums: int
    """The length of what holds the sums that blocks compute with columns along the vectors: they lie in the gradient,
    or behind it."""
    lane_sums: int
    """The other sums that blocks compute, with a partial sum in every lane. They lie before all other sums."""
    in_place: frozenset[str]
    """The gradient sums that lie where the gradient has them; the others lie behind all of it."""
    crossing: frozenset[str] = frozenset()
    """The arrays that only later parts of the nest read that computes them: of use where its loops are cut."""
    measured: tuple[Nest, ...] = ()
    """What only metrics need of a tile: it runs only where they are wanted."""
    outputs: tuple[Element, ...] = ()
    """The outputs that metrics compare with targets; they are kept until the tile is done."""
    of_loss: frozenset[str] = frozenset()
    """The tensors of a tile that the loss needs, and neither the gradient nor metrics: they are not always wanted."""
    in_vectors: bool = False
    """Whether all loops run over whole vectors, but those that copy inputs and outputs (see ``vectors``)."""
    whole_vectors: bool = False
    """Whether it must be given as many samples as fill whole vectors (see ``vectors``)."""
    sources: dict[str, str] = field(default_factory=dict)
    """The tensors that would only be copies of inputs or targets, and what is used in their place."""
    plan: Plan = TILE
    """What the axes do."""
    vector: int = 0
    """Samples are padded to a multiple of it; 0: to whole vectors of the target."""
    trees: Trees = field(default_factory=lambda: Trees((), ()))
    """What its functions do, when everything is decided."""

    @property
    def direct(self) -> bool:
        """Whether the lanes of a block are added up in every tile."""
        return self.lane_sums > PARTIALS

    @property
    def padded(self) -> bool:
        """Whether any loop may run over what pads the samples of a tile."""
        return any(storage.place is Place.ARRAY for storage in self.storage.values())

    @property
    def parts(self) -> tuple[tuple[Nest, ...], ...]:
        """The nests of a tile; in functions of their own, where one would have very many statements."""
        parts: list[list[Nest]] = [[]]
        for nest in self.tile:
            around = nest.segments or nest.repeat
            begins = not around or not parts[-1] or (parts[-1][-1].segments or parts[-1][-1].repeat) != around
            long = parts[-1] and sum(len(other.steps) for other in (*parts[-1], nest)) > PART
            if (begins and long) or (parts[-1] and parts[-1][-1].phase != nest.phase):
                parts.append([])
            parts[-1].append(nest)
        return tuple(tuple(nests) for nests in parts)

    @property
    def phases(self) -> int:
        """How often it works through all samples: see ``phases.py``."""
        return 1 + max((nest.phase for nest in self.tile), default=0)

    @property
    def prepared(self) -> tuple[Nest, ...]:
        """What depends on parameters only and lies in arrays, once for all tiles, with what it needs."""
        return self.before_phase(0)

    def before_phase(self, number: int) -> tuple[Nest, ...]:
        """The same for what else a phase needs, which depends on the finished sums of those before it as well."""
        own = (nest for nest in self.before if nest.phase == number)
        stored = [s for nest in own for s in nest.steps if self.place(s.target) is Place.ARRAY]
        return self._before((*stored, *needed(self._local, (e for step in stored for e in step.operands))))

    def again(self, nests: Iterable[Nest]) -> tuple[Nest, ...]:
        """What some nests need of parameters only, where it is in no array: it is computed again in each tile."""
        return self._before(needed(self._local, (e for nest in nests for step in nest.steps for e in step.operands)))

    @property
    def _local(self) -> list[Step]:
        """What depends on parameters only and is not kept in arrays."""
        return [s for nest in self.before for s in nest.steps if self.place(s.target) is Place.LOCAL]

    def _before(self, kept: tuple[Step, ...]) -> tuple[Nest, ...]:
        """The nests of some steps before the tile."""
        return only(self.before, lambda step: step in kept)

    def place(self, element: Element) -> Place:
        """The kind of place of an element."""
        return self.storage[element.tensor].place

    def stride(self, element: Element, index: str) -> int:
        """The distance between neighbouring values of an index; 0 for the samples of inputs, targets and outputs."""
        return dict(zip(element.indices, self.storage[element.tensor].strides, strict=True))[index]

    def readers(self, nest: Nest) -> list[Nest]:
        """The nests that read what a nest computes."""
        targets = {step.target for step in nest.steps}
        return [n for n in self.nests_with_metrics if any(targets & {*step.operands} for step in n.steps)]

    @property
    def copies(self) -> dict[Element, Element]:
        """The copies in padded rows that are made before the tiles, and what they are copies of."""
        packs = (nest for nest in self.before if nest.shape is Shape.PACK)
        return {step.target: operand for nest in packs for step in nest.steps for operand in step.operands}

    def copy_of(self, target: str) -> Element | None:
        """The array to which the loops of the tile copy a target, if there is one."""
        for step in (step for nest in self.tile for step in nest.steps):
            copied = isinstance(step.expression, Element) and step.expression.tensor == target and not step.over
            if copied and self.place(step.target) is Place.ARRAY:
                return step.target
        return None

    @property
    def finishing(self) -> tuple[Nest, ...]:
        """What runs after the samples, without copies of sums to the gradient that lie there already."""
        return only(self.after, lambda step: not self._copies_in_place(step))

    @property
    def descends(self) -> bool:
        """Whether sums in place come after all that reads parameters, so that they may be added to these at once."""
        whole = (n for n, nest in enumerate(self.tile) if nest.steps[0].target.tensor in self.in_place)
        first = next(whole, None)
        of_parameters = {step.target.tensor for nest in self.before for step in nest.steps}
        of_parameters = {name for name in of_parameters if self.storage[name].place is Place.LOCAL}  # computed again
        later = (*self.tile[first:], *self.measured, *self.finishing)
        read = {operand.tensor for nest in later for step in nest.steps for operand in step.operands}
        kept = Place.PARAMETER not in {self.storage[name].place for name in read}
        return first is not None and kept and not read & of_parameters and self.phases == 1

    def _copies_in_place(self, step: Step) -> bool:
        """Whether a step copies a sum that lies in the gradient already."""
        return isinstance(step.expression, Element) and step.expression.tensor in self.in_place

    @property
    def nests(self) -> tuple[Nest, ...]:
        """All nests in their order, without those that only metrics need."""
        return (*self.before, *self.tile, *self.after)

    @property
    def nests_with_metrics(self) -> tuple[Nest, ...]:
        """All nests, in their order."""
        return (*self.before, *self.tile, *self.measured, *self.after)

    @property
    def shapes(self) -> frozenset[Shape]:
        """The shapes that occur."""
        return frozenset(nest.shape for nest in self.nests)

    def show(self) -> str:
        """The loops, and what does not lie in local variables, as text."""
        notes = {
            "on whole vectors": self.in_vectors or self.whole_vectors,
            "by which parameters may change where they are": self.descends,
        }
        lines = [", ".join([f"kernel {self.name}", *(note for note, holds in notes.items() if holds)])]
        lines.append(f"  {self.plan.show()}")
        lines += [f"  in {len(self.parts)} functions"] if len(self.parts) > 1 else []
        kept = [s.target.tensor for nest in self.prepared for s in nest.steps if self.place(s.target) is Place.ARRAY]
        lines += [f"  once for all tiles: {', '.join(kept)}"] if kept else []
        again = [step.target.tensor for step in self._local]
        lines += [f"  again in every tile: {', '.join(again)}"] if again and self.plan is TILE else []
        for title, tree in self.trees.functions:
            lines.append(f"  {title}")
            lines += [f"    {line}" for line in show(tree).splitlines()]
        lines.append(f"  work memory {self.arrays} values, sums {self.sums}")
        for name, storage in self.storage.items():
            if storage.place is Place.ARRAY:
                strides = f", strides {', '.join(map(str, storage.strides))}" if storage.strides else ""
                lines.append(f"    {name} at {storage.offset}{strides}")
        return "\n".join(lines) + "\n"
