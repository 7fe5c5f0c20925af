"""Durations as a histogram whose size does not depend on their number: what the live view, the figures and the charts
share.

Buckets are logarithmic, `PER_OCTAVE` to a doubling from 1 ns on, so a percentile is exact to 1.1 %. Counts of the same
buckets are added up to merge two histograms. (HdrHistogram does the same for one value a call; these are columns.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""How many durations fell into each bucket."""

PER_OCTAVE = 64
BUCKETS = 48 * PER_OCTAVE
"""Up to 2⁴⁸ ns, three days; what took longer is in the last."""


def buckets_of(spans_ns: Counts) -> Counts:
    """The bucket of each duration, ns."""
    # In single precision: its error is a hundredth of a bucket.
    logs = np.log2(np.maximum(spans_ns, 1).astype(np.float32))
    return np.minimum((logs * PER_OCTAVE).astype(np.int64), BUCKETS - 1)


def seconds_of(bucket: float) -> float:
    """The geometric middle of a bucket, seconds, to as many digits as it is exact."""
    return float(f"{2.0 ** ((bucket + 0.5) / PER_OCTAVE) / 1e9:.4g}")


def percentile_s(counts: Counts, share: float) -> float | None:
    """The duration that ``share`` of all do not exceed, seconds; None where there are none."""
    total = int(counts.sum())
    if not total:
        return None
    reached = np.cumsum(counts)
    return seconds_of(int(np.searchsorted(reached, max(1.0, np.ceil(share * total)))))
