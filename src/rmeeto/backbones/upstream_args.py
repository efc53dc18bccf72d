"""The reduction that a checkpoint of the R-MeeTo code was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from .reading import locate, read_checkpoint, settings_of

_METRICS = {"X": "update", "B": "b", "C": "c", "delta": "delta", "Q": "q", "K": "k", "V": "v"}
_MERGES = {"sum": "sum", "mean": "mean", "amax": "max", "amin": "min"}


def read_rmeeto_args(weights: str | Path) -> dict[str, Any] | None:
    """Reducer settings stored in an R-MeeTo checkpoint, for `reducer_from_dict`.

    The published code keeps them in the arguments of the training run only. Its forced last merge
    (``compare``) is not among them: that one changes Vim-Ti, not the models with r = 11.

    Args:
        weights: as `load_weights` takes them.

    Returns:
        ``{"name": "rmeeto", "r": 11, "sites": "even", …}``, or None if the file says nothing of a
        reduction.

    Raises:
        WeightsError: the file can't be read, or its settings are not R-MeeTo's.
    """
    path = locate(weights)
    args = settings_of(read_checkpoint(path))
    if not str(args.get("num_prune", "")).strip():
        return None
    try:
        return _reducer(args)
    except (KeyError, ValueError) as e:
        reason = f"{e} is no setting of that code; give the reduction's settings yourself"
        raise WeightsError("R-MeeTo's settings in a checkpoint", str(path), reason) from e


def _reducer(args: Mapping[str, Any]) -> dict[str, Any] | None:
    r = int(args["num_prune"])  # stored as text
    if r <= 0:
        return None
    deit = "deit" in str(args.get("model", ""))
    metric = _METRICS[args.get("metric", "X")]
    settings = {
        "r": r,
        "sites": "all" if deit else _sites(args),
        # On a ViT their X is the stream itself, after attention.
        "metric": "tokens" if deit and metric == "update" else metric,
        "distance": args.get("distance", "cosine"),
        "kth": int(str(args.get("choose", "max")).removesuffix("c").replace("max", "1")),
        "ordered": bool(args.get("if_order", False)),
        "shuffle": float(args.get("shuffle_rate", 0)) if args.get("if_shuffle") else 0.0,
    }
    if args.get("if_pruning"):
        return {"name": "prune_redundant", **settings}
    return {"name": "rmeeto", **settings, "merge": _MERGES[args.get("merge_mode", "sum")]}


def _sites(args: Mapping[str, Any]) -> str | int:
    every = int(args.get("merge_interval", 2))
    if args.get("if_merge_odd"):
        if every != 2:
            raise ValueError(f"if_merge_odd with merge_interval={every}")
        return "odd"
    return "even" if every == 2 else every
