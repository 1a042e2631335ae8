"""The update rules in a training on the web: its options in their order, and the macros that describe them to C."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from math import isnan, nan

from nncodegen.compiler.emit.lines import Lines
from nncodegen.compiler.ir import LEARNING_RATE, Update
from nncodegen.errors import ModelError
from nncodegen.formats.c.rules import arguments

OPTIONS_OF_ALL = ("optimizer", "update", "learningRate", "epochs", "batchSize", "shuffle", "seed")
"""The options that every training has, in the order of ``web_training.h``."""

UPDATE = """\
static void update_parameters(size_t rule, real *parameters, const real *gradient, real *state, unsigned long t,
    const double *options)"""

UPDATES = ("simultaneous", "sequential")
"""The values of the option "update"."""


def camel_case(name: str) -> str:
    """Return the name of an option in JavaScript: learning_rate becomes learningRate."""
    return re.sub(r"_+(\w)", lambda match: match[1].upper(), name)


def default_options(rule: Update) -> dict[str, float]:
    """Return the hyperparameters of a rule, except the learning rate, and their defaults."""
    return {camel_case(h.name): h.default for h in rule.hyperparameters if h.name != LEARNING_RATE}


class WebTraining:
    """The options of a training by some rules, and the macros that ``web_training.h`` needs."""

    def __init__(self, name: str, rules: Sequence[Update]) -> None:
        self._name, self._rules = name, rules
        self.hyperparameters = tuple(dict.fromkeys(option for rule in rules for option in default_options(rule)))
        for chosen in (*self.hyperparameters, *(rule.name for rule in rules)):
            if chosen in (*OPTIONS_OF_ALL, *UPDATES):
                raise ModelError(f"{chosen} means something else to a training on the web: rename it in the optimizer")

    @property
    def options(self) -> tuple[str, ...]:
        """Return the names of all options."""
        return (*OPTIONS_OF_ALL, *self.hyperparameters)

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words that options may have as values."""
        return (*UPDATES, *(rule.name for rule in self._rules))

    def macros(self) -> Iterator[str]:
        """Yield the macros that follow from the rules, as C."""
        rules, names = self._rules, [rule.name for rule in self._rules]
        options = [f"option{number}" for number in range(len(self.options))]
        usual = ({**dict.fromkeys(self.hyperparameters, nan), **default_options(rule)} for rule in rules)
        values = {
            "RULES": str(len(rules)),
            "RULE_NAMES": _list(f'"{name}"' for name in names),
            "RULE_LIST": f'"{", ".join(names)}"',
            "DESCENT": _list(str(int(rule.is_plain_descent)) for rule in rules),
            "HYPERPARAMETERS": str(len(self.hyperparameters)),
            "USUAL": _list(_list([*map(_number, each.values()), "0"]) for each in usual),
            "OPTION_NAMES": _list(f'"{name}"' for name in self.options),
            "GIVEN_OPTIONS": ", ".join(f"double {name}" for name in options),
            "OPTIONS_GIVEN": _list(options),
            "STATES": str(max(len(rule.state) for rule in rules)),
            "FIRST_STATE": _list(_list([*map(self._first, rule.initial), "0"]) for rule in rules),
        }
        yield from (f"#define {name} {value}" for name, value in values.items())

    def update(self) -> str:
        """Return the function that updates parameters by the rule with a given index."""
        lines = Lines()
        lines.add("/* One update by a rule. */")
        with lines.function(UPDATE), lines.block("switch (rule)"):
            for number, rule in enumerate(self._rules):
                lines.add(f"case {number}:", f"    {self._call(rule)}", "    break;")
        return str(lines)

    def _first(self, value: str | float) -> str:
        """Return the initial value of a variable of the state, which may be an option."""
        return self._place(value) if isinstance(value, str) else _number(value)

    def _call(self, rule: Update) -> str:
        """Return the call of the update by a rule."""
        arguments_of_rule = (name if name in ("state", "t") else self._option(name) for name in arguments(rule))
        return f"{self._name}_{rule.name}({', '.join(['parameters', 'gradient', *arguments_of_rule])});"

    def _option(self, name: str) -> str:
        """Return an option of a rule in C, by its name in Python, in the type that the rule takes."""
        return f"(real) {self._place(name)}" if name == LEARNING_RATE else self._place(name)

    def _place(self, name: str) -> str:
        """Return an option of a rule in C, by its name in Python."""
        return f"options[{self.options.index(camel_case(name))}]"


def _number(value: float) -> str:
    return "(double) NAN" if isnan(value) else repr(float(value))


def _list(values: Iterable[str]) -> str:
    return f"{{{', '.join(values)}}}"
