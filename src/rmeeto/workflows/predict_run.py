"""Images in, classes and confidences out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..data import decode_image
from ..errors import DataError
from ..reporting import RunRecord, Table
from .folder import RunFolder
from .options import PredictOptions
from .record import default_out, finish, start_record
from .setup import Job, open_model, settle
from .temperature import temperature_of
from .ui import Silent, Watcher

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}


def run(options: PredictOptions, ui: Watcher | None = None) -> RunRecord:
    """Softmax confidences of the ``top`` classes of every image; unreadable images are named."""
    ui = ui or Silent()
    settle(options.run)
    files = list(image_files(options.images))
    job = open_model(options.model, None, ui, options.run.seed, keep_reduction=True)
    names = job.model.metadata.get("classes") or [str(k) for k in range(job.model.num_classes)]
    temperature, notes = temperature_of(job.model, job.preprocessing)
    rows, bad = [], []
    with ui.bar("predict") as bar:
        for done, path in enumerate(files):
            try:
                rows += _rows(job, names, path, options.top, temperature)
            except DataError as error:
                bad.append(f"{path}: {error.reason}")
            bar.update(done + 1, len(files), path.name)
    if bad and not rows:
        raise DataError(
            "images to classify",
            ", ".join(map(str, options.images)),
            f"none could be read; {bad[0]}",
        )
    table = Table("Predictions", ("image", "rank", "class", "confidence %"), tuple(rows))
    folder = RunFolder(
        default_out(options.run, "predict"), options, {"model": job.identity}, resume=False
    )
    record = start_record(
        "predict", options, folder.fingerprint, tables=(table,), warnings=(*job.warnings, *notes),
        skipped={"unreadable": {"count": len(bad), "names": bad[:20]}} if bad else {},
        headline=f"{len(files) - len(bad)} images classified{_told(temperature)}.",
    )  # fmt: skip
    return finish(record, folder, ui)


def image_files(given: Sequence[Path]) -> Iterator[Path]:
    """The files among ``given``, and the image files in its folders, sorted."""
    for path in given:
        if not path.exists():
            raise DataError(
                "an image or a folder of images", str(path), "no such path; check the spelling"
            )
        if path.is_file():
            yield path
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
        if not found:
            known = ", ".join(sorted(_SUFFIXES))
            raise DataError(
                "an image or a folder of images", str(path), f"no image in it; known: {known}"
            )
        yield from found


def read_image(path: Path):
    """An image file as uint8 (H, W, C); `DataError` if it is none."""
    try:
        return decode_image(path.read_bytes())
    except Exception as error:  # image decoders raise anything on damaged bytes
        why = f"{type(error).__name__}: {error}; replace the file"
        raise DataError("to decode an image", str(path), why) from error


def _told(temperature: float) -> str:
    return "" if temperature == 1 else f", confidences calibrated (temperature {temperature:.3g})"


def _rows(job: Job, names: Sequence[str], path: Path, top: int, temperature: float) -> list[tuple]:
    image = torch.from_numpy(job.preprocessing.apply(read_image(path)))[None]
    with torch.inference_mode():
        confidence = (job.model(image).float() / temperature).softmax(-1)[0]
    best = confidence.topk(min(top, len(confidence)))
    return [
        (str(path), rank + 1, names[k], round(100 * p, 2))
        for rank, (p, k) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True))
    ]
