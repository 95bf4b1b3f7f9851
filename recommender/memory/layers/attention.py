"""Self-attention of a decoder layer as operations of a tape."""

from __future__ import annotations

from recommender.machine.capability import has_flash_kernel
from recommender.memory.layers.dtypes import Dtypes
from recommender.memory.layers.linear import Input, Linears
from recommender.memory.layers.tape import Op
from recommender.memory.workload import FP32, Workload
from recommender.model.family_table import family_of


def attention_ops(workload: Workload, types: Dtypes, linears: Linears, x: Input, stream: int) -> list[Op]:
    """The operations from the normed hidden states to the output projection.

    Args:
        workload: What is priced.
        types: Its dtypes.
        linears: Writes the linear layers.
        x: The normed hidden states.
        stream: Bytes of the hidden states: the residual in the forward pass, its gradient in the backward pass.
    """
    model, tokens = workload.model, workload.tokens
    query, keys = tokens * model.num_heads * model.head_dim, tokens * model.num_kv_heads * model.head_dim
    gives = linears.result(x.dtype)
    gradients = stream + gives * (query + 2 * keys)
    given = tokens * model.hidden_size * x.dtype
    eager = workload.config.training.attn_implementation == "eager"
    out = Input(model.num_heads * model.head_dim, types.attention, kept=not eager)
    core = (
        _eager(workload, types, query, keys, stream) if eager else [_fused(workload, types, gives, query, keys, stream)]
    )
    projections = _projections(workload, linears, x, gradients)
    return [
        *projections,
        *_head_norms(workload, gives, query, keys, gradients),
        Op("rotary", forward=given + gives * (3 * query + 3 * keys), backward=gradients + gives * 2 * query),
        *core,
        *linears.ops("o_proj", out, stream + linears.alive(x), stream),
    ]


def _projections(workload: Workload, linears: Linears, x: Input, gradients: int) -> list[Op]:
    """Queries, keys and values; slices of one product in Phi-3."""
    if family_of(workload.model.model_type).fused:
        return linears.ops("qkv_proj", x, 0, gradients)
    return [
        *linears.ops("q_proj", x, 0, gradients, again=True),
        *linears.ops("k_proj", x, 0, gradients, again=True),
        *linears.ops("v_proj", x, 0, gradients),
    ]


def _head_norms(workload: Workload, gives: int, query: int, keys: int, gradients: int) -> list[Op]:
    """Norms of queries and keys keep them in fp32."""
    if not workload.model.qk_norm:
        return []
    kept = FP32 * (query + keys)
    if workload.config.method == "full":
        kept += (FP32 if family_of(workload.model.model_type).wide_norms else gives) * (query + keys)
    return [Op("head norms", kept=kept, forward=2 * FP32 * query, backward=gradients + 3 * FP32 * query)]


def _fused(workload: Workload, types: Dtypes, gives: int, query: int, keys: int, stream: int) -> Op:
    """FlashAttention-2 (algorithm 1) and SDPA's kernels: queries, keys, values, output, the log of the sums.

    Backward: the gradients of all four, an fp32 sum of the queries', and, where flash has fewer heads for keys than
    for queries, gradients of keys and values for every query head. A mask is a bias in the queries' dtype. Where
    values are a slice of one product (Phi-3), all of it stays alive for their sake.
    """
    model, half = workload.model, types.attention
    expanded = expands_keys(workload, types)
    values = query if expanded else keys
    kept = half * (2 * query + 2 * values) + FP32 * model.num_heads * workload.tokens
    kept += workload.tokens * own_mask_bytes(workload, types)
    cast = gives != half
    if not expanded and not cast and family_of(model.model_type).fused:
        kept += half * (query + keys)
    work = FP32 * query if half != FP32 or _flash(workload) else 0
    if not expanded and keys != query:
        work += 2 * half * query
    inputs = gives * (query + 2 * keys) if cast or expanded else 0
    backward = stream + half * (2 * query + 2 * values) + work
    return Op("attention", kept=kept, forward=stream + inputs, backward=backward)


def _eager(workload: Workload, types: Dtypes, query: int, keys: int, stream: int) -> list[Op]:
    """Score matrices: queries times keys, softmax in fp32, its copy in half, times values.

    The softmax's backward pass multiplies its output and gradient into a third matrix (`softmax_backward` in
    SoftMax.cu) and gives the scores' gradient: in fp16 at once, of bf16 in fp32 first, because CUDA's kernel only
    converts fp16, and in fp32 where the mask, which is in the hidden states' dtype, is.
    """
    model, half = workload.model, types.attention
    scores = workload.tokens * model.num_heads * workload.length
    halved = half if half != FP32 else 0
    at_once = halved if halved and types.stream != FP32 and workload.config.training.precision == "fp16" else FP32
    if family_of(model.model_type).attention_sinks:
        return _with_sinks(workload, types, scores, query, stream)
    caps = scores * half if model.attn_logit_softcapping else 0
    slices = family_of(model.model_type).fused
    alive = stream + half * query
    return [
        Op(
            "scores",
            kept=half * 2 * query + caps,
            forward=2 * scores * half,
            backward=alive + scores * 2 * half + half * query,
        ),
        Op(
            "softmax",
            kept=scores * FP32,
            forward=scores * (half + (FP32 if halved and at_once == FP32 else 0)),
            backward=alive + scores * (2 * FP32 + at_once),
        ),
        Op(
            "attention",
            kept=scores * halved + half * query + (half * (query + keys) if slices and query == keys else 0),
            forward=2 * half * query,
            backward=alive + half * query + scores * (halved + FP32 if halved else FP32),
        ),
    ]


def _with_sinks(workload: Workload, types: Dtypes, count: int, query: int, stream: int) -> list[Op]:
    """Eager attention with a learned logit a head (gpt-oss): the softmax is kept, in the sinks' and the mask's dtype.

    Where that is fp32, its copy in half too, which is multiplied with the values.
    """
    half, wide = types.attention, max(types.attention, workload.plain)
    scores, softmax = count * half, count * wide
    copy = scores if wide > half else 0
    alive = stream + half * query
    return [
        Op("scores", kept=half * 2 * query, forward=2 * softmax, backward=alive + 2 * scores),
        Op("softmax", kept=softmax, forward=2 * softmax, backward=alive + 3 * softmax),
        Op(
            "attention",
            kept=half * query + copy,
            forward=2 * half * query,
            backward=alive + max(scores, softmax if copy else 0) + half * query,
        ),
    ]


def _flash(workload: Workload) -> bool:
    return workload.config.training.attn_implementation.startswith("flash")


def expands_keys(workload: Workload, types: Dtypes) -> bool:
    """Whether keys and values are repeated for every query head.

    Eager always does; SDPA under a mask, and where the only kernel is the memory-efficient one (before Ampere, and
    in fp32), which knows no grouped queries.
    """
    implementation = workload.config.training.attn_implementation
    if implementation == "eager":
        return True
    if implementation != "sdpa" or workload.on_cpu:
        return False
    if masked(workload) or slides(workload) or not has_flash_kernel(workload.device.compute_capability):
        return True
    return types.attention == FP32


def masked(workload: Workload) -> bool:
    """Whether SDPA gets a mask that hides tokens of a row: for rows of unequal length, and for rows packed into one."""
    if workload.config.training.attn_implementation != "sdpa" or workload.stack.loss != "fused":
        return False
    return workload.packed or workload.rows > 1


def slides(workload: Workload) -> bool:
    """Whether SDPA gets a mask because rows are as long as a sliding window (`_ignore_causal_mask_sdpa`)."""
    window = workload.model.sliding_window
    return window is not None and workload.length >= window and workload.config.training.attn_implementation == "sdpa"


def own_mask_bytes(workload: Workload, types: Dtypes) -> int:
    """Bytes a token of the bias that each layer makes of a mask."""
    return workload.length * types.attention if masked(workload) or slides(workload) else 0


def mask_bytes(workload: Workload, types: Dtypes) -> int:
    """A mask of length² a row, one for each kind of layer: booleans for SDPA, in the hidden states' dtype for eager.

    A window's mask that hides no padding is the same for every row, and there once.
    """
    eager = workload.config.training.attn_implementation == "eager"
    if not eager and not masked(workload):
        return workload.length**2 if slides(workload) else 0
    windows = workload.model.sliding_window is not None and family_of(workload.model.model_type).mixes_windows
    return workload.tokens * workload.length * (types.stream if eager else 1) * (2 if windows else 1)
