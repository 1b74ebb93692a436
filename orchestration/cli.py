"""The command line: ``run`` (what ``make run`` does), ``promote``, ``ui`` and others. See ``--help`` of each.

``run`` executes the job ``full_refresh`` in a child process, whose log goes to a file, and prints what happens from
the run's event log. One run per home at a time, held by a file lock; it does not start beside a run of the UI either.
"""

import argparse
import fcntl
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from orchestration.processes import end_with_parent, listen, start, stop
from orchestration.resources.instance import StoreError
from orchestration.resources.settings import CHECKOUT, Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from rich.console import Console

DAGSTER_PORT, MLFLOW_PORT = 3000, 5000
MODELS = (
    "mediamix-hbmmm",
    "mediamix-response",
)  # those that pass a gate (assets.champions), which is slow to import
LOCK_SECONDS = 2.0  # the reaper of dead runs holds the lock of the home for a moment while it looks


class CommandError(RuntimeError):
    """A command cannot do what was asked; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="mediamix",
        description="Causal marketing-mix modelling: land data, build the warehouse, fit, publish effects.",
        epilog="Settings are environment variables MEDIAMIX_<NAME> and <home>/mediamix.toml.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="land new files, run job full_refresh, print the effect table")
    ui = commands.add_parser("ui", help="serve Dagster and MLflow on loopback until Ctrl-C")
    hashes = commands.add_parser("hash", help="print a hash of the rows of every published table")
    execute = commands.add_parser(
        "execute", help="run a job in this process (what `run` starts; log on stdout)"
    )
    propose = commands.add_parser(
        "propose-graph", help="write the found causal graph as YAML for a person to accept edges of"
    )
    prepare = commands.add_parser(
        "instance",
        help="write dagster.yaml, make the tables of both stores, close dead runs; prints DAGSTER_HOME",
    )
    erase = commands.add_parser("erase", help="remove one consumer from everything in the home, with proof")
    erase.add_argument("--consumer-id", required=True, help="as in the source files; - reads it from stdin")
    promote = commands.add_parser(
        "promote", help="publish a challenger that the gate kept back, with a reason that is recorded"
    )
    promote.add_argument("--model", default=MODELS[0], choices=MODELS, help="default: %(default)s")
    promote.add_argument("--reason", required=True, help="why; it stands beside the decision everywhere")
    for command in (run, promote, ui, hashes, execute, propose, erase, prepare):
        command.add_argument(
            "--home", help="folder that holds everything of a deployment (default: .mediamix)"
        )
        command.add_argument("--source", help="complete_journey, simulated, or a folder of files")
        command.add_argument("--period", choices=["day", "week", "month"], help="length of a period")
    ui.add_argument("--dagster-port", type=int, default=DAGSTER_PORT, help="default: %(default)s")
    ui.add_argument("--mlflow-port", type=int, default=MLFLOW_PORT, help="default: %(default)s")
    execute.add_argument("--key", required=True, help="tag of the run, by which `run` finds it")
    execute.add_argument("--override", nargs=2, metavar=("MODEL", "REASON"), help="what `promote` was told")
    propose.add_argument("--graph", type=Path, help="the declared graph (YAML); without, one is drawn up")
    propose.add_argument(
        "--probability", type=float, default=0.5, help="least, mean over markets: %(default)s"
    )
    propose.add_argument("--stability", type=float, default=0.5, help="least share of refits: %(default)s")
    propose.add_argument("--structure", type=int, help="markets of this group alone, see causal_graph_edges")
    propose.add_argument("--output", type=Path, help="file to write (default: print it)")
    options = parser.parse_args(arguments)
    from pydantic import ValidationError

    try:
        settings = _settings(options)
        if options.command == "hash":
            from orchestration.results import hashes_as_json

            print(hashes_as_json(settings))
            return 0
        if options.command == "instance":
            return _prepare(settings)
        if options.command == "erase":
            return _erase(settings, options.consumer_id)
        if options.command == "execute":
            end_with_parent()
            return _execute(options.key, options.override)
        if options.command == "propose-graph":
            return _propose(settings, options)
        if options.command == "ui":
            return _serve(settings, options.dagster_port, options.mlflow_port)
        if options.command == "promote":
            if not options.reason.strip():
                raise CommandError(
                    "The reason is empty; say why the challenger is right although a check is not."
                )
            return _run(settings, (options.model, options.reason.strip()))
        return _run(settings)
    except ValidationError as error:
        for item in error.errors():
            print(f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}", file=sys.stderr)
    except (SettingsError, StoreError, CommandError) as error:
        print(error, file=sys.stderr)
    return 1


def _settings(options: argparse.Namespace) -> Settings:
    """Options become environment variables, so that every child process sees the same settings."""
    for name in ("home", "source", "period"):
        value = getattr(options, name)
        if value:
            os.environ[f"MEDIAMIX_{name.upper()}"] = value
    settings = load_settings()
    os.environ["MEDIAMIX_HOME"] = str(settings.home)
    os.environ["MEDIAMIX_SOURCE"] = settings.source
    # steps run side by side, so threads of each would only get in each other's way; and sums keep their order
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # its job queue serves generative-AI features only: seven processes and open endpoints for nothing
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    return settings


def _run(settings: Settings, override: tuple[str, str] | None = None) -> int:
    """Run full_refresh, or with (model, reason) the job that promotes; print what happened and what is published."""
    from rich.console import Console

    from orchestration.resources.dbt import ManifestError, require_manifest
    from orchestration.resources.instance import claim_own_store, prepare_instance
    from orchestration.results import print_places, print_results, table_hashes

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    begun = time.monotonic()
    try:
        require_manifest()
    except ManifestError as error:
        raise CommandError(str(error)) from error
    console.print("[bold]Settings[/]")
    for line in settings.describe():
        console.print(f"  {line}", markup=False, soft_wrap=True)
    folder = prepare_instance(settings)
    claim_own_store(settings)
    listen()
    with _home_lock(folder / "run.lock") as lock:
        log_path = folder / "logs" / f"run-{time.strftime('%Y%m%d-%H%M%S')}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        job = "override_gate" if override else "full_refresh"
        console.print(f"[bold]Run[/] of job {job}; its full log: {log_path}", soft_wrap=True)
        before = table_hashes(settings)
        told = ["--override", *override] if override else []
        succeeded = _follow(settings, console, log_path, lock, told)
        if not succeeded:
            return 1
    after = table_hashes(settings)
    print_results(settings, console)
    print_places(settings, console)
    seconds = time.monotonic() - begun
    console.print(f"\nDone in {seconds // 60:.0f} min {seconds % 60:.0f} s.{_compared(before, after)}")
    return 0


def _follow(
    settings: Settings, console: "Console", log_path: Path, lock: TextIO, told: Sequence[str]
) -> bool:
    """Start the child, print its events until it ends; False if the run failed. The child holds the lock too."""
    import dagster as dg

    from orchestration.following import RunFollower, close_orphans
    from orchestration.reaper import close_dead_runs

    key = uuid.uuid4().hex
    command = [sys.executable, "-m", "orchestration.cli", "execute", "--key", key, *told]
    with dg.DagsterInstance.get() as instance, log_path.open("w", encoding="utf-8") as log:
        dead = close_dead_runs(instance)
        _refuse_runs_of_others(instance)
        for run_id in [*dead, *close_orphans(instance)]:
            console.print(f"[yellow]Closed run {run_id[:8]}, whose process had been killed.[/]")
        follower = RunFollower(instance, settings.home, lambda line: console.print(line, markup=False))
        child = start(command, log, pass_fds=(lock.fileno(),))
        try:
            while child.poll() is None:
                if follower.find_run(key):
                    follower.poll()
                time.sleep(0.5)
        except KeyboardInterrupt:
            console.print("[yellow]Stopping the run ...[/]")
            stop(child)
            close_orphans(instance)
            raise CommandError("Stopped by hand; what was finished is kept, run again to go on.") from None
        if follower.find_run(key):
            follower.poll()
        for line in follower.checks_not_passed:
            console.print(f"[yellow]check not passed[/] {_escaped(line)}", soft_wrap=True)
        if child.returncode == 0 and not follower.failures:
            return True
        _explain(console, follower.failures, log_path, child.returncode)
        close_orphans(instance)
    return False


def _erase(settings: Settings, consumer_id: str) -> int:
    """Remove a consumer while no run works in the home; 0 only if the scan afterwards found nothing anywhere."""
    import dagster as dg

    from orchestration.erase import erase_and_tell
    from orchestration.resources.instance import claim_own_store, prepare_instance

    consumer_id = sys.stdin.read().rstrip("\r\n") if consumer_id == "-" else consumer_id
    if not consumer_id:
        raise CommandError("The id is empty; give it as it stands in the source files.")
    folder = prepare_instance(settings)
    claim_own_store(settings)
    with _home_lock(folder / "run.lock"), dg.DagsterInstance.get() as instance:
        _refuse_runs_of_others(instance)
        return erase_and_tell(settings, consumer_id)


def _prepare(settings: Settings) -> int:
    from orchestration.prepare import prepare_deployment

    print(prepare_deployment(settings))
    return 0


def _refuse_runs_of_others(instance: "DagsterInstance") -> None:
    """Runs of a schedule or of the UI do not take the lock of the home, so look for them."""
    from orchestration.following import runs_of_others

    names = [
        f"{run.run_id} (job {run.job_name}, {run.status.value.lower()})" for run in runs_of_others(instance)
    ]
    if names:
        raise CommandError(
            f"A schedule or the UI has a run in progress in this home: {', '.join(names)}. Two runs would write the "
            "same files. Wait for it, or terminate it in `make ui` (do that too if its process was killed), then "
            "run again."
        )


def _explain(console: "Console", failures: list, log_path: Path, code: int | None) -> None:
    """Which step failed, what its error says, where the rest is."""
    console.print()
    for failure in failures:
        console.print(f"[bold red]Step {failure.step} failed.[/]")
        console.print(failure.message, markup=False, soft_wrap=True)
    if not failures:
        console.print(f"[bold red]The run ended with exit code {code} before any step failed.[/]")
        lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        console.print("\n".join(lines[-15:]), markup=False, soft_wrap=True)
    console.print(
        f"\nFull log: {log_path}. Correct the cause and run again: finished work is kept.", soft_wrap=True
    )


def _execute(key: str, override: Sequence[str] | None) -> int:
    """Run a job here, steps in processes of their own; the exit code says whether it succeeded."""
    import dagster as dg

    from orchestration.following import CLI_TAG
    from orchestration.resources.instance import prepare_instance

    prepare_instance(load_settings())
    from assets.keys import GATE_STEP
    from orchestration.definitions import full_refresh_job, override_gate_job

    job: dg.ReconstructableJob = dg.reconstructable(override_gate_job if override else full_refresh_job)
    config = dict(zip(("override_model", "override_reason"), override or (), strict=False))
    with (
        dg.DagsterInstance.get() as instance,
        dg.execute_job(
            job,
            instance=instance,
            tags={CLI_TAG: key},
            run_config={"ops": {GATE_STEP: {"config": config}}} if override else None,
            raise_on_error=False,
        ) as result,
    ):
        return 0 if result.success else 1


def _propose(settings: Settings, options: argparse.Namespace) -> int:
    """The newest graph of the home as proposals of the declared one; a file that is there is not written over."""
    from models.errors import GraphError
    from orchestration.proposal import ProposalError, proposed_graph

    if options.output and options.output.exists():
        raise CommandError(
            f"{options.output} exists and may hold decisions. Give another --output, or move it."
        )
    try:
        declared = options.graph.read_text(encoding="utf-8") if options.graph else None
        text = proposed_graph(
            settings, declared, options.probability, options.stability, options.structure
        ).to_yaml()
    except OSError as error:
        raise CommandError(f"The declared graph cannot be read: {error}. Correct --graph.") from error
    except (ProposalError, GraphError) as error:
        raise CommandError(str(error)) from error
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text, encoding="utf-8")
        print(
            f"Wrote {options.output}. Set `accepted: true` where you agree; everything else counts for nothing."
        )
    return 0


def _serve(settings: Settings, dagster_port: int, mlflow_port: int) -> int:
    """Dagster (webserver, daemon, code server) and MLflow on 127.0.0.1, until Ctrl-C or one of them ends."""
    from orchestration.resources.dbt import ManifestError, require_manifest
    from orchestration.resources.instance import claim_own_store, prepare_instance

    try:
        require_manifest()
    except ManifestError as error:
        raise CommandError(str(error)) from error
    folder = prepare_instance(settings)
    claim_own_store(settings)
    (folder / "logs").mkdir(exist_ok=True)
    bin_dir = Path(sys.executable).parent
    host = "127.0.0.1"
    dagster = [str(bin_dir / "dagster"), "dev", "-w", str(CHECKOUT / "workspace.yaml")]
    dagster += ["-h", host, "-p", str(dagster_port)]
    mlflow = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        host,
        "--port",
        str(mlflow_port),
        "--workers",
        "1",
    ]
    # not as an argument, which everybody on the machine could read: it may hold a password
    os.environ["MLFLOW_BACKEND_STORE_URI"] = settings.mlflow_tracking_uri
    mlflow += ["--no-serve-artifacts"]
    mlflow += ["--default-artifact-root", (settings.home / "mlartifacts").as_uri()]
    commands = {"dagster": (dagster, dagster_port), "mlflow": (mlflow, mlflow_port)}
    children: dict[str, subprocess.Popen] = {}
    logs: list[TextIO] = []
    listen()
    try:
        for name, (command, port) in commands.items():
            log = (folder / "logs" / f"{name}.log").open("w", encoding="utf-8")
            logs.append(log)
            children[name] = start(command, log)
            print(f"{name:<8} http://{host}:{port}   log: {log.name}", flush=True)
        print("Ctrl-C stops both.", flush=True)
        while True:
            for name, child in children.items():
                if child.poll() is not None:
                    path = folder / "logs" / f"{name}.log"
                    raise CommandError(
                        f"{name} ended with code {child.returncode}; is its port taken? See {path}."
                    )
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("Stopping.", flush=True)
        return 0
    finally:
        for child in children.values():
            stop(child)
        for log in logs:
            log.close()


@contextmanager
def _home_lock(path: Path) -> Iterator[TextIO]:
    """Hold the home for one run; the lock goes with the processes that hold the file, however they end."""
    end = time.monotonic() + LOCK_SECONDS
    with path.open("w", encoding="utf-8") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise CommandError(
                        f"Another run works in {path.parent.parent} right now (it holds {path}). Wait for it, or use "
                        "another home with HOME_DIR=..."
                    ) from None
                time.sleep(0.1)
        yield handle


def _compared(before: dict[str, str], after: dict[str, str]) -> str:
    if not before:
        return ""
    changed = sorted(name for name in after if before.get(name) != after[name])
    if not changed:
        return f" The {len(after)} published tables have the same content as before this run."
    return f" Changed since the run before: {', '.join(changed)}."


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    sys.exit(main())
