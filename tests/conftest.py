"""Fixtures for everyone: small folders of files in the contract's shape, whole and easy to spoil."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

Tables = dict[str, pd.DataFrame]
MARKETS = ("north", "south", "west")
CHANNELS = ("podcast", "push")
CONSUMERS_COUNT = 60
WEEKS_COUNT = 30
FIRST_MONDAY = dt.date(2023, 1, 2)
PODCAST_EFFECT = 4.0  # EUR of GMV for one podcast exposure; push has none


def build_canonical_tables() -> Tables:
    """60 consumers, 3 markets, 30 weeks, EUR. Consumer c59 never buys; c57 and c58 leave in week 20.

    Every consumer is exposed in the last week, so that no panel ends early by an unknown end.
    """
    rng = np.random.default_rng(7)
    ids = np.array([f"c{number:02d}" for number in range(CONSUMERS_COUNT)])
    markets = np.array([MARKETS[number % 3] for number in range(CONSUMERS_COUNT)])
    weeks = [FIRST_MONDAY + dt.timedelta(weeks=week) for week in range(WEEKS_COUNT)]
    last_week = np.full(CONSUMERS_COUNT, WEEKS_COUNT - 1)
    last_week[[57, 58]] = 19
    counts = rng.poisson((1.5, 0.8), size=(CONSUMERS_COUNT, WEEKS_COUNT, 2))
    counts[:, -1, :] = np.maximum(counts[:, -1, :], 1)
    base = rng.gamma(4.0, 5.0, size=CONSUMERS_COUNT)

    transactions, exposures = [], []
    for consumer in range(CONSUMERS_COUNT):
        for week in range(last_week[consumer] + 1):
            for channel, count in zip(CHANNELS, counts[consumer, week], strict=True):
                if count:
                    moment = dt.datetime.combine(weeks[week], dt.time(9)) + dt.timedelta(days=consumer % 7)
                    exposures.append((ids[consumer], channel, moment, int(count), "spring"))
            if consumer == CONSUMERS_COUNT - 1 or rng.random() < 0.2:
                continue
            amount = base[consumer] + PODCAST_EFFECT * counts[consumer, week, 0] + rng.gamma(2.0, 2.0)
            moment = dt.datetime.combine(weeks[week], dt.time(12)) + dt.timedelta(days=(consumer + week) % 7)
            name = f"t{consumer:02d}-{week:02d}"
            transactions.append(
                (name, ids[consumer], markets[consumer], moment, round(amount, 2), "EUR", False, 1)
            )
            if rng.random() < 0.03:
                transactions.append(
                    (f"{name}-r", ids[consumer], markets[consumer], moment, -round(amount, 2), "EUR", True, 1)
                )
    tenure = rng.integers(1, 120, size=CONSUMERS_COUNT).astype(object)
    tenure[::9] = None
    grid = pd.MultiIndex.from_product([MARKETS, weeks], names=["market_id", "period_start_date"])
    return {
        "transactions": pd.DataFrame(
            transactions,
            columns=[
                "transaction_id",
                "consumer_id",
                "market_id",
                "occurred_at",
                "gmv_amount",
                "currency_code",
                "is_return",
                "units_count",
            ],
        ),
        "exposures": pd.DataFrame(
            exposures,
            columns=["consumer_id", "channel_id", "occurred_at", "exposures_count", "campaign_id"],
        ),
        "consumers": pd.DataFrame(
            {
                "consumer_id": ids,
                "market_id": markets,
                "first_seen_at": dt.datetime.combine(FIRST_MONDAY, dt.time()),
                "active_until": [
                    weeks[19] + dt.timedelta(days=6) if number in (57, 58) else None
                    for number in range(CONSUMERS_COUNT)
                ],
                "plan": rng.choice(["basic", "plus", "family"], size=CONSUMERS_COUNT),
                "tenure": tenure,
            }
        ),
        "market_covariates": grid.to_frame(index=False).assign(
            temperature=np.round(rng.normal(10, 6, size=len(grid)), 1),
            price_index=np.round(rng.normal(1, 0.05, size=len(grid)), 3),
        ),
        "markets": pd.DataFrame(
            {"market_id": MARKETS, "name": ["North", "South", "West"], "population": [1000, 2000, 3000]}
        ),
        "channels": pd.DataFrame(
            {"channel_id": CHANNELS, "name": ["Podcast", "Push"], "kind": ["paid", "owned"]}
        ),
    }


def build_market_only_tables() -> Tables:
    """3 markets x 30 weeks of GMV and of two channels with spend; no consumers at all."""
    rng = np.random.default_rng(8)
    weeks = [FIRST_MONDAY + dt.timedelta(weeks=week) for week in range(WEEKS_COUNT)]
    grid = pd.MultiIndex.from_product([MARKETS, weeks], names=["market_id", "period_start_date"])
    activities = pd.MultiIndex.from_product(
        [MARKETS, CHANNELS, weeks], names=["market_id", "channel_id", "period_start_date"]
    ).to_frame(index=False)
    activities["intensity"] = np.round(rng.gamma(3.0, 1000.0, size=len(activities)))
    activities["spend_amount"] = np.round(activities["intensity"] * 0.01, 2)
    activities["currency_code"] = "EUR"
    podcast = activities.query("channel_id == 'podcast'")["intensity"].to_numpy()
    outcomes = grid.to_frame(index=False)
    outcomes["gmv_amount"] = np.round(5000 + 0.2 * podcast + rng.normal(0, 100, size=len(grid)), 2)
    outcomes["orders"] = rng.poisson(80, size=len(grid))
    return {"market_outcomes": outcomes, "marketing_activities": activities}


def write_tables(tables: Tables, folder: Path, suffix: str = ".csv") -> Path:
    """Write each frame to ``<folder>/<table><suffix>`` and return the folder; other files there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        if suffix == ".csv":
            frame.to_csv(folder / f"{name}.csv", index=False)
        else:
            frame.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


@pytest.fixture
def canonical_tables() -> Tables:
    """Frames of a valid consumer-level folder, fresh for each test; alter them and ``make_folder(tables)``."""
    return build_canonical_tables()


@pytest.fixture
def market_only_tables() -> Tables:
    """Frames of a valid market-only folder, fresh for each test."""
    return build_market_only_tables()


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Function (tables, name="source", suffix=".csv") -> folder with their files under the test's own folder."""

    def make(tables: Tables, name: str = "source", suffix: str = ".csv") -> Path:
        return write_tables(tables, tmp_path / name, suffix)

    return make


@pytest.fixture
def canonical_folder(tmp_path: Path) -> Path:
    """Valid consumer-level folder of CSV files."""
    return write_tables(build_canonical_tables(), tmp_path / "canonical")


@pytest.fixture
def market_only_folder(tmp_path: Path) -> Path:
    """Valid market-only folder of CSV files."""
    return write_tables(build_market_only_tables(), tmp_path / "market_only")


@pytest.fixture(scope="session")
def fences() -> Callable[[str], list[tuple[str, str]]]:
    """Function (language) -> (page, text) of every fenced block of that language in docs/ and the README."""
    root = Path(__file__).resolve().parents[1]
    pages = [*sorted((root / "docs").rglob("*.md")), root / "README.md"]

    def found(language: str) -> list[tuple[str, str]]:
        block = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
        texts = [(str(page.relative_to(root)), page.read_text(encoding="utf-8")) for page in pages]
        return [(page, match) for page, text in texts for match in block.findall(text)]

    return found
