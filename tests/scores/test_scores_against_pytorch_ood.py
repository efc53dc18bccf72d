"""The same numbers as pytorch-ood 0.4, where it is installed and computes the same thing."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types

import pytest
import score_data as data
import torch
from test_scores_against_spec import N, numbers

from rmeeto.scores import SCORES, from_detector

STAND_INS = ("torchvision", "pandas", "tqdm")
# What it computes differently on purpose or by mistake, so that no comparison is made.
NOT_COMPARED = {
    "odin": "needs the model; the step is tested against finite differences",
    "mahalanobis_layers": "weights learned from outliers; each layer is `mahalanobis`",
    "residual": "not offered",
    "separation": "not offered",
    "adascale_a": "not offered",
    "adascale_l": "not offered",
}


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules in place of packages that pytorch-ood imports but its detectors don't use."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] in STAND_INS:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: _attribute(spec.name, name)
        return module

    def exec_module(self, module):
        pass


def _attribute(module, name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {"__module__": module})


@pytest.fixture(scope="module")
def detector():
    """The package pytorch_ood.detector; skips where it can't be imported."""
    if importlib.util.find_spec("pytorch_ood") is None:
        pytest.skip("pytorch-ood is not installed (pip install --no-deps pytorch-ood==0.4.0)")
    before = set(sys.modules)
    finder = StandIn()
    sys.meta_path.append(finder)
    try:
        import pytorch_ood.detector as package
    except Exception as e:
        pytest.skip(f"pytorch-ood can't be imported: {e}")
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in STAND_INS and name not in before:
                del sys.modules[name]
    return package


def linear(head):
    layer = torch.nn.Linear(*reversed(head.weight.shape))
    layer.weight.data, layer.bias.data = head.weight, head.bias
    return layer


CASES = {
    "msp": lambda d, h: (d.MaxSoftmax(None), {}),
    "max_logit": lambda d, h: (d.MaxLogit(None), {}),
    "energy": lambda d, h: (d.EnergyBased(None, t=2.0), {"temperature": 2.0}),
    "entropy": lambda d, h: (d.Entropy(None), {}),
    "gen": lambda d, h: (d.GEN(None, M=3), {"top": 3}),
    "kl_matching": lambda d, h: (d.KLMatching(None), {}),
    "mahalanobis": lambda d, h: (d.Mahalanobis(None), {}),
    "relative_mahalanobis": lambda d, h: (d.RMD(None), {}),
    "knn": lambda d, h: (d.KNN(None, k=4), {"k": 4}),
    "nnguide": lambda d, h: (d.NNGuide(None, linear(h), k=4), {"k": 4}),
    "vim": lambda d, h: (d.ViM(None, 3, h.weight, h.bias), {"dim": 3}),
    "dice": lambda d, h: (d.DICE(None, h.weight, h.bias, 0.7), {"percentile": 70.0}),
    "she": lambda d, h: (d.SHE(None, linear(h)), {}),
    "nci": lambda d, h: (d.NCI(None, linear(h), alpha=0.01), {"alpha": 0.01}),
    "fdbd": lambda d, h: (d.fDBD(None, linear(h)), {}),
}
# Ours over theirs: they average over M; their covariance is a sum over n; the Gaussian's factor ½.
FACTORS = {"gen": 3.0, "mahalanobis": 2 * 70.0, "relative_mahalanobis": 70.0}


@pytest.mark.parametrize("name", CASES)
def test_detectors_of_tensors(detector, name):
    outputs, head = numbers(torch.float32)
    train, test = outputs.rows(0, 70), outputs.rows(70, N)
    theirs, settings = CASES[name](detector, head)
    ours = SCORES.get(name)(**settings).fit(train, head)(test)
    found = from_detector(theirs).fit(train)(test) * FACTORS.get(name, 1.0)
    # Their covariances are summed and inverted in fp32.
    within = 1e-5
    torch.testing.assert_close(ours, found.float(), rtol=within, atol=within)


def test_temperature(detector):
    """At our temperature, as their L-BFGS without line search can leave the minimum (T < 0 here)."""
    outputs, _ = numbers(torch.float32)
    ours = SCORES.get("temperature_scaled")().fit(outputs)
    theirs = detector.TemperatureScaling(None).fit_logits(outputs.logits, outputs.labels)
    theirs.t.data = ours.statistics["temperature"].float()
    found = theirs.predict_logits(outputs.logits).detach()
    torch.testing.assert_close(ours(outputs), found, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["react", "ash_b", "ash_s", "scale"])
def test_detectors_of_maps(detector, name):
    outputs, head = numbers(torch.float32)
    train, test = outputs.rows(0, 70), outputs.rows(70, N)
    ours = SCORES.get(name)(percentile=60.0).fit(train, head)(test)
    layer = linear(head)

    def last(maps):
        return layer(maps.flatten(1))

    if name == "react":
        threshold = float(train.features.quantile(0.6))
        theirs = detector.ReAct(lambda x: x, last, threshold=threshold)
    elif name == "scale":
        theirs = detector.SCALE(lambda x: x, last, percentile=0.6)
    else:
        variant = name.replace("_", "-")
        theirs = detector.ASH(lambda x: x, last, variant=variant, percentile=0.6)
    with torch.no_grad():
        found = theirs.predict(test.features[:, :, None, None])
    torch.testing.assert_close(ours, found, rtol=1e-5, atol=1e-5)


def test_every_score_is_compared_or_excused():
    compared = {*CASES, "temperature_scaled", "react", "ash_b", "ash_s", "scale"}
    assert compared | set(NOT_COMPARED) == set(data.NAMES)
    assert not compared & set(NOT_COMPARED)
