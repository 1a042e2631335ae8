"""Networks as plain data, which estimators and tables store; and their modules, which are built on each machine."""

from nncodegen.describe.grammar import parse
from nncodegen.network.description import Description
from nncodegen.network.ensemble import Ensemble, Kind
from nncodegen.network.formulas import to_text
from nncodegen.network.modules import module_of, predict, predict_mean

__all__ = ["Description", "Ensemble", "Kind", "module_of", "parse", "predict", "predict_mean", "to_text"]
