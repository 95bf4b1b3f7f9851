"""The MLP of a decoder layer, dense or of experts, as operations of a tape."""

from __future__ import annotations

from recommender.memory.layers.dtypes import Dtypes
from recommender.memory.layers.experts import expert_ops
from recommender.memory.layers.linear import Input, Linears
from recommender.memory.layers.tape import Op
from recommender.memory.workload import Workload
from recommender.model.family_table import family_of


def mlp_ops(workload: Workload, _types: Dtypes, linears: Linears, x: Input, stream: int) -> list[Op]:
    """The operations of down(activation(gate(x)) · up(x)).

    Args:
        workload: What is priced.
        _types: Its dtypes; the linear layers know them.
        linears: Writes the linear layers.
        x: The normed hidden states.
        stream: Bytes of the hidden states: the residual in the forward pass, its gradient in the backward pass.
    """
    if workload.model.num_experts:
        return expert_ops(workload, stream)
    gives = linears.result(x.dtype)
    wide = workload.tokens * workload.model.intermediate_size * gives
    # The gradients of the product, of the activation and of up, while all three of their inputs are kept.
    if family_of(workload.model.model_type).fused:
        before = [
            *linears.ops("gate_up_proj", x, stream, stream + 2 * wide),
            Op("activation", kept=2 * wide, forward=stream + wide, backward=stream + 4 * wide),
            Op("product", kept=wide, forward=stream + wide, backward=stream + 3 * wide),
        ]
    else:
        before = [
            *linears.ops("gate_proj", x, stream, stream + wide, again=True),
            Op("activation", kept=wide, forward=stream + wide, backward=stream + 2 * wide),
            *linears.ops("up_proj", x, stream + wide, stream + 2 * wide),
            Op("product", kept=2 * wide, forward=stream + wide, backward=stream + 3 * wide),
        ]
    product = Input(workload.model.intermediate_size, gives)
    return [*before, *linears.ops("down_proj", product, stream + linears.alive(x), stream)]
