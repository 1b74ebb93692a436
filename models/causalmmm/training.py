"""Train a network by steps that can be interrupted: progress, early stopping, checkpoints, same result when resumed.

Everything that a step depends on (weights, Adam's moments, the random stream, the best weights so far) is in the
checkpoint, so that a resumed training ends at the same numbers as one that was never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from models.causalmmm.checkpoints import read_checkpoint, write_checkpoint
from models.causalmmm.network_config import TrainingConfig
from models.errors import ConvergenceError


class Objective(Protocol):
    """What is trained: a network on its data."""

    network: nn.Module
    shops_count: int
    values_count: int  # training values, by which losses are divided

    def begin_epoch(self, number: int) -> None:
        """Told before every epoch, numbered from 1."""
        ...

    def loss_terms(self, shops: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Terms of the negative ELBO in nats, summed over the given shops' training periods."""
        ...

    def holdout_loss(self, shops: Tensor) -> float:
        """Negative log likelihood of the given shops' held-out periods under the likely graph, in nats."""
        ...


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: its number from 1, negative ELBO per value, its terms, and the held-out loss where it was checked."""

    number: int
    epochs: int
    loss: float
    terms: dict[str, float]
    holdout: float | None


Progress = Callable[[Epoch], None]


@dataclass
class _State:
    """Where a training stands."""

    epoch: int = 0
    best_epoch: int = 0
    best_holdout: float = math.inf
    best: dict[str, Tensor] | None = None
    history: list[dict] | None = None


def train(
    objective: Objective,
    config: TrainingConfig,
    groups: list[dict],
    fingerprint: str,
    progress: Progress | None = None,
    folder: str | Path | None = None,
    stop_after: int | None = None,
) -> list[dict]:
    """Train in place and leave the best weights; history of epochs as rows of epoch, loss, holdout and terms.

    groups: Adam's parameter groups. fingerprint: names settings and data; a checkpoint of others is refused.
    stop_after: end early as an interruption would, for tests of resuming; weights are then the last ones.
    Raises ConvergenceError where the loss is no longer a number.
    """
    optimiser = torch.optim.Adam(groups, lr=config.learning_rate)
    generator = torch.Generator().manual_seed(config.seed)
    state = _resume(objective.network, optimiser, generator, fingerprint, folder) or _State(history=[])
    while state.epoch < config.epochs and not _patience_is_out(state, config):
        state.epoch += 1
        objective.begin_epoch(state.epoch)
        terms = _one_epoch(objective, config, optimiser, generator)
        holdout = None
        if config.holdout_share > 0 and state.epoch % config.check_every == 0:
            holdout = _holdout(objective, config)
            if holdout < state.best_holdout:
                state.best_holdout, state.best_epoch = holdout, state.epoch
                state.best = {k: v.clone() for k, v in objective.network.state_dict().items()}
        loss = sum(terms.values())
        if not math.isfinite(loss):
            raise ConvergenceError(
                f"the loss of epoch {state.epoch} is {loss}: a step was too long. Lower learning_rate "
                f"({config.learning_rate}) and look for extreme values in the panel."
            )
        state.history.append({"epoch": state.epoch, "loss": loss, "holdout": holdout, **terms})
        if progress is not None:
            progress(Epoch(state.epoch, config.epochs, loss, terms, holdout))
        stopping = stop_after is not None and state.epoch >= stop_after
        if folder is not None and (state.epoch % config.checkpoint_every == 0 or stopping):
            _save(objective.network, optimiser, generator, state, fingerprint, folder)
        if stopping:
            return state.history
    if state.best is not None:
        objective.network.load_state_dict(state.best)
    return state.history


def _patience_is_out(state: _State, config: TrainingConfig) -> bool:
    return state.best is not None and state.epoch - state.best_epoch >= config.patience


def _one_epoch(objective: Objective, config: TrainingConfig, optimiser, generator) -> dict[str, float]:
    """Steps over all shops; terms per training value."""
    objective.network.train()
    order = torch.randperm(objective.shops_count, generator=generator)
    batches = order.split(config.batch_shops)
    totals: dict[str, float] = {}
    optimiser.zero_grad()
    for shops in batches:
        terms = objective.loss_terms(shops, generator)
        share = len(shops) / objective.shops_count if config.step_every_batch else 1.0
        (sum(terms.values()) / (objective.values_count * share)).backward()
        if config.step_every_batch:
            _step(objective.network, optimiser)
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach()) / objective.values_count
    if not config.step_every_batch:
        _step(objective.network, optimiser)
    return totals


def _step(network: nn.Module, optimiser) -> None:
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    optimiser.zero_grad()


def _holdout(objective: Objective, config: TrainingConfig) -> float:
    objective.network.eval()
    with torch.no_grad():
        shops = torch.arange(objective.shops_count)
        return float(sum(objective.holdout_loss(part) for part in shops.split(config.batch_shops)))


def _save(network, optimiser, generator, state: _State, fingerprint: str, folder) -> None:
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in (state.best or {}).items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{k}": v for k, v in moments.items()}
    tensors["random"] = generator.get_state()
    document = {
        "fingerprint": fingerprint,
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "best_holdout": state.best_holdout if state.best else None,
        "history": state.history,
    }
    write_checkpoint(folder, tensors, document)


def _resume(network, optimiser, generator, fingerprint: str, folder) -> _State | None:
    found = None if folder is None else read_checkpoint(folder, fingerprint)
    if found is None:
        return None
    tensors, document = found

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    network.load_state_dict(part("network."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in part("adam.").items():
        number, moment = name.split(".")
        moments.setdefault(int(number), {})[moment] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    generator.set_state(tensors["random"])
    best = part("best.") or None
    return _State(
        document["epoch"],
        document["best_epoch"],
        document["best_holdout"] if best else math.inf,
        best,
        document["history"],
    )
