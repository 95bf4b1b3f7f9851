"""PEFT's adapter of a fused weight, computed without a copy of the weight.

PEFT 0.21 adapts a 3-D parameter through a parametrisation: at each pass all experts of a layer plus their update, as
one 16-bit tensor that is kept for the backward pass, and a gradient of its size. Over a packed parameter it trains
nothing. Here the factors are handed to the products; names, shapes and saved files are PEFT's own, so that plain PEFT
loads them over the 16-bit model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from peft.tuners.lora import layer as lora
from torch import Tensor

from trainer.worker.setup.experts.forward import use
from trainer.worker.setup.experts.modules import fused_modules, layout_of, parameter_targets
from trainer.worker.setup.experts.packed import is_packed
from trainer.worker.setup.experts.products import Factors


class ParamWrapper(lora.ParamWrapper):  # type: ignore[misc]
    """PEFT's wrapper of that name, which its injection looks for by name, over experts that may be packed."""

    def _get_in_out_features(self, module: Any) -> tuple[int, int]:
        """Features as PEFT counts them before it swaps those of (experts, out, in)."""
        del module  # another wrapper, where two weights of one module are adapted
        layout = layout_of(self.get_base_layer(), self.parameter_name)
        self.num_experts, self._param_ndim = layout.experts, 3
        return layout.rows, layout.columns

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the experts with this adapter's factors beside them."""
        self._check_forward_args(x, *args, **kwargs)
        kwargs.pop("adapter_names", None)
        if self.disable_adapters or self.merged:
            return super().forward(x, *args, **kwargs)
        with self._factors():
            return self.base_layer(x, *args, **kwargs)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Merge into a weight that is not packed.

        Raises:
            NotImplementedError: It is.
        """
        if is_packed(self.get_base_layer(), self.parameter_name):
            raise NotImplementedError("experts in 4 bits take no merge: load the base in 16 bits")
        super().merge(safe_merge=safe_merge, adapter_names=adapter_names)

    @contextmanager
    def _factors(self) -> Iterator[None]:
        active = vars(self.get_base_layer()).setdefault("active_factors", {})
        active[self.parameter_name] = [self._of(name) for name in self.active_adapters if name in self.lora_A]
        try:
            yield
        finally:
            del active[self.parameter_name]

    def _of(self, name: str) -> Factors:
        """Factors of one adapter; PEFT lays A out as (experts · r, in) and B as (out, r · experts), experts last."""
        a, b = self.lora_A[name].weight, self.lora_B[name].weight
        return Factors(
            a.reshape(self.num_experts, -1, a.shape[-1]),
            b.reshape(b.shape[0], -1, self.num_experts).permute(2, 0, 1),
            self.scaling[name],
        )


def adapt_experts(settings: LoraConfig, model: Any) -> None:
    """Add the fused experts of a model to what an adapter adapts, and have them computed without copies.

    Args:
        settings: PEFT's, for this model; of a saved adapter with the parameters that it has.
        model: A Transformers model, its experts packed or not.
    """
    settings.target_parameters = settings.target_parameters or parameter_targets(model)
    settings._register_custom_module({type(module): ParamWrapper for _, module in fused_modules(model)})
    use(model)


def with_adapter(model: Any, folder: Path) -> Any:
    """A model with a saved adapter on it, as `PeftModel.from_pretrained` loads it; experts may be packed."""
    settings = LoraConfig.from_pretrained(str(folder))
    if settings.target_parameters:
        adapt_experts(settings, model)
    return PeftModel.from_pretrained(model, str(folder), config=settings)
