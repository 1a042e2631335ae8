"""The candidates for a table: linear models, and networks of one and two hidden layers beside a linear path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

from nncodegen.compiler.describe.losses import LOSSES, usual_name
from nncodegen.errors import TableError
from nncodegen.estimators.network import Description
from nncodegen.estimators.network.description import activation_text, loss_text
from nncodegen.table.settings import Settings
from nncodegen.table.target import Target

Layers = tuple[tuple[int, str], ...]
"""Units and activations of hidden layers."""

PENALTIES: tuple[float, ...] = tuple(10 ** (k / 2) for k in range(4, -15, -1))
"""Penalties of the linear models, from strong to weak."""

HIDDEN_PENALTIES: tuple[float, ...] = (0.2, 2.0)
"""Penalties of networks with hidden layers, times the number of rows: the more rows, the less is needed."""

LEARNING_RATES: tuple[float, ...] = (0.01,)
SEEDS, NETWORKS = 2, 5
"""The networks of a candidate: those that are compared, for each fold, and those that learn what was chosen."""

SEEDS_OF_MANY, NETWORKS_OF_MANY = 2, 3

HIDDEN: tuple[tuple[Layers, bool], ...] = ((((16, "tanh"),), False), (((32, "relu"), (16, "relu")), True))
"""Hidden layers, and whether their inputs contain the pieces of numbers, for tables of some hundred or thousand rows:
since several networks are averaged, few units are enough."""

HIDDEN_OF_MANY: tuple[tuple[Layers, bool], ...] = ((((16, "tanh"),), False), (((64, "relu"), (32, "relu")), True))
MANY_ROWS = 2_000

PIECES, PIECES_OF_MANY = 8, 32
"""The pieces into which quantiles divide a column of numbers; each has an input of its own (see ``Number``)."""

FEWEST_PIECES, MOST_IN_ALL = 3, 600
"""The fewest pieces of a column, and the most of all columns: with very many columns of numbers, there are none."""

IN_PIECES = " in pieces"

FOLDS, FOLDS_OF_MANY = 5, 2
"""The folds into which rows are divided, and how many of these are left out in turn if there are many rows."""

MOST_FOLDED = 20_000
"""The most rows for which several folds are left out; with more rows, one fold is enough to compare candidates."""

MOST_WORK = 2e11
"""Roughly the most operations of all candidates with hidden layers; fewer are tried if they would take more."""


@dataclass(frozen=True)
class Family:
    """Candidates that share a network: all pairs of its penalties and learning rates, each from several seeds.

    Those that are chosen learn again from ``networks`` seeds. Without learning rates, it is a linear model, which is
    minimized to convergence. Its networks have the inputs of the pieces of numbers, and those that the n-grams of texts
    give, only with ``in_pieces``.
    """

    name: str
    network: Description
    penalties: tuple[float, ...]
    rates: tuple[float, ...] = ()
    seeds: int = 1
    networks: int = 1
    in_pieces: bool = False

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        """Return the penalty and the learning rate of each candidate."""
        return tuple(product(self.penalties, self.rates))


@dataclass(frozen=True)
class Rounds:
    """The training of candidates with hidden layers, in rounds of epochs, with a validation after each round.

    Every round but the first two has twice as many updates as the one before, at a slightly lower learning rate.
    """

    batch: int
    epochs: tuple[int, ...]
    decay: float = 0.8


@dataclass(frozen=True)
class Candidates:
    """All candidates, from simple to complex, and the folds, of which the first ``used`` are left out in turn."""

    families: tuple[Family, ...]
    rounds: Rounds
    folds: int
    used: int


def candidates_for(target: Target, rows: int, inputs: int, settings: Settings, pieces: int = 0) -> Candidates:
    """Return the candidates for a table with ``rows`` rows to learn from. Raises TableError or ModelError.

    ``inputs`` is the number of inputs without those of ``pieces`` of numbers and of texts, which only some candidates
    have.
    """
    folds = min(FOLDS, rows)
    used = 1 if rows > MOST_FOLDED else FOLDS_OF_MANY if rows >= MANY_ROWS else folds
    rounds = _rounds(rows - -(-rows // folds), settings.epochs)
    linear = describe(target, inputs, settings, ())
    penalties = PENALTIES if settings.l2 is None else (settings.l2,)
    families = [Family("linear", linear, penalties)]
    hidden: tuple[tuple[Layers, bool], ...] = ()
    if settings.layers is None:
        hidden = HIDDEN if rows < MANY_ROWS else HIDDEN_OF_MANY
        if pieces:
            bent = describe(target, inputs + pieces, settings, ())
            families.append(Family(f"linear{IN_PIECES}", bent, penalties, in_pieces=True))
    elif settings.layers:
        families, hidden = [], ((tuple((units, "relu") for units in settings.layers), False),)
    for layers, in_pieces in hidden:
        named = tuple((units, settings.activation or activation) for units, activation in layers)
        width = inputs + pieces * in_pieces
        network = describe(target, width, settings, named, skip=settings.layers is None)
        families.append(_family(network, rounds, rows, used, len(hidden), settings, width > inputs))
    return Candidates(tuple(families), rounds, folds, used)


def pieces_of(rows: int, columns: int, settings: Settings) -> int:
    """Return the number of pieces of each of some columns of numbers, for ``rows`` rows to learn from; 0 for none."""
    if settings.layers is not None or not columns:
        return 0
    pieces = min(PIECES if rows < MANY_ROWS else PIECES_OF_MANY, MOST_IN_ALL // columns)
    return pieces if pieces >= FEWEST_PIECES else 0


def describe(target: Target, inputs: int, settings: Settings, layers: Layers, skip: bool = False) -> Description:
    """Return a network for a target, with the given units and activations of its hidden layers."""
    hidden = tuple((units, activation_text(activation, number)) for number, (units, activation) in enumerate(layers, 1))
    if not target.classes:
        loss, output = settings.loss or "mse", "linear"
    elif target.outputs > 1:
        loss, output = settings.loss or "categorical_crossentropy", "softmax"
    else:
        loss, output = settings.loss or "binary_crossentropy", "sigmoid"
    return Description(
        inputs,
        (*hidden, (target.outputs, output)),
        _loss(loss, target),
        precision=settings.precision,
        skip=skip and bool(layers),
        dropout=settings.dropout if layers else 0.0,
    )


def _family(
    network: Description, rounds: Rounds, rows: int, used: int, families: int, settings: Settings, in_pieces: bool
) -> Family:
    """Return the candidates of a network with hidden layers: fewer, if a training takes long."""
    updates = sum(rounds.epochs) * -(-rows // rounds.batch)
    work = 6.0 * network.parameter_count * updates * rounds.batch * used * families
    affordable = MOST_WORK / work  # the number of trainings for each fold and family
    penalties = tuple(10 ** (round(2 * math.log10(penalty / rows)) / 2) for penalty in HIDDEN_PENALTIES)
    rates = LEARNING_RATES
    seeds, networks = (SEEDS, NETWORKS) if rows < MANY_ROWS else (SEEDS_OF_MANY, NETWORKS_OF_MANY)
    if affordable < len(penalties) * len(rates) * seeds:
        seeds = 1
    if affordable < len(penalties) * len(rates):
        penalties, rates = penalties[:1], rates[:1]
    penalties = penalties if settings.l2 is None else (settings.l2,)
    rates = rates if settings.learning_rate is None else (settings.learning_rate,)
    units = "-".join(str(units) for units, _ in network.layers[:-1])
    name = f"{units} {network.layers[0][1]}" + (" + linear" if network.skip else "") + IN_PIECES * in_pieces
    return Family(name, network, penalties, rates, seeds, networks, in_pieces)


def _rounds(rows: int, most: int | None) -> Rounds:
    """Return the rounds for training with a number of rows, of at most ``most`` epochs together."""
    batch = 32 if rows < MANY_ROWS // 2 else 64 if rows < MOST_FOLDED // 2 else 256
    batch = min(batch, rows)
    per_epoch = -(-rows // batch)
    first = max(25.0, min(0.65 * per_epoch, 65.0))
    epochs = [max(1, round(first * factor / per_epoch)) for factor in (1, 1, 2, 4, 8, 16, 32)]
    if most is not None:
        left, bounded = most, []
        for count in epochs:
            bounded.append(min(count, left))
            left -= bounded[-1]
        bounded[-1] += left  # more epochs than usual were asked for
        epochs = [count for count in bounded if count]
    return Rounds(batch, tuple(epochs))


def _loss(loss: str, target: Target) -> str:
    """Return the name of a loss, or its formula. Raises TableError for one that does not fit the target."""
    loss = usual_name(loss)
    if loss not in LOSSES:
        return loss_text(loss)
    if loss == "hinge" or loss.endswith("_from_logits"):
        raise TableError(f"the loss {loss} is for outputs that are not probabilities: choose another")
    if loss.endswith("crossentropy") and not target.classes:
        raise TableError(f"the loss {loss} is for classes, but {target.name} is a number: choose another, such as mae")
    if loss == "poisson" and not target.classes:
        raise TableError("the loss poisson is for counts, not for the scaled numbers here: choose another, such as mae")
    if loss == "categorical_crossentropy" and target.outputs == 1:
        return "binary_crossentropy"
    return loss
