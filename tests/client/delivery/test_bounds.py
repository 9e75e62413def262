"""The bound on rows in flight."""

from __future__ import annotations

import asyncio

import pytest

from client.delivery.bounds import Bound


def test_never_more_rows_than_its_size_are_out_and_all_get_their_turn() -> None:
    """Fifty takers of mixed sizes through a bound of ten."""

    async def main() -> list[int]:
        bound, most = Bound(10), []

        async def taker(rows: int) -> None:
            async with bound.take(rows):
                most.append(bound.taken)
                await asyncio.sleep(0)

        await asyncio.gather(*(taker(1 + n % 10) for n in range(50)))
        assert bound.taken == 0
        return most

    most = asyncio.run(main())
    assert len(most) == 50
    assert max(most) <= 10


def test_a_large_taker_is_not_overtaken_by_small_ones_for_ever() -> None:
    """Turns are given in the order of asking."""

    async def main() -> list[str]:
        bound, order = Bound(4), []

        async def taker(name: str, rows: int) -> None:
            async with bound.take(rows):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(taker("first", 3), taker("large", 4), taker("small", 1))
        return order

    assert asyncio.run(main()) == ["first", "large", "small"]


def test_a_taker_cancelled_while_waiting_lets_those_behind_it_through() -> None:
    """And gives nothing back that it never had."""

    async def main() -> None:
        bound = Bound(2)
        async with bound.take(2):

            async def taker(rows: int) -> None:
                async with bound.take(rows):
                    pass

            waiting, behind = asyncio.create_task(taker(2)), asyncio.create_task(taker(1))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert bound.taken == 2
        await asyncio.wait_for(behind, 1)
        assert bound.taken == 0

    asyncio.run(main())


def test_a_batch_that_can_never_fit_is_refused_rather_than_waited_for() -> None:
    """Else it would hang."""

    async def main() -> None:
        async with Bound(2).take(3):
            pass

    with pytest.raises(ValueError, match="3 can't be taken from a bound of 2"):
        asyncio.run(main())
