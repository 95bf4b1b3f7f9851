"""Loading a mixture with its experts in 4 bits: a quantiser of Transformers that packs each fused weight as it comes.

Transformers 5 quantises while it loads, one weight of the model at a time (`core_model_loading.py`): it reads the
tensors of a weight, converts them to the model's form, hands that to the quantiser and drops them. Files that hold one
tensor an expert are converted one expert at a time here, so that beside what was read no second 16-bit copy exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from torch import Tensor
from transformers.core_model_loading import Concatenate, ConversionOps, MergeModulelist, Transpose, WeightConverter
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING
from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer
from transformers.quantizers.quantizers_utils import get_module_from_name

from trainer.worker.setup.experts.forward import use
from trainer.worker.setup.experts.modules import is_fused, layout_of, weight_names
from trainer.worker.setup.experts.packed import Packing, pack

FOUR_BITS: Final = "bitsandbytes_4bit"
"""Transformers' name for bitsandbytes' quantiser in 4 bits."""


@contextmanager
def experts_packed(wanted: bool = True) -> Iterator[None]:
    """While it is entered, a model that is loaded in 4 bits gets its fused experts packed as well, where wanted."""
    plain = AUTO_QUANTIZER_MAPPING[FOUR_BITS]
    if not wanted:
        yield
        return
    AUTO_QUANTIZER_MAPPING[FOUR_BITS] = ExpertsQuantizer
    try:
        yield
    finally:
        AUTO_QUANTIZER_MAPPING[FOUR_BITS] = plain


class ExpertsQuantizer(Bnb4BitHfQuantizer):  # type: ignore[misc]
    """bitsandbytes' quantiser, for fused experts too."""

    def param_needs_quantization(self, model: Any, param_name: str, **kwargs: Any) -> bool:
        """Whether a weight is quantised: those of bitsandbytes' layers, and fused ones."""
        module, name = get_module_from_name(model, param_name)
        if is_fused(module) and name in weight_names(module):
            return True
        return bool(super().param_needs_quantization(model, param_name, **kwargs))

    def get_quantize_ops(self) -> ConversionOps:
        """The operation that quantises a weight of either kind."""
        return _Quantize(super().get_quantize_ops(), self.quantization_config)

    def update_weight_conversions(self, weight_conversions: list[Any], model: Any) -> list[Any]:
        """The model's converters; those that stack experts do it one expert at a time."""
        targets = {name for module in model.modules() if is_fused(module) for name in weight_names(module)}
        updated = super().update_weight_conversions(weight_conversions, model)
        return updated if self.pre_quantized else [_one_by_one(each, targets) for each in updated]

    def _process_model_after_weight_loading(self, model: Any, **kwargs: Any) -> Any:
        model = super()._process_model_after_weight_loading(model, **kwargs)
        use(model)
        return model


def _one_by_one(converter: Any, targets: set[str]) -> Any:
    """A converter that stacks experts as one that converts them in turn; any other as it is."""
    if not isinstance(converter, WeightConverter):
        return converter
    sources, names = converter._original_source_patterns, converter._original_target_patterns
    stacks = bool(converter.operations) and isinstance(converter.operations[0], MergeModulelist)
    if len(names) != 1 or names[0].rpartition(".")[2] not in targets or not stacks:
        return converter
    if not all(_treats_alike(operation) for operation in converter.operations):
        return converter
    return converter.copy(sources, names, operations=[_InTurn(list(converter.operations))])


def _treats_alike(operation: ConversionOps) -> bool:
    """Whether an operation on stacked experts can be applied to each of them alone."""
    if isinstance(operation, MergeModulelist):
        return bool(operation.dim == 0)
    if isinstance(operation, Concatenate):
        return bool(operation.dim != 0)
    return isinstance(operation, Transpose) and 0 not in (operation.dim0, operation.dim1)


class _InTurn(ConversionOps):  # type: ignore[misc]
    """Conversions of stacked experts, put off: the quantiser asks for one expert after the other."""

    def __init__(self, operations: list[ConversionOps]) -> None:
        self.operations = operations

    def convert(
        self, input_dict: dict[str, list[Tensor]], source_patterns: list[str], target_patterns: list[str], **kwargs: Any
    ) -> dict[str, Any]:
        """Give an iterator over the experts of the weight; each tensor is forgotten once it is used."""
        held = {pattern: list(tensors) for pattern, tensors in input_dict.items()}
        input_dict.clear()

        def experts() -> Iterator[Tensor]:
            for index in range(max(len(tensors) for tensors in held.values())):
                one: Any = {pattern: [tensors[index]] for pattern, tensors in held.items()}
                for tensors in held.values():
                    tensors[index] = None  # type: ignore[call-overload]  # the list is given up as it is read
                for operation in self.operations:
                    one = operation.convert(
                        one, source_patterns=source_patterns, target_patterns=target_patterns, **kwargs
                    )
                (stacked,) = one.values()
                yield stacked[0]

        return {target_patterns[0]: experts()}

    @property
    def reverse_op(self) -> ConversionOps:
        """No way back to 16 bits.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("packed experts are not written as a base model: its files hold them in 16 bits")


class _Quantize(ConversionOps):  # type: ignore[misc]
    """Packs fused experts, and leaves other weights to bitsandbytes' own operation."""

    def __init__(self, plain: ConversionOps, settings: Any) -> None:
        self.plain, self.settings = plain, settings

    def convert(self, input_dict: dict[str, Any], model: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Give the packed values of each weight; their scales become parameters of their modules."""
        result: dict[str, Any] = {}
        for full_name, value in input_dict.items():
            module, name = get_module_from_name(model, full_name)
            if not is_fused(module):
                result |= self.plain.convert({full_name: value}, model=model, **kwargs)
                continue
            experts = value[0] if isinstance(value, list) else value
            settings = self.settings
            packing = Packing(
                settings.bnb_4bit_quant_type, settings.bnb_4bit_use_double_quant, settings.bnb_4bit_compute_dtype
            )
            result[full_name] = pack(module, name, experts, layout_of(module, name), packing)
            module._is_hf_initialized = True
        return result
