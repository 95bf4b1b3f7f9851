"""A model cut down to one layer of each kind, the first and the last two: what is traced to learn all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from trainer.trace.parts import base_of, decoder_of, layers_name, layers_of

FEW = 4
"""Layers that a model keeps whole."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The layers that stand for all layers of a model."""

    kept: tuple[int, ...]
    """Their places in the whole model, in order."""
    sequence: tuple[int, ...]
    """For each layer of the whole model the place, among those kept, of the one that stands for it."""

    def count(self, place: int) -> int:
        """Layers of the whole model that a kept one stands for."""
        return self.sequence.count(place)

    @property
    def deeper(self) -> Cut | None:
        """A cut with one more layer of the commonest kind; None where the model has no other of its kind."""
        most = max(range(len(self.kept)), key=self.count)
        others = [at for at, place in enumerate(self.sequence) if place == most and at not in self.kept]
        if not others:
            return None
        kept = tuple(sorted((*self.kept, others[0])))
        return Cut(kept, tuple(kept.index(self.kept[place]) for place in self.sequence))


def cut_of(model: Any) -> Cut:
    """The layers to keep: the first, the last two, and one of each kind between them.

    The first keeps nothing before its first trained weight, the last one's output goes to the loss, and the last but
    one is computed again while residuals of the last are held: they differ from others of their kind.

    Args:
        model: As Transformers builds it, all layers.
    """
    layers = layers_of(model)
    count = len(layers)
    if count <= FEW:
        return Cut(tuple(range(count)), tuple(range(count)))
    signatures = [signature(model, index) for index in range(count)]
    stands: dict[Any, int] = {}
    for index in range(1, count - 2):
        stands.setdefault(signatures[index], index)
    kept = tuple(sorted({0, *stands.values(), count - 2, count - 1}))
    whole = [0, *(stands[signatures[index]] for index in range(1, count - 2)), count - 2, count - 1]
    return Cut(kept, tuple(kept.index(index) for index in whole))


def signature(model: Any, index: int) -> tuple[Any, ...]:
    """The kind of a layer: classes, switches and shapes of its modules, and what the configuration lists for it."""
    found: list[Any] = []
    for name, module in layers_of(model)[index].named_modules():
        switches = sorted((key, str(value)) for key, value in vars(module).items() if _tells(key, value))
        shapes = [(key, tuple(p.shape)) for key, p in module._parameters.items() if p is not None]
        found.append((name, type(module).__name__, tuple(switches), tuple(shapes)))
    listed = [(name, str(values[index])) for name, values in _per_layer(model)]
    return (*found, *listed)


def keep(model: Any, kept: tuple[int, ...], *, counted: bool = True) -> None:
    """Leave only these layers in a model, and in the lists of its configuration that have an entry a layer.

    Args:
        model: As Transformers builds it.
        kept: Places of the layers.
        counted: Whether its configuration says so few layers. Not where a module outside of the layers has a dimension
            for each of them (Gemma's embeddings for each layer): that stays as large as it is.
    """
    decoder, name, layers = decoder_of(model), layers_name(model), layers_of(model)
    count = len(layers)
    for key, children in list(decoder.named_children()):
        if key != name and isinstance(children, nn.ModuleList) and len(children) == count:
            setattr(decoder, key, nn.ModuleList(children[index] for index in kept))
    lists = _per_layer(model)
    for place, index in enumerate(kept):
        for module in layers[index].modules():
            if getattr(module, "layer_idx", None) == index:
                module.layer_idx = place  # type: ignore[assignment]  # an attribute of Transformers' own layers
    setattr(decoder, name, nn.ModuleList(layers[index] for index in kept))
    for config in _configs(model):
        for key, values in lists:
            if list(getattr(config, key, None) or ()) == values:
                setattr(config, key, [values[index] for index in kept])
        if counted:
            config.num_hidden_layers = len(kept)


def _tells(key: str, value: Any) -> bool:
    return not key.startswith("_") and not _numbers(key) and isinstance(value, bool | int | str)


def _numbers(key: str) -> bool:
    """Whether an attribute says where layers stand, and not of what kind one is."""
    return any(word in key for word in ("idx", "index", "indices", "layer_id"))


def _configs(model: Any) -> list[Any]:
    """The configurations of the text part: of the model, of its decoder, and of its layers, where they are copies."""
    found = [model.config.get_text_config(decoder=True), base_of(model).config.get_text_config(decoder=True)]
    decoder = decoder_of(model)
    found += [module.config for module in decoder.modules() if hasattr(module, "config")]
    text = type(found[0])
    return list({id(config): config for config in found if type(config) is text}.values())


def _per_layer(model: Any) -> list[tuple[str, list[Any]]]:
    config = model.config.get_text_config(decoder=True)
    count = len(layers_of(model))
    return [
        (key, list(value))
        for key, value in vars(config).items()
        if isinstance(value, list | tuple) and len(value) == count and not key.startswith("_") and not _numbers(key)
    ]
