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
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nin_exp.errors import ConfigError, StorageError
from nin_exp.executors.outcome import OnOutcome, OnStart, read_outcome
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
    threads: int
    environment: dict[str, str]


def run_on_node(job: Job, ticket: _Ticket) -> int:
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
    _wait_for_predecessor(job.run_dir)
    gpus = tuple(str(g) for g in ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
    # A Ray worker runs many tasks: its fork server is made once and has torch imported from then on.
    context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix":
        context.set_forkserver_preload(["nin_exp.executors.worker"])
    process = context.Process(target=entry.job, args=(job, ticket.threads, gpus), name=f"nin-exp-{job.job_id}")
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


def _wait_for_predecessor(run_dir: Path) -> None:
    """A task that Ray repeats may come while the job's first process still saves."""
    deadline = time.monotonic() + GRACE_SECONDS
    while is_locked(run_dir) and time.monotonic() < deadline:
        time.sleep(0.2)


class RayExecutor:
    """Runs jobs as Ray tasks.

    Args:
        address: of a cluster that runs (``auto``, ``host:port``, ``ray://host:port``); None starts Ray here.
        gpus_per_job: fractions share a GPU between small networks.
        max_retries: how often a job is started again after its node or worker died; a job's own error is final.
    """

    @validated
    def __init__(
        self,
        *,
        address: str | None,
        cpus_per_job: PositiveInt,
        gpus_per_job: NonNegativeFloat,
        max_retries: NonNegativeInt,
    ) -> None:
        self._address = address
        self._cpus_per_job, self._gpus_per_job = cpus_per_job, gpus_per_job
        self._max_retries = max_retries

    def run(
        self, jobs: Sequence[Job], on_start: OnStart, on_outcome: OnOutcome, on_tick: Callable[[], None]
    ) -> int | None:
        """Run all jobs; returns the exit code of a stop request (Ctrl-C, SIGTERM), or None.

        Raises:
            ConfigError: Ray is not installed, the cluster cannot be joined, or no node has what a job asks for.
            StorageError: a node does not see the study's folder.
        """
        with self._cluster() as ray, self._ticket(jobs[0].run_dir.parent) as ticket, StopSignals() as stop:
            submit = self._task(ray)
            pending = list(jobs)
            in_flight: dict[Any, Job] = {}
            waiting: dict[Any, Job] = {}  # in flight and not yet seen to run
            while pending or in_flight:
                while pending and len(in_flight) < _IN_FLIGHT and not stop.is_set:
                    job = pending.pop(0)
                    reference = submit.options(name=f"nin-exp {job.job_id}").remote(job, ticket)
                    in_flight[reference] = waiting[reference] = job
                if stop.is_set:
                    self._stop(ray, in_flight, on_outcome)
                    return stop.exit_code
                ready, _ = ray.wait(list(in_flight), num_returns=1, timeout=0.2)
                self._tell_started(waiting, on_start)
                for reference in ready:
                    job = in_flight.pop(reference)
                    if waiting.pop(reference, None) is not None:
                        on_start(job)
                    self._collect(ray, reference, job, on_outcome)
                on_tick()
        return None

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
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address is None:
                # Images do not pass through Ray's store, and no other machine is to reach this one.
                ray.init(address="local", _node_ip_address="127.0.0.1", object_store_memory=100 * 2**20, **quiet)
            else:
                ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(
                f"executor.address must name a Ray cluster that runs, got {address} ({reason}); "
                "start one with `ray start --head`, or set executor.address=null"
            ) from error

    def _refuse_impossible(self, ray: Any) -> None:
        """Ray would wait for ever for a node that has what a job asks for."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
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
            yield _Ticket(str(token_file), token, self._cpus_per_job, environment)
        finally:
            token_file.unlink(missing_ok=True)

    @staticmethod
    def _tell_started(waiting: dict[Any, Job], on_start: OnStart) -> None:
        for reference, job in list(waiting.items()):
            if is_locked(job.run_dir):
                del waiting[reference]
                on_start(job)

    @staticmethod
    def _collect(ray: Any, reference: Any, job: Job, on_outcome: OnOutcome) -> None:
        try:
            code = ray.get(reference)
        except ray.exceptions.RayError as error:  # the node died more often than max_retries allows
            outcome = read_outcome(job, -9)
            on_outcome(outcome if outcome.ending == "done" else replace(outcome, error=f"Ray: {_first_line(error)}"))
            return
        if code == NO_SHARED_DISK:
            raise StorageError(
                f"executor=ray needs runs_dir on a disk that every node sees, and a node does not see "
                f"'{job.run_dir.parent}'; set runs_dir to a shared folder, or use executor=local"
            )
        on_outcome(read_outcome(job, code))

    @staticmethod
    def _stop(ray: Any, in_flight: dict[Any, Job], on_outcome: OnOutcome) -> None:
        """Ask every running job to save and end; tasks that have not begun are dropped."""
        for reference in in_flight:
            ray.cancel(reference, force=False)
        ray.wait(list(in_flight), num_returns=len(in_flight), timeout=GRACE_SECONDS + 5)
        for job in in_flight.values():
            if job.run_dir.is_dir():
                on_outcome(read_outcome(job, -15, stopping=True))


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
