"""A fit of the level `mediamix` on disk: every array in one safetensors file, everything else as JSON; no pickles."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from models import __version__
from models.causalmmm.mediamix import Evidence, MediamixFit, untrained_network
from models.causalmmm.mediamix_config import MediamixConfig
from models.causalmmm.network_config import TrainingConfig
from models.errors import NotFittedError
from models.shops.graph_posterior import GraphPosterior
from models.shops.panel import ShopPanel
from models.shops.scaling import ShopScaler

FORMAT = 1
_PARTS = {"panel": ShopPanel, "scaler": ShopScaler, "posterior": GraphPosterior}


def save_mediamix(fit: MediamixFit, folder: str | Path) -> None:
    """Write fit.safetensors and fit.json into `folder`, which is created. The evidence is not written."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"network.{name}": value for name, value in fit.network.state_dict().items()}
    text: dict[str, Any] = {
        "format": FORMAT,
        "library_version": __version__,
        "config": asdict(fit.config),
        "history": list(fit.history),
    }
    for part in _PARTS:
        for one in fields(getattr(fit, part)):
            value = getattr(getattr(fit, part), one.name)
            if isinstance(value, np.ndarray):
                tensors[f"{part}.{one.name}"] = torch.as_tensor(np.array(value))
            else:
                text[f"{part}.{one.name}"] = value
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "fit.safetensors")
    (folder / "fit.json").write_text(json.dumps(text), encoding="utf-8")


def load_mediamix(folder: str | Path, evidence: Evidence | None = None) -> MediamixFit:
    """The fit that was saved; `evidence` is needed for nothing but scoring other shops.

    Raises NotFittedError where files are missing or of another format.
    """
    folder = Path(folder)
    missing = [name for name in ("fit.json", "fit.safetensors") if not (folder / name).exists()]
    if missing:
        raise NotFittedError(
            f"{folder} lacks {', '.join(missing)}; it holds no whole fit. Save the fit again."
        )
    text = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    if text["format"] != FORMAT:
        raise NotFittedError(
            f"{folder} has format {text['format']}, this library reads {FORMAT}. Fit and save again."
        )
    tensors = load_file(folder / "fit.safetensors")
    parts = {
        part: kind(**{one.name: _value(f"{part}.{one.name}", tensors, text) for one in fields(kind)})
        for part, kind in _PARTS.items()
    }
    config = MediamixConfig(**(text["config"] | {"training": TrainingConfig(**text["config"]["training"])}))
    state = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
    features = len(state["encoder.centre"]) if "encoder.centre" in state else 0
    network = untrained_network(parts["panel"], config, features)
    network.load_state_dict(state)
    return MediamixFit(
        config=config, network=network, evidence=evidence, history=tuple(text["history"]), **parts
    )


def _value(name: str, tensors: dict[str, torch.Tensor], text: dict[str, Any]) -> Any:
    return tensors[name].numpy() if name in tensors else text[name]
