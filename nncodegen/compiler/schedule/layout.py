"""Choice of the index that runs innermost in memory, and along the vectors.

A tile can store ``h[n, j]`` with contiguous samples (``h[j][n]``), or with contiguous features (``h[n][j]``, rows
padded to whole vectors). The results are the same; only the cost of a product of matrices differs. Samples fill their
vectors for every width of a layer, but the gradient of a weight is then the sum of the lanes of a vector. Features
waste the lanes that pad a row, but then each lane holds the gradient of one weight. So the choice follows from the
width:

    cost with samples innermost     width*(2 + LANE_SUM)
    cost with features innermost    width padded to whole vectors*3 (*NARROW, if it is one vector)

(for one product forward, one for the gradient of the weights, one for that of the inputs). Layers that differ would
have to transpose values on the way, so all indices of more than half a vector are chosen alike, by the sum of their
costs. An index that a reduction other than a product runs over, such as the classes of a softmax, keeps its samples
innermost; if the layer before it has features innermost, their values are transposed, unless that takes longer (see
``transposes``).

A tile is as short as its loops allow, so that the results of one loop are still in the first-level cache for the next:
with samples innermost, a loop needs eight vectors to be worth its beginning and its end. A tile is longer where the
weights of a layer leave the first-level cache between two tiles anyway, and shorter where only then all other data
stays in that cache. The loops of a formula pass few values to each other: its tiles are as long as these stay in the
first-level cache. So are those of recurrences without a derivative that keep few rows, such as simulations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sympy import Expr, Mul

from nncodegen.compiler.ir import SAMPLE, Element, Program, Step
from nncodegen.compiler.ir.systems import LinearlyImplicit, System, systems_of
from nncodegen.errors import ModelError

TILE = 64
"""Samples in a tile. The tile of a network whose layers have together some hundred units stays in the first-level
cache."""

SHORT_TILE = 32
"""Samples in a tile if all data of an update stays in the first-level cache only with this length. Other programs would
lose by it, as the blocks of their gradients are half as deep."""

CLOSE = 50_000
"""Bytes that stay in the first-level cache together with everything else: all data of an update, or the arrays of a
formula."""

VECTORS = 8
"""Vectors of samples in a tile where samples run innermost in all layers, which then are narrow."""

LONG_TILE = 128
"""Samples in a tile where weights do not stay in the first-level cache: each tile loads them again. Also the most in a
tile of a simulation: 524,288 of Lorenz's equations, 1,000 steps each, take 1.25 s with 64 samples in float32, 1.21 with
128, 1.19 with 512; in float64 2.43, 2.41 and 2.43."""

LONGEST_TILE = 512
"""Most samples in a tile of a formula. With GCC each lane of a vector then adds up a few dozen values; the losses of
8,192 samples in float32 are off by 1e-8, and by 9e-8 with Clang, which adds all values in one sum."""

MOST_IN_LANES = 1250
"""Values of a sample that is solved in a lane: the arrays of all lanes lie on the stack of a thread, whose 80,000 bytes
leave room on the smallest stacks that systems give to threads, of 128 KB."""

MOST_ROWS_IN_LANES = 12
"""Rows of a matrix of a stiff system that is solved in a lane. A larger matrix of one sample alone is factorized faster
along the vectors: a chain of 12 reactions takes 1.04 times as long in lanes, one of 20 takes 2.3 times as long."""

CACHE = 2**15
"""Bytes of a layer's weights from which on they do not stay in the first-level cache between two tiles."""

SECOND_CACHE = 2**20
"""Bytes of all values of a tile up to which a program of windows or recurrences has longer tiles: many values share
memory, and the rest should stay in the second-level cache."""

LONGEST = {"float64": 8, "float32": 16}
"""Values in the longest vectors: rows are padded to multiples of this number, so that the same C serves every
target."""

LANE_SUM = 1.6
"""Cost of a product whose result is the sum of the lanes of a vector, relative to one whose results are lanes."""

NARROW = 1.25
"""Cost of a product in blocks of a single vector, which load as much as they multiply, relative to wider ones."""

CHOICES = ("tile", "features", "blas", "transposed", "segment_length", "block_length")
"""The names of the choices that a caller may override."""

TRANSPOSE, GATHER = 0.5, 1.5
"""Cycles to transpose a value of a matrix in a square, and to gather a single value from its row."""


@dataclass(frozen=True)
class Layout:
    """The samples of a tile, and the indices that run innermost instead of the samples."""

    tile: int
    padding: int
    features: tuple[str, ...]
    reasons: tuple[str, ...]
    blas: tuple[str, ...] = ()
    """The tensors that are products left to BLAS."""
    blas_asked: bool = False
    transposed: tuple[str, ...] = ()
    """The matrices [j, i] of parameters, and their gradients, that have j innermost while they are trained."""
    segment_length: int = 0
    """The steps of a segment of time; a training holds the memory of one segment at once (see ``segments``). 0: no
    segments."""

    segmented: tuple[str, ...] = ()
    """The indices of time that have more steps than a segment."""
    one_by_one: bool = False
    """If true, a tile is one sample, and what lies innermost in memory runs along the vectors (see ``matrices``)."""
    block_length: int = 0
    """The queries of a block of attention (see ``pairs``). 0: as many as take little memory."""

    @property
    def lengths(self) -> dict[str, int]:
        """Return the length of the segments, by the segmented indices."""
        return dict.fromkeys(self.segmented, self.segment_length)

    def padded(self, size: int) -> int:
        """Return the size of a row, padded to whole vectors."""
        return -(-size // self.padding) * self.padding

    def transposes(self, size: int, inner: int) -> bool:
        """Return whether a product with samples innermost transposes its factor, which has features innermost.

        The alternative is a result with features innermost, in padded rows, from which each value is gathered later.
        """
        rate = 2 * self.padding  # products of a cycle
        return size * inner / rate + TRANSPOSE * inner < self.padded(size) * inner / rate + GATHER * size

    def show(self) -> str:
        """Return the choices and their reasons, as text."""
        samples = "samples one by one" if self.one_by_one else f"tiles of {self.tile} samples"
        tile = ", ".join([samples, *self.reasons[:1]])  # the first reason is that of the tile
        return "\n".join([tile, *self.reasons[1:]]) + "\n"


def choose_layout(program: Program, choices: Mapping[str, object]) -> Layout:
    """Return the layout of a program. ``choices`` overrides it: {"tile": samples, "features": names of indices}.

    The products left to BLAS are chosen afterwards, in ``blas``, the transposed matrices in ``transposed``, and the
    length of segments in ``segments``. Raises ModelError for invalid choices.
    """
    unknown = [key for key in choices if key not in CHOICES]
    if unknown:
        raise ModelError(f"schedule has no choice {unknown[0]!r}; there are: {', '.join(CHOICES)}")
    padding = LONGEST[program.precision]
    tile = choices.get("tile", TILE)
    if isinstance(tile, bool) or not isinstance(tile, int) or tile <= 0 or tile % (2 * padding):
        raise ModelError(f"tile must be a multiple of {2 * padding} samples in {program.precision}, not {tile!r}")
    layout = Layout(tile, padding, (), ())
    able = _able(program)
    wanted = choices.get("features")
    if wanted is None:
        wide = tuple(index for index in able if 2 * (program.sizes[index] or 1) > padding)
        costs = {index: _costs(layout, program.sizes[index] or 1) for index in wide}
        samples, features = (sum(cost[k] for cost in costs.values()) for k in (0, 1))
        chosen = wide if features < samples else ()
        reasons = [
            f"{index} ({program.sizes[index]}): {'features' if index in chosen else 'samples'} innermost"
            + (f", at a cost of {costs[index][1]:g} against {costs[index][0]:g} with samples" if index in wide else "")
            for index in able
        ]
        reasons += [f"together {features:g} with features innermost, {samples:g} with samples"] if wide else []
    else:
        if isinstance(wanted, str) or not isinstance(wanted, list | tuple | set | frozenset):
            raise ModelError(f"features must be a list of indices, not {wanted!r}; there are: {', '.join(able)}")
        wrong = [index for index in wanted if index not in able]
        if wrong:
            raise ModelError(f"{wrong[0]!r} cannot run innermost; what can: {', '.join(able) or 'no index'}")
        chosen = tuple(index for index in able if index in wanted)
        reasons = [
            f"{index} ({program.sizes[index]}): {'features' if index in chosen else 'samples'} innermost, as asked for"
            for index in able
        ]
    usual, why = _tile(program, padding, chosen)
    if "tile" in choices:
        return replace(layout, features=chosen, reasons=("as asked for", *reasons))
    return replace(layout, tile=usual, features=chosen, reasons=(why, *reasons))


def names_of(
    key: str, choices: Mapping[str, object], able: Iterable[str], usual: Iterable[str], what: str, done: str
) -> set[str]:
    """Return the names of ``able`` that a choice means: all (True), none (False), a list; ``usual`` without a choice.

    ``what`` is the noun for one of them in messages, as in "product"; ``done`` tells the purpose, as in "be left to
    BLAS". Raises ModelError for invalid choices.
    """
    choice, names = choices.get(key), tuple(able)
    if choice is None:
        return set(usual)
    if isinstance(choice, bool):
        return set(names) if choice else set()
    there = ", ".join(names) or f"no {what}"
    if not isinstance(choice, list | tuple | set | frozenset):
        raise ModelError(f"{key} must be True, False or a list of {what}s, not {choice!r}; there are: {there}")
    wrong = [name for name in choice if name not in names]
    if wrong:
        raise ModelError(f"{wrong[0]!r} cannot {done}; what can: {there}")
    return set(choice)


def bytes_of(values: int, program: Program) -> int:
    """Return the bytes of a number of values."""
    return values * int(program.precision[-2:]) // 8


def in_lanes(system: System) -> bool:
    """Return whether several samples of differential equations are solved side by side, in the lanes of vectors.

    Samples of networks are solved one after the other, as their vectors run along the units of layers, and those of
    large stiff systems, whose vectors run along the rows of matrices.
    """
    if system.weights or (system.implicit and system.block > MOST_ROWS_IN_LANES):
        return False
    return room_in_lane(system) <= MOST_IN_LANES


def room_in_lane(system: System) -> int:
    """Return the values of memory of each lane: see ``solve.h`` and ``rosenbrock.h``.

    They are the rates of all stages, three more arrays of states, and both rows of a sample. An implicit step has two
    more arrays of states, two matrices and the order of rows; a method that chooses has an explicit step besides.
    """
    table, states = system.control.table, len(system.states)
    values = (len(table.rows) + 3) * states + len(system.given) + len(system.fixed) + len(system.course)
    if isinstance(table, LinearlyImplicit):
        values += 2 * states + 2 * system.block**2 + system.block
        values += (len(table.explicit.rows) + 2) * states if table.explicit else 0
    return values


def room_of(system: System) -> int:
    """Return the values of memory that the solver of one sample needs: see ``solve.h`` and ``rosenbrock.h``."""
    stages, states = len(system.control.table.rows), len(system.states)
    matrices = 2 * system.block**2 + system.block if system.implicit else 0
    return (stages + (6 if system.implicit else 3)) * states + matrices


def room_of_sample(system: System) -> int:
    """Return the values of memory for one sample in plain C: those of the solver, and of rows that it changes.

    These are the row of what is fixed; with networks, also that of what is given, with their weights after it.
    """
    weighted = len(system.given) + system.offsets[-1] if system.weights else 0
    return room_of(system) + len(system.fixed) + len(system.course) + weighted


def _tile(program: Program, padding: int, features: tuple[str, ...]) -> tuple[int, str]:
    """Return the number of samples of a tile, and the reason for it."""
    systems = systems_of(program.steps)
    if any(map(in_lanes, systems)):  # a call can be stopped between two tiles; at the end of each, lanes are idle
        return 4 * padding, "as differential equations take as many steps as each sample needs"
    if systems:
        return padding, "as samples of these differential equations are solved one after the other"
    if program.moves:
        values = sum(program.count(step.target.indices) for step in program.steps if SAMPLE in step.target.indices)
        fitting = (k * padding for k in (4, 2, 1) if bytes_of(k * padding * values, program) <= SECOND_CACHE)
        return next(fitting, padding), f"as indices move, and a sample has {values:,} values in all steps together"
    weights = max((weights_of(step, program) for step in program.steps if is_product(step)), default=0)
    size = bytes_of(weights, program)
    if size >= CACHE:
        return LONG_TILE, f"as the weights of the largest layer take {size:,} bytes, which is not below {CACHE:,}"
    if features:
        return TILE, "as features run innermost"
    return VECTORS * padding, f"{VECTORS} vectors, as samples run innermost"


def _costs(layout: Layout, size: int) -> tuple[float, float]:
    """Return the costs with samples innermost, and with features innermost."""
    padded = layout.padded(size)
    return size * (2 + LANE_SUM), padded * 3 * (NARROW if padded == layout.padding else 1)


def _able(program: Program) -> tuple[str, ...]:
    """Return the indices that may run innermost: those of matrices, reduced only by products of two matrices.

    A network of windows or recurrences has none.
    """
    seen: dict[str, None] = {}
    unable: set[str] = set()
    if program.moves:
        return ()  # samples fill their vectors, whatever the widths are
    for step in program.steps:
        of_samples = SAMPLE in step.indices
        for element in (step.target, *step.operands):
            features = [index for index in element.indices if index != SAMPLE]
            if SAMPLE in element.indices:
                seen |= dict.fromkeys(features)
                unable |= set(features) if len(features) > 1 else set()
        if step.over and not is_product(step) and of_samples:
            unable |= {index for index in step.indices if index != SAMPLE and index in step.over}
    return tuple(index for index in seen if index not in unable)


def is_product(step: Step) -> bool:
    """Return whether a step is a sum of products of two matrices, or of a matrix and samples."""
    return [len(factor.indices) for factor in factors_of(step)] == [2, 2] and SAMPLE in step.indices


def factors_of(step: Step) -> tuple[Element, ...]:
    """Return the two factors whose products a step sums over an index of both; an empty tuple for any other step."""
    factors: tuple[Expr, ...] = Mul.make_args(step.expression)
    elements = tuple(factor for factor in factors if isinstance(factor, Element))
    if step.operator != "sum" or step.where or len(step.over) != 1 or not len(elements) == len(factors) == 2:
        return ()
    (inner,) = step.over
    rest = sorted(index for element in elements for index in element.indices if index != inner)
    shared = all(inner in element.indices for element in elements)
    return elements if shared and rest == sorted(step.target.indices) else ()


def weights_of(step: Step, program: Program) -> int:
    """Return the weights of the layer of a product: the product of the sizes of its indices without the samples."""
    return program.count(index for index in step.indices if index != SAMPLE)
