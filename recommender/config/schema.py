"""FinetuneConfig: the schema of the YAML file, for form, estimator and worker alike.

Keys are the names that PEFT, TRL and Transformers use. Validation happens here, once; the layers behind it trust it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from recommender.config.launch import SHARDING, Launch
from recommender.config.section import Count, Number, PositiveCount, Section, no_booleans, number_words
from recommender.paths import expanded

Method = Literal["qlora", "lora", "full"]
Precision = Literal["bf16", "fp16", "fp32"]
Task = Literal["style", "task", "domain"]
Tracker = Literal[
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "kubeflow", "mlflow", "neptune",
    "swanlab", "tensorboard", "trackio", "wandb",
]  # fmt: skip
Goal = Literal["balanced", "fastest", "longest-context", "best-quality", "smallest-memory"]


def _named(value: Any) -> Any:
    """Refuse `true`, a consent to any model's code; false becomes None."""
    if isinstance(value, bool):
        if value:
            raise ValueError("must be the name of the model whose code may run, as under `model`, not true")
        return None
    return value


TEMPLATE_ARGUMENTS = frozenset({"messages", "tools", "add_generation_prompt"})
"""Arguments of a chat template that are taken from each row, so that no setting can give them."""


def _template_variables(value: Any) -> Any:
    if isinstance(value, dict) and (taken := sorted(TEMPLATE_ARGUMENTS & value.keys())):
        raise ValueError(f"may not set {taken[0]}, which comes from each row's own turns and tools")
    return value


def same_model(first: str, second: str) -> bool:
    """Whether two names are of one model: the same text, or the same folder."""
    return first == second or expanded(first).absolute() == expanded(second).absolute()


class Quantization(Section):
    """Quantisation of the frozen base."""

    bits: Literal[4, 8] | None = Field(None, description="4 or 8 bits by bitsandbytes, null for 16-bit weights")
    quant_type: Literal["nf4", "fp4"] = Field(
        "nf4", description="4-bit data type; NF4 suits normally distributed weights"
    )
    double_quant: bool = Field(True, description="quantise the block scales too: 0.37 bit a parameter less")
    experts: Literal["auto", False] = Field(
        "auto", description="a mixture's experts: auto holds them in 4 bits too where bits is 4, false in 16"
    )


class Lora(Section):
    """PEFT's LoraConfig, its own names."""

    r: Count = Field(16, ge=1, le=4096, description="rank of the update")
    lora_alpha: Annotated[float, BeforeValidator(number_words)] = Field(
        32, gt=0, description="scale: the update is multiplied by lora_alpha / r"
    )
    lora_dropout: Number = Field(0.0, ge=0.0, lt=1.0, description="dropout before the A matrix")
    target_modules: Literal["all-linear"] | list[str] = Field("all-linear", description="leaf names, or all-linear")
    bias: Literal["none", "all", "lora_only"] = Field("none", description="which biases are trained")
    use_rslora: bool = Field(False, description="scale by lora_alpha / sqrt(r) instead")
    use_dora: bool = Field(False, description="weight-decomposed LoRA: slower, a little better at low rank")
    init_lora_weights: bool | Literal["gaussian", "pissa", "pissa_niter_16", "olora", "loftq", "orthogonal"] = Field(
        True, description="true: B starts at zero, so training starts from the base model"
    )
    modules_to_save: list[str] = Field(default_factory=list, description="modules trained in full beside the adapter")
    rank_pattern: dict[str, Annotated[int, Field(ge=1, le=4096), BeforeValidator(no_booleans)]] = Field(
        default_factory=dict, description="rank by layer name or regular expression"
    )
    alpha_pattern: dict[str, Annotated[float, Field(gt=0), BeforeValidator(number_words)]] = Field(
        default_factory=dict, description="alpha by layer name or regular expression"
    )
    experts: Literal["auto"] | bool = Field(
        "auto", description="adapters on a mixture's experts, each its own; auto: the rule says, at present none"
    )


class RopeScaling(Section):
    """Context extension, as Transformers takes it."""

    rope_type: Literal["linear", "dynamic", "yarn"] = Field(description="how positions are stretched")
    factor: Number = Field(gt=1.0, description="how far beyond the model's own context")


class Source(Section):
    """One of several data sets, with its weight."""

    path: str = Field(description="file, folder, glob, or the id of a data set on the hub")
    weight: Number = Field(1.0, gt=0, description="how often its rows are taken: 2 twice, 0.5 every second one")
    name: str | None = Field(None, description="configuration of a data set on the hub")
    split: str | None = Field(None, description="split of a data set on the hub, or list of rows in a JSON object")
    format: str | None = Field(None, description="row shape of this one; null takes data.format")
    columns: dict[str, str] | None = Field(None, description="columns of this one; null takes data.columns")


class Data(Section):
    """Training and held-out data, and their tokenisation."""

    train: list[str | Source] = Field(default_factory=list, description="files, relative to this configuration file")
    eval: list[str | Source] | None = Field(
        None,
        description="held-out files, each with its own format and columns where they differ; null takes eval_fraction "
        "of the training rows",
    )
    eval_fraction: Number = Field(0.05, ge=0.0, lt=1.0, description="share of rows held out when eval is null")
    format: str = Field(
        "auto", description="row shape: auto, alpaca, sharegpt, messages, prompt-completion, text, preference, kto"
    )
    template: str = Field(
        "auto",
        description="chat template: auto is the model's own, else a name, trl:NAME (TRL's training template) or a "
        "Jinja file",
    )
    chat_template_kwargs: Annotated[dict[str, Any], BeforeValidator(_template_variables)] = Field(
        default_factory=dict,
        description="values for variables of the chat template, such as enable_thinking; a row's own go before them",
    )
    reasoning: Literal["auto", "keep", "drop", "split"] = Field(
        "auto",
        description="reasoning in answers: auto asks where the template would lose it, keep trains it as written, drop "
        "takes it out, split moves <think> … </think> to where the template reads reasoning",
    )
    answers: Literal["all", "last", "each"] = Field(
        "all",
        description="which answers of a conversation are trained: all, the last, or each in a row of its own",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="role to column, where recognition is corrected; for conversations also role and content (keys of "
        "a turn) and user, assistant, system, tool (the file's words for them, several with commas)",
    )
    max_length: Count = Field(1024, ge=2, description="tokens a row may have; the rest is cut")
    allow_cut_rows: bool = Field(False, description="train also where max_length cuts a fifth of the rows or more")
    packing: Literal["auto"] | bool = Field("auto", description="several rows in one sequence")
    train_on: Literal["assistant", "all"] = Field("assistant", description="which tokens the loss sees")
    task: Task = Field("task", description="what the rows teach: a style or format, a task, a new domain or language")
    skip_bad_rows: bool = Field(False, description="leave rows out that cannot be read; their number is recorded")

    @field_validator("eval")
    @classmethod
    def _unweighted(cls, items: list[str | Source] | None) -> list[str | Source] | None:
        for item in items or ():
            if isinstance(item, Source) and item.weight != 1:
                raise ValueError(f"{item.path}: held-out rows are taken once, whatever weight says")
        return items

    @property
    def sources(self) -> tuple[Source, ...]:
        """The training data sets, also those that are only named."""
        return tuple(Source(path=item) if isinstance(item, str) else item for item in self.train)

    @property
    def eval_sources(self) -> tuple[Source, ...]:
        """The held-out data sets, also those that are only named; none where rows are held out by the split."""
        return tuple(Source(path=item) if isinstance(item, str) else item for item in self.eval or ())

    @property
    def train_paths(self) -> tuple[str, ...]:
        """Paths of the training sources, without weights and splits."""
        return tuple(item if isinstance(item, str) else item.path for item in self.train)


class Training(Section):
    """Transformers' TrainingArguments, with `precision` and `gradient_checkpointing` as people know them."""

    learning_rate: Number = Field(2e-4, gt=0, le=1.0, description="peak rate")
    num_train_epochs: Number = Field(1, gt=0, le=1000, description="passes over the rows")
    max_steps: PositiveCount | None = Field(None, description="optimizer steps; overrides epochs when set")
    per_device_train_batch_size: Count = Field(1, ge=1, description="rows in one forward pass")
    gradient_accumulation_steps: Count = Field(16, ge=1, description="forward passes in one optimizer step")
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = Field(
        "cosine", description="how the rate goes from its peak to the end"
    )
    warmup_steps: Number = Field(0.05, ge=0.0, description="below 1 a share of all steps, else steps")
    weight_decay: Number = Field(0.0, ge=0.0, description="AdamW's decoupled decay of the trained weights")
    optim: Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "sgd"] = (
        Field("adamw_torch_fused", description="optimizer; paged states move to host memory where the card is full")
    )
    loraplus_lr_ratio: Annotated[float, Field(ge=1.0, le=1000), BeforeValidator(number_words)] | None = Field(
        None, description="LoRA+: the B matrices' rate over the A matrices'; null is one rate for both"
    )
    neftune_noise_alpha: Annotated[float, Field(gt=0, le=100), BeforeValidator(number_words)] | None = Field(
        None,
        examples=[5],
        description="NEFTune: noise of up to this, over the root of tokens × hidden size of a row, is added to the "
        "embeddings in training; null is none",
    )
    max_grad_norm: Number = Field(1.0, ge=0.0, description="clip the gradient's norm; 0 does not clip")
    precision: Precision = Field("bf16", description="compute precision")
    tf32: bool = Field(False, description="multiply what is left in fp32 as TF32, on cards from Ampere on")
    gradient_checkpointing: bool = Field(True, description="recompute activations in the backward pass")
    activation_offloading: bool = Field(False, description="keep checkpoints in host memory")
    attn_implementation: Literal["sdpa", "flash_attention_2", "flash_attention_3", "eager"] = Field(
        "sdpa", description="attention kernel, as Transformers calls it"
    )
    seed: Count = Field(
        42, ge=0, le=2**32 - 1, description="of the order of rows, the held-out split and the adapter's start"
    )

    @property
    def effective_batch_size(self) -> int:
        """Rows in one optimizer step on one device."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps


class Run(Section):
    """Logging, evaluation and checkpoints of the run."""

    name: str | None = Field(None, description="part of the run folder's name; null takes model and data")
    logging_steps: Count = Field(1, ge=1, description="steps from one recorded loss to the next")
    eval_steps: Literal["auto"] | PositiveCount = Field(
        "auto", description="auto, or so many steps between evaluations"
    )
    save_steps: Literal["auto"] | PositiveCount = Field(
        "auto", description="auto, or so many steps between checkpoints"
    )
    save_total_limit: Count = Field(2, ge=1, description="checkpoints kept")
    report_to: list[Tracker] = Field(
        default_factory=list, description="experiment trackers; their package must be there"
    )
    on_end: str | None = Field(None, description="a command run when the run has ended, well or badly")
    on_nonfinite: Literal["skip", "rollback"] = Field(
        "skip", description="NaN or infinity: skip that step, or go back to the last checkpoint at half the rate"
    )
    early_stopping: PositiveCount | None = Field(
        None, description="stop after so many evaluations without a better loss, and keep the best"
    )


class FinetuneConfig(Section):
    """The whole of a fine-tune."""

    model: str = Field(description="hub id or folder", min_length=1)
    revision: str | None = Field(None, description="branch, tag or commit on the hub; null is the newest")
    trust_remote_code: Annotated[str | None, BeforeValidator(_named)] = Field(
        None, description="the model, named once more, where the Python code that comes with it may run; null: never"
    )
    start_from: str | None = Field(
        None,
        min_length=1,
        description="an adapter that training goes on from: a run, or a folder with adapter_config.json",
    )
    method: Method = Field(
        "qlora", description="what is trained: an adapter over a quantised base, one over 16 bits, or every weight"
    )
    quantization: Quantization = Field(default_factory=Quantization)
    lora: Lora = Field(default_factory=Lora)
    rope_scaling: RopeScaling | None = Field(None, description="context extension; null keeps the model's own")
    data: Data = Field(default_factory=Data)
    training: Training = Field(default_factory=Training)
    launch: Launch = Field(default_factory=Launch)
    run: Run = Field(default_factory=Run)

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, raw: Any) -> Any:
        """Accept `training.warmup_ratio`, the old name of a `warmup_steps` below 1."""
        if isinstance(raw, dict) and isinstance(training := raw.get("training"), dict) and "warmup_ratio" in training:
            if "warmup_steps" in training:
                raise ValueError("training.warmup_ratio is the old name of training.warmup_steps: give one of them")
            renamed = {("warmup_steps" if key == "warmup_ratio" else key): value for key, value in training.items()}
            return {**raw, "training": renamed}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _four_bits(cls, raw: Any) -> Any:
        """Set the bits of QLoRA to 4 where none are given."""
        if not isinstance(raw, dict) or raw.get("method", "qlora") != "qlora":
            return raw
        given = raw.get("quantization", {})
        return {**raw, "quantization": {"bits": 4, **given}} if isinstance(given, dict) else raw

    @model_validator(mode="after")
    def _one_model_is_trusted(self) -> Self:
        if self.trust_remote_code is not None and not same_model(self.trust_remote_code, self.model):
            raise ValueError(
                f"trust_remote_code agrees to the code of {self.trust_remote_code}, but the model is {self.model}: "
                "name this one, or set it to null"
            )
        return self

    @model_validator(mode="after")
    def _method_and_bits_agree(self) -> Self:
        bits = self.quantization.bits
        if self.method == "qlora" and bits is None:
            raise ValueError("method qlora needs quantization.bits 4 or 8 (or choose method lora)")
        if self.method != "qlora" and bits is not None:
            raise ValueError(
                f"method {self.method} trains 16-bit weights: quantization.bits must be null (or choose qlora)"
            )
        return self

    @model_validator(mode="after")
    def _shards_can_be_made(self) -> Self:
        strategy, bits, optim = self.launch.kind, self.quantization.bits, self.training.optim
        if strategy in {"zero2", "zero3"} and bits is not None:
            raise ValueError(
                f"launch.strategy {strategy} cannot shard a base in {bits} bits: set it to fsdp, or method to lora"
            )
        if strategy in SHARDING and optim not in {"adamw_torch", "adamw_torch_fused", "sgd"}:
            raise ValueError(
                f"launch.strategy {strategy} shards the optimizer's states, and bitsandbytes' {optim} keeps its own "
                "kind: set training.optim to adamw_torch"
            )
        return self
