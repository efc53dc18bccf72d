"""Every score once more, image by image and number by number, in NumPy and plain loops."""

import math
from types import SimpleNamespace

import numpy as np


def softmax(f):
    e = [math.exp(v - max(f)) for v in f]
    return [v / sum(e) for v in e]


def lse(f):
    return max(f) + math.log(sum(math.exp(v - max(f)) for v in f))


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def length(a):
    return math.sqrt(dot(a, a))


def unit(a):
    return [x / length(a) for x in a]


def linear(W, b, h):
    return [dot(row, h) + c for row, c in zip(W, b, strict=True)]


def largest(values, count):
    """Indices of the ``count`` largest values."""
    return sorted(range(len(values)), key=lambda j: -values[j])[:count]


def msp(t, f, h, s):
    return -max(softmax(f))


def max_logit(t, f, h, s):
    return -max(f)


def energy(t, f, h, s):
    T = s.get("temperature", 1.0)
    return -T * lse([v / T for v in f])


def entropy(t, f, h, s):
    return -sum(p * math.log(p) for p in softmax(f))


def gen(t, f, h, s):
    p = sorted(softmax(f), reverse=True)[: s.get("top", 100)]
    return sum((v * (1 - v)) ** s.get("gamma", 0.1) for v in p)


def nll(t, T):
    rows = zip(t.logits, t.labels, strict=True)
    return -sum(math.log(softmax([v / T for v in f])[y]) for f, y in rows)


def temperature_scaled(t, f, h, s):
    grid = [math.exp(x) for x in np.linspace(-3, 3, 601)]
    T = min(grid, key=lambda T: nll(t, T))
    for width in (1e-2, 1e-4, 1e-6):
        T = min((T * (1 + width * x) for x in np.linspace(-1, 1, 101)), key=lambda T: nll(t, T))
    return -max(softmax([v / T for v in f]))


def kl_matching(t, f, h, s):
    p, found = softmax(f), []
    for c in range(len(f)):
        rows = [softmax(g) for g in t.logits if int(np.argmax(g)) == c]
        if rows:
            d = np.mean(rows, axis=0)
            found.append(sum(a * math.log(a / b) for a, b in zip(p, d, strict=True)))
    return min(found)


def class_rows(t):
    return {c: t.features[t.labels == c] for c in sorted(set(t.labels.tolist()))}


def mahalanobis(t, f, h, s):
    d, rows = len(h), class_rows(t)
    means = {c: r.mean(0) for c, r in rows.items()}
    covariance = np.zeros((d, d))
    for c, r in rows.items():
        for x in r:
            covariance += np.outer(x - means[c], x - means[c]) / len(t.features)
    shrink = s.get("shrinkage", 0.0)
    covariance = (1 - shrink) * covariance + shrink * np.trace(covariance) / d * np.eye(d)
    precision = np.linalg.inv(covariance)
    return min((h - m) @ precision @ (h - m) for m in means.values())


EARLIER = (lambda h: 2 * h[..., :5], lambda h: h[..., 3:] ** 2)
"""What stands for the features of earlier layers, made of the last one's."""


def mahalanobis_layers(t, f, h, s):
    total = 0.0
    for layer in (*EARLIER, lambda h: h):
        part = SimpleNamespace(features=layer(t.features), logits=t.logits, labels=t.labels)
        rows = class_rows(part)
        means = [r.mean(0) for r in rows.values()]
        gaps = [x - r.mean(0) for r in rows.values() for x in r]
        precision = np.linalg.inv(sum(np.outer(g, g) for g in gaps) / len(gaps))
        distance = lambda x: min((x - m) @ precision @ (x - m) for m in means)  # noqa: B023, E731
        total += distance(layer(h)) / np.mean([distance(x) for x in part.features])
    return total / (len(EARLIER) + 1)


def relative_mahalanobis(t, f, h, s):
    mean = t.features.mean(0)
    covariance = sum(np.outer(x - mean, x - mean) for x in t.features) / len(t.features)
    return mahalanobis(t, f, h, s) - (h - mean) @ np.linalg.inv(covariance) @ (h - mean)


def knn(t, f, h, s):
    z = np.array(unit(h))
    distances = sorted(length(z - np.array(unit(x))) for x in t.features)
    return distances[s.get("k", 1) - 1]


def nnguide(t, f, h, s):
    z, k = unit(h), s.get("k", 1)
    rows = zip(t.logits, t.features, strict=True)
    similarity = sorted((lse(g) * dot(unit(x), z) for g, x in rows), reverse=True)
    return -lse(f) * sum(similarity[:k]) / k


def rest_of(t, s):
    u = -np.linalg.pinv(t.W) @ t.b
    second = sum(np.outer(x - u, x - u) for x in t.features) / len(t.features)
    values, vectors = np.linalg.eigh(second)
    d, dim = len(u), s.get("dim")
    if dim is None:
        dim = 1
        while sum(values[d - dim :]) < 0.95 * sum(values) and dim < d // 2:
            dim += 1
    main = vectors[:, d - dim :]
    return lambda h: length((h - u) - main @ (main.T @ (h - u)))


def residual(t, f, h, s):
    return rest_of(t, s)(h)


def vim(t, f, h, s):
    rest = rest_of(t, s)
    alpha = sum(max(g) for g in t.logits) / sum(rest(x) for x in t.features)
    return alpha * rest(h) - lse(f)


def react(t, f, h, s):
    c = np.percentile(t.features, s.get("percentile", 90))
    return -lse(linear(t.W, t.b, [min(x, c) for x in h]))


def kept(h, s, default=90):
    return max(1, len(h) - round(len(h) * s.get("percentile", default) / 100))


def ash_b(t, f, h, s):
    m = kept(h, s)
    top = largest(h, m)
    return -lse(linear(t.W, t.b, [sum(h) / m if j in top else 0 for j in range(len(h))]))


def ash_s(t, f, h, s):
    top = largest(h, kept(h, s))
    r = sum(h) / sum(h[j] for j in top)
    return -lse(linear(t.W, t.b, [h[j] * math.exp(r) if j in top else 0 for j in range(len(h))]))


def scale(t, f, h, s):
    r = sum(h) / sum(h[j] for j in largest(h, kept(h, s, 85)))
    return -lse(linear(t.W, t.b, [x * math.exp(r) for x in h]))


def dice(t, f, h, s):
    contribution = t.W * t.features.mean(0)
    cut = np.percentile(contribution, s.get("percentile", 90))
    W = [
        [w if v > cut else 0 for w, v in zip(*rows, strict=True)]
        for rows in zip(t.W, contribution, strict=True)
    ]
    return -lse(linear(W, t.b, h))


def she(t, f, h, s):
    right = [int(np.argmax(g)) == y for g, y in zip(t.logits, t.labels, strict=True)]
    own = [ok and y == int(np.argmax(f)) for ok, y in zip(right, t.labels, strict=True)]
    rows = t.features[own] if any(own) else t.features[right]
    return -dot(h, rows.mean(0))


def nci(t, f, h, s):
    away = h - t.features.mean(0)
    along = dot(t.W[int(np.argmax(f))], away) / length(away)
    return -along - s.get("alpha", 1e-4) * sum(abs(x) for x in h)


def fdbd(t, f, h, s):
    best, total = int(np.argmax(f)), 0.0
    for c in range(len(f)):
        if c != best:
            total += abs(f[best] - f[c]) / length(t.W[best] - t.W[c])
    return -total / (len(f) - 1) / length(h - t.features.mean(0))


def separation(t, f, h, s):
    cosines = [abs(dot(unit(h), unit(w))) for w in t.W]
    mean = s.get("reduction") == "mean"
    return -max(softmax(f)) - sum(cosines) / (len(cosines) if mean else 1)


def odin(t, f, h, s, moved_f, moved_h):
    return -max(softmax([v / s.get("temperature", 1000.0) for v in moved_f]))


def shift(h, moved, s):
    def top(percent):
        return largest(h, max(1, round(percent / 100 * len(h))))

    distance = sum(abs(moved[j] - h[j]) for j in top(s.get("shifted", 1.0)))
    correction = sum(max(0, moved[j]) for j in top(s.get("corrected", 5.0)))
    return s.get("weight", 10.0) * distance + correction


def factor(t, h, moved, s):
    q = shift(h, moved, s)
    known = [shift(x, y, s) for x, y in zip(t.features, t.moved, strict=True)]
    share = sum(v <= q for v in known) / len(known)
    low, high = s.get("p_min", 60.0), s.get("p_max", 85.0)
    a = [max(0, x) for x in h]
    m = kept(a, {"percentile": low + (1 - share) * (high - low)})
    return sum(a) / sum(a[j] for j in largest(a, m))


def adascale_a(t, f, h, s, moved_f, moved_h):
    r = factor(t, h, moved_h, s)
    return -lse(linear(t.W, t.b, [x * math.exp(r) for x in h]))


def adascale_l(t, f, h, s, moved_f, moved_h):
    return -lse([v * factor(t, h, moved_h, s) ** 2 for v in f])
