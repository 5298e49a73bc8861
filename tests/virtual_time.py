"""Threads in virtual time: the clock moves when all of them wait.

A simulation of discrete events with real threads and real locks. What the threads do
between two waits takes no virtual time, so that a test can say to the millisecond when
what happens.
"""

import threading
from collections.abc import Callable

STUCK_AFTER = 20.0  # real seconds; a bound on a failing test, not a measure


class VirtualTime(threading.Condition):
    """A condition to wait on, with the clock that its waiting goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._threads = 0
        self._sleepers: dict[object, float] = {}  # who waits, and until when

    def clock(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notification or the timeout, as a condition does."""
        assert timeout is not None
        assert timeout <= threading.TIMEOUT_MAX  # more than that, and infinity, raises
        sleeper = object()
        self._sleepers[sleeper] = self.now + timeout
        self._jump_if_all_wait()
        while sleeper in self._sleepers:
            assert super().wait(STUCK_AFTER), "stuck: a thread neither waits nor ends"
        return True

    def notify_all(self) -> None:
        self._sleepers.clear()
        super().notify_all()

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass; without the lock, so that others can run."""
        with self:
            until = self.now + seconds
            while self.now < until:
                self.wait(until - self.now)

    def run(self, *functions: Callable[[], object]) -> None:
        """Run the functions, each in a thread, to the end of all that they start."""
        self._threads = len(functions)
        for function in functions:
            threading.Thread(target=self._live, args=(function,), daemon=True).start()
        with self:
            while self._threads:
                assert super().wait(STUCK_AFTER), (
                    "stuck: a thread neither waits nor ends"
                )

    def thread(self, target: Callable[[], object], daemon: bool) -> threading.Thread:
        """One more thread to live in virtual time; called with the lock held."""
        self._threads += 1
        return threading.Thread(target=self._live, args=(target,), daemon=daemon)

    def _live(self, function: Callable[[], object]) -> None:
        try:
            function()
        except SystemExit:
            pass
        finally:
            with self:
                self._threads -= 1
                self._jump_if_all_wait()
                super().notify_all()  # for `run`

    def _jump_if_all_wait(self) -> None:
        if self._sleepers and len(self._sleepers) == self._threads:
            self.now = max(self.now, min(self._sleepers.values()))
            # As in real time, only those wake up whose time has come.
            self._sleepers = {
                who: at for who, at in self._sleepers.items() if at > self.now
            }
            super().notify_all()
