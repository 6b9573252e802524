"""How far two samples of different sizes from one distribution lie apart in a statistic, by chance alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plateaulens.compare.kolmogorov import distances, distribution_functions
from plateaulens.compare.resampling import percentile_interval, ratio

BINS = 2000
"""Most places at which distribution functions are compared; with more different values, quantiles of them are."""
_COUNTS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class PairedSample:
    """Values of one type, and of the type it is compared with, for the same base prompts.

    Each is (samples,), or (samples, numbers) when every base prompt has several; NaN is left out. `other` is None where
    there is nothing to compare with.
    """

    values: NDArray[np.float64]
    other: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def statistics(self, counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """By name, `mean`, `sd` (population), `median` (the lower one) and `ks`, for every row of counts.

        `counts` (rows, samples) says how often each base prompt is there. `ks` is missing without another type.
        NaN where a row counts no value.
        """
        there = np.isfinite(self.values)
        middle = self.values[there].mean() if there.any() else 0.0
        # about the middle, so that the variance is no small difference of large numbers
        centred = np.where(there, self.values - middle, 0.0).reshape(len(self), -1)
        sums = [there.reshape(len(self), -1).sum(axis=1), centred.sum(axis=1), (centred**2).sum(axis=1)]
        number, first, second = (counts @ each for each in sums)
        mean = ratio(first, number)
        grid = self._grid()
        functions = distribution_functions(counts @ _histograms(self.values, grid))
        found = {
            "mean": middle + mean,
            "sd": np.sqrt(np.maximum(ratio(second, number) - mean**2, 0.0)),
            "median": np.where(number > 0, grid[np.argmax(functions >= 0.5, axis=-1)], np.nan),
        }
        if self.other is not None:
            found["ks"] = distances(functions - distribution_functions(counts @ _histograms(self.other, grid)))
        return found

    def error(
        self, size: int, draws: int, confidence: float, rng: np.random.Generator
    ) -> dict[str, NDArray[np.float64]]:
        """By name, the central interval of a statistic of `size` base prompts minus that of as many as are here.

        Both are drawn with replacement from those here, `draws` times.
        """
        differences: dict[str, list[NDArray[np.float64]]] = {}
        rows = max(1, _COUNTS_AT_ONCE // len(self))
        for start in range(0, draws, rows):
            pair = [self.statistics(self._draw(each, min(rows, draws - start), rng)) for each in (size, len(self))]
            for name in pair[0]:
                differences.setdefault(name, []).append(pair[0][name] - pair[1][name])
        return {name: percentile_interval(np.concatenate(parts), confidence) for name, parts in differences.items()}

    def _draw(self, size: int, rows: int, rng: np.random.Generator) -> NDArray[np.float64]:
        counts = np.empty((rows, len(self)))
        for row in counts:
            row[:] = np.bincount(rng.integers(len(self), size=size), minlength=len(self))
        return counts

    def _grid(self) -> NDArray[np.float64]:
        both = self.values if self.other is None else np.concatenate([self.values, self.other])
        places = np.unique(both[np.isfinite(both)])
        if len(places) > BINS:
            places = np.unique(np.quantile(places, np.linspace(0, 1, BINS), method="inverted_cdf"))
        return places if len(places) else np.zeros(1)


def _histograms(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many values of each base prompt are at most the grid's first place, its second but not its first, ..."""
    flat = values.reshape(len(values), -1)
    there = np.isfinite(flat)
    codes = np.arange(len(flat))[:, np.newaxis] * len(grid) + np.searchsorted(grid, np.where(there, flat, grid[0]))
    return np.bincount(codes[there], minlength=len(flat) * len(grid)).reshape(len(flat), len(grid)).astype(np.float64)
