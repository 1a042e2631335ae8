"""Networks as plain data, which estimators and tables store, and their modules, which each machine builds."""

from nncodegen.describe.grammar import parse
from nncodegen.network.description import Description
from nncodegen.network.ensemble import Ensemble, Kind
from nncodegen.network.formulas import to_text
from nncodegen.network.modules import PaddedNetwork, module_of, padded, predict, predict_mean
from nncodegen.network.padding import initial_parameters, shared_inputs
from nncodegen.network.sharing import module_inputs, roomy_inputs, same_bits, varies

__all__ = [
    "Description", "Ensemble", "Kind", "PaddedNetwork", "initial_parameters", "module_inputs", "module_of", "padded",
    "parse", "predict", "predict_mean", "roomy_inputs", "same_bits", "shared_inputs", "to_text", "varies",
]  # fmt: skip
