"""Archives that anybody may have written: what does not fit is refused before it takes memory."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

import nncodegen as nn
from nncodegen.compiler.describe import describe
from nncodegen.formats.export.subject import parameters_of
from nncodegen.formats.wheel import package_main
from nncodegen.reports.arguments import data_of
from nncodegen.reports.outcome import outcome_of
from tests.support.models import classifier

MODEL = classifier(3, name="small", classes=2, inputs=2)
PROGRAM = describe(MODEL)
COMPILED = nn.compile_model(MODEL, until="schedule")
SHAPES = {tensor.name: tensor.shape for tensor in PROGRAM.parameters}
COUNT, LARGE = PROGRAM.parameter_count, 1 << 23
"""The numbers that the model has, and that a large array has: 64 MB of them."""
LIMIT = 4_000_000
"""The bytes that may be taken before a file is refused."""


def header(shape, kind="<f8", version=(1, 0)):
    """What stands before the values of an array."""
    stream = io.BytesIO()
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else np.lib.format.write_array_header_2_0
    write(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def write(path, **members):
    """An archive whose arrays have a head and a number of zeros after it; 64 MB of these take 64 kB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (head, zeros) in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                stream.write(head)
                for _ in range(0, zeros, 1 << 20):
                    stream.write(bytes(min(zeros, 1 << 20)))
    return path


def refused(action, error, match):
    """An action raises an error, and takes little memory before it does."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match):
            action()
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()


BOMBS = {
    "another shape": ({"parameters": (header((LARGE,)), 8 * LARGE)}, r"shape \(8388608,\)"),
    "the only array": ({"anything": (header((2, LARGE // 2)), 8 * LARGE)}, r"shape \(2, 4194304\)"),
    "longer than it says": ({"parameters": (header((COUNT,)), 8 * LARGE)}, "not as long as it says"),
    "named arrays": ({name: (header(shape), 8 * LARGE) for name, shape in SHAPES.items()}, "not as long as it says"),
    "a long header": ({"parameters": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", 8 * LARGE)}, "a format that is not known"),
    "texts": ({"parameters": (header((COUNT,), "<U999999"), 8 * LARGE)}, "the type <U999999"),
    "objects": ({"parameters": (header((COUNT,), "|O"), 8 * LARGE)}, "the type object"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_parameters_of_another_size_are_not_read(name, tmp_path, monkeypatch):
    """An export, a report and a package refuse parameters by what the header of the array says."""
    members, match = BOMBS[name]
    path = write(tmp_path / "bomb.npz", **members)
    assert path.stat().st_size < 400_000
    refused(lambda: parameters_of(path, PROGRAM), nn.ModelError, rf"bomb.npz is damaged, or does not .*{match}")
    refused(lambda: nn.export(MODEL, "c", tmp_path / "out", parameters=path), nn.ModelError, match)
    refused(lambda: outcome_of(path, COMPILED), nn.ModelError, match)
    monkeypatch.setattr(package_main, "MODEL", nn.build(MODEL))
    refused(lambda: package_main._parameters(str(path)), ValueError, match)


def test_data_of_another_width_are_not_read(tmp_path):
    """Data for a report are refused by their shape."""
    for name, shape in (("X", (LARGE // 4, 4)), ("X", (LARGE,)), ("Y", (LARGE // 4, 4)), ("X", (1, LARGE))):
        path = write(tmp_path / "data.npz", **{name: (header(shape), 8 * LARGE)})
        refused(lambda path=path: data_of(path, PROGRAM), nn.ModelError, r"data.npz has the shape .*takes \(N, 2\)")


def test_results_that_are_too_large(tmp_path):
    """What a result tells of a training is not read where an archive holds more than it is long."""
    result = nn.build(MODEL).train(np.zeros((4, 2)), [0, 1, 0, 1], epochs=2)
    result.save(tmp_path / "result.npz")
    with np.load(tmp_path / "result.npz") as archive:
        arrays = dict(archive)
    np.savez_compressed(tmp_path / "again.npz", **(arrays | {"figures": np.zeros((1, LARGE // 8))}))
    refused(
        lambda: outcome_of(tmp_path / "again.npz", COMPILED), nn.ModelError, "again.npz is damaged, or .* is compressed"
    )


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_fits_is_read(save, tmp_path):
    """Parameters and data that fit are read, compressed or not, of any real type, by names or as one array."""
    point = np.arange(COUNT) / 4
    parts, first = {}, 0
    for tensor in PROGRAM.parameters:
        parts[tensor.name] = np.asfortranarray(point[first : first + tensor.size].reshape(tensor.shape))
        first += tensor.size
    for number, arrays in enumerate([parts, {"parameters": point}, {"arr_0": point.astype("float32")}]):
        save(tmp_path / f"{number}.npz", **arrays)
        assert np.array_equal(parameters_of(tmp_path / f"{number}.npz", PROGRAM), point)
    save(tmp_path / "data.npz", X=np.arange(6).reshape(3, 2), Y=[0, 1, 1])
    data = data_of(tmp_path / "data.npz", PROGRAM)
    assert data.X.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert data.Y.tolist() == [[1, 0], [0, 1], [0, 1]]
