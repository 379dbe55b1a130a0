"""Functions of the engine on the values of a group, which come as a list, and of probability; in numpy.

`engine.py` registers them; lowered statements call them by name. NULL in any argument gives NULL. Source: sql.md 6.10;
what the guide does not list is Trino's.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.engine.arrow import ArrowFunction, Floats, Ints, bounds, ints, lists, whole
from headwater.engine.pace import check
from headwater.engine.values import MADE_BYTES, ValueFunction
from headwater.errors import QueryFailed

# --------------------------------------------------------------------------------------- percentiles


def _weighted_places(ordered_weights: Any, shares: Any) -> pa.Array:
    """For each share, the 1-based place of the first value whose cumulative share of the weights reaches it."""
    weights, shares = whole(ordered_weights), whole(shares)
    values: list[Ints] = []
    lengths: list[int | None] = []
    flat = shares.values.to_numpy(zero_copy_only=False)
    for own, (start, end) in zip(ints(weights), bounds(shares), strict=True):
        if own is None or len(own) == 0:
            lengths.append(None)
            continue
        if (own < 1).any():
            raise QueryFailed("percentile weight must be > 0")
        reached = np.cumsum(own)
        values.append(np.searchsorted(reached / reached[-1], flat[start:end], side="left") + 1)
        lengths.append(end - start)
    joined = np.concatenate(values) if values else np.zeros(0, np.int64)
    return lists(pa.array(joined, type=pa.int64()), lengths)


# ----------------------------------------------------------------------------------- numeric_histogram


def _numeric_histogram(buckets: int, numbers: Sequence[float]) -> list[dict[str, float]]:
    """Centres and weights of at most so many buckets: the two closest are merged until they are few enough.

    `numbers` are value and weight in turn, of `hw_thinned` values.
    """
    given = np.array(numbers, dtype=np.float64).reshape(-1, 2)
    centres, weights = _gathered(given[:, 0], given[:, 1])
    merged = _merged(centres.tolist(), weights.tolist(), buckets)
    return [{"f0": centre, "f1": weight} for centre, weight in merged]


def _gathered(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The different values, ascending, and the weight of each."""
    if not len(values):
        return values, weights
    different, places = np.unique(values, return_inverse=True)
    return different, np.bincount(places, weights).astype(np.float64)


def _merged(centres: list[float], sums: list[float], buckets: int) -> list[tuple[float, float]]:
    """Neighbours are linked; of a pair that is stale, one has been merged since."""
    left, right = list(range(-1, len(centres) - 1)), list(range(1, len(centres) + 1))
    pairs = [(centres[i + 1] - centres[i], i, i + 1, 0, 0) for i in range(len(centres) - 1)]
    heapq.heapify(pairs)
    age = [0] * len(centres)
    there = len(centres)
    while there > buckets and pairs:
        check()
        _, a, b, age_a, age_b = heapq.heappop(pairs)
        if age[a] != age_a or age[b] != age_b:
            continue
        both = sums[a] + sums[b]
        centres[a], sums[a] = (centres[a] * sums[a] + centres[b] * sums[b]) / both, both
        age[a], age[b], right[a] = age[a] + 1, -1, right[b]
        there -= 1
        if right[a] < len(centres):
            left[right[a]] = a
            heapq.heappush(pairs, (centres[right[a]] - centres[a], a, right[a], age[a], age[right[a]]))
        if left[a] >= 0:
            heapq.heappush(pairs, (centres[a] - centres[left[a]], left[a], a, age[left[a]], age[a]))
    return [(centre, weight) for centre, weight, own in zip(centres, sums, age, strict=True) if own >= 0]


# ---------------------------------------------------------------------------------------- probability


def _normal_cdf(mean: float, deviation: float, value: float) -> float:
    if not deviation > 0:
        raise QueryFailed("standardDeviation must be > 0")
    return 0.5 * math.erfc((mean - value) / (deviation * math.sqrt(2)))


def _inverse_normal_cdf(mean: float, deviation: float, share: float) -> float:
    if not 0 < share < 1:
        raise QueryFailed("p must be 0 > p > 1")
    if not deviation > 0:
        raise QueryFailed("sd must be > 0")
    return NormalDist(mean, deviation).inv_cdf(share)


COMBINATIONS_MAX = 100_000
"""Source: Trino."""


def _combinations(sizes: Any, chosen: Any) -> pa.Array:
    """The places of each row's combinations. NULL in either argument gives NULL."""
    known: dict[tuple[int, int], Ints] = {}
    parts: list[Ints] = []
    counts: list[int | None] = []
    made_bytes = 0
    for size, length in zip(whole(sizes).to_pylist(), whole(chosen).to_pylist(), strict=True):
        check()
        if size is None or length is None:
            counts.append(None)
            continue
        if (size, length) not in known:
            known[size, length] = _places_of(size, length)
        parts.append(known[size, length])
        counts.append(len(parts[-1]))
        made_bytes += parts[-1].nbytes + 8 * len(parts[-1])
        if made_bytes > MADE_BYTES:
            raise QueryFailed("Query exceeded the memory limit of the server")
    lengths = np.concatenate([np.full(len(part), part.shape[1]) for part in parts] or [np.zeros(0, np.int64)])
    places = np.concatenate([part.ravel() for part in parts] or [np.zeros(0, np.int64)])
    inner = pa.ListArray.from_arrays(np.append(0, np.cumsum(lengths)).astype(np.int32), pa.array(places))
    return lists(inner, counts)


def _places_of(size: int, length: int) -> Ints:
    """A row for each combination, places from 1, in the order of Trino: the first element changes fastest."""
    if not 0 <= length <= 5:
        raise QueryFailed(
            f"combination size must not exceed 5: {length}" if length > 5 else "combination size must not be negative"
        )
    if math.comb(size, length) > COMBINATIONS_MAX:
        raise QueryFailed("combinations exceed max size")
    places = np.zeros((1, 0), np.int64)
    for shorter in range(length):
        # Those that end in a place begin with a combination of the places before it, which come first.
        ends = np.arange(shorter + 1, size + 1)
        counts = np.array([math.comb(end - 1, shorter) for end in ends.tolist()], np.int64)
        beginnings = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.column_stack((places[beginnings], np.repeat(ends, counts)))
    return places


_DOUBLES = ("DOUBLE", "DOUBLE", "DOUBLE")

STATISTICS_FUNCTIONS = (
    ArrowFunction("arrow_weighted_places", ("BIGINT[]", "DOUBLE[]"), "BIGINT[]", _weighted_places),
    ValueFunction(
        "arrow_numeric_histogram", ("BIGINT", "DOUBLE[]"), "STRUCT(f0 DOUBLE, f1 DOUBLE)[]", _numeric_histogram
    ),
    ValueFunction("arrow_normal_cdf", _DOUBLES, "DOUBLE", _normal_cdf),
    ValueFunction("arrow_inverse_normal_cdf", _DOUBLES, "DOUBLE", _inverse_normal_cdf),
    ArrowFunction("arrow_combinations", ("BIGINT", "BIGINT"), "BIGINT[][]", _combinations),
)
