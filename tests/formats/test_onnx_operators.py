"""The table of the operators of ONNX that are read and written."""

import pytest

onnx = pytest.importorskip("onnx")

from nncodegen.compiler.describe.activations import RECORDS
from nncodegen.compiler.ir import REDUCTIONS
from nncodegen.compiler.ir.elementary import FUNCTIONS
from nncodegen.formats.onnx.reading.operators import BOTH, GROUPS, OPERATORS, SINGLE
from nncodegen.formats.onnx.writing import VERSIONS
from nncodegen.formats.onnx.writing.functions import COMPOSED
from nncodegen.formats.onnx.writing.graph import OnnxGraph

EXPORTERS = {"Erfc", "Expm1"}
"""Operators that ONNX does not have."""


def test_each_operator_is_in_one_group():
    """No operator has two records."""
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names)) == len(OPERATORS)


def test_versions():
    """The first version of each operator is that of ONNX's own table."""
    first = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        name = f"{schema.domain}.{schema.name}" if schema.domain else schema.name
        first[name] = min(first.get(name, schema.since_version), schema.since_version)
    assert {name: operator.since for name, operator in OPERATORS.items()} == {
        name: 0 if name in EXPORTERS else first.get(name, operator.since) for name, operator in OPERATORS.items()
    }
    newest = onnx.defs.onnx_opset_version()
    assert {name for name, operator in OPERATORS.items() if 0 < operator.since <= newest} <= set(first)


def test_what_is_written_is_read():
    """A file that is written can be read again, but for Floor; no operator is there for nothing."""
    assert {name for name, operator in OPERATORS.items() if operator.written and not operator.read} == {"Floor"}
    assert {operator.written for operator in OPERATORS.values()} == {(), SINGLE, BOTH}


def test_every_record_names_an_operator():
    """The operators that functions, reductions and activations name are in the table."""
    named = [record.onnx for record in (*FUNCTIONS.values(), *REDUCTIONS.values()) if record.onnx]
    named += [record.onnx.name for record in RECORDS if record.onnx]
    assert set(named) <= set(OPERATORS)
    alone = [record for record in FUNCTIONS.values() if record.onnx and OPERATORS[record.onnx].written == SINGLE]
    assert all(record.name in COMPOSED for record in alone)  # how they are written in float64


@pytest.mark.parametrize("opset", VERSIONS)
@pytest.mark.parametrize("precision", BOTH)
def test_graphs_hold_what_the_table_allows(precision, opset):
    """A node that runtimes would not compute, or whose version has no such operator, is not written."""
    graph = OnnxGraph(precision, (), opset)
    for name, operator in OPERATORS.items():
        if precision in operator.written and operator.since <= opset:
            assert graph.node(name, ["x"])
        else:
            with pytest.raises(AssertionError, match="is not written"):
                graph.node(name, ["x"])
