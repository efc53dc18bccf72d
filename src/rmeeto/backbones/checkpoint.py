"""A model of ours as a folder: `model.safetensors` and a readable `config.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .. import __version__
from ..config import from_dict, to_dict
from ..errors import ConfigError, WeightsError
from ..reducers import reducer_from_dict, reducer_to_dict
from ..storage import write_all_atomic
from ..tokens import reduce_
from .config import BackboneConfig
from .registry import BACKBONES, build

if TYPE_CHECKING:
    from .base import Backbone

FORMAT, VERSION = "rmeeto-model", 1
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
_NAMED = ("classes", "provenance")
_PREPROCESSING = ("mean", "std", "crop_pct", "interpolation")


def save_model(model: Backbone, folder: str | Path, extra: Mapping[str, Any] | None = None) -> Path:
    """Save a model with its reduction; both files change or neither does.

    Args:
        model: weights, settings, reduction and ``metadata`` are saved.
        folder: made if needed; an older model in it is replaced.
        extra: what to record beside, for readers: ``classes`` (names in the head's order),
            ``provenance`` and anything else that JSON can hold; over ``model.metadata``.

    Returns:
        the folder.

    Raises:
        ConfigError: as many class names as outputs are needed.
        StorageError: the disk is full or the folder can't be written; nothing has changed then.
    """
    folder = Path(folder)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    weights = save(tensors, metadata={"format": "pt"})
    record = _record(model, {**model.metadata, **(extra or {})})
    record["weights"] = {"file": WEIGHTS_FILE, "sha256": hashlib.sha256(weights).hexdigest()}
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    write_all_atomic({folder / WEIGHTS_FILE: weights, folder / CONFIG_FILE: text})
    return folder


def load_model(folder: str | Path) -> Backbone:
    """The model that `save_model` wrote, in evaluation mode, with its reduction.

    Args:
        folder: with `model.safetensors` and `config.json`.

    Returns:
        the model; what was saved beside it is in ``model.metadata``.

    Raises:
        WeightsError: a file is missing, damaged, or from a newer version.
    """
    folder = Path(folder)
    record = _read_record(folder / CONFIG_FILE)
    config = read_config(record, str(folder / CONFIG_FILE))
    tensors = _read_weights(folder / WEIGHTS_FILE, record)
    device = torch.get_default_device()
    with torch.device("meta"):
        model = build(config)
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as e:
        reason = f"{str(e).splitlines()[-1].strip()}; save the model again"
        raise WeightsError("a saved model", str(folder), reason) from e
    named = {k: record[k] for k in _NAMED if record.get(k) is not None}
    model.metadata = {**named, **record.get("extra", {})}
    if record.get("reducer") is not None:
        reduce_(model, reducer_from_dict(record["reducer"]))
    return model.to(device).eval()


def read_config(record: Mapping[str, Any], where: str) -> BackboneConfig:
    """The backbone's settings in the content of a `config.json`.

    Raises:
        WeightsError: it is no file of ours, or of a version that this one can't read.
    """
    if record.get("format") != FORMAT:
        reason = "a saved model's config.json names that format; use create_model(weights=…)"
        raise WeightsError(f"the format {FORMAT}", f"{where}: {record.get('format')!r}", reason)
    if record.get("version") != VERSION:
        reason = f"this rmeeto ({__version__}) reads version {VERSION}; install a newer one"
        raise WeightsError("a saved model", f"{where}, version {record.get('version')!r}", reason)
    try:
        settings = {**record["backbone"]}
        settings |= {k: v for k, v in record["preprocessing"].items() if k in _PREPROCESSING}
        name = str(settings["name"])
    except (KeyError, TypeError, AttributeError) as e:
        reason = f"{e} is missing or wrong there; save the model again"
        raise WeightsError("a saved model's settings", where, reason) from e
    settings.pop("family", None)
    return from_dict(type(BACKBONES.get(name)), settings)


def weights_fingerprint(model: Backbone) -> str:
    """Sixteen hex digits that change with any weight or setting of the model, not its reduction."""
    digest = hashlib.sha256(json.dumps(_backbone(model.config), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _record(model: Backbone, extra: dict[str, Any]) -> dict[str, Any]:
    """Content of `config.json`."""
    classes = extra.get("classes")
    if classes is not None and len(classes) != model.num_classes:
        given = f"{len(classes)} names for {model.num_classes} outputs"
        raise ConfigError("class names to save", given, "give one name for each output, in order")
    config = model.config
    reduction = model.reduction
    return {
        "format": FORMAT,
        "version": VERSION,
        "rmeeto": __version__,
        "backbone": {k: v for k, v in _backbone(config).items() if k not in _PREPROCESSING},
        "reducer": None if reduction is None else reducer_to_dict(reduction.config),
        "preprocessing": to_dict(config.preprocessing),
        "classes": classes,
        "provenance": to_dict(extra.get("provenance")),
        "extra": to_dict({k: v for k, v in extra.items() if k not in _NAMED}),
    }


def _backbone(config: BackboneConfig) -> dict[str, Any]:
    return {"family": config.family, **to_dict(config)}


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError as e:
        reason = "a saved model's folder has a config.json and a model.safetensors"
        raise WeightsError("a saved model", f"{path}, which is not there", reason) from e
    except (OSError, ValueError) as e:
        raise WeightsError("a saved model", str(path), f"not JSON ({e}); save it again") from e
    if not isinstance(record, dict):
        raise WeightsError("a saved model", str(path), "not a JSON object; save it again")
    return record


def _read_weights(path: Path, record: dict[str, Any]) -> dict[str, torch.Tensor]:
    try:
        data = path.read_bytes()
        saved = (record.get("weights") or {}).get("sha256")
        if saved is not None and saved != hashlib.sha256(data).hexdigest():
            reason = "its sha256 is not the one in config.json: the file is damaged or another's"
            raise WeightsError("a saved model", str(path), f"{reason}; copy or save it again")
        return load(data)
    except (OSError, SafetensorError) as e:
        raise WeightsError("a saved model", str(path), f"{e}; copy or save it again") from e
