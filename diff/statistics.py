"""The exact tests and intervals that verdicts stand on, in plain Python: pure functions of counts and samples.

Sources: Clopper and Pearson (1934) for a proportion; Wilson (1927) for weighted shares; Fisher (1935)
for two shares; Benjamini and Hochberg (1995) for the false discovery rate; Gilbert (2005), after Tarone (1990), for
leaving out tests that can never be significant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

__all__ = [
    "adjusted_p",
    "binomial_tail",
    "clopper_pearson",
    "discoveries",
    "fisher_tail",
    "median_of_sorted",
    "normal_quantile",
    "quantile_of_sorted",
    "student_quantile",
    "wilson",
]

_NORMAL = NormalDist()
_EXACT_TERMS_MAX = 5000


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """P(X >= successes) for X binomial; exact by summing, 1.0 where successes <= 0.

    Beyond some thousands of terms the sum is stopped once what is left cannot change it in double precision, so the
    cost is bounded whatever the counts are. Raises ValueError where successes > trials or a number is out of range.
    """
    if not 0 <= successes <= trials or not 0 <= probability <= 1:
        raise ValueError(f"no such binomial: {successes} of {trials} at {probability}")
    if successes == 0:
        return 1.0
    if probability in (0.0, 1.0):
        return probability
    if successes > trials * probability:
        return min(1.0, _sum_upwards(successes, trials, probability))
    return max(0.0, 1.0 - _sum_upwards(trials - successes + 1, trials, 1 - probability))


def _sum_upwards(start: int, trials: int, probability: float) -> float:
    """Sum of the upper tail from `start`, where the terms fall."""
    log_term = (
        math.lgamma(trials + 1)
        - math.lgamma(start + 1)
        - math.lgamma(trials - start + 1)
        + start * math.log(probability)
        + (trials - start) * math.log1p(-probability)
    )
    odds = probability / (1 - probability)
    total = term = 1.0
    for k in range(start, trials):
        term *= (trials - k) / (k + 1) * odds
        total += term
        if term < total * 1e-17:
            break
    return math.exp(log_term + math.log(total))


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval of a proportion; (0, 1) for no trials."""
    if trials == 0:
        return 0.0, 1.0
    alpha = (1 - confidence) / 2
    low, high = 0.0, 1.0
    if successes > 0:
        low = _bisect(lambda p: binomial_tail(successes, trials, p) - alpha)
    if successes < trials:
        high = _bisect(lambda p: binomial_tail(successes + 1, trials, p) - (1 - alpha))
    return low, high


def _bisect(increasing: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if increasing(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def wilson(share: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share of `trials` (an effective number, not necessarily whole) observations."""
    if trials <= 0:
        return 0.0, 1.0
    z = normal_quantile(1 - (1 - confidence) / 2)
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(max(0.0, share * (1 - share)) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def fisher_tail(inside: int, affected: int, outside: int, rest: int) -> float:
    """One-sided Fisher exact p that `inside` of `affected` against `outside` of `rest` is so high by chance."""
    total, drawn = affected + rest, inside + outside
    base = _log_choose(total, drawn)
    top = min(affected, drawn)
    term = math.exp(_log_choose(affected, inside) + _log_choose(rest, drawn - inside) - base)
    p = term
    for k in range(inside, top):
        term *= (affected - k) * (drawn - k) / ((k + 1) * (rest - drawn + k + 1))
        p += term
        if term < p * 1e-15:
            break
    return min(1.0, p)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def discoveries(tests: Sequence[tuple[float, float]], fdr: float) -> list[bool]:
    """Which of the tests are discoveries at that false discovery rate.

    tests: (p, smallest p that this test could ever have given). A test whose smallest p is above what would be asked
    of it carries no information and is left out of the count of tests (Gilbert 2005), so that thousands of rare fields
    do not hide a common one. Returns one bool a test, in order.
    """
    left_in = _informative([least for _, least in tests], fdr)
    chosen = [index for index, (_, least) in enumerate(tests) if left_in and least <= fdr / left_in]
    chosen.sort(key=lambda index: tests[index][0])
    found = [False] * len(tests)
    passing = 0
    for rank, index in enumerate(chosen, 1):
        if tests[index][0] <= fdr * rank / len(chosen):
            passing = rank
    for index in chosen[:passing]:
        found[index] = True
    return found


def _informative(least: Sequence[float], fdr: float) -> int:
    """The smallest k >= 1 such that at most k tests can reach fdr / k; 0 for no tests (Tarone 1990)."""
    ordered = sorted(least)
    for k in range(1, len(ordered) + 1):
        # The number of tests whose least p is at most fdr / k, given they are sorted.
        if k == len(ordered) or ordered[k] > fdr / k:
            return k
    return 0


def adjusted_p(tests: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg adjusted p-values, in order."""
    order = sorted(range(len(tests)), key=lambda index: tests[index], reverse=True)
    adjusted = [1.0] * len(tests)
    least = 1.0
    for place, index in enumerate(order):
        rank = len(tests) - place
        least = min(least, tests[index] * len(tests) / rank)
        adjusted[index] = least
    return adjusted


def normal_quantile(probability: float) -> float:
    """The standard normal quantile."""
    return _NORMAL.inv_cdf(probability)


def student_quantile(probability: float, freedom: float) -> float:
    """Student's t quantile for probability > 0.5; inf below one degree of freedom.

    Hill's approximation (1970, Algorithm 396) from two degrees on, exact for one and two; better than 1 % for the
    levels that intervals use, and on the wide side where it errs.
    """
    if freedom < 1:
        return math.inf
    if freedom < 2:
        return math.tan(math.pi * (probability - 0.5))
    tail = 2 * (1 - probability)
    if freedom < 3:
        return math.sqrt(2 / (tail * (2 - tail)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * tail) ** (2 / freedom)
    if y > 0.05 + a:
        x = normal_quantile(tail / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)) * y
            - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)


def median_of_sorted(values: Sequence[float]) -> float:
    """The median of sorted, non-empty values."""
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def quantile_of_sorted(values: Sequence[float], share: float) -> float:
    """The linearly interpolated quantile of sorted, non-empty values (type 7 of Hyndman and Fan)."""
    position = share * (len(values) - 1)
    below = math.floor(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (position - below)
