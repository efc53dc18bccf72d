"""One R-MeeTo step written down as loops over one image's tokens, straight from its description."""

import math


def step(features, tokens, sizes, protected, r, distance, kth, merge, ordered, compat):
    """(tokens, sizes, keep, groups) after the step; a group lists the old slots in a new one."""
    free = [i for i in range(len(tokens)) if not protected[i]]
    unit = {i: normalised(features[i]) for i in free}
    sources, targets = free[0::2], free[1::2]
    partner, score = {}, {}
    for a in sources:
        ranked = sorted(targets, key=lambda b: closeness(unit[a], unit[b], distance), reverse=True)
        partner[a] = ranked[kth - 1]
        score[a] = closeness(unit[a], unit[partner[a]], distance)
    by_score = sorted(sources, key=lambda a: score[a], reverse=True)
    gone, left = by_score[:r], by_score[r:]
    fixed = [i for i in range(len(tokens)) if protected[i]]
    if not ordered:
        keep = list(left)
        for number, p in enumerate(fixed):
            keep.insert(number + min(math.floor(p * len(left) / len(sources)), len(left)), p)
        keep += targets
    elif compat and fixed:
        keep = sorted(set(free) - set(gone))
        keep.insert(math.floor(fixed[0] * (len(tokens) - r) / len(tokens)), fixed[0])
    else:
        keep = sorted(set(range(len(tokens))) - set(gone))
    groups = [[slot, *(a for a in gone if partner[a] == slot)] for slot in keep]
    merged = [combine([(sizes[i], tokens[i]) for i in group], merge) for group in groups]
    return [m[0] for m in merged], [m[1] for m in merged], keep, groups


def normalised(row):
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def closeness(a, b, distance):
    if distance == "cosine":
        return sum(x * y for x, y in zip(a, b, strict=True))
    p = 1 if distance == "l1" else 2
    return -(sum(abs(x - y) ** p for x, y in zip(a, b, strict=True)) ** (1 / p))


def combine(group, merge):
    if len(group) == 1:
        size, token = group[0]
        return token, size
    scaled = [[size * x for x in token] for size, token in group]
    sizes = [size for size, _ in group]
    columns = zip(*scaled, strict=True)
    if merge in ("max", "min"):
        pick = max if merge == "max" else min
        return [pick(column) / pick(sizes) for column in columns], pick(sizes)
    total = sum(sizes)
    return [sum(column) / total for column in columns], (
        total if merge == "sum" else total / len(sizes)
    )
