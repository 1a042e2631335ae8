"""The table of all curves by name."""

from __future__ import annotations

from nncodegen.curves import dose, growth, kinetics, peaks, shapes
from nncodegen.curves.curve import Record

RECORDS: dict[str, Record] = {
    record.name: record
    for module in (shapes, peaks, growth, dose, kinetics)
    for record in vars(module).values()
    if isinstance(record, Record)
}
"""All curves by name, in the order of the modules; those of other degrees are ``polynomial(degree)``."""
