"""A network that has learned from a table, as a folder of plain files: JSON, an archive of arrays, and its module."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nncodegen.build import check_folder
from nncodegen.emit import MARK
from nncodegen.emit.archives import _members, _read_member
from nncodegen.errors import BuildError, ModelError, TableError
from nncodegen.files import write_at_once
from nncodegen.network import Description, predict
from nncodegen.pipeline import build_module
from nncodegen.table.columns import Column, column_from_dict, column_to_dict, encode
from nncodegen.table.read import Table
from nncodegen.table.target import Target, target_from_dict

DESCRIPTION, PARAMETERS, MODULE = "model.json", "parameters.npz", "module"

FORMAT = 1


@dataclass(frozen=True)
class TableModel:
    """Columns, a network and its parameters (P,), and a target; ``report`` is what training found."""

    columns: tuple[Column, ...]
    target: Target
    network: Description
    parameters: Any
    report: dict[str, Any] = field(default_factory=dict)

    def outputs(self, table: Table, unknown: str = "error") -> Any:
        """The outputs of the network for the rows of a table: (N, outputs)."""
        return predict(self.network, self.parameters, encode(self.columns, table, unknown))

    def predict(self, table: Table, unknown: str = "error") -> pd.DataFrame:
        """The prediction for each row and, for classes, the probability of each. Raises TableError.

        ``unknown`` says what a category means that training has not met: "error", or "ignore" for none of those known.
        """
        outputs = self.outputs(table, unknown).astype(float)
        decided = self.target.decide(outputs)
        if not self.target.classes:
            return pd.DataFrame({self.target.name: decided})
        found = [np.array(self.target.classes, object)[decided], *self.target.probabilities(outputs).T]
        return pd.DataFrame(dict(zip(self.target.column_names, found, strict=True)))

    def write(self, out: Path) -> None:
        """Writes the folder: the description, the parameters, and the compiled module with its sources.

        Raises BuildError where it holds files that are not nncodegen's, or cannot be written.
        """
        check_out(out)
        build_module(self.network.model, self.network.precision, out / MODULE)
        text = {
            "generated": f"{MARK}; predict with `python -m nncodegen predict {out} DATA.csv`",
            "format": FORMAT,
            "target": asdict(self.target),
            "columns": [column_to_dict(column) for column in self.columns],
            "network": self.network.to_dict(),
            "hash": self.network.hash,
            "report": self.report,
        }
        arrays = io.BytesIO()
        np.savez(arrays, parameters=self.parameters)
        text["checksum"] = hashlib.sha256(self.parameters.tobytes()).hexdigest()
        try:  # the description first: it tells that the folder is ours, and which parameters it is for
            write_at_once(out / DESCRIPTION, json.dumps(text, indent=1).replace("{\n ", "{", 1).encode() + b"\n")
            write_at_once(out / PARAMETERS, arrays.getvalue())
        except OSError as error:
            raise BuildError(f"cannot write to {out}: {error.strerror or error}; name another folder") from error


def check_out(out: Path) -> None:
    """Raises BuildError if a folder cannot take a model: it is a file, or holds what nncodegen did not write."""
    if out.exists() and not out.is_dir():
        raise BuildError(f"{out} is a file: name a folder")
    if not out.is_dir():
        return
    description = out / DESCRIPTION
    ours = description.is_file() and MARK.encode() in description.read_bytes().partition(b"\n")[0]
    known = {DESCRIPTION, PARAMETERS, MODULE} if ours else {MODULE}  # which is looked into below
    foreign = sorted(path.name for path in out.iterdir() if path.name not in known and not path.name.startswith("."))
    if foreign:
        raise BuildError(
            f"{out} holds files that nncodegen did not write ({', '.join(foreign[:5])}): name another folder"
        )
    check_folder(out / MODULE)


def load_model(folder: Path) -> TableModel:
    """The model in a folder. Raises TableError for a folder that holds none, or one that is damaged."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise TableError(f"{folder} holds no model: {path} is missing; `python -m nncodegen fit` writes such a folder")
    try:
        text = json.loads(path.read_text(encoding="utf-8"))
        if text["format"] != FORMAT:
            raise ValueError(f"its format is {text['format']!r}, not {FORMAT}")
        target = target_from_dict(text["target"])
        columns = tuple(column_from_dict(column) for column in text["columns"])
        network, report = Description.from_dict(text["network"]), dict(text["report"])
        hash, checksum = str(text["hash"]), str(text["checksum"])
    except (ModelError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TableError(f"{path} is damaged, or no model that nncodegen wrote: {reason}") from error
    network.check(hash)
    if sum(column.width for column in columns) != network.inputs or target.outputs != network.outputs:
        raise TableError(f"{path} is damaged: its columns, its network and its target do not fit together")
    parameters = _load_parameters(folder / PARAMETERS, network)
    if hashlib.sha256(parameters.tobytes()).hexdigest() != checksum:
        raise TableError(f"{folder / PARAMETERS} is damaged, or belongs to another {DESCRIPTION}: train anew")
    return TableModel(columns, target, network, parameters, report)


def _load_parameters(path: Path, network: Description) -> Any:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            member = _members(archive, file)["parameters"]
            parameters = _read_member(archive, member, (network.parameter_count,), network.precision)
    except FileNotFoundError as error:
        raise TableError(f"{path} is missing: the folder is not complete") from error
    except Exception as error:  # a damaged archive raises whatever its reader meets
        raise TableError(f"{path} is damaged: {error}") from error
    return parameters
