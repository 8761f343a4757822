"""Jobs on a SLURM cluster, submitted as one array by submitit.

SLURM places jobs; submitit submits, signals and requeues them (one owner of requeueing: Lightning's own is off). A
submitted task starts a process for its job, as the other executors do. Before the time limit, or at a preemption, the
task gets SIGUSR2 (SIGUSR1 counts as well): the job saves and ends with code 75, the task is queued again and the job
goes on. What was submitted is written down beside the study: a plan whose command was stopped finds its jobs again
in the queue and does not submit them twice.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Literal

from nin_exp.errors import EXIT_PREEMPTED, ConfigError
from nin_exp.executors.demand import Demand
from nin_exp.executors.executor import Executor
from nin_exp.executors.feed import Feed, StopPlan, tell
from nin_exp.executors.judging import EpochFiles, FileJudge
from nin_exp.executors.outcome import Outcome, read_outcome
from nin_exp.executors.running import SUBMITTED_FILE
from nin_exp.executors.stopping import GRACE_SECONDS, StopSignals
from nin_exp.plan.states import is_locked
from nin_exp.ranges import NonNegativeInt, PositiveFloat, PositiveInt, validated
from nin_exp.records.files import write_json
from nin_exp.records.job import Job
from nin_exp.records.record import RECORD_FILE, Record

_POLL_SECONDS = 0.5
# States in which SLURM will still run a job, or runs it (sacct, "JOB STATE CODES").
_LIVING = {"PENDING", "RUNNING", "REQUEUED", "REQUEUE_HOLD", "RESIZING", "SUSPENDED", "CONFIGURING", "COMPLETING"}


class SlurmTask:
    """What a node runs: one job in a process of its own. submitit pickles it, calls it, and asks it to checkpoint."""

    def __init__(self, job: Job, threads: int, judge: FileJudge | None) -> None:
        self.job, self.threads, self.judge = job, threads, judge
        self._process: Any = None

    def __call__(self) -> int:
        """Run the job; returns its exit code, negative after a signal."""
        from nin_exp.executors import entry

        # Sites and Lightning's users send SIGUSR1 where submitit listens to SIGUSR2.
        signal.signal(signal.SIGUSR1, lambda number, frame: os.kill(os.getpid(), signal.SIGUSR2))
        context = multiprocessing.get_context("spawn")  # one job a task: nothing to preload
        self._process = context.Process(
            target=entry.job, args=(self.job, self.threads, None, self.judge), name="nin-exp-job"
        )
        self._process.start()
        while self._process.is_alive():
            self._process.join(0.2)
        return int(self._process.exitcode)

    def checkpoint(self) -> Any:
        """Let the job save and end; returns what submitit is to queue again."""
        import submitit

        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            # Not join(): this runs in a signal's handler, which may have interrupted a join.
            deadline = time.monotonic() + GRACE_SECONDS
            while self._process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.05)
        return submitit.helpers.DelayedSubmission(SlurmTask(self.job, self.threads, self.judge))

    def __getstate__(self) -> dict[str, Any]:
        return {"job": self.job, "threads": self.threads, "judge": self.judge, "_process": None}


class SlurmExecutor(Executor):
    """Submits jobs and waits for them.

    Args:
        cluster: ``slurm``, or ``local``: submitit's own stand-in, processes on this machine.
        minutes: time limit of one start of a job; with the limit near it saves and is queued again.
        gpus_per_job: of jobs that use GPUs; None for one a device.
        max_requeues: how often a job may reach its time limit.
        parallel_jobs: jobs of the array that run at once.
        array_size: most jobs of one array; SLURM's own limit is MaxArraySize. Arrays follow each other.
        signal_seconds: how long before the limit the job is told to save.
        options: any further options of sbatch, by their long names.
    """

    @validated
    def __init__(
        self,
        demand: Demand,
        *,
        cluster: Literal["slurm", "local"],
        partition: str | None,
        minutes: PositiveInt,
        cpus_per_job: PositiveInt,
        gpus_per_job: NonNegativeInt | None,
        memory_gb: PositiveFloat | None,
        account: str | None,
        qos: str | None,
        parallel_jobs: PositiveInt,
        array_size: PositiveInt,
        max_requeues: NonNegativeInt,
        signal_seconds: PositiveInt,
        options: dict[str, Any],
    ) -> None:
        self._cluster = cluster
        self._threads = cpus_per_job
        self._parallel_jobs, self._array_size = parallel_jobs, array_size
        self._max_requeues = max_requeues
        self._parameters: dict[str, Any] = {
            "timeout_min": minutes,
            "gpus_per_node": int(demand.gpus_per_job(gpus_per_job)) if demand.use_gpus else 0,
            "signal_delay_s": signal_seconds,
        }
        if cluster == "slurm":
            wanted = {"partition": partition, "account": account, "qos": qos, "mem_gb": memory_gb}
            self._parameters |= {key: value for key, value in wanted.items() if value is not None}
            self._parameters |= {"cpus_per_task": cpus_per_job, "array_parallelism": parallel_jobs}
            self._parameters |= {"additional_parameters": dict(options)} if options else {}

    @property
    def num_workers(self) -> int | None:
        """The array's limit; what SLURM grants of it is not known."""
        return None

    def run_feed(self, feed: Feed) -> int | None:
        """Run what a feed gives until it has no more; returns the exit code of a stop request, or None.

        A stop request cancels what was submitted; jobs that run save first.

        Raises:
            ConfigError: submitit or SLURM's commands are missing, or SLURM refuses the request.
        """
        with StopSignals() as stop:
            living: dict[str, tuple[Job, Any]] = {}
            waiting: dict[str, Job] = {}
            epochs = EpochFiles(feed)
            try:
                while True:
                    fresh = [] if stop.is_set else self._take(feed, len(living))
                    if fresh:
                        living |= self._submit(fresh, epochs)
                        waiting |= {job.job_id: job for job in fresh}
                    if stop.is_set:
                        tell(feed, self._cancel(living))
                        return stop.exit_code
                    if not living:
                        return None
                    self._attend(living, waiting, feed)
                    epochs.look(job for job_id, (job, _) in living.items() if job_id not in waiting)
                    feed.on_tick()
                    time.sleep(_POLL_SECONDS)
            except StopPlan:
                tell(feed, self._cancel(living))
                return None

    def _take(self, feed: Feed, num_living: int) -> list[Job]:
        """Jobs to submit together: a whole array once the last one leaves a place, of an adaptive feed one a place."""
        places = self._parallel_jobs - num_living
        room = places if feed.is_adaptive or places <= 0 else self._array_size
        taken: list[Job] = []
        while len(taken) < room and (job := feed.next_job()) is not None:
            if _is_done(job):
                feed.on_start(job)
                feed.on_outcome(Outcome(job, "done", 0))
            else:
                taken.append(job)
        return taken

    @staticmethod
    def _attend(living: dict[str, tuple[Job, Any]], waiting: dict[str, Job], feed: Feed) -> None:
        ended = [job_id for job_id, (_, submitted) in living.items() if submitted.done()]
        for job_id in [i for i, job in waiting.items() if i in ended or is_locked(job.run_dir)]:
            feed.on_start(waiting.pop(job_id))
        for job_id in ended:
            job, submitted = living.pop(job_id)
            feed.on_outcome(read_outcome(job, _exit_code(submitted)))

    def _submit(self, jobs: list[Job], epochs: EpochFiles) -> dict[str, tuple[Job, Any]]:
        """Jobs by id, each with what was submitted for it now or by an earlier command."""
        folder = jobs[0].run_dir.resolve().parent / "slurm"
        executor = self._executor(folder)
        earlier = _read_submitted(folder)
        found = {job.job_id: (job, earlier[job.job_id]) for job in jobs if job.job_id in earlier}
        fresh = [job for job in jobs if job.job_id not in found]
        if fresh:
            try:
                submitted = executor.submit_array(
                    [SlurmTask(job, self._threads, epochs.judge_of(job)) for job in fresh]
                )
            except Exception as error:  # submitit's own, and of the commands that it calls
                raise ConfigError(
                    f"SLURM refused the jobs ({_first_line(error)}); see executor=slurm and its settings"
                ) from error
            found |= {job.job_id: (job, one) for job, one in zip(fresh, submitted, strict=True)}
        if self._cluster == "slurm":
            ids = {**{i: one.job_id for i, one in earlier.items()}, **{i: one.job_id for i, (_, one) in found.items()}}
            write_json(folder.parent / SUBMITTED_FILE, ids)
        return found

    def _executor(self, folder: Path) -> Any:
        try:
            import submitit
        except ImportError as error:
            raise ConfigError(
                "executor=slurm needs the package submitit, which is not installed; "
                "pip install 'nin-exp[slurm]', or use executor=local"
            ) from error
        if self._cluster == "slurm" and shutil.which("sbatch") is None:
            raise ConfigError(
                "executor=slurm needs SLURM's commands, and sbatch is not on PATH; "
                "run on a login node of the cluster, or use executor=local"
            )
        kind = submitit.SlurmExecutor if self._cluster == "slurm" else submitit.LocalExecutor
        executor = kind(folder=folder, max_num_timeout=self._max_requeues)
        executor.update_parameters(**self._parameters_for(executor))
        return executor

    def _parameters_for(self, executor: Any) -> dict[str, Any]:
        """Submitit has names of its own for some of SLURM's options."""
        if self._cluster == "local":
            return dict(self._parameters)
        names = executor._equivalence_dict()
        converted = {names.get(key, key): value for key, value in self._parameters.items()}
        if "mem" in converted:
            converted["mem"] = f"{converted['mem']:g}GB"
        return converted

    @staticmethod
    def _cancel(living: dict[str, tuple[Job, Any]]) -> list[Outcome]:
        """Cancel what was submitted; SLURM sends SIGTERM first, and kills later. Returns how running jobs ended."""
        started = [job for job, _ in living.values() if is_locked(job.run_dir)]
        for _, submitted in living.values():
            submitted.cancel(check=False)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(is_locked(job.run_dir) for job in started) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return [read_outcome(job, EXIT_PREEMPTED, stopping=True) for job in started]


def _read_submitted(folder: Path) -> dict[str, Any]:
    """What an earlier command submitted and SLURM still holds, by job id."""
    path = folder.parent / SUBMITTED_FILE
    if not path.is_file():
        return {}
    import submitit

    found = {}
    for job_id, slurm_id in json.loads(path.read_text(encoding="utf-8")).items():
        submitted: Any = submitit.SlurmJob(folder=folder, job_id=slurm_id)
        if not submitted.done(force_check=True) and submitted.watcher.get_state(slurm_id, mode="force") in _LIVING:
            found[job_id] = submitted
    return found


def _is_done(job: Job) -> bool:
    """Whether a job has ended since the plan looked: those of a command that was killed go on in the queue."""
    return (job.run_dir / RECORD_FILE).is_file() and Record.read(job.run_dir).status == "done"


def _exit_code(submitted: Any) -> int:
    """What the task returned; as if killed where it could return nothing."""
    try:
        return int(submitted.result())
    except Exception:  # whatever ended the task, submitit raises; the run directory tells more
        return -int(signal.SIGKILL)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
