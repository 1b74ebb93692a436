"""A fit on disk: arrays as npz without objects, names and settings as JSON, diagnostics as Parquet. No pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models import __version__
from models.errors import NotFittedError
from models.response.config import ResponseConfig
from models.response.diagnostics import Diagnostics
from models.response.fit import ResponseFit
from models.response.lift_tests import LiftTest
from models.response.linear_draws import PosteriorDraws
from models.response.market_panel import MarketPanel
from models.response.priors import ChannelPriors, EffectPrior, LogitNormal, LogNormal, Normal, Prior
from models.response.scaling import Scaling

FORMAT = 1
_FILES = ("fit.json", "panel.npz", "draws.npz", "diagnostics.parquet")
_PRIORS = {one.__name__: one for one in (Normal, LogNormal, LogitNormal)}
_PRIOR_FIELDS = ("market_spread", "trend_spread", "shock_spread", "noise")
_TEXTS = ("market_ids", "channel_ids")


def save_response_fit(fit: ResponseFit, folder: str | Path) -> None:
    """Write the fit's files into `folder`, which is created."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    panel = {f.name: getattr(fit.panel, f.name) for f in fields(fit.panel)}
    arrays = {
        name: value for name, value in panel.items() if isinstance(value, np.ndarray) and name not in _TEXTS
    }
    np.savez_compressed(folder / "panel.npz", allow_pickle=False, **arrays)
    draws = {name: getattr(fit.draws, name) for name in PosteriorDraws.__dataclass_fields__}
    np.savez_compressed(folder / "draws.npz", allow_pickle=False, parameters=fit.parameters, **draws)
    fit.diagnostics.table.to_parquet(folder / "diagnostics.parquet", index=False)
    text = {
        "format": FORMAT,
        "library_version": __version__,
        "config": config_as_dict(fit.config),
        "scaling": fit.scaling.as_dict(),
        "panel": {name: _plain(value) for name, value in panel.items() if name not in arrays},
        "lift_tests": [asdict(test) | {n: str(getattr(test, n)) for n in _DATES} for test in fit.lift_tests],
        "effects": [_effect_as_dict(effect) for effect in fit.effects],
        "transforms": list(fit.transforms),
        "parameter_names": list(fit.parameter_names),
        "common_names": list(fit.common_names),
        "middle_year": fit.middle_year,
        "diagnostics": {
            f.name: getattr(fit.diagnostics, f.name) for f in fields(Diagnostics) if f.name != "table"
        },
    }
    # last, so that a folder with this file is complete
    (folder / "fit.json").write_text(json.dumps(text, indent=1), encoding="utf-8")


def load_response_fit(folder: str | Path) -> ResponseFit:
    """Read a fit; raises NotFittedError when the folder is incomplete or of another format."""
    folder = Path(folder)
    lacking = [name for name in _FILES if not (folder / name).is_file()]
    if lacking:
        raise NotFittedError(f"no complete response fit in {folder}: {lacking} missing; fit and save again.")
    text = read_fit_text(folder)
    panel, draws = (_arrays(folder / name) for name in ("panel.npz", "draws.npz"))
    parameters = draws.pop("parameters")
    return ResponseFit(
        config=config_from_dict(text["config"]),
        scaling=Scaling.from_dict(text["scaling"]),
        panel=MarketPanel(**panel, **{name: _read(name, value) for name, value in text["panel"].items()}),
        lift_tests=tuple(_lift_test(one) for one in text["lift_tests"]),
        effects=tuple(_effect_from_dict(one) for one in text["effects"]),
        transforms=tuple(text["transforms"]),
        parameter_names=tuple(text["parameter_names"]),
        parameters=parameters,
        draws=PosteriorDraws(**draws),
        common_names=tuple(text["common_names"]),
        middle_year=text["middle_year"],
        diagnostics=Diagnostics(table=pd.read_parquet(folder / "diagnostics.parquet"), **text["diagnostics"]),
    )


def read_fit_text(folder: str | Path) -> dict[str, Any]:
    """fit.json of a saved fit: settings, scaling and names, without the arrays. NotFittedError for another format."""
    text = json.loads((Path(folder) / "fit.json").read_text(encoding="utf-8"))
    if text["format"] != FORMAT:
        raise NotFittedError(f"the fit has format {text['format']}, this library reads {FORMAT}; fit again.")
    return text


def config_as_dict(config: ResponseConfig) -> dict[str, Any]:
    """What JSON can hold; config_from_dict reads it back."""
    plain = {f.name: getattr(config, f.name) for f in fields(config)}
    plain |= {name: _prior_as_dict(plain[name]) for name in _PRIOR_FIELDS}
    plain["controls"] = None if config.controls is None else list(config.controls)
    plain["priors"] = {
        channel: {
            "effect": None if one.effect is None else _effect_as_dict(one.effect),
            "transforms": {name: _prior_as_dict(prior) for name, prior in one.transforms.items()},
        }
        for channel, one in config.priors.items()
    }
    return plain


def config_from_dict(values: dict[str, Any]) -> ResponseConfig:
    """From `config_as_dict`, by way of JSON or not."""
    given = dict(values) | {name: _prior_from_dict(values[name]) for name in _PRIOR_FIELDS}
    given["controls"] = None if values["controls"] is None else tuple(values["controls"])
    given["priors"] = {
        channel: ChannelPriors(
            None if one["effect"] is None else _effect_from_dict(one["effect"]),
            {name: _prior_from_dict(prior) for name, prior in one["transforms"].items()},
        )
        for channel, one in values["priors"].items()
    }
    return ResponseConfig(**given)


_DATES = ("start", "end")


def _lift_test(values: dict[str, Any]) -> LiftTest:
    texts = {name: tuple(values[name]) for name in ("channel_ids", "market_ids")}
    return LiftTest(**(values | texts | {name: np.datetime64(values[name]) for name in _DATES}))


def _prior_as_dict(prior: Prior) -> dict[str, Any]:
    return {"kind": type(prior).__name__} | asdict(prior)


def _prior_from_dict(values: dict[str, Any]) -> Prior:
    return _PRIORS[values["kind"]](**{name: value for name, value in values.items() if name != "kind"})


def _effect_as_dict(effect: EffectPrior) -> dict[str, Any]:
    return {"kind": effect.kind, "prior": _prior_as_dict(effect.prior)}


def _effect_from_dict(values: dict[str, Any]) -> EffectPrior:
    return EffectPrior(values["kind"], _prior_from_dict(values["prior"]))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _plain(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, np.ndarray) else value


def _read(name: str, value: Any) -> Any:
    if name in _TEXTS:
        return np.array(value, dtype=object)
    return tuple(value) if isinstance(value, list) else value
