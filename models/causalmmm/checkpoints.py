"""Tensors as safetensors, everything else as JSON; written so that an interruption leaves the previous one whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from models.errors import NotFittedError

FORMAT = 1


def write_checkpoint(folder: str | Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Write the tensors under a name of their own, then the document that points to them, then remove older tensors."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"epoch-{document['epoch']:06d}.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / name)
    temporary = folder / "checkpoint.json.part"
    temporary.write_text(json.dumps({"format": FORMAT, "tensors": name, **document}), encoding="utf-8")
    os.replace(temporary, folder / "checkpoint.json")
    for path in folder.glob("epoch-*.safetensors"):
        if path.name != name:
            path.unlink()


def read_checkpoint(folder: str | Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and document of the folder's checkpoint, None where it has none.

    Raises NotFittedError where it belongs to other settings or data, or has another format.
    """
    folder = Path(folder)
    path = folder / "checkpoint.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("format") != FORMAT:
        raise NotFittedError(
            f"the checkpoint in {folder} has format {document.get('format')}, this library reads {FORMAT}. Train into "
            "an empty folder."
        )
    if document["fingerprint"] != fingerprint:
        raise NotFittedError(
            f"the checkpoint in {folder} was written for other settings or data (fingerprint "
            f"{document['fingerprint']}, now {fingerprint}); resuming would mix two fits. Train into an empty folder."
        )
    return load_file(folder / document["tensors"]), document
