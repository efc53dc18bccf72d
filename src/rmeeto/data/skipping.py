"""Corrupt images are left out, counted and named, and fatal only above a stated share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, DataError

_NAMED = 20


@dataclass
class SkipReport:
    """Which images could not be decoded; readers fill it in.

    Args:
        max_bad_share: largest share of a source, in [0, 1), that may be corrupt.
    """

    max_bad_share: float = 0.01
    total: int = 0
    """Images of the source; readers raise it to the number that they read from."""
    found: list[str] = field(default_factory=list)
    """Name of each corrupt image, in the order in which they were met."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad_share < 1:
            raise ConfigError(
                "max_bad_share in [0, 1)", repr(self.max_bad_share), "0.01 allows one in a hundred"
            )

    @property
    def count(self) -> int:
        """Different corrupt images met."""
        return len(self.found)

    @property
    def names(self) -> list[str]:
        """The first 20 names."""
        return self.found[:_NAMED]

    @property
    def share(self) -> float:
        """Corrupt images over images of the source, 0..1."""
        return self.count / self.total if self.total else 0.0

    def limit(self, total: int) -> int:
        """The smallest number of corrupt images that is too many among ``total``."""
        return int(self.max_bad_share * total + 1e-9) + 1

    def add(self, names: Iterable[str]) -> None:
        """Note corrupt images, each once; raises `DataError` once there are too many."""
        self.found += [name for name in dict.fromkeys(names) if name not in self.found]
        if self.count >= self.limit(self.total):
            raise self.too_many()

    def too_many(self) -> DataError:
        """The error for more corrupt images than allowed."""
        return DataError(
            f"at most {self.max_bad_share:.2%} corrupt images of {self.total}",
            f"{self.count} ({self.share:.2%}), e.g. {', '.join(self.names[:3])}",
            "repair or delete them, or allow a larger share with max_bad_share",
        )

    def to_record(self) -> dict[str, Any]:
        """Count, share and first names, for a run's record."""
        return {"count": self.count, "share": self.share, "names": self.names}
