"""A set whose classes are numbered as another set's are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .sources import ImageSource, content_fingerprint


class Renumbered:
    """The images of a source with labels that count in other classes, matched by name.

    Args:
        source: whose every present class is one of ``classes``, letter by letter.
        classes: names in the order of the new labels; more than the source's own are allowed.

    Raises:
        DataError: the source has images of another class.
    """

    def __init__(self, source: ImageSource, classes: Sequence[str]) -> None:
        place = {name: k for k, name in enumerate(classes)}
        present = [source.classes[k] for k in np.unique(source.labels)]
        unknown = [name for name in present if name not in place]
        if unknown:
            given = f"{len(unknown)} of {len(present)} unknown, such as {', '.join(unknown[:3])}"
            reason = f"names are compared letter by letter with {', '.join(classes[:3])} …; rename the folders"
            raise DataError(f"classes of {source.name} that the model knows", given, reason)
        new = np.array([place.get(name, -1) for name in source.classes], np.int64)
        self.source, self.name, self.classes = source, source.name, list(classes)
        self.labels: NDArray[np.int64] = new[source.labels]

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image ``index`` of the source."""
        return self.source.image(index)

    def item_name(self, index: int) -> str:
        """Its name in the source."""
        return self.source.item_name(index)

    def fingerprint(self) -> str:
        """Sixteen hex digits over the source's fingerprint and the new labels."""
        return content_fingerprint(self.labels, [], [self.source.fingerprint().encode()])
