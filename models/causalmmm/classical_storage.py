"""A fitted classical level as files: arrays in safetensors, everything else in JSON. Nothing is pickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.causalmmm.classical import ClassicalFit
from models.causalmmm.classical_config import ClassicalConfig
from models.causalmmm.parent_rounds import Learned
from models.causalmmm.structures import Structures
from models.errors import NotFittedError
from models.shops.graph_posterior import GraphPosterior

FORMAT = 1
_ARRAYS, _REST = "classical.safetensors", "classical.json"
_POSTERIOR = ("edge_probability", "lag", "sign")
_LEARNED = ("slab_weights", "variance_shape", "variance_scale")
_STRUCTURES = ("group", "with_edge", "without_edge")


def save_classical(fit: ClassicalFit, folder: Path) -> None:
    """Write both files into a folder, which is made."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    structures = fit.learned.structures
    arrays = {"kernel": fit.kernel, "allowed": fit.allowed}
    arrays |= {f"posterior.{name}": getattr(fit.posterior, name) for name in _POSTERIOR}
    arrays |= {f"learned.{name}": getattr(fit.learned, name) for name in _LEARNED}
    if fit.posterior.structure_probability is not None:
        arrays["posterior.structure_probability"] = fit.posterior.structure_probability
    if structures is not None:
        arrays |= {f"structures.{name}": getattr(structures, name) for name in _STRUCTURES}
    rest = {
        "format": FORMAT,
        "node_ids": list(fit.node_ids),
        "lags_count": fit.lags_count,
        "config": asdict(fit.config),
        "method": fit.posterior.method,
        "diagnostics": fit.posterior.diagnostics,
        "learned": {
            "edge_share": fit.learned.edge_share,
            "own_share": fit.learned.own_share,
            "common_scale": fit.learned.common_scale,
        },
        "structures": None
        if structures is None
        else {"edge_share": structures.edge_share, "slip": structures.slip},
    }
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / _ARRAYS)
    (folder / _REST).write_text(json.dumps(rest, indent=1) + "\n", encoding="utf-8")


def load_classical(folder: Path) -> ClassicalFit:
    """Read what `save_classical` wrote. NotFittedError where a file is missing or of another format."""
    from safetensors.numpy import load_file

    folder = Path(folder)
    missing = [name for name in (_ARRAYS, _REST) if not (folder / name).exists()]
    if missing:
        raise NotFittedError(
            f"{folder} lacks {', '.join(missing)}: no graph was saved there. Fit one and save it."
        )
    rest = json.loads((folder / _REST).read_text(encoding="utf-8"))
    if rest["format"] != FORMAT:
        raise NotFittedError(
            f"{folder} holds format {rest['format']}, this version reads {FORMAT}. Fit the graph again."
        )
    arrays = load_file(folder / _ARRAYS)

    def part(prefix: str, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        return {name: arrays[f"{prefix}.{name}"] for name in names}

    structures = rest["structures"]
    return ClassicalFit(
        posterior=GraphPosterior(
            **part("posterior", _POSTERIOR),
            structure_probability=arrays.get("posterior.structure_probability"),
            method=rest["method"],
            diagnostics=rest["diagnostics"],
        ),
        kernel=arrays["kernel"],
        lags_count=rest["lags_count"],
        learned=Learned(
            **rest["learned"],
            **part("learned", _LEARNED),
            structures=None
            if structures is None
            else Structures(**part("structures", _STRUCTURES), **structures),
        ),
        config=ClassicalConfig(
            **{n: tuple(v) if isinstance(v, list) else v for n, v in rest["config"].items()}
        ),
        node_ids=tuple(rest["node_ids"]),
        allowed=arrays["allowed"],
    )
