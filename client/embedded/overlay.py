"""The repository as this server version serves it well on this machine: links to the models, and configs with some changes.

First, queue policies are left out. A model whose dynamic batching has one can't prefetch, and 2.51 then loses the
batcher's wake-ups: requests that came while the instance was busy wait up to 0.5 s beside an idle engine (seen: 2 to 9
such gaps in 100 full batches, 182 rows/s instead of 236; a burst of 16 single rows took 1.0 s instead of 0.02 s). Later
versions close that race, so the policy stays in the repository for them. Here the one client bounds its rows in flight.

On cores, the UNet gets an instance per core, each with one thread, where it is small enough. Small operators gain little from
threads that wait for each other: on 2 cores, 2 instances of 1 thread served 490 rows/s of the built-in noise_loss where 1
instance of 2 threads served 308 to 320 (medians of 12 alternating runs), with 27 % less CPU time a row.

On cores, a repository of large graphs is served a row at a time, and warmed up by one. A row alone fills the cores: a batch would
be no faster, and it would take memory and time by the number of its rows.

On GPUs, every leaf but the prompt table has one instance on each, and says by which provider it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from client import contract
from client.embedded.devices import CPU, ON_CORES, Device

PROVIDER = "execution_provider"
ON_GPUS = (contract.VAE_ENCODER, contract.UNET, contract.DIFT)
"""A prompt table is looked up in memory, where its rows are wanted."""
CONFIG_FILE = "config.pbtxt"
# At the start of a line it is the field: a string never spans lines in this format.
_POLICY = re.compile(r"^[ \t]*(default_queue_policy|priority_queue_policy)\s*:?\s*\{", re.MULTILINE)


LEAST_BYTES, MOST_BYTES = 1 << 20, 64 << 20
"""Graphs within these sizes get several instances: smaller ones compute too little, larger ones cost too much memory."""
MOST_INSTANCES = 4
_INSTANCES = re.compile(r"^instance_group\s*:?\s*\{[^}]*\}", re.MULTILINE)

LARGE_BYTES = 1 << 30
"""A graph of as much is one of seconds a row on a few cores."""
_MAX_BATCH = re.compile(r"^max_batch_size\s*:\s*\d+", re.MULTILINE)
_WARMUP = re.compile(r"^model_warmup\s*:?\s*\{", re.MULTILINE)
_OF_ONE_ROW = re.compile(r"^\s*batch_size\s*:\s*1\s*$", re.MULTILINE)


def write_overlay(repository: Path, folder: Path, *, threads: int = 1, device: Device = ON_CORES) -> Path:
    """Makes `folder` a repository of the models of `repository`, and returns it. threads: that one model may use."""
    large = device.kind == CPU and graph_bytes(repository / contract.UNET) >= LARGE_BYTES
    for config in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        model = folder / config.parent.name
        model.mkdir(parents=True)
        for entry in config.parent.iterdir():
            if entry != config:
                (model / entry.name).symlink_to(entry)
        text = without_queue_policies(config.read_text(encoding="utf-8"))
        if config.parent.name in ON_GPUS and device.kind != CPU:
            text = placed(text, device)
        elif config.parent.name == contract.UNET:
            text = with_instances(text, instances(config.parent, threads))
        if large:
            text = a_row_at_a_time(text)
        (model / CONFIG_FILE).write_text(text, encoding="utf-8")
    return folder


def instances(model: Path, threads: int) -> int:
    """How many instances of the model in this folder share so many threads best."""
    return min(threads, MOST_INSTANCES) if LEAST_BYTES <= graph_bytes(model) <= MOST_BYTES else 1


def graph_bytes(model: Path) -> int:
    """Size of the graph in a model's folder, with its weights."""
    return sum(file.stat().st_size for file in model.glob("*/model.onnx*"))


def with_instances(config: str, count: int) -> str:
    """A config.pbtxt's text with so many instances in its instance group, if it has one."""
    return _INSTANCES.sub(f"instance_group {{\n  count: {count}\n}}", config)


def placed(config: str, device: Device) -> str:
    """A config.pbtxt's text with one instance on each GPU of the device, and the provider that runs it."""
    gpus = f"\n  gpus: [{', '.join(map(str, device.gpus))}]" if device.gpus else ""
    group = f"instance_group {{\n  count: 1\n  kind: KIND_GPU{gpus}\n}}"
    parameter = f'parameters {{\n  key: "{PROVIDER}"\n  value {{ string_value: "{device.provider}" }}\n}}'
    return f"{_INSTANCES.sub(group, config).rstrip()}\n{parameter}\n"


def a_row_at_a_time(config: str) -> str:
    """A config.pbtxt's text with batches of one row, and no warm-up of more."""
    config = _without(_WARMUP, config, lambda block: not _OF_ONE_ROW.search(block))
    return _MAX_BATCH.sub("max_batch_size: 1", config)


def without_queue_policies(config: str) -> str:
    """A config.pbtxt's text less its queue policies, all else as it was."""
    return _without(_POLICY, config, lambda _: True)


def _without(beginning: re.Pattern[str], config: str, goes: Callable[[str], bool]) -> str:
    """The text less the blocks that begin so and go."""
    start = 0
    while found := beginning.search(config, start):
        end, depth = found.end(), 1
        # Neither policies nor our warm-ups have a brace in a string: every one counts.
        while depth and end < len(config):
            depth += {"{": 1, "}": -1}.get(config[end], 0)
            end += 1
        if goes(config[found.start() : end]):
            config, start = config[: found.start()] + config[end:].removeprefix("\n"), found.start()
        else:
            start = end
    return config
