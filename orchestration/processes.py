"""Child processes of the command line: started in groups of their own, stopped whole, never left behind."""

import os
import signal
import subprocess
import threading
import time
from typing import TextIO

from orchestration.resources.settings import CHECKOUT


def start(command: list[str], log: TextIO, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen:
    """A child in its own process group, so that stopping it stops what it started."""
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=os.environ.copy(),
        start_new_session=True,
        pass_fds=pass_fds,
    )


def end_with_parent() -> None:
    """End this process group once the process that started it is gone, however it went (kill -9 included)."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.killpg(os.getpgrp(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def stop(child: subprocess.Popen) -> None:
    """Ask the child's group to end, and end it: also what outlives the child."""
    for number, seconds in ((signal.SIGINT, 20), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        end = time.monotonic() + seconds
        try:
            os.killpg(child.pid, number)
            while time.monotonic() < end:
                child.poll()  # reaps it, so that an empty group is gone
                os.killpg(child.pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return


def listen() -> None:
    """SIGTERM and SIGINT stop us and our children, also where a shell started us in the background with SIGINT ignored,
    which children would inherit: they would then outlive us."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
