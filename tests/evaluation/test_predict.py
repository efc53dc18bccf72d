"""predict: every image once and in order, modes and generators untouched, corrupt ones named."""

import numpy as np
import pytest
import torch
from torch import nn

from rmeeto.data import ArraySource, Preprocessing, Subset
from rmeeto.errors import ConfigError, DataError
from rmeeto.evaluation import predict

PLAIN = Preprocessing(8, channels=1, mean=(0.0,), std=(1.0,))


def source(n=10, broken=()):
    images = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
    bad = {i: DataError("an image", f"#{i}", "broken on purpose") for i in broken}
    labels = np.arange(n, dtype=np.int64) % 3
    return ArraySource(images, labels, ["a", "b", "c"], "squares", "0" * 16, bad)


class Classifier(nn.Module):
    """Logits (mean, first pixel, last pixel); dropout would show if training mode leaked in."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.frozen = nn.BatchNorm1d(3).eval()
        self.drop = nn.Dropout(0.9)
        self.seen = []

    def forward(self, images):
        self.seen.append((self.training, torch.is_grad_enabled(), len(images)))
        flat = images.flatten(1)
        logits = torch.stack([flat.mean(1), flat[:, 0], flat[:, -1]], 1) * self.scale
        return self.drop(self.frozen(logits)).to(torch.bfloat16 if self._low() else torch.float32)

    def _low(self):
        return torch.is_autocast_enabled("cpu")


def test_every_image_once_in_order_whatever_the_batch():
    data = source()
    whole, parts = (predict(Classifier(), data, PLAIN, batch_size=b) for b in (64, 3))
    assert whole.ids.tolist() == list(range(10))
    assert (whole.labels == data.labels).all()
    assert np.allclose(whole.logits, parts.logits)
    pixels = data.images.reshape(10, -1) / np.float32(255)
    expected = np.stack([pixels.mean(1), pixels[:, 0], pixels[:, -1]], 1) / np.sqrt(1 + 1e-5)
    assert np.allclose(whole.logits, expected, atol=1e-6)
    assert whole.logits.dtype == np.float32
    assert whole.seconds > 0


def test_modes_come_back_submodule_by_submodule():
    model = Classifier().train()
    model.frozen.eval()
    predict(model, source(), PLAIN)
    assert (model.training, model.drop.training, model.frozen.training) == (True, True, False)
    assert {(training, grad) for training, grad, _ in model.seen} == {(False, False)}
    assert torch.is_grad_enabled()
    predict(model.eval(), source(), PLAIN)
    assert not model.training


def test_modes_come_back_after_an_error():
    model = nn.Sequential(nn.Linear(3, 3)).train()
    with pytest.raises(RuntimeError):
        predict(model, source(), PLAIN)
    assert model.training


def test_draws_no_random_number():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    predict(Classifier(), source(), PLAIN)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_corrupt_images_are_left_out_and_named():
    data = source(200, broken=(3,))
    found = predict(Classifier(), data, PLAIN, batch_size=32)
    assert 3 not in found.ids
    assert len(found.ids) == len(found.labels) == len(found.logits) == 199
    assert (found.labels == data.labels[found.ids]).all()
    assert found.skipped.count == 1


def test_progress_counts_images():
    seen = []
    predict(Classifier(), source(), PLAIN, batch_size=4, on_progress=lambda *p: seen.append(p))
    assert seen == [(4, 10), (8, 10), (10, 10)]


def test_low_precision_still_returns_float32():
    found = predict(Classifier(), source(), PLAIN, precision="bf16")
    assert found.logits.dtype == np.float32
    assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(ConfigError, match="fp32, bf16, fp16"):
        predict(Classifier(), source(), PLAIN, precision="fp8")


def test_accuracy_of_predictions():
    found = predict(Classifier(), Subset(source(), [0, 1, 2, 3]), PLAIN)
    right = found.logits.argmax(1) == found.labels
    assert (found.correct() == right).all()
    assert found.accuracies()["top1"].value == 100 * right.mean()
    assert set(found.accuracies()) == {"top1"}  # three classes: top-5 says nothing
