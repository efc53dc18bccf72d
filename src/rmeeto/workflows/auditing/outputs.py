"""One forward pass over each image set and model, kept in the run folder; scores from what was kept."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...config import fingerprint, to_dict
from ...data import ImageSource
from ...errors import ConfigError, ScoreError, StaleStatisticsError
from ...evaluation import collect, predict, quarter_layers
from ...evaluation.predict import OnProgress
from ...scores import GradientScore, Head, Odin, Outputs, Score
from ..folder import RunFolder
from ..options import DataOptions
from ..ui import Watcher
from .detectors import is_foreign, learns, score_named
from .few import thin_statistics
from .inputs import Candidate, Images, OutlierSet

_STALE = "outputs of other weights, another reduction or preprocessing were kept"


@dataclass(frozen=True, eq=False)
class Kept:
    """Outputs of one model for one image set."""

    outputs: Outputs
    """with labels; only those of ID images mean a class of the model"""
    head: Head
    fingerprint: str
    """of the model that made them"""
    ids: NDArray[np.int64]
    """(n,) positions in the source"""

    @property
    def logits(self) -> NDArray[np.float32]:
        """(n, K)"""
        return self.outputs.logits.numpy()

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,)"""
        assert self.outputs.labels is not None
        return self.outputs.labels.numpy()


@dataclass(frozen=True, eq=False)
class Keeper:
    """Makes outputs, or reads those that the run folder keeps."""

    folder: RunFolder
    data: DataOptions
    ui: Watcher

    def outputs(
        self, candidate: Candidate, source: ImageSource, gradient: GradientScore | None = None,
        layered: bool = False,
    ) -> Kept:  # fmt: skip
        """Outputs of a model for a source, from the folder if they are there.

        Args:
            gradient: whose changed images are run too.
            layered: whether features of earlier layers are kept too, in a pass of its own.

        Raises:
            StaleStatisticsError: the kept ones are not of this model.
            DataError: no image could be read.
        """
        stage = self.stage(candidate, source, gradient) + ("_layers" if layered else "")
        found = self.folder.arrays(
            stage, lambda: self._run(candidate, source, gradient, stage, layered)
        )
        made_by = _maker(found, candidate, stage)
        head = Head(*(torch.from_numpy(found[f"head_{part}"]) for part in ("weight", "bias")))
        return Kept(_outputs(found, ""), head, made_by, found["ids"])

    def wrong(
        self, candidate: Candidate, source: ImageSource, on_progress: OnProgress | None = None
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which images a model gets wrong, and their positions; of one pass that keeps no more.

        Raises:
            As `outputs`.
        """

        def run() -> dict[str, np.ndarray]:
            found = predict(
                candidate.model, source, candidate.preprocessing, self.data.batch_size,
                self.data.workers, on_progress=on_progress,
            )  # fmt: skip
            made_by = np.array(candidate.fingerprint)
            return {"wrong": ~found.correct(), "ids": found.ids, "fingerprint": made_by}

        stage = self._wrong_stage(candidate, source)
        kept = self.folder.arrays(stage, run)
        _maker(kept, candidate, stage)
        return kept["wrong"], kept["ids"]

    def knows_wrong(self, candidate: Candidate, source: ImageSource) -> bool:
        """Whether the pass of `wrong` has been made."""
        return (self.folder.stages / f"{self._wrong_stage(candidate, source)}.npz").exists()

    def _wrong_stage(self, candidate: Candidate, source: ImageSource) -> str:
        return f"wrong_{candidate.fingerprint[:12]}_{source.fingerprint()[:12]}"

    def skipped(self, candidate: Candidate, source: ImageSource) -> dict:
        """The images of a plain pass that could not be read, for the record; {} without a pass."""
        if not self.is_kept(candidate, source):
            return {}
        return self.folder.value(f"{self.stage(candidate, source, None)}_skipped", dict)

    def is_kept(self, candidate: Candidate, source: ImageSource) -> bool:
        """Whether the plain pass has been made."""
        return (self.folder.stages / f"{self.stage(candidate, source, None)}.npz").exists()

    def stage(
        self, candidate: Candidate, source: ImageSource, gradient: GradientScore | None
    ) -> str:
        """Name of the kept file: model, images and the change that a gradient score makes."""
        name = f"outputs_{candidate.fingerprint[:12]}_{source.fingerprint()[:12]}"
        return name if gradient is None else f"{name}_{_step(gradient)}"

    def _run(
        self, candidate: Candidate, source: ImageSource, gradient: GradientScore | None, stage: str,
        layered: bool,
    ) -> dict[str, np.ndarray]:  # fmt: skip
        what = f"{candidate.letter} on {source.name}" + (f", {gradient.name}" if gradient else "")
        layers = quarter_layers(candidate.model) if layered else ()
        with self.ui.bar(what) as bar:
            found = collect(
                candidate.model, source, candidate.preprocessing, self.data.batch_size,
                self.data.workers, lambda n, of: bar.update(n, of, f"{n}/{of} images"),
                gradient=gradient, layers=layers,
            )  # fmt: skip
        self.folder.value(f"{stage}_skipped", found.run.skipped.to_record)
        head = {"head_weight": found.head.weight.numpy(), "head_bias": found.head.bias.numpy()}
        own = {"labels": found.run.labels, "ids": found.run.ids}
        return found.run.parts | own | head | {"fingerprint": np.array(candidate.fingerprint)}


def _maker(found: dict[str, np.ndarray], candidate: Candidate, stage: str) -> str:
    """Fingerprint of the model that kept arrays are of; a `StaleStatisticsError` if it is another."""
    made_by = str(found["fingerprint"])
    if made_by != candidate.fingerprint:
        asked = f"outputs of {candidate.letter}, {candidate.fingerprint}"
        raise StaleStatisticsError(asked, f"{made_by} in {stage}", f"{_STALE}; use --no-resume")
    return made_by


def _step(score: GradientScore) -> str:
    """Tells changes of images apart; scores that make the same one share a pass."""
    change = [type(score).step.__qualname__, type(score).objective.__qualname__, to_dict(score)]
    return fingerprint(change)[:8]


def _outputs(found: dict[str, np.ndarray], prefix: str) -> Outputs:
    logits, features = (
        torch.from_numpy(found[f"{prefix}{part}"]) for part in ("logits", "features")
    )
    changed = None if prefix or "perturbed_logits" not in found else _outputs(found, "perturbed_")
    names = sorted(name for name in found if name.startswith("layer"))
    layers = () if prefix else tuple(torch.from_numpy(found[name]) for name in names)
    return Outputs(logits, features, torch.from_numpy(found["labels"]), changed, layers)


def configured(name: str, candidate: Candidate) -> Score:
    """A score with its defaults; ODIN's step is told how the model's images were normalised."""
    score = score_named(name)
    return Odin(std=candidate.preprocessing.std) if isinstance(score, Odin) else score


@dataclass(frozen=True, eq=False)
class Scored:
    """Everything that is known of one model."""

    candidate: Candidate
    inside: Kept
    """of the ID images"""
    scores: dict[str, list[NDArray[np.float64]]]
    """score → (n,) of the ID images, then of each OOD set; larger = more out-of-distribution"""


def scored(
    keeper: Keeper, candidate: Candidate, images: Images, names: Sequence[str]
) -> tuple[Scored, list[str]]:
    """Fit every score and score every set; a score that can't be fitted is left out and named.

    Returns:
        The scores, and warnings.

    Raises:
        StaleStatisticsError: statistics and outputs are not of one model.
        ScoreError: no score is left.
    """
    sets = [images.evaluation, *(o.source for o in images.outliers)]

    @functools.cache
    def outputs(source: ImageSource, gradient: GradientScore | None, layered: bool) -> Kept:
        return keeper.outputs(candidate, source, gradient, layered)

    inside = outputs(images.evaluation, None, False)
    done: dict[str, list[NDArray[np.float64]]] = {}
    notes: list[str] = []
    for name in names:
        score = configured(name, candidate)
        gradient = score if isinstance(score, GradientScore) else None
        kept = [outputs(source, gradient, score.layered) for source in sets]
        train = images.held_out if score.held_out else images.fit
        fit_on = outputs(train, gradient, score.layered) if learns(score) else None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                done[name] = apply_score(score, fit_on, kept)
            except StaleStatisticsError:
                raise
            except (ScoreError, ConfigError) as error:
                notes.append(f"{candidate.letter}: {name} left out: {error.given}; {error.reason}")
            except Exception as error:
                if not is_foreign(name):
                    raise
                notes.append(f"{candidate.letter}: {name} left out: {type(error).__name__}: {error}")
        notes += [f"{candidate.letter}: {w.message}" for w in caught]
        thin = thin_statistics(score, fit_on.outputs) if fit_on and name in done else []
        notes += [f"{candidate.letter}: {note}" for note in thin]
    if not done:
        given = notes[0] if notes else "none"
        raise ScoreError("a score of these outputs", given, "look at the model's outputs")
    return Scored(candidate, inside, done), list(dict.fromkeys(notes))


def apply_score(
    score: Score, fit_on: Kept | None, sets: Sequence[Kept]
) -> list[NDArray[np.float64]]:
    """Fit on one model's outputs and score sets of outputs of the same model.

    Raises:
        StaleStatisticsError: a set was made by another model. ScoreError: what the score raises.
    """
    source = fit_on or sets[0]
    fitted = score.fit(fit_on.outputs if fit_on else None, source.head, source.fingerprint)
    found = []
    for kept in sets:
        fitted.check(kept.fingerprint)
        found.append(fitted(kept.outputs).double().numpy())
    return found


def equal_scores(models: Sequence[Scored], outliers: Sequence[OutlierSet]) -> list[str]:
    """A warning for every score that is one number for all images of a pair of sets."""
    return [
        f"{m.candidate.letter}: {name} is the same for all images of ID and {outlier.title}: its figures are chance"
        for m in models
        for name, values in m.scores.items()
        for outlier, outside in zip(outliers, values[1:], strict=True)
        if np.ptp(np.concatenate([values[0], outside])) == 0
    ]
