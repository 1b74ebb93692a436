"""`make ui`: both servers answer, on loopback only, and nothing of them is left after Ctrl-C."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, STOP_SECONDS = 180, 60
LISTENING = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}  # as /proc/net/tcp and tcp6 write them

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def processes_of(home: Path) -> dict[int, str]:
    """Living processes started for this home, by the variable that all of them inherit: id -> command."""
    found = {}
    marker = f"MEDIAMIX_HOME={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # gone meanwhile, or not ours to read
            continue
        found[int(folder.name)] = command
    return found


def listening(process_ids: Iterable[int]) -> set[tuple[str, int]]:
    """(address, port) of every TCP socket that these processes listen on."""
    inodes = set()
    for process_id in process_ids:
        for handle in Path(f"/proc/{process_id}/fd").glob("*"):
            try:
                target = os.readlink(handle)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def wait_for(address: str, process: subprocess.Popen, log: Path) -> int:
    """HTTP status, once somebody answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"nobody answers at {address}: {log.read_text()}")


def test_both_servers_answer_on_loopback_only_and_stop_without_a_trace(manifest, tmp_path):
    home, log = tmp_path / "home", tmp_path / "ui.log"
    dagster_port, mlflow_port = free_ports(2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEDIAMIX_")}
    command = [sys.executable, "-m", "orchestration.cli", "ui", "--home", str(home), "--source", "simulated"]
    command += ["--dagster-port", str(dagster_port), "--mlflow-port", str(mlflow_port)]
    # as a job in the background of a shell: SIGINT is ignored, and children would inherit that
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=REPO_ROOT,
            env=environment | {"MEDIAMIX_HOME": str(home)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    signal.signal(signal.SIGINT, before)
    try:
        assert wait_for(f"http://127.0.0.1:{dagster_port}/server_info", process, log) == 200
        assert wait_for(f"http://127.0.0.1:{mlflow_port}/health", process, log) == 200
        started = processes_of(home)
        assert len(started) >= 3, started  # the command and the two servers: the search can see them
        sockets = listening(started)
        assert {dagster_port, mlflow_port} <= {port for _, port in sockets}
        assert {address for address, _ in sockets} <= LOOPBACK, sockets
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0, log.read_text()
        assert "Stopping." in log.read_text()
        end = time.monotonic() + 5
        while (left := processes_of(home)) and time.monotonic() < end:
            time.sleep(0.2)
        assert left == {}
    finally:
        for process_id in processes_of(home):  # only what this test started
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        process.wait(STOP_SECONDS)
