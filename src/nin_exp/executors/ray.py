"""Jobs on a Ray cluster: one that runs already, or one that is started on this machine for the plan.

Ray places jobs and shares out cores and GPUs; a task starts a process for its job, as the local executor does, and
waits for it. A node that dies takes its tasks with it; Ray starts them again elsewhere, and the jobs go on from
their last checkpoints. That needs a disk that every node sees: a token that the plan writes and a task cannot read
says that there is none.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nin_exp.cores import available_cores
from nin_exp.errors import ConfigError, StorageError
from nin_exp.executors.checking import PRELOADED
from nin_exp.executors.demand import Demand
from nin_exp.executors.executor import Executor
from nin_exp.executors.feed import Feed, StopPlan, tell
from nin_exp.executors.judging import EpochFiles, FileJudge
from nin_exp.executors.outcome import Outcome, read_outcome
from nin_exp.executors.stopping import GRACE_SECONDS, StopSignals
from nin_exp.plan.states import is_locked
from nin_exp.ranges import NonNegativeFloat, NonNegativeInt, PositiveInt, validated
from nin_exp.records.files import write_text
from nin_exp.records.job import Job

NO_SHARED_DISK = -1000  # a task's answer beside exit codes, which are above -256
_IN_FLIGHT = 500  # tasks that Ray holds at once; a plan may have many more jobs
_PASSED_ON = ("NIN_EXP_DATA", "PYTHONPATH", "WANDB_MODE", "WANDB_DIR")  # from the driver's environment to the jobs'


@dataclass(frozen=True)
class _Ticket:
    """What a node needs to run jobs of one plan; plain data."""

    token_file: str
    token: str
    folder: str
    threads: int
    environment: dict[str, str]


def run_on_node(job: Job, ticket: _Ticket, judge: FileJudge | None) -> int:
    """The body of a Ray task: run one job in a process of its own; returns its exit code as multiprocessing has it."""
    import ray

    from nin_exp.executors import entry

    try:
        seen = Path(ticket.token_file).read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != ticket.token:
        return NO_SHARED_DISK
    os.environ.update(ticket.environment)
    with contextlib.suppress(OSError):  # a node need not have the folder of the command, where paths are absolute
        os.chdir(ticket.folder)
    gpus = tuple(str(g) for g in ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
    # A Ray worker runs many tasks: its fork server is made once and has torch imported from then on.
    context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix":
        context.set_forkserver_preload(list(PRELOADED))
    process = context.Process(target=entry.job, args=(job, ticket.threads, gpus, judge), name=f"nin-exp-{job.job_id}")
    process.start()
    try:
        while process.is_alive():
            process.join(0.2)
    except KeyboardInterrupt:  # ray.cancel: let the job save
        process.terminate()
        process.join(GRACE_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
    return int(process.exitcode)


class RayExecutor(Executor):
    """Runs jobs as Ray tasks.

    Args:
        address: of a cluster that runs (``auto``, ``host:port``, ``ray://host:port``); None starts Ray here.
        cpus_per_job: None for one a device. gpus_per_job: of jobs that use GPUs; fractions share a GPU between small
            networks, None is one a device.
        max_retries: how often a job is started again after its node or worker died; a job's own error is final.
    """

    @validated
    def __init__(
        self,
        demand: Demand,
        *,
        address: str | None,
        cpus_per_job: PositiveInt | None,
        gpus_per_job: NonNegativeFloat | None,
        max_retries: NonNegativeInt,
    ) -> None:
        self._address = address
        self._cpus_per_job = demand.devices if cpus_per_job is None else cpus_per_job
        self._gpus_per_job = demand.gpus_per_job(gpus_per_job) if demand.use_gpus else 0.0
        self._max_retries = max_retries

    @property
    def num_workers(self) -> int | None:
        """The cores of this machine shared out; unknown before a cluster is joined."""
        return None if self._address is not None else max(1, available_cores() // self._cpus_per_job)

    def run_feed(self, feed: Feed) -> int | None:
        """Run what a feed gives until it has no more; returns the exit code of a stop request, or None.

        Raises:
            ConfigError: Ray is not installed, the cluster cannot be joined, or no node has what a job asks for.
            StorageError: a node does not see the study's folder.
        """
        first = feed.next_job()
        if first is None:
            return None
        with self._cluster() as ray, self._ticket(first.run_dir.parent) as ticket, StopSignals() as stop:
            flight = _Flight(ray, self._task(ray), ticket, feed)
            flight.submit(first)
            most = self._cluster_workers(ray) if feed.is_adaptive else _IN_FLIGHT
            try:
                while True:
                    while len(flight.jobs) < most and not stop.is_set and (job := feed.next_job()) is not None:
                        flight.submit(job)
                    if stop.is_set:
                        tell(feed, flight.stop())
                        return stop.exit_code
                    if not flight.jobs:
                        return None
                    flight.attend()
                    feed.on_tick()
            except StopPlan:
                tell(feed, flight.stop())
                return None
            except BaseException:  # such as a full disk: the jobs save what they have, all the same
                flight.stop()
                raise

    def _cluster_workers(self, ray: Any) -> int:
        """Jobs that the cluster has room for."""
        found = ray.cluster_resources()
        room = found.get("CPU", 1.0) / self._cpus_per_job
        if self._gpus_per_job:
            room = min(room, found.get("GPU", 0.0) / self._gpus_per_job)
        return max(1, int(room))

    def _task(self, ray: Any) -> Any:
        return ray.remote(
            num_cpus=self._cpus_per_job,
            num_gpus=self._gpus_per_job,
            max_retries=self._max_retries,
            retry_exceptions=False,
        )(run_on_node)

    @contextlib.contextmanager
    def _cluster(self) -> Iterator[Any]:
        try:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            # A task without GPUs must not see them; Ray's own later default.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
            import ray
        except ImportError as error:
            raise ConfigError(
                "executor=ray needs the package ray, which is not installed; "
                "pip install 'nin-exp[ray]', or use executor=local"
            ) from error
        self._join(ray)
        try:
            self._refuse_impossible(ray)
            yield ray
        finally:
            ray.shutdown()

    def _join(self, ray: Any) -> None:
        address = self._address
        if address is not None:
            _refuse_silence(address)
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address is None:
                # Images do not pass through Ray's store, and no other machine is to reach this one.
                ray.init(address="local", _node_ip_address="127.0.0.1", object_store_memory=100 * 2**20, **quiet)
            else:
                ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise _no_cluster(str(address), error) from error

    def _refuse_impossible(self, ray: Any) -> None:
        """Ray would wait for ever for a node that has what a job asks for."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(node.get("GPU") for node in nodes):
            self._gpus_per_job = 0.0  # a job that must have one says so itself
        for key, resource, amount in (
            ("executor.cpus_per_job", "CPU", self._cpus_per_job),
            ("executor.gpus_per_job", "GPU", self._gpus_per_job),
        ):
            most = max((float(node.get(resource, 0.0)) for node in nodes), default=0.0)
            if amount > most:
                raise ConfigError(f"{key} must be at most what one node has ({most:g}), got {amount:g}; lower it")

    @contextlib.contextmanager
    def _ticket(self, study_dir: Path) -> Iterator[_Ticket]:
        token_file = study_dir.resolve() / f".ray-{secrets.token_hex(4)}"
        token = secrets.token_hex(16)
        write_text(token_file, token)
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            yield _Ticket(str(token_file), token, str(Path.cwd()), self._cpus_per_job, environment)
        finally:
            token_file.unlink(missing_ok=True)


class _Flight:
    """The jobs that Ray holds: tasks that run, and tasks that wait for a place."""

    def __init__(self, ray: Any, task: Any, ticket: _Ticket, feed: Feed) -> None:
        self._ray, self._task, self._ticket, self._feed = ray, task, ticket, feed
        self.jobs: dict[Any, Job] = {}
        self._waiting: dict[Any, Job] = {}
        self._epochs = EpochFiles(feed)

    def submit(self, job: Job) -> None:
        """Hand a job to Ray."""
        sent, judge = replace(job, run_dir=job.run_dir.resolve()), self._epochs.judge_of(job)
        reference = self._task.options(name=f"nin-exp {job.job_id}").remote(sent, self._ticket, judge)
        self.jobs[reference] = self._waiting[reference] = job

    def attend(self) -> None:
        """Wait a moment for starts, epochs and ends, and tell the feed."""
        ready, _ = self._ray.wait(list(self.jobs), num_returns=1, timeout=0.2)
        for reference in [r for r, job in self._waiting.items() if r in ready or is_locked(job.run_dir)]:
            self._feed.on_start(self._waiting.pop(reference))
        self._epochs.look(job for r, job in self.jobs.items() if r not in self._waiting and r not in ready)
        for reference in ready:
            self._feed.on_outcome(self._outcome(reference, self.jobs.pop(reference)))

    def stop(self) -> list[Outcome]:
        """Ask every running job to save and end, and drop tasks that have not begun; returns how the first ended."""
        for reference in self.jobs:
            self._ray.cancel(reference, force=False)
        if self.jobs:
            self._ray.wait(list(self.jobs), num_returns=len(self.jobs), timeout=GRACE_SECONDS + 5)
        started = [job for reference, job in self.jobs.items() if reference not in self._waiting]
        return [read_outcome(job, -int(signal.SIGTERM), stopping=True) for job in started]

    def _outcome(self, reference: Any, job: Job) -> Outcome:
        try:
            code = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:  # the node died more often than max_retries allows
            outcome = read_outcome(job, -int(signal.SIGKILL))
            return outcome if outcome.ending == "done" else replace(outcome, error=f"Ray: {_first_line(error)}")
        if code == NO_SHARED_DISK:
            raise StorageError(
                f"executor=ray needs runs_dir on a disk that every node sees, and a node does not see "
                f"'{job.run_dir.parent}'; set runs_dir to a shared folder, or use executor=local"
            )
        return read_outcome(job, code)


def _refuse_silence(address: str) -> None:
    """Ray itself tries for minutes to reach an address where nothing listens."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # `auto`: Ray looks it up
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ConfigError:
    return ConfigError(
        f"executor.address must name a Ray cluster that runs, got {address} ({_first_line(error)}); "
        "start one with `ray start --head`, or set executor.address=null"
    )


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
