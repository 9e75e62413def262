"""Every order by name: the candidates for the default, then the baselines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from selector.errors import UsageError
from selector.selection.baselines import BASELINES
from selector.selection.ordering import ORDERS, Order, orders

STRATEGIES: Mapping[str, Order] = MappingProxyType({**ORDERS, **BASELINES})


def strategy_named(name: str, tree_folder: Path | None = None) -> Order:
    """The order of this name; tree_folder: where it may keep the trees of large classes.

    Raises UsageError for an unknown name.
    """
    if name not in STRATEGIES:
        raise UsageError(f"unknown order {name!r}; there are: {', '.join(STRATEGIES)}")
    return orders(tree_folder).get(name, STRATEGIES[name])
