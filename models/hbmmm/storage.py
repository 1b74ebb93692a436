"""A fit on disk: arrays as netCDF, tables and identifiers as Parquet, names and maps as JSON. Nothing is pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models import __version__
from models.errors import NotFittedError
from models.hbmmm.config import HBMMMConfig
from models.hbmmm.design import Design
from models.hbmmm.fit import HBMMMFit

FORMAT = 2
_ARRAYS = {
    "draws": ("imputation", "chain", "draw", "parameter"),
    "market_draws": ("imputation", "kept", "market", "market_column"),
    "kept_index": ("kept",),
    "prior_sd": ("parameter",),
    "market_index": ("consumer",),
    "stratum_index": ("consumer",),
    "row_means": ("consumer", "row_column"),
    "coefficient_mean": ("consumer", "coefficient"),
    "coefficient_covariance": ("consumer", "coefficient", "coefficient_again"),
    "learned_share": ("consumer", "slope"),
}
_FILES = (
    "fit.json",
    "arrays.nc",
    "consumers.parquet",
    "diagnostics.parquet",
    "sampler.parquet",
    "completed.parquet",
)


def save_fit(fit: HBMMMFit, folder: str | Path) -> None:
    """Write the fit's files into `folder`, which is created."""
    import xarray as xr

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: (dims, np.asarray(getattr(fit, name))) for name, dims in _ARRAYS.items()}
    xr.Dataset(arrays, attrs={"unit": "scaled; see fit.json"}).to_netcdf(
        folder / "arrays.nc", engine="h5netcdf"
    )
    pd.DataFrame({"consumer_id": fit.consumer_ids}).to_parquet(folder / "consumers.parquet", index=False)
    fit.diagnostics.to_parquet(folder / "diagnostics.parquet", index=False)
    fit.sampler.to_parquet(folder / "sampler.parquet", index=False)
    completed = [one.reset_index(drop=True).assign(imputation=m) for m, one in enumerate(fit.completed)]
    pd.concat(completed, ignore_index=True).to_parquet(folder / "completed.parquet", index=False)
    text = {
        "format": FORMAT,
        "library_version": __version__,
        "config": fit.config.as_dict(),
        "design": fit.design.as_dict(),
        "strata": list(fit.strata),
        "parameter_names": list(fit.parameter_names),
        "market_ids": [str(m) for m in fit.market_ids],
        "seconds": fit.seconds,
    }
    # last, so that a folder with this file is complete
    (folder / "fit.json").write_text(json.dumps(text, indent=1, allow_nan=False), encoding="utf-8")


def load_fit(folder: str | Path) -> HBMMMFit:
    """Read a fit; raises NotFittedError when the folder is incomplete or of another format."""
    import xarray as xr

    folder = Path(folder)
    lacking = [name for name in _FILES if not (folder / name).is_file()]
    if lacking:
        raise NotFittedError(
            f"no complete HBMMM fit in {folder}: {lacking} missing; fit and save the model again."
        )
    text: dict[str, Any] = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
    if text["format"] != FORMAT:
        raise NotFittedError(
            f"the fit has format {text['format']}, this library reads {FORMAT}; fit the model again."
        )
    with xr.open_dataset(folder / "arrays.nc", engine="h5netcdf") as dataset:
        arrays = {name: dataset[name].to_numpy() for name in _ARRAYS}
    ids = pd.read_parquet(folder / "consumers.parquet")["consumer_id"].to_numpy(dtype=object)
    completed = pd.read_parquet(folder / "completed.parquet")
    frames = [
        one.drop(columns="imputation").set_index(pd.Index(ids, name="consumer_id"))
        for _, one in completed.groupby("imputation", sort=True)
    ]
    return HBMMMFit(
        config=HBMMMConfig(**text["config"]),
        design=Design.from_dict(text["design"]),
        strata=tuple(text["strata"]),
        parameter_names=tuple(text["parameter_names"]),
        consumer_ids=ids,
        market_ids=np.array(text["market_ids"], dtype=object),
        completed=tuple(frames),
        diagnostics=pd.read_parquet(folder / "diagnostics.parquet"),
        sampler=pd.read_parquet(folder / "sampler.parquet"),
        seconds=text["seconds"],
        **arrays,
    )
