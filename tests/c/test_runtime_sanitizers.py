"""The libraries of the C runtime under sanitizers: the tests of them once more, in a process that holds these."""

import shutil
import sys

import pytest

from tests.support import ROOT
from tests.support.compilers import sanitized
from tests.support.runtime import SANITIZED

TESTS = ("random", "regularize", "metrics", "rules", "samples", "training", "fit", "fits")


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("gcc") is None or sys.platform != "linux", reason="needs GCC's sanitizers")
def test_libraries(tmp_path):
    """AddressSanitizer and UndefinedBehaviorSanitizer find nothing in what the tests of the libraries do."""
    files = [str(ROOT / "tests" / "c" / f"test_runtime_{name}.py") for name in TESTS]
    program = f"""
        import os
        import sys
        import pytest
        os.environ["{SANITIZED}"] = "1"
        os.chdir({str(ROOT)!r})
        sys.exit(pytest.main(["-p", "no:cacheprovider", "--basetemp", {str(tmp_path / "tests")!r}, *{files!r}]))
        """
    assert " passed" in sanitized(program, tmp_path)
