"""A real Slurm of one node on this machine: munged, slurmctld and slurmd on loopback, in a folder of their own."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
START_S = 60.0

_CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_no_slurm() -> str:
    """Why no Slurm can be started here; "" if one can."""
    missing = [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=PATH)]
    if missing:
        return f"{', '.join(missing)} not found: apt-get install -y slurm-wlm munge"
    return "" if os.geteuid() == 0 else "its daemons need root"


class Slurm:
    """Runs the daemons in a `with`, and ends them by their process numbers. cpus: what the node says it has."""

    def __init__(self, folder: Path, cpus: int) -> None:
        self.folder, self.host = folder, platform.node().partition(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        folder.chmod(0o755)
        controller, node = free_ports(2)
        text = _CONFIGURATION.format(host=self.host, controller=controller, node=node, folder=folder, cpus=cpus)
        self._conf = folder / "slurm.conf"
        self._conf.write_text(text)
        self._environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(self._conf)}
        self._running = ExitStack()

    def __enter__(self) -> Self:
        folder, key = self.folder, self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "seed-file": "munge.seed"}
        options = [f"--{name}={folder / file}" for name, file in files.items()]
        try:
            self._start("munged", "--foreground", "--force", *options, f"--log-file={folder / 'munged.log'}")
            until((folder / "munge.socket").exists, "munged", START_S)
            self._start("slurmctld", "-D", "-i", "-f", str(self._conf))
            self._start("slurmd", "-D", "-N", self.host, "-f", str(self._conf))
            until(lambda: self.node_state() == "idle", f"an idle node ({folder}/*.out)", START_S)
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run("scancel", "--user=root", check=False)
            until(lambda: not self.run("squeue", "--noheader", check=False), "the ends of all jobs", START_S)
        finally:
            self._running.close()

    def run(self, *command: str, environment: Mapping[str, str] = {}, check: bool = True) -> str:
        """What one of Slurm's commands says."""
        done = subprocess.run(
            command, capture_output=True, text=True, env={**self._environment, **environment}, timeout=60, check=False
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout.strip()

    def submit(self, script: Path, *options: str, environment: Mapping[str, str] = {}) -> str:
        """The number of the job."""
        return self.run("sbatch", "--parsable", *options, str(script), environment=environment)

    def drain(self) -> None:
        """What runs on the node goes on, and nothing further starts there."""
        self.run("scontrol", "update", f"nodename={self.host}", "state=drain", "reason=test")

    def resume(self) -> None:
        self.run("scontrol", "update", f"nodename={self.host}", "state=resume")

    def node_state(self) -> str:
        return self.run("sinfo", "--noheader", "--format=%T", check=False)

    def tasks(self, job: str, *states: str) -> list[str]:
        """Tasks of an array (all that are not done yet, or those in these states), as 7_1."""
        asked = [f"--states={','.join(states)}"] if states else []
        found = self.run("squeue", "--noheader", "--array", "--format=%i", f"--jobs={job}", *asked, check=False)
        return found.split()

    def state(self, task: str) -> str:
        """How a task is or has ended, such as COMPLETED."""
        return self.run("scontrol", "show", "job", "--oneliner", task).partition("JobState=")[2].split()[0]

    def _start(self, *command: str) -> None:
        out = self._running.enter_context((self.folder / f"{command[0]}.out").open("w"))
        process = subprocess.Popen(command, stdout=out, stderr=out, env=self._environment)
        self._running.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(condition: Callable[[], object], what: str, deadline_s: float) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_s:.0f} s for {what}"
        time.sleep(0.2)


def free_ports(count: int) -> Sequence[int]:
    """Ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
