"""Outputs of a made-up classifier, in-distribution and out, that every score should tell apart."""

import torch

from rmeeto.scores import SCORES, Head, Outputs

K, D, PER_CLASS = 6, 32, 4
RANK = K * PER_CLASS
NAMES = SCORES.names()


def generator(seed):
    return torch.Generator().manual_seed(seed)


def head(dtype=torch.float32):
    weight = torch.zeros(K, D, dtype=dtype)
    for k in range(K):
        weight[k, PER_CLASS * k : PER_CLASS * (k + 1)] = 1.0
    return Head(weight, torch.linspace(-0.1, 0.1, K, dtype=dtype))


def outputs_of(features, labels=None, moved=None):
    h = head(features.dtype)
    perturbed = None if moved is None else Outputs(h(moved), moved)
    layers = (features[:, :20], 2 * features[:, 4:])
    return Outputs(h(features), features, labels, perturbed, layers)


def in_distribution(n=300, seed=0, dtype=torch.float32):
    """Four strong features mark the class, the others are weak; every 20th label is wrong."""
    g = generator(seed)
    labels = torch.arange(n) % K
    features = 0.3 * torch.rand(n, D, generator=g)
    features[:, RANK:] *= 0.1
    for j in range(PER_CLASS):
        features[torch.arange(n), PER_CLASS * labels + j] += 4 + 0.3 * torch.randn(n, generator=g)
    features = features.relu().to(dtype)
    labels[::20] = (labels[::20] + 1) % K
    moved = features + 0.01 * torch.randn(n, D, generator=g).to(dtype)
    return outputs_of(features, labels, moved.relu())


def outliers(n=200, seed=1, dtype=torch.float32):
    """Four medium features anywhere instead of one class's; they move a lot when perturbed."""
    g = generator(seed)
    features = 0.3 * torch.rand(n, D, generator=g)
    features[:, RANK:] *= 0.1
    for _ in range(PER_CLASS):
        features[torch.arange(n), torch.randint(D, (n,), generator=g)] += 1.5
    features = features.to(dtype)
    moved = features + 0.5 * torch.randn(n, D, generator=g).to(dtype)
    return outputs_of(features, None, moved.relu())


def build(name):
    return SCORES.get(name)()


def fit(name, n=300, dtype=torch.float32, **settings):
    score = SCORES.get(name)(**settings)
    return score.fit(in_distribution(n, dtype=dtype), head(dtype), "model-a")


def auroc(inside, outside):
    """P(outside > inside) + P(equal)/2, by comparing all pairs."""
    gap = outside[:, None] - inside[None, :]
    return float(((gap > 0).double() + 0.5 * (gap == 0).double()).mean())
