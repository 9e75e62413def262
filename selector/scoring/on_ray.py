"""Scoring by the processes of a Ray cluster.

Each is a writer of the store like any other (sharing.py), so nothing goes through Ray but their start, their end and their begin
again where a node is lost. Results are commits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from selector.config import ScoreConfig
from selector.progress import Progress
from selector.ray_cluster import TASK, cluster
from selector.store.state import state
from selector.store.store import Store

_LOOK_S = 10.0


def spread(config: ScoreConfig, progress: Progress, work: Callable[[ScoreConfig], int]) -> None:
    """Runs `work` on the nodes of the cluster until every one says that nothing is left; raises what it raises first.

    work: scores into the store and returns the UNet rows that it spent. What is lost with its node is begun again elsewhere.
    """
    with cluster(str(config.ray)) as ray:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        count = config.ray_workers or len(nodes)
        progress.note(f"{count} processes on {len(nodes)} nodes of a Ray cluster")
        share = replace(_everywhere(config), ray=None, part=(0, 1))
        task = ray.remote(**TASK)(work)
        pending = [task.remote(share) for _ in range(count)]
        while pending:
            done, pending = ray.wait(pending, timeout=_LOOK_S)
            for one in done:
                ray.get(one)
            _say(config, progress)


def _everywhere(config: ScoreConfig) -> ScoreConfig:
    """The same with paths that hold in another working directory."""
    return replace(
        config,
        data=config.data.resolve(),
        store=config.store.resolve(),
        repository=config.repository.resolve(),
        said=config.said.resolve() if config.said else None,
        class_names=config.class_names.resolve() if config.class_names else None,
    )


def _say(config: ScoreConfig, progress: Progress) -> None:
    if Store.exists(config.store):
        found = state(config.store)
        progress.note(f"{found['images']['done']} of {found['images']['listed']} images scored")
