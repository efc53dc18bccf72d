"""One forward pass that keeps logits and features, for any classifier, without touching the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data import ImageSource, Preprocessing
from ..errors import ConfigError, ShapeError
from ..scores import GradientScore, Head, Outputs
from .layers import logits_and_layers
from .modes import autocast, device_of, evaluating
from .predict import BatchRun, OnProgress, logits_of, run_batches


@dataclass(frozen=True)
class Collected:
    """Outputs of a classifier for an image set, and the layer that made its logits."""

    run: BatchRun
    """parts "logits" (n, K) and "features" (n, d), the input of the last linear layer; "perturbed_…"
    too where a gradient score asked for them; labels, ids, skipped images and seconds"""
    head: Head
    """weight (K, d) and bias (K,)"""


class Tap:
    """Watches the linear layers of a model; made by `tapped`."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[nn.Linear, Tensor]] = {}

    def note(self, layer: nn.Linear, inputs: tuple[Tensor, ...]) -> None:
        """Remember the last input of a layer of this width."""
        self._seen[layer.out_features] = (layer, inputs[0])

    def read(self, logits: Tensor) -> tuple[nn.Linear, Tensor]:
        """The last linear layer as wide as (B, K) ``logits``, and its input (B, d) in this pass.

        Raises:
            ConfigError: there is none. ShapeError: it does not see one feature vector an image.
        """
        found = self._seen.get(logits.shape[-1])
        self._seen = {}
        if found is None:
            given = f"none of {logits.shape[-1]} outputs was called"
            reason = "features are the input of such a layer; give a classifier that ends with one"
            raise ConfigError("the last linear layer of a model", given, reason)
        layer, features = found
        if features.ndim != 2 or len(features) != len(logits):
            given = f"input {tuple(features.shape)} for logits {tuple(logits.shape)}"
            reason = "the model pools after its last layer; pool before it"
            raise ShapeError("one feature vector an image", given, reason)
        return layer, features


@contextmanager
def tapped(model: nn.Module) -> Iterator[Tap]:
    """Watch the inputs of all linear layers with forward pre-hooks, which are taken off at the end."""
    tap = Tap()
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    handles = [layer.register_forward_pre_hook(tap.note) for layer in layers]
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()


def collect(
    model: nn.Module, source: ImageSource, preprocessing: Preprocessing, batch_size: int = 128,
    workers: int = 0, on_progress: OnProgress | None = None, precision: str = "fp32",
    gradient: GradientScore | None = None, layers: Sequence[int] = (),
) -> Collected:  # fmt: skip
    """Logits and features of every image of ``source``, in one pass.

    The features are the input of the last `nn.Linear` that runs and has as many outputs as there
    are logits. Mode, device and skipped images are handled as in `predict`.

    Args:
        model: images (B, channels, height, width) → logits (B, K).
        source, preprocessing, batch_size, workers, on_progress, precision: as `predict`.
        gradient: a score whose changed images are run too ("perturbed_logits" and
            "perturbed_features"): a backward and a second forward pass, in fp32.
        layers: of a `Backbone`, whose mean tokens are kept too ("layer0", …), see `quarter_layers`; not
            together with ``gradient``.

    Raises:
        DataError: no image could be read. ConfigError: no linear layer makes the logits.
        ShapeError: that layer does not see one vector an image.
    """
    heads: list[Head] = []

    with tapped(model) as tap:

        def forward(images: Tensor) -> Outputs:
            with autocast(images.device, precision if gradient is None else "fp32"):
                logits, earlier = (
                    logits_and_layers(model, images, layers) if layers else (model(images), [])
                )
            layer, features = tap.read(logits)
            if not heads:
                heads.append(_head(layer))
            return Outputs(logits, features, layers=tuple(earlier))

        def step(images: Tensor) -> dict[str, Tensor]:
            found = forward(images) if gradient is None else gradient.outputs(forward, images)
            return _named(found, "") | _named(found.perturbed, "perturbed_")

        run = run_batches(step, model, source, preprocessing, batch_size, workers, on_progress,
                          gradients=gradient is not None)  # fmt: skip
    return Collected(run, heads[0])


def head_of(model: nn.Module, images: Tensor | None = None) -> Head:
    """The last linear layer of a classifier, found by one forward pass in eval mode.

    Args:
        model: images → logits (B, K).
        images: (B, channels, height, width) to run; None = one black image, for models of ours,
            which say what they take.

    Raises:
        ConfigError: no images for another model, or no linear layer makes the logits.
    """
    if images is None:
        images = _black_image(model)
    with tapped(model) as tap, evaluating(model):
        layer, _ = tap.read(logits_of(model, images.to(device_of(model)))["logits"])
    return _head(layer)


def _black_image(model: nn.Module) -> Tensor:
    config = getattr(model, "config", None)
    if not hasattr(config, "in_chans") or not hasattr(config, "image_hw"):
        given = f"a {type(model).__name__} and no images"
        raise ConfigError("the head of a model", given, "give images that it takes")
    return torch.zeros(1, config.in_chans, *config.image_hw)  # type: ignore[union-attr]


def _head(layer: nn.Linear) -> Head:
    weight = layer.weight.detach().cpu()
    bias = layer.bias
    return Head(weight, weight.new_zeros(len(weight)) if bias is None else bias.detach().cpu())


def _named(outputs: Outputs | None, prefix: str) -> dict[str, Tensor]:
    if outputs is None:
        return {}
    assert outputs.features is not None
    earlier = {f"{prefix}layer{k}": part for k, part in enumerate(outputs.layers)}
    return {f"{prefix}logits": outputs.logits, f"{prefix}features": outputs.features} | earlier
