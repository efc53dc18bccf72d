"""The run folder: settings, finished stages and results of one command, safe to interrupt and resume."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..config import fingerprint, to_dict, to_toml
from ..errors import ConfigError
from ..storage import write_atomic

T = TypeVar("T")

# Settings that do not change what a run computes: a run may be resumed with other values.
_OPERATIONAL = {"json", "resume", "out", "workers", "batch_size", "threads"}


class RunFolder:
    """Folder of one run.

    Args:
        path: where; made if absent.
        options: the command's settings, written to config.toml.
        inputs: fingerprints of model and data, so that a resumed run continues the same thing.
        resume: keep finished stages of an interrupted run; False starts over.
        free: names of settings that no stage depends on: a run may go on with other values.

    Raises:
        ConfigError: the folder holds a run with other settings or inputs.
    """

    def __init__(
        self, path: Path, options: Any, inputs: dict[str, str], resume: bool,
        free: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self.stages = self.path / "stages"
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(
                "a run folder", str(path), "a file is in the way; choose another --out"
            )
        decisive = {"settings": _decisive(to_dict(options), free), "inputs": inputs}
        self.fingerprint = fingerprint(decisive)
        if resume:
            self._check_same()
        else:
            for old in self.stages.glob("*"):
                old.unlink()
        table = {**to_dict(options), "inputs": inputs, "fingerprint": self.fingerprint}
        write_atomic(self.path / "config.toml", to_toml(table))

    def _check_same(self) -> None:
        config = self.path / "config.toml"
        if not config.exists():
            return
        found = tomllib.loads(config.read_text()).get("fingerprint")
        if found != self.fingerprint and any(self.stages.glob("*")):
            raise ConfigError(
                f"to go on with the run in {self.path}",
                "other settings, model or data than that run had",
                "choose another --out, or start it over with --no-resume",
            )

    def value(self, name: str, compute: Callable[[], Any]) -> Any:
        """The JSON value of stage ``name``: read if it is finished, else computed and kept."""
        file = self.stages / f"{name}.json"
        if not file.exists():
            write_atomic(file, json.dumps(to_dict(compute())))
        return json.loads(file.read_text())

    def arrays(
        self, name: str, compute: Callable[[], dict[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """As `value`, for a dict of arrays."""
        file = self.stages / f"{name}.npz"
        if not file.exists():
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **compute())
            write_atomic(file, buffer.getvalue())
        with np.load(file, allow_pickle=False) as found:
            return dict(found)


def _decisive(values: Any, free: Collection[str]) -> Any:
    if isinstance(values, dict):
        kept = {k: v for k, v in values.items() if k not in _OPERATIONAL and k not in free}
        return {k: _decisive(v, free) for k, v in kept.items()}
    return values
