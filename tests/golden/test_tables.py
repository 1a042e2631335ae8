"""Tables of documents that are made from tables of the code."""

import re

from nncodegen.formats.onnx.reading.operators import BOTH, GROUPS, SINGLE
from tests.support import ROOT

GUIDE = ROOT / "docs" / "guide" / "onnx.md"
PLACE = re.compile(r"(<!-- operators: .*? -->\n)(.*?)(<!-- end of operators -->)", flags=re.DOTALL)


def operators():
    """The table of the operators of ONNX: for each group those that are read, and those that are written."""
    lines = ["| | read | written | only in float32 |", "| --- | --- | --- | --- |"]
    for group, members in GROUPS.items():
        names = {name: name.rpartition(".")[2] for name in sorted(members)}
        read = [short for name, short in names.items() if members[name].read]
        written = [
            ", ".join(short for name, short in names.items() if members[name].written == precisions)
            for precisions in (BOTH, SINGLE)
        ]
        lines.append(f"| {group} | {', '.join(read)} | {' | '.join(written)} |".replace("  |", " |"))
    return "\n".join(lines) + "\n"


def test_operators_of_onnx(request):
    """The guide's table is that of the code; ``--update-golden`` renews it."""
    text = GUIDE.read_text()
    if request.config.getoption("--update-golden"):
        text = PLACE.sub(lambda match: match[1] + operators() + match[3], text)
        GUIDE.write_text(text)
    assert PLACE.search(text)[2] == operators()
