"""A trained model of a table, and its folder of plain files: JSON, an archive of arrays, and modules."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.compiler.building.build import check_folder
from nncodegen.compiler.building.files import reason_of, write_together
from nncodegen.compiler.emit import MARK
from nncodegen.compiler.limits import MOST_LAYERS
from nncodegen.compiler.pipeline import build_module
from nncodegen.errors import BuildError, CompilerNotFoundError, ModelError, TableError
from nncodegen.estimators.network import Description, Ensemble, Kind, PaddedNetwork, padded, predict_mean
from nncodegen.formats.export import Exportable
from nncodegen.runtime.python.ground.archives import members_of, read_member
from nncodegen.runtime.python.ground.renamed import renamed_attributes
from nncodegen.table.columns import Column, column_from_dict, column_to_dict, encode, ngrams_of, widths, with_arrays
from nncodegen.table.frames import as_table
from nncodegen.table.meanings import meanings, output_meanings, pieces_meanings
from nncodegen.table.target import Target, target_from_dict

DESCRIPTION, PARAMETERS, MODULE = "model.json", "parameters.npz", "module"

FORMAT = 3
FORMATS = (2, FORMAT)
"""The formats that are read. In format 2, columns have no knots, and all networks have the same inputs."""

_MODULE = re.compile(rf"{MODULE}[0-9]*")

LARGEST_DESCRIPTION = 2**26  # bytes
MOST_MEMBERS, MOST_NETWORKS = 100, 10_000


@dataclass(frozen=True)
class Member:
    """M networks of the same kind with parameters (M, P), whose outputs are averaged; and the weight of the average."""

    network: Description
    weight: float
    parameters: Any


@renamed_attributes("0.3.0", write="save")
@dataclass(frozen=True)
class TableModel:
    """Columns, networks with their parameters, and a target; ``report`` holds the results of the training.

    Each network has the inputs of ``encode``: all of them, or those before the pieces of numbers and the n-grams.
    """

    columns: tuple[Column, ...]
    target: Target
    members: tuple[Member, ...]
    report: dict[str, Any] = field(default_factory=dict)

    def outputs_of(self, X: Any) -> Any:
        """Return the weighted mean of the networks' outputs for inputs X (N, inputs): (N, outputs)."""
        return sum(
            member.weight * predict_mean(member.network, member.parameters, X[:, : member.network.inputs])
            for member in self.members
        )

    def outputs(self, data: Any, unknown: str = "error") -> Any:
        """Return the outputs for the rows of a table: (N, outputs)."""
        return self.outputs_of(encode(self.columns, as_table(data), unknown))

    def predict(self, data: Any, unknown: str = "error") -> pd.DataFrame:
        """Return the prediction for each row and, for classes, the probability of each. Raises TableError.

        ``data`` is a DataFrame, the path of a file, or a Table. ``unknown`` says what to do about a category that did
        not occur in training: "error" raises TableError, "ignore" treats it as none of the known ones.
        """
        outputs = self.outputs(data, unknown)
        decided = self.target.decide(outputs)
        if not self.target.classes:
            return pd.DataFrame({self.target.name: decided})
        columns = [np.array(self.target.classes, object)[decided], *self.target.probabilities(outputs).T]
        return pd.DataFrame(dict(zip(self.target.column_names, columns, strict=True)))

    def exportable(self) -> Exportable:
        """Return the mean of the networks as one model for ``nncodegen.export``, with the meaning of its columns.

        Its inputs are the encoded columns, whose texts say how they are encoded; its outputs are probabilities, or the
        target in the units of the table, not scaled.
        """
        inputs = widths(self.columns)[1]
        networks = [padded(member.network, inputs) for member in self.members]
        kinds = tuple(
            Kind(network.built, len(member.parameters), member.weight)
            for network, member in zip(networks, self.members, strict=True)
        )
        scale, shift = (1.0, 0.0) if self.target.classes else (self.target.deviation, self.target.mean)
        model = Ensemble(kinds, scale, shift, name="table")
        precisions = {member.network.precision for member in self.members}
        return Exportable(
            model,
            precisions.pop() if len(precisions) == 1 else "float64",
            model.parameters([network.wide(m.parameters) for network, m in zip(networks, self.members, strict=True)]),
            tuple(text for of in (meanings, pieces_meanings) for column in self.columns for text in of(column)),
            output_meanings(self.target),
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder: the description, the parameters, and the compiled modules with their sources.

        Without a C compiler, no modules are written. The folder is created; a model in it is replaced.
        Raises BuildError if it holds other files, or cannot be written.
        """
        out = Path(folder)
        check_out(out)
        there = set(_modules(out))
        try:
            self._write(out)
        except BaseException:
            for path in _modules(out):
                if path not in there:
                    _remove(path)
            with suppress(OSError):  # fails if the folder holds a model, which stays
                out.rmdir()
            raise

    def _write(self, out: Path) -> None:
        networks = list(dict.fromkeys(padded(member.network).built for member in self.members))
        modules = [MODULE, *(f"{MODULE}{number}" for number in range(2, len(networks) + 1))]
        places = dict(zip(networks, modules, strict=True))
        try:
            for network, name in places.items():
                build_module(network.model, network.precision, out / name)
        except CompilerNotFoundError:
            modules = []
        text = {
            "generated": f"{MARK}; predict with `python -m nncodegen predict {out} DATA.csv`",
            "format": FORMAT,
            "target": asdict(self.target),
            "columns": [column_to_dict(column) for column in self.columns],
            "members": [
                {
                    "network": member.network.to_dict(),
                    "hash": member.network.hash,
                    "module": places[padded(member.network).built],
                    "inputs": padded(member.network).inputs,
                    "weight": member.weight,
                    "networks": len(member.parameters),
                }
                for member in self.members
            ],
            "report": self.report,
        }
        arrays = {
            _array(number): padded(member.network).wide(member.parameters) for number, member in enumerate(self.members)
        }
        for number, column in enumerate(self.columns):
            if ngrams := ngrams_of(column):
                arrays |= dict(zip(_arrays_of_texts(number), ngrams.arrays, strict=True))
        archive = io.BytesIO()
        np.savez(archive, **arrays)
        text["checksum"] = _checksum(text, list(arrays.values()))
        try:  # the description first: it marks the folder as nncodegen's, and says which parameters belong to it
            out.mkdir(parents=True, exist_ok=True)
            described = json.dumps(text, indent=1).replace("{\n ", "{", 1).encode() + b"\n"
            write_together(out, {DESCRIPTION: described, PARAMETERS: archive.getvalue()})
            for path in _modules(out):
                if path.name not in modules:
                    _remove(path)
        except OSError as error:
            raise BuildError(f"cannot write to {out}: {reason_of(error)}; name another folder") from error


def _array(number: int) -> str:
    return f"parameters{number + 1}"


def _arrays_of_texts(number: int) -> tuple[str, str]:
    """Return the names of the arrays of a column of texts, in the order of ``Ngrams.arrays``."""
    return f"idf{number + 1}", f"components{number + 1}"


def _checksum(text: dict[str, Any], arrays: list[Any]) -> str:
    """Return a hash of the description (without this hash) and the parameters."""
    described = json.dumps({key: value for key, value in text.items() if key != "checksum"}, sort_keys=True)
    digest = hashlib.sha256(described.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _modules(out: Path) -> list[Path]:
    """Return the folders of modules inside the folder of a model."""
    entries = out.iterdir() if out.is_dir() else ()
    return sorted(path for path in entries if path.is_dir() and _MODULE.fullmatch(path.name))


def _remove(folder: Path) -> None:
    """Remove the folder of an earlier module. check_folder has found that nncodegen wrote all its files."""
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith("."):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def holds_model(folder: Path) -> bool:
    """Return whether a folder holds a model of a table, which writing another one would replace."""
    return (folder / DESCRIPTION).is_file()


def check_out(out: Path) -> None:
    """Raise BuildError if a model cannot be written to a folder: it is a file, or holds files of others."""
    if out.exists() and not out.is_dir():
        raise BuildError(f"{out} is a file: name a folder")
    if not out.is_dir():
        return
    description = out / DESCRIPTION
    ours = description.is_file() and MARK.encode() in description.read_bytes().partition(b"\n")[0]
    modules = _modules(out)
    known = {path.name for path in modules} | ({DESCRIPTION, PARAMETERS} if ours else set())
    foreign = sorted(path.name for path in out.iterdir() if path.name not in known and not path.name.startswith("."))
    if foreign:
        raise BuildError(
            f"{out} holds files that nncodegen did not write ({', '.join(foreign[:5])}): name another folder"
        )
    for module in modules:
        check_folder(module)


# --- reading -----------------------------------------------------------------------------------------------------


def load_model(folder: str | Path) -> TableModel:
    """Return the model in a folder. Raises TableError if it is missing or damaged."""
    folder = Path(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        raise TableError(f"{folder} holds no model: {path} is missing; `python -m nncodegen fit` writes such a folder")
    text = _read(path)
    try:
        if text["format"] == 1:
            raise TableError(f"{path} was written by an earlier version of nncodegen (format 1): train again")
        if text["format"] not in FORMATS:
            raise ValueError(f"its format is {text['format']!r}, not {FORMAT}")
        target = target_from_dict(text["target"])
        columns = tuple(column_from_dict(column) for column in text["columns"])
        loaded = [_member(fields) for fields in text["members"]]
        report, checksum = dict(text["report"]), str(text["checksum"])
        if not 0 < len(loaded) <= MOST_MEMBERS:
            raise ValueError(f"it has {len(loaded)} members")
    except TableError:
        raise
    except (ModelError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TableError(f"{path} is damaged, or was not written by nncodegen: {reason}") from error
    allowed = widths(columns)
    for built, hash, _, _ in loaded:
        network = built.network
        if network.inputs not in allowed or network.outputs != target.outputs:
            raise TableError(f"{path} is damaged: its columns, its networks and its target do not fit together")
        network.check(hash)
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        _array(number): ((count, network.built.parameter_count), network.built.precision)
        for number, (network, _, _, count) in enumerate(loaded)
    }
    for number, column in enumerate(columns):
        if ngrams := ngrams_of(column):
            sizes = [(array.shape, "float64") for array in ngrams.arrays]
            expected |= dict(zip(_arrays_of_texts(number), sizes, strict=True))
    arrays = _load_arrays(folder / PARAMETERS, expected)
    if _checksum(text, list(arrays.values())) != checksum:
        raise TableError(f"{path} or {PARAMETERS} is damaged, or they belong to different models: train again")
    members = tuple(
        Member(network.network, weight, network.own(arrays[_array(number)]))
        for number, (network, _, weight, _) in enumerate(loaded)
    )
    try:
        columns = tuple(
            with_arrays(column, *(arrays[name] for name in _arrays_of_texts(number))) if ngrams_of(column) else column
            for number, column in enumerate(columns)
        )
    except ValueError as error:
        raise TableError(f"{folder / PARAMETERS} is damaged: {error}") from error
    return TableModel(columns, target, members, report)


def _read(path: Path) -> dict[str, Any]:
    """Return the description in a file. Raises TableError if it cannot be read, or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_DESCRIPTION + 1)
        if len(content) > LARGEST_DESCRIPTION:
            raise ValueError(f"it is larger than {LARGEST_DESCRIPTION} bytes")
        text = json.loads(content.decode())
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise TableError(f"{path} is damaged, or was not written by nncodegen: it is nested too deeply") from error
    except ValueError as error:
        raise TableError(f"{path} is damaged, or was not written by nncodegen: {error}") from error
    if not isinstance(text, dict):
        raise TableError(f"{path} is damaged, or was not written by nncodegen: it is not a JSON object")
    return text


def _member(fields: dict[str, Any]) -> tuple[PaddedNetwork, str, float, int]:
    """Return the network of a member, its hash, its weight, and the number of networks. Raises ValueError.

    Files of earlier versions do not name the number of inputs that it was built with: it is the network's.
    """
    if len(fields["network"]["layers"]) > MOST_LAYERS + 1:
        raise ValueError("a network has too many layers")
    weight, count = fields["weight"], fields["networks"]
    if type(weight) not in (int, float) or not 0 < weight <= 1:
        raise ValueError(f"the weight of a member is {weight!r}")
    if type(count) is not int or not 0 < count <= MOST_NETWORKS:
        raise ValueError(f"a member has {count!r} networks")
    network = Description.from_dict(fields["network"])
    inputs = fields.get("inputs", network.inputs)
    if type(inputs) is not int or not network.inputs <= inputs <= 2 * network.inputs + 16:
        raise ValueError(f"a network of {network.inputs} inputs was built with {inputs!r}")
    return padded(network, inputs), str(fields["hash"]), float(weight), count


def _load_arrays(path: Path, expected: dict[str, tuple[tuple[int, ...], str]]) -> dict[str, Any]:
    """Return the arrays of the given names, shapes and types. An array of the wrong size is not read at all."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = members_of(archive, file)
            if list(members) != list(expected):
                raise ValueError(f"it does not hold the arrays of its {DESCRIPTION}: train again")
            return {name: read_member(archive, members[name], *sizes) for name, sizes in expected.items()}
    except FileNotFoundError as error:
        raise TableError(f"{path} is missing: the folder is not complete") from error
    except Exception as error:  # a damaged archive may raise any error
        raise TableError(f"{path} is damaged: {error}") from error
