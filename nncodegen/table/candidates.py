"""The candidates for a table: the linear model, and networks of one and two hidden layers beside a linear path."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from nncodegen.describe.losses import LOSSES, usual_name
from nncodegen.errors import TableError
from nncodegen.network import Description
from nncodegen.network.description import activation_text, loss_text
from nncodegen.table.settings import Settings
from nncodegen.table.target import Target

Layers = tuple[tuple[int, str], ...]
"""Units and activations of hidden layers."""

PENALTIES: tuple[float, ...] = tuple(10 ** (k / 2) for k in range(4, -15, -1))
"""Penalties of the linear model, from strong to weak. Each fit starts where the one before it ended."""

HIDDEN_PENALTIES: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
LEARNING_RATES: tuple[float, ...] = (0.003, 0.01)
SEEDS = 3

HIDDEN: tuple[Layers, ...] = (((16, "tanh"),), ((16, "relu"), (8, "relu")))
"""Hidden layers for tables of some hundred rows: since several networks are averaged, few units are enough."""

HIDDEN_OF_MANY: tuple[Layers, ...] = (((64, "relu"),), ((64, "relu"), (32, "relu")))
MANY_ROWS = 5_000

FOLDS = 5
MOST_FOLDED = 20_000
"""The most rows for which all folds are used; with more rows, one fold is enough to compare candidates."""

MOST_WORK = 2e11
"""Roughly the most operations of all candidates with hidden layers; fewer are tried if they would take more."""


@dataclass(frozen=True)
class Family:
    """Candidates that share a network: all pairs of its penalties and learning rates, each from several seeds.

    Without learning rates, it is the linear model, which is minimized to convergence.
    """

    name: str
    network: Description
    penalties: tuple[float, ...]
    rates: tuple[float, ...] = ()
    seeds: int = 1

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
class Plan:
    """All candidates, from simple to complex, and the folds, of which the first ``used`` are left out in turn."""

    families: tuple[Family, ...]
    rounds: Rounds
    folds: int
    used: int


def plan(target: Target, rows: int, inputs: int, settings: Settings) -> Plan:
    """Return the candidates for a table with ``rows`` rows to learn from. Raises TableError or ModelError."""
    folds = min(FOLDS, rows)
    used = folds if rows <= MOST_FOLDED else 1
    rounds = _rounds(rows - -(-rows // folds), settings.epochs)
    linear = describe(target, inputs, settings, ())
    penalties = PENALTIES if settings.l2 is None else (settings.l2,)
    families = [Family("linear", linear, penalties)]
    hidden: list[tuple[Layers, bool]] = []
    if settings.layers is None:
        hidden = [(layers, True) for layers in (HIDDEN if rows < MANY_ROWS else HIDDEN_OF_MANY)]
    elif settings.layers:
        families, hidden = [], [(tuple((units, "relu") for units in settings.layers), False)]
    for layers, skip in hidden:
        named = tuple((units, settings.activation or activation) for units, activation in layers)
        network = describe(target, inputs, settings, named, skip)
        families.append(_family(network, rounds, rows, used, len(hidden), settings))
    return Plan(tuple(families), rounds, folds, used)


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
        inputs, (*hidden, (target.outputs, output)), _loss(loss, target), precision=settings.precision,
        skip=skip and bool(layers), dropout=settings.dropout if layers else 0.0,
    )  # fmt: skip


def _family(network: Description, rounds: Rounds, rows: int, used: int, families: int, settings: Settings) -> Family:
    """Return the candidates of a network with hidden layers: fewer, if a training takes long."""
    updates = sum(rounds.epochs) * -(-rows // rounds.batch)
    work = 6.0 * network.parameter_count * updates * rounds.batch * used * families
    affordable = MOST_WORK / work  # the number of trainings for each fold and family
    penalties, rates, seeds = HIDDEN_PENALTIES, LEARNING_RATES, SEEDS
    if affordable < len(penalties) * len(rates) * seeds:
        rates, seeds = rates[:1], 2
    if affordable < len(penalties) * seeds:
        penalties, seeds = penalties[::2], 1
    penalties = penalties if settings.l2 is None else (settings.l2,)
    rates = rates if settings.learning_rate is None else (settings.learning_rate,)
    units = "-".join(str(units) for units, _ in network.layers[:-1])
    name = f"{units} {network.layers[0][1]}" + (" + linear" if network.skip else "")
    return Family(name, network, penalties, rates, seeds)


def _rounds(rows: int, most: int | None) -> Rounds:
    """Return the rounds for training with a number of rows, of at most ``most`` epochs together."""
    batch = 32 if rows < MANY_ROWS else 128 if rows < MOST_FOLDED else 256
    batch = min(batch, rows)
    per_epoch = -(-rows // batch)
    first = max(25.0, per_epoch / 4)
    epochs = [max(1, round(first * factor / per_epoch)) for factor in (1, 1, 2, 4, 8, 16, 32, 64)]
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
