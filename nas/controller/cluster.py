"""Ray: started in this machine on first use, or joined where there is a cluster."""

from __future__ import annotations

import ctypes
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, LocalRayletDiedError, RayError

from nas.errors import JobFailed

__all__ = ["Capacity", "Mailbox", "RayCluster", "last_line"]

START_ATTEMPTS = 2
"""Ray's own processes are sometimes not up within Ray's own patience; a second start then is."""

LISTEN_SECONDS = 5.0
"""How long whoever listens at a cluster's address may take to take a call; Ray itself tries for minutes."""

JOIN_FORMS = "accepted: ray://HOST:10001 from anywhere, HOST:6379 on a node of the cluster"

ANSWER_SECONDS = 120.0
"""How long the cluster may take to say what it has: a task that needs no processor."""

WATCH_SECONDS = 0.2
"""How often what a function in the cluster posts is looked at."""

LOOK_SECONDS = 0.5
"""How often whoever waits for Ray's start looks whether the job was stopped."""

SIGACTION_BYTES = 1024
"""More than a `struct sigaction` takes anywhere."""

ASK_SECONDS = 0.5
"""How often such a function asks whether it should stop."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Processors of a cluster.

    Attributes:
        present: of the nodes that are alive.
        possible: with every node that an autoscaler may add; `present` where there is none.
        gpus: of the nodes that are alive.
        nodes: that are alive.
    """

    present: int
    possible: int
    gpus: int
    nodes: int


class RayCluster:
    """Starts or joins Ray on first use and keeps it until `close`.

    Args:
        address: of a Ray cluster, ``HOST:PORT`` from one of its own nodes or ``ray://HOST:PORT`` from
            anywhere; a local Ray where None.
        processors: of a local Ray; all of this machine's where None.
    """

    def __init__(self, address: str | None = None, processors: int | None = None) -> None:
        self._address = address
        self._processors = processors
        self._started = False
        self._starts = 0
        # Linux kills Ray's own processes when the thread that started them ends (PR_SET_PDEATHSIG, which
        # Ray sets, goes by threads), and then Ray exits this process: a job's thread must not start them.
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="ray")

    def start(self, check_stop: Callable[[], None] | None = None) -> None:
        """Start Ray, unless it has. This process goes on handling SIGTERM as it did. What has started and
        does not answer is ended and started once more.

        Args:
            check_stop: called while waiting; where it raises Ray goes on starting.

        Raises:
            JobFailed: Ray does not start, or nobody answers at the address.
        """
        starting = self._keeper.submit(self._start)
        while check_stop is not None and not wait([starting], LOOK_SECONDS).done:
            check_stop()
        starting.result()

    def _start(self) -> None:
        if self._address is not None and not (self._started or ray.is_initialized()):
            _require_listener(self._address)
        for attempt in range(START_ATTEMPTS):
            if self._started or ray.is_initialized():
                return
            try:
                with _own_signals():
                    ray.init(
                        # Left to itself Ray joins whatever cluster runs on this machine.
                        address=self._address or "local",
                        num_cpus=None if self._address else self._processors,
                        include_dashboard=None if self._address else False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        _system_config=None if self._address else {"worker_niceness": 0},
                    )
                _ask_capacity()
            except Exception as error:
                ray.shutdown()
                if attempt + 1 == START_ATTEMPTS:
                    if self._address is None:
                        raise JobFailed(f"Ray did not start: {error}") from error
                    raise JobFailed(f"no Ray cluster at {self._address}: {error}; {JOIN_FORMS}") from error
            else:
                self._started = True
                self._starts += 1

    @property
    def starts(self) -> int:
        """How often Ray was started or joined: objects put into one cluster cannot be found in the next."""
        return self._starts

    def close(self) -> None:
        """Stop the local Ray, or leave the cluster, where this object started or joined it. One that is just
        being started, which cannot be broken off without Ray ending this process later, is waited for."""
        self._keeper.submit(self._stop).result()

    def _stop(self) -> None:
        if self._started:
            ray.shutdown()
            self._started = False

    def capacity(self, check_stop: Callable[[], None] | None = None) -> Capacity:
        """What the cluster has at the moment. Where Ray's process on this machine has died, Ray is restarted:
        it does not recover by itself.

        Args:
            check_stop: see `start`.

        Raises:
            JobFailed: it does not answer.
        """
        for attempt in range(START_ATTEMPTS):
            self.start(check_stop)
            try:
                return _ask_capacity()
            except RayError as error:
                if isinstance(error, LocalRayletDiedError) and attempt + 1 < START_ATTEMPTS:
                    self.close()
                    continue
                raise JobFailed(f"the Ray cluster does not say what it has: {last_line(error)}") from error
        raise AssertionError("every attempt returns or raises")

    def require(self, processors: int, what: str, check_stop: Callable[[], None] | None = None) -> Capacity:
        """Check that the cluster has so many processors: Ray silently keeps a task waiting that no node can
        ever run.

        Args:
            what: needs them; named in the error.
            check_stop: see `start`.

        Raises:
            JobFailed: the cluster has fewer and no autoscaler may add them.
        """
        capacity = self.capacity(check_stop)
        if capacity.possible < processors:
            raise JobFailed(
                f"{what} needs {processors} processors; the Ray cluster's {capacity.nodes} nodes have "
                f"{capacity.present} in all, and none may be added"
            )
        return capacity

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        on_message: Callable[[Any], None],
        stopped: Callable[[], bool],
    ) -> Any:
        """Run a function in the cluster, which may start other processes there, and return its result.

        The function is called with a `Mailbox` before its own arguments. It holds no processor itself.

        Args:
            on_message: called here with whatever the function posts to its mailbox, in order.
            stopped: asked here a few times a second; the mailbox hands the answer on.

        Raises:
            JobFailed: the function raised, or its process died.
        """
        self.start()
        posted: Any = ray.remote(num_cpus=0)(_MailboxActor).remote()
        result = ray.remote(num_cpus=0, max_retries=0)(function).remote(Mailbox(posted), *arguments)
        try:
            while True:
                ended, _ = ray.wait([result], timeout=WATCH_SECONDS)
                for message in ray.get(posted.take.remote(stopped())):
                    on_message(message)
                if ended:
                    return ray.get(result)
        except RayError as error:
            raise JobFailed(last_line(error)) from error
        finally:
            ray.cancel(result)
            ray.kill(posted)


class Mailbox:
    """What a function that `RayCluster.run` runs, and the processes that it starts, tell and ask the
    process that runs the job. It may be handed on to them."""

    def __init__(self, posted: Any) -> None:
        self._posted = posted
        self._asked_at = 0.0
        self._stopped = False

    def post(self, message: Any) -> None:
        """Tell something; returns once it is kept."""
        ray.get(self._posted.post.remote(message))

    def stopped(self) -> bool:
        """Whether the job was asked to stop; the answer may be half a second old."""
        now = time.monotonic()
        if now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            self._stopped = ray.get(self._posted.stopped.remote())
        return self._stopped


class _MailboxActor:
    """The actor behind a `Mailbox`."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._stopped = False

    def post(self, message: Any) -> None:
        self._messages.append(message)

    def take(self, stopped: bool) -> list[Any]:
        self._stopped = self._stopped or stopped
        taken, self._messages = self._messages, []
        return taken

    def stopped(self) -> bool:
        return self._stopped


@contextmanager
def _own_signals() -> Iterator[None]:
    """This process's own handling of SIGTERM is what it was: Ray puts one in its place that aborts with a
    stack of its own. The C library is asked, since Python lets only the main thread change handlers."""
    library = ctypes.CDLL(None, use_errno=True)
    kept = ctypes.create_string_buffer(SIGACTION_BYTES)
    known = library.sigaction(int(signal.SIGTERM), None, kept) == 0
    try:
        yield
    finally:
        if known:
            library.sigaction(int(signal.SIGTERM), kept, None)


def _require_listener(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTEN_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        raise JobFailed(
            f"no Ray cluster at {address}: nobody answers there ({error}); {JOIN_FORMS}"
        ) from error


def _ask_capacity() -> Capacity:
    try:
        return ray.get(ray.remote(num_cpus=0)(_capacity).remote(), timeout=ANSWER_SECONDS)
    except GetTimeoutError as error:
        raise JobFailed(f"no process of Ray answered within {ANSWER_SECONDS:.0f} s") from error


def _capacity() -> Capacity:
    """Runs in the cluster, where an autoscaler's configuration can be read through any kind of address."""
    from ray._private.state import state  # what Ray's own libraries ask; there is no public question

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    present = int(sum(resources.get("CPU", 0) for resources in alive))
    possible = (state.get_max_resources_from_cluster_config() or {}).get("CPU", 0)
    gpus = int(sum(resources.get("GPU", 0) for resources in alive))
    return Capacity(present, max(present, int(possible)), gpus, len(alive))


def last_line(error: BaseException) -> str:
    """What an error of Ray says, without the traces of other processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-2:] if isinstance(error, ActorDiedError) and not error.actor_init_failed else lines[-1:]
    return " ".join(said) or type(error).__name__
