"""simplify -> **schedule** -> emit: choose the loops that run the steps and the place of each tensor.

The result is a loop tree for every entry point (see ``tree``). It is made in three parts:

1. *Choices* that hold for all of a program (see ``layout``, ``blas``, ``transposed``, ``segments``). Samples are worked
   through in tiles. Inside a tile one index runs innermost and contiguously, so that every step is a loop that a
   compiler can vectorize: the samples, or the features of a layer.
2. A tree of steps in the loops that they share (see ``loops``, ``fuse``), and the places of all tensors (see
   ``places``). A value that only its own loops read is a local variable; the others are arrays of one tile, which share
   memory where they can (see ``arrays``). In a formula all steps have only the index of the samples: the program is a
   single loop over samples without an array, or several loops if there are very many statements.
3. *Rewrites*, one after the other, until every loop and every statement is written out (see ``rewrites``). A plan is
   the list of rewrites that an entry point takes (see ``plans``). ``verify`` checks the tree after each of them,
   ``emit`` prints the last one, certificates carry it out, and ``show`` describes it as text.

The products of a layer, ``s[n, j] = sum(i) W[j, i]*x[n, i]`` and the like, and the gradients of its weights, ``d_W[j,
i] = sum(n) d[n, j]*x[n, i]``, are all products of two matrices, ``out[r, c] = sum(k) a[r, k]*b[k, c]``. One function of
the runtime computes them in blocks that stay in registers; which index plays which role follows from the layout. Only
where both factors of a gradient have their samples innermost, the sum runs along the vectors: each lane then has a
partial sum, which takes a vector of memory for each weight. If the weights are so numerous that these vectors would
leave the cache, the lanes are added up in every tile. Products with very many weights are left to BLAS, or to the
blocks if no BLAS is available. The gradients of weights are computed last in a tile: where they have the strides of the
weights, plain gradient descent can subtract them from the weights at once (``Kernel.descends``).

Predictions, loss and gradient have a kernel each. Its trees hold what depends on parameters only and comes before the
samples, what is done for a tile of samples, and what needs the finished sums over all samples. Where samples need such
sums as well, a batch has several phases, with further statements between them (see ``phases``). Where outputs can be
compared with targets, the kernels of the loss and of the gradient keep the outputs of a tile for the metrics. What only
metrics need runs only if they are asked for; so does, in the kernel of the gradient, what only the loss needs.
Predictions of formulas run over whole vectors, so that the bits of a prediction do not depend on the other samples (see
``vectors``).

Where layers are computed in blocks, single samples have kernels of their own (see ``single_sample`` and
``single_sequence``). Small programs also have a form in which every value is a scalar, for training on single samples
(see ``registers``), and formulas for many models (see ``formulas``); many models of a network, or of equations of
motion, have a kernel with a model in each lane (see ``layers`` and ``trajectories``). Exports as plain C have plain
loops for one sample (see ``plain``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nncodegen.compiler.ir import RECURRENCES, Element, Program
from nncodegen.compiler.ir.systems import systems_of
from nncodegen.compiler.passes.findings import NO_FINDINGS, Findings
from nncodegen.compiler.schedule.blas import choose_blas
from nncodegen.compiler.schedule.companions import schedule_companion
from nncodegen.compiler.schedule.forms import LONG
from nncodegen.compiler.schedule.kernel import Kernel, Plan, Role
from nncodegen.compiler.schedule.layers import choose_layers
from nncodegen.compiler.schedule.layout import (
    CLOSE,
    LONG_TILE,
    LONGEST_TILE,
    SHORT_TILE,
    TILE,
    Layout,
    bytes_of,
    choose_layout,
)
from nncodegen.compiler.schedule.loops import make_kernel
from nncodegen.compiler.schedule.lowering import lower
from nncodegen.compiler.schedule.masked_products import with_products
from nncodegen.compiler.schedule.matrices import choose_matrices
from nncodegen.compiler.schedule.pair_families import keys_last
from nncodegen.compiler.schedule.pairs import choose_blocks, with_pairs
from nncodegen.compiler.schedule.plans import FORMULA, LAYERS, SINGLE_SAMPLE
from nncodegen.compiler.schedule.rates import choose_rates, with_room
from nncodegen.compiler.schedule.recurrences import settled
from nncodegen.compiler.schedule.registers import Registers
from nncodegen.compiler.schedule.result import Descent, Schedule
from nncodegen.compiler.schedule.segments import choose_segments
from nncodegen.compiler.schedule.shapes import Filling, Shape
from nncodegen.compiler.schedule.side_by_side import SideBySide, SingleSample
from nncodegen.compiler.schedule.single_sample import choose_single_sample
from nncodegen.compiler.schedule.single_sequence import choose_single_sequence
from nncodegen.compiler.schedule.storage import Memory, Place, Storage
from nncodegen.compiler.schedule.trajectories import choose_trajectories
from nncodegen.compiler.schedule.transposed import choose_transposed
from nncodegen.compiler.schedule.tree import When
from nncodegen.compiler.schedule.unrolled import choose_unrolled
from nncodegen.compiler.schedule.vectors import check_functions

NO_CHOICES: Mapping[str, object] = {}


def schedule(
    program: Program, choices: Mapping[str, object] = NO_CHOICES, findings: Findings = NO_FINDINGS
) -> Schedule:
    """Return the loops for a program, and those of its companions; ``choices`` overrides the layout.

    The functions ``choose_layout``, ``choose_blas``, ``choose_transposed`` and ``choose_segments`` document the
    possible choices.
    """
    check_functions(program)
    program = with_products(with_pairs(keys_last(settled(program)), choices), choices)
    layout = choose_matrices(program, choose_layout(program, choices), choices)
    layout = choose_blocks(program, layout, choices)
    if not layout.one_by_one:
        layout = choose_blas(program, layout, choices)
        layout = choose_segments(program, choose_transposed(program, layout, choices), choices)
    largest = _largest(program, layout)
    if "tile" not in choices and layout.tile == TILE and layout.features:
        layout, largest = _with_short_tile(program, layout, largest)
    if "tile" not in choices and not program.layered and not systems_of(program.steps):
        layout, largest = _with_long_tile(program, layout, largest)
    if "tile" not in choices and not (program.gradient or layout.segmented or layout.one_by_one):
        layout, largest = _with_tile_of_simulations(program, layout, largest)
    unrolled, side_by_side = None, None
    kernels: tuple[Kernel, ...] = (largest,)
    if program.loss is not None:
        kernels = (
            _predict(program, layout),
            make_kernel(program, layout, "loss", (), (program.loss,), _measured(program, program.outputs)),
            largest,
        )
        unrolled, formula = choose_unrolled(program, layout, largest)
        side_by_side = formula or choose_layers(program, layout, largest)
        side_by_side = side_by_side or choose_trajectories(program, layout, largest, findings.lazy)
    moves = program.moves
    single_sample = choose_single_sequence(program, layout) if moves else choose_single_sample(program, layout, kernels)
    decided = tuple(lower(kernel, program, layout) for kernel in kernels)
    companions = tuple(map(schedule_companion, findings.companions_after("simplify")))
    rates = choose_rates(program)
    decided = tuple(with_room(kernel, program, rates, layout) for kernel in decided)
    return Schedule(
        program, layout, decided, unrolled, side_by_side, single_sample, companions, rates=rates, findings=findings
    )


def _predict(program: Program, layout: Layout) -> Kernel:
    return make_kernel(program, layout, "predict", program.outputs, ())


def _largest(program: Program, layout: Layout) -> Kernel:
    """Return the kernel that needs the most memory: that of the gradient, or, without a loss, of the predictions."""
    if program.loss is None:
        return _predict(program, layout)
    training = program.in_training
    measured = _measured(program, training.outputs)
    return make_kernel(program, layout, "gradient", (), (training.loss, *program.gradient), measured)


def _measured(program: Program, outputs: tuple[Element, ...]) -> tuple[Element, ...]:
    """Return the outputs if metrics can compare them with targets, that is if their sizes agree; otherwise ``()``."""
    sizes = [program.count(element.indices) for element in outputs]
    return outputs if sizes == [tensor.size for tensor in program.targets] else ()


def _with_short_tile(program: Program, layout: Layout, largest: Kernel) -> tuple[Layout, Kernel]:
    """Return layout and kernel with short tiles, if only then all data of an update stays in the first-level cache."""
    usual = _bytes_of_a_tile(program, layout, largest)
    if usual <= CLOSE:
        return layout, largest
    short = replace(layout, tile=SHORT_TILE)
    shorter = _largest(program, short)
    less = _bytes_of_a_tile(program, short, shorter)
    if less > CLOSE:
        return layout, largest
    work = "an update" if program.loss is not None else "a pass"
    why = f"as {work} of such a tile goes through {less:,} bytes, one of {TILE} samples through {usual:,}"
    return replace(short, reasons=(why, *layout.reasons[1:])), shorter  # the first reason is that of the tile


def _with_long_tile(program: Program, layout: Layout, largest: Kernel) -> tuple[Layout, Kernel]:
    """Return layout and kernel with the longest tiles whose arrays stay in the first-level cache."""
    times = 1
    while 2 * times * layout.tile <= LONGEST_TILE and bytes_of(2 * times * largest.memory.arrays, program) <= CLOSE:
        times *= 2
    if times == 1:
        return layout, largest
    longest = bytes_of(times * largest.memory.arrays, program)
    whose = "its gradient has" if program.loss is not None else "its values have"
    why = f"as it has no layers, and {whose} arrays of {longest:,} bytes"
    layout = replace(layout, tile=times * layout.tile, reasons=(why, *layout.reasons[1:]))
    return layout, _largest(program, layout)


def _with_tile_of_simulations(program: Program, layout: Layout, largest: Kernel) -> tuple[Layout, Kernel]:
    """Return layout and kernel with the longest tiles whose arrays stay in the first-level cache, for recurrences.

    Without a derivative, which goes back over time, their loops need few arrays where one row has all times.
    """
    tile = LONG_TILE if any(step.operator in RECURRENCES for step in program.steps) else 0
    while tile > layout.tile:
        longer = replace(layout, tile=tile)
        needed = bytes_of(_predict(program, longer).memory.arrays, program)
        if needed <= CLOSE:
            why = f"as it goes over time without a derivative, with arrays of {needed:,} bytes"
            longer = replace(longer, reasons=(why, *layout.reasons[1:]))
            return longer, _largest(program, longer)
        tile //= 2
    return layout, largest


def _bytes_of_a_tile(program: Program, layout: Layout, largest: Kernel) -> int:
    """Return the bytes that an update of one tile touches: samples, arrays, the current and the next parameters."""
    columns = sum(tensor.size for tensor in (*program.inputs, *program.targets))
    parameters = program.parameter_count
    return bytes_of(layout.tile * columns + largest.memory.arrays + 2 * parameters, program)


__all__ = [
    "FORMULA",
    "LAYERS",
    "LONG",
    "NO_CHOICES",
    "SINGLE_SAMPLE",
    "Descent",
    "Filling",
    "Kernel",
    "Layout",
    "Memory",
    "Place",
    "Plan",
    "Registers",
    "Role",
    "Schedule",
    "Shape",
    "SideBySide",
    "SingleSample",
    "Storage",
    "When",
    "schedule",
]
