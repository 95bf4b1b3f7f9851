"""The MLP of a decoder layer, dense or of experts, as operations of a tape."""

from __future__ import annotations

from recommender.memory.layers.dtypes import Dtypes
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
        return _experts(workload, stream)
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


def _experts(workload: Workload, stream: int) -> list[Op]:
    """Fused experts by grouped products over all tokens sorted by expert (`grouped_mm`), in their weights' dtype.

    As many rows as tokens times chosen experts, whatever the router says. Kept: gate and up, the activation, and the
    outputs, which the router's weights are multiplied with; where experts are trained, the inputs of both products.
    gpt-oss clamps gate and up and keeps six inner widths; its biases are gathered for every row.
    """
    model = workload.model
    rows = workload.tokens * model.experts_per_token * workload.plain
    wide, out = rows * model.moe_intermediate_size, rows * model.hidden_size
    experts = family_of(model.model_type).experts
    clamps = experts is not None and experts.clamps
    trains = workload.config.method == "full"
    biases = 2 * wide if clamps else 0
    chosen = stream + (0 if trains else out) + biases
    weight = workload.adapter * model.num_experts * model.moe_intermediate_size * model.hidden_size if trains else 0
    left, added = (0, weight) if workload.accumulates else (weight, 0)
    return [
        Op(
            "experts.gate_up",
            kept=out if trains else 0,
            forward=stream + out + 2 * wide + biases,
            backward=stream + 2 * wide + 2 * out + 2 * added,
            gradient=2 * left,
        ),
        Op("activation", kept=2 * wide, forward=chosen + wide, backward=stream + 4 * wide),
        Op(
            "product",
            kept=(4 if clamps else 1) * wide,
            forward=chosen + wide,
            backward=stream + (5 if clamps else 3) * wide,
        ),
        Op(
            "experts.down",
            kept=out + (wide if trains else 0),
            forward=chosen + wide,
            backward=stream + 2 * out + wide + added,
            gradient=left,
        ),
    ]
