"""One re-training in progress: its parts, and what happens between two optimiser steps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from ..config import from_dict, to_dict
from ..data import ImageSource, Preprocessing, SkipReport
from ..objectives import Objective
from . import checkpoint, class_bound, elastic, progress, trust
from .checks import check_classes, set_drop_path
from .class_bound import ClassBound
from .criterion import Plain
from .feed import Feed
from .meter import Meter
from .pace import Pace
from .precision import resolve
from .recipe import Recipe
from .result import RetrainResult
from .schedule import LearningRate
from .state import TrainState
from .teacher import Teacher
from .validation import Score, validate
from .world import World


class Run:
    """The parts of a re-training; the arguments are those of `rmeeto.retrain.retrain`."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        train: ImageSource,
        val: ImageSource | None,
        folder: Path,
        preprocessing: Preprocessing,
        teacher: nn.Module | None,
        outliers: ImageSource | None,
        on_event: progress.OnEvent | None,
    ) -> None:
        check_classes(model, train)
        trust.check(recipe, outliers)
        class_bound.check(recipe, val, teacher)
        elastic.check(recipe, model)
        set_drop_path(model, recipe.drop_path)
        unreduced = None if recipe.max_class_drop is None else teacher
        if recipe.distill_weight == 0:
            teacher = None
        self.recipe, self.val, self.preprocessing = recipe, val, preprocessing
        self.path = folder / checkpoint.NAME
        self.world, device = World.current(), next(model.parameters()).device
        self.on_event = on_event if self.world.writes else None
        self.feed = Feed(train, recipe, preprocessing, device, self.world)
        smoothing = self.feed.augment.smoothing if recipe.smoothing is None else recipe.smoothing
        self.trust = None if outliers is None else trust.prepare(
            model, recipe, train, outliers, preprocessing, teacher, self.world
        )  # fmt: skip
        self.criterion = self.trust.criterion if self.trust else Plain(
            Objective(smoothing, recipe.distill_weight, recipe.distill_temperature, recipe.logit_norm),
            None if teacher is None else Teacher(teacher, recipe.views is not None),
        )  # fmt: skip
        self.identity = checkpoint.identity(
            model,
            recipe,
            train,
            val,
            preprocessing,
            unreduced if teacher is None else teacher,
            self.world,
            outliers,
        )
        self.start = checkpoint.digest(model)
        self.state = TrainState.begin(model, recipe)
        self.learning_rate = LearningRate(recipe.peak_lr, recipe.min_lr, recipe.warmup)
        passes = 0 if val is None else len(val) * (1 if self.state.ema is None else 2)
        self.pace = Pace(recipe, self.feed.steps_per_epoch, passes, self.world, device)
        self.meter, self.scores = Meter(self.world), {}
        self.validated_step, self.skipped = -1, SkipReport()
        self.unreduced, self.bound = unreduced, None

    @property
    def budget(self):
        """Bounds and elapsed time."""
        return self.pace.budget

    # Beginning

    def open(self, resume: bool) -> RetrainResult | None:
        """Begin, or go on from the checkpoint; returns the result of a run that is finished."""
        saved = checkpoint.load(self.path) if resume else None
        if saved is not None:
            checkpoint.check_same_run(self.path, saved, self.identity, self.start)
            if saved["result"] is not None:
                return self._finished_before(saved)
            self._restore(saved)
        self._set_bound(saved)
        if self.world.writes:
            checkpoint.clear(self.path, keep=saved is not None)
        history = [] if saved is None else saved["history"]
        log = self.path.with_name("log.jsonl") if self.world.writes else None
        self.log = progress.Log(log, history)
        self.emit(
            progress.Started(
                self.state.step, self.budget.steps, self.feed.steps_per_epoch, self.budget.seconds
            )
        )
        return None

    def _set_bound(self, saved: dict[str, Any] | None) -> None:
        """The limit by class: the unreduced model's accuracies, and weights from the checkpoint."""
        if self.recipe.max_class_drop is None or self.unreduced is None or self.val is None:
            return
        score = self._score(self.unreduced, self.val)
        self.bound = ClassBound(self.recipe.max_class_drop, score.classes)
        if saved is not None:
            self.bound.raw = saved["class_weights"]
        self.criterion.class_weights = self.bound.weights

    def _restore(self, saved: dict[str, Any]) -> None:
        self.state.load_dict(saved["state"])
        self.meter.load_dict(saved["meter"])
        self.pace.load_dict(self.state.step, saved["pace"])
        self.scores = {name: Score(**score) for name, score in saved["scores"].items()}
        self.validated_step = saved["validated_step"]

    def _finished_before(self, saved: dict[str, Any]) -> RetrainResult:
        self.state.model.load_state_dict(saved["weights"]["kept"])
        self.state.model.eval()
        result = from_dict(RetrainResult, {**saved["result"], "history": saved["history"]})
        self.emit(progress.Finished(result))
        return result

    def stop(self) -> str | None:
        """Why the training ends here, or None: a bound, or an accuracy that fell too far."""
        return self.budget.stop(self.state.step) or self._fallen() or self._class_fallen()

    def _fallen(self) -> str | None:
        limit = self.recipe.max_drop
        rows = [row for row in self.log.history if row["kind"] == "validated"]
        if limit is None or not rows:
            return None
        found = [max(a for a in (r["accuracy"], r["ema_accuracy"]) if a is not None) for r in rows]
        return "accuracy" if 100 * (max(found) - found[-1]) > limit else None

    def _class_fallen(self) -> str | None:
        rows = [row for row in self.log.history if row["kind"] == "validated"]
        if self.bound is None or not rows:
            return None
        both = [(row["class_drop"], row["ema_class_drop"]) for row in rows]
        worst = [min(d for d in pair if d is not None) for pair in both]
        return "class" if self.bound.fallen(worst) else None

    # Between two steps

    def after_step(self) -> None:
        """Look at the clock; report, validate and save where it is due."""
        step = self.state.step
        self.pace.tick(step)
        self.emit(
            progress.Advanced(
                step,
                self.budget.planned(step),
                self.budget.fraction(step),
                self.budget.seconds_left(step),
            )
        )
        if step % self.recipe.log_every == 0:
            self.report()
        if self.stop() is not None:
            return  # `finish` does the rest
        if self.pace.validation_due(step):
            self.validate()
        if self.pace.save_due(step):
            self.save()

    def report(self) -> None:
        """Log the means since the last line, if there was a step since."""
        self._settle()
        means, step = self.meter.means(), self.state.step
        if not means:
            return
        self._note(
            progress.Trained(
                step=step,
                epoch=self.epoch,
                loss=means.pop("loss"),
                accuracy=means.pop("accuracy"),
                grad_norm=means.pop("grad_norm"),
                parts=means,
                lr=self.meter.lr,
                images_per_second=self.pace.images_per_second(step),
                seconds=self.budget.elapsed,
                seconds_left=self.budget.seconds_left(step),
            )
        )

    def validate(self) -> None:
        """Score the weights and their average on the validation images; remember the best."""
        if self.val is None or self.validated_step == self.state.step:
            return
        self._settle()
        with self.pace.validating():
            for name, model in self.state.models().items():
                score = self.scores[name] = self._score(model, self.val)
                worth = self._worth(score)
                self.state.best.offer(worth, self.state.step, name, model, self._noise(score, worth))
        self.validated_step = self.state.step
        last, ema = self.scores["last"], self.scores.get("ema")
        if self.bound is not None:
            self.bound.update(last.classes)
            self.criterion.class_weights = self.bound.weights
        self._note(
            progress.Validated(
                step=self.state.step,
                epoch=self.epoch,
                accuracy=last.accuracy,
                loss=last.loss,
                ema_accuracy=ema and ema.accuracy,
                ema_loss=ema and ema.loss,
                images=last.images,
                detection=last.detection,
                ema_detection=ema and ema.detection,
                class_drop=self._class_drop(last),
                ema_class_drop=ema and self._class_drop(ema),
                seconds=self.budget.elapsed,
            )
        )

    def save(self, **final: Any) -> None:
        """Write the checkpoint: of finite numbers only, whole or not at all."""
        self._settle()
        with self.pace.saving():
            if self.world.writes:
                content = {
                    "identity": self.identity,
                    "start": self.start,
                    "history": self.log.history,
                    "result": None,
                    **(final or self._progress()),
                }
                checkpoint.save(self.path, content)
                self.emit(progress.Saved(self.state.step, str(self.path)))

    def _progress(self) -> dict[str, Any]:
        return {
            "state": self.state.to_dict(),
            "meter": self.meter.to_dict(),
            "pace": self.pace.to_dict(),
            "validated_step": self.validated_step,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "class_weights": self.bound and self.bound.raw,
        }

    # The end

    def finish(self) -> RetrainResult:
        """Validate the last weights, give the model the ones to keep, and save both."""
        self.report()
        self.validate()
        state = self.state
        weights = {name: dict(model.state_dict()) for name, model in state.models().items()}
        weights["last"] = {name: w.clone() for name, w in weights["last"].items()}
        kept, step, weights["kept"] = state.choose(self.recipe.keep)
        state.model.load_state_dict(weights["kept"])
        state.model.eval()
        result = self._result(kept, step)
        plain = {k: v for k, v in to_dict(result).items() if k != "history"}
        self.save(weights=weights, result=plain, final=checkpoint.digest(state.model))
        self.emit(progress.Finished(result))
        return result

    def _result(self, kept: str, kept_step: int) -> RetrainResult:
        step, last, ema = self.state.step, self.scores.get("last"), self.scores.get("ema")
        minutes, images = self.pace.now() / 60, step * self.recipe.batch_size
        return RetrainResult(
            steps=step,
            epochs=self.epoch,
            images=images,
            minutes=minutes,
            images_per_second=images / max(self.pace.training_seconds, 1e-9),
            stopped_by=self.stop() or "steps",
            kept=kept,
            kept_step=kept_step,
            precision=resolve(next(self.state.model.parameters()).device, self.recipe.precision),
            last_accuracy=last and last.accuracy,
            ema_accuracy=ema and ema.accuracy,
            best_accuracy=None if last is None else self._best("accuracy"),
            class_drop=None if self.bound is None else self._best("class_drop"),
            skipped=[*self.feed.skipped.names, *self.skipped.names],
            warnings=[self.trust.warning] if self.trust and self.trust.warning else [],
            history=self.log.history,
        )

    # Small things

    @property
    def epoch(self) -> float:
        """Passes over the training images so far."""
        return self.state.step / self.feed.steps_per_epoch

    def emit(self, event: progress.Event) -> None:
        """Hand an event to the caller."""
        if self.on_event is not None:
            self.on_event(event)

    def _note(self, event: progress.Trained | progress.Validated) -> None:
        self.log.add(event)
        self.emit(event)

    def _settle(self) -> None:
        self.meter.settle(str(self.path) if self.path.exists() else "none yet")

    def _worth(self, score: Score) -> float:
        return score.worth if self.bound is None else self.bound.worth(score.classes, score.worth)

    def _noise(self, score: Score, worth: float) -> float:
        """How far below the best weights may be and still be kept: never beyond a limit that was set."""
        most = 1.0 if self.recipe.max_drop is None else self.recipe.max_drop / 100
        return 0.0 if worth < 0 else min(score.noise, most)

    def _class_drop(self, score: Score) -> float | None:
        return self.bound and self.bound.worst(score.classes)

    def _best(self, name: str) -> float:
        """What the log says of the best weights; their worth may be made of several such numbers."""
        best = self.state.best
        key = name if best.which == "last" else f"ema_{name}"
        rows = (r for r in self.log.history if r["kind"] == "validated" and r["step"] == best.step)
        return next(row[key] for row in rows)

    def _score(self, model: nn.Module, val: ImageSource) -> Score:
        batch = self.recipe.eval_batch_size or self.recipe.micro_batch
        return validate(
            model, val, self.preprocessing, batch, self.recipe.precision, self.world,
            self.recipe.workers, self.skipped, self.trust.held_out if self.trust else None,
        )  # fmt: skip
