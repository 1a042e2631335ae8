"""Networks as plain data, which estimators and tables store, and their modules, which each machine builds."""

from nncodegen.compiler.describe.grammar import parse
from nncodegen.estimators.network.description import Description
from nncodegen.estimators.network.ensemble import Ensemble, Kind
from nncodegen.estimators.network.formulas import to_text
from nncodegen.estimators.network.modules import PaddedNetwork, module_of, padded, predict, predict_mean
from nncodegen.estimators.network.padding import initial_parameters, shared_inputs
from nncodegen.estimators.network.sharing import module_inputs, roomy_inputs, same_bits, varies

__all__ = [
    "Description", "Ensemble", "Kind", "PaddedNetwork", "initial_parameters", "module_inputs", "module_of", "padded",
    "parse", "predict", "predict_mean", "roomy_inputs", "same_bits", "shared_inputs", "to_text", "varies",
]  # fmt: skip
