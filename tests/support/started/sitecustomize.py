"""What Python imports when a test that is recorded starts it: the recording goes on in the new process."""

import importlib.util
import os
from pathlib import Path

if os.environ.get("NNCODEGEN_RECORDING"):
    spec = importlib.util.spec_from_file_location("recording", Path(__file__).parent.with_name("recording.py"))
    recording = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recording)
    recording.begin()
