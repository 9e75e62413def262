"""The highest rate at which a target keeps a latency limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

PRECISION = 1.05
MOST_STEPS = 16


async def highest_rate(keeps: Callable[[float], Awaitable[bool]], first: float, least: float) -> float:
    """The highest rate found that is kept, within 5 % of one that is not; 0 if none from `least` upwards is.

    Doubles or halves from `first` until the limit lies between two rates, then bisects on a logarithmic scale. It assumes
    that a rate above one that is not kept is not kept either; noise can break that, so every rate tried is worth reporting.
    least: the rate below which too few requests would be seen to judge.
    """
    good, bad = 0.0, 0.0
    rate = first
    for _ in range(MOST_STEPS):
        if await keeps(rate):
            good = rate
        else:
            bad = rate
        if good and bad and bad / good <= PRECISION:
            break
        if not bad:
            rate = good * 2
        elif not good:
            rate = bad / 2
        else:
            rate = (good * bad) ** 0.5
        if rate < least:
            break
    return good
