"""Student's t distribution, as far as intervals need it."""

from __future__ import annotations

from math import expm1, pi, sqrt
from statistics import NormalDist

LEAST_FREEDOM = 2.5
"""The expansion is good to some 0.5 % from here on; fewer degrees of freedom count as these."""


def two_sided_t(level: float, freedom: float) -> float:
    """The value that t exceeds, in size, with probability ``level`` (0 to 1, both excluded).

    After G. W. Hill, "Algorithm 396: Student's t-quantiles", Communications of the ACM 13 (1970).
    """
    n = max(freedom, LEAST_FREEDOM)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * pi / 2) * n
    y = (d * level) ** (2 / n)
    if y > a + 0.05:
        x = NormalDist().inv_cdf(level / 2)
        y = x * x
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (
            n + 2
        ) + 1 / y
    return sqrt(n * y)
