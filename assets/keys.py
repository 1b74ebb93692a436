"""Every asset key and group name that Python refers to, once; dbt's own keys are ``[schema, model]``.

``GROUPS`` is the reading order of the graph (design, section 5). A snapshot test lists all keys.
"""

import dagster as dg

from orchestration.resources import instance

RAW = "raw"
STAGING = "staging"
INTERMEDIATE = "intermediate"
MARTS = "marts"
PANELS = "panels"
HBMMM = "hbmmm"
CAUSAL_GRAPH = "causal_graph"
RESPONSE = "response"
ROBUSTNESS = "robustness"
EVALUATION = "evaluation"
EFFECTS = "effects"
REGISTRY = "registry"
REPORTING = "reporting"
GROUPS = (
    RAW,
    STAGING,
    INTERMEDIATE,
    MARTS,
    PANELS,
    HBMMM,
    CAUSAL_GRAPH,
    RESPONSE,
    ROBUSTNESS,
    EVALUATION,
    EFFECTS,
    REGISTRY,
    REPORTING,
)

#: Tables of the input contract, and the raw tables of the Complete Journey data.
CONTRACT_TABLES = (
    "transactions",
    "exposures",
    "consumers",
    "market_covariates",
    "marketing_activities",
    "market_outcomes",
    "mediators",
    "lift_tests",
    "markets",
    "channels",
)
COMPLETE_JOURNEY_TABLES = (
    "transactions",
    "products",
    "campaigns",
    "campaign_descriptions",
    "promotions",
    "demographics",
)
RAW_TABLES = tuple(dg.AssetKey([RAW, table]) for table in CONTRACT_TABLES)
RAW_COMPLETE_JOURNEY = tuple(
    dg.AssetKey([RAW, f"complete_journey_{table}"]) for table in COMPLETE_JOURNEY_TABLES
)
LANDING_MANIFEST = dg.AssetKey([RAW, "landing_manifest"])

#: Marts that Python reads (their exported Parquet files, never the DuckDB file).
CONSUMER_PERIODS = dg.AssetKey([MARTS, "consumer_periods"])
CONSUMER_CHANNEL_PERIODS = dg.AssetKey([MARTS, "consumer_channel_periods"])
CONSUMER_CHARACTERISTICS = dg.AssetKey([MARTS, "consumer_characteristics"])
MARKET_PERIODS = dg.AssetKey([MARTS, "market_periods"])
MARKET_CHANNEL_PERIODS = dg.AssetKey([MARTS, "market_channel_periods"])
MARKET_COVARIATE_PERIODS = dg.AssetKey([MARTS, "market_covariate_periods"])
MEDIATOR_PERIODS = dg.AssetKey([MARTS, "mediator_periods"])
LIFT_TESTS = dg.AssetKey([MARTS, "lift_tests"])
MARKETS = dg.AssetKey([MARTS, "markets"])
SUFFICIENT_STATISTICS = dg.AssetKey([MARTS, "consumer_sufficient_statistics"])
DESIGN_COLUMNS = dg.AssetKey([MARTS, "design_columns"])
CURRENT_REFRESH = dg.AssetKey([MARTS, "current_refresh"])
PANEL_MARTS = (
    CONSUMER_PERIODS,
    CONSUMER_CHANNEL_PERIODS,
    CONSUMER_CHARACTERISTICS,
    MARKET_COVARIATE_PERIODS,
)

MARKET_MARTS = (
    MARKET_PERIODS,
    MARKET_CHANNEL_PERIODS,
    MARKET_COVARIATE_PERIODS,
    MEDIATOR_PERIODS,
    MARKETS,
    LIFT_TESTS,
)

CONSUMER_PANEL = dg.AssetKey([PANELS, "consumer_panel"])

HBMMM_POSTERIOR = dg.AssetKey([HBMMM, "hbmmm_posterior"])
HBMMM_ESTIMATES = dg.AssetKey([HBMMM, "hbmmm_estimates"])

CAUSAL_GRAPH_EDGES = dg.AssetKey([CAUSAL_GRAPH, "causal_graph_edges"])

RESPONSE_POSTERIOR = dg.AssetKey([RESPONSE, "response_posterior"])
RESPONSE_ESTIMATES = dg.AssetKey([RESPONSE, "response_estimates"])
RESPONSE_CURVES = dg.AssetKey([RESPONSE, "response_curves"])
CHANNEL_CONTRIBUTIONS = dg.AssetKey([RESPONSE, "channel_contributions"])

PLACEBO_RESULTS = dg.AssetKey([ROBUSTNESS, "placebo_results"])
PLACEBO_REFITS = dg.AssetKey([ROBUSTNESS, "placebo_refits"])
ROBUSTNESS_CHECKS = dg.AssetKey([ROBUSTNESS, "robustness_checks"])
REFRESH_STABILITY = dg.AssetKey([ROBUSTNESS, "refresh_stability"])
CARRYOVER_ESTIMATES = dg.AssetKey([ROBUSTNESS, "carryover_estimates"])

HELD_OUT_ACCURACY = dg.AssetKey([EVALUATION, "held_out_accuracy"])
MODEL_COMPARISON = dg.AssetKey([EVALUATION, "model_comparison"])

WITHIN_CONSUMER_ESTIMATES = dg.AssetKey([EFFECTS, "within_consumer_estimates"])
CAUSAL_ESTIMATES = dg.AssetKey([EFFECTS, "causal_estimates"])
OVERLAP = dg.AssetKey([EFFECTS, "exposure_overlap"])
CHANNEL_EFFECTS = dg.AssetKey([EFFECTS, "channel_effects"])
MARKET_CHANNEL_EFFECTS = dg.AssetKey([EFFECTS, "market_channel_effects"])
SEGMENT_CHANNEL_EFFECTS = dg.AssetKey([EFFECTS, "segment_channel_effects"])
CONSUMER_CHANNEL_EFFECTS = dg.AssetKey([EFFECTS, "consumer_channel_effects"])
FAMILY_STATUS = dg.AssetKey([EFFECTS, "family_status"])

#: Step of the gate, by which a run is told of an override.
GATE_STEP = "promotion_gate"
GATE_CHECKS = dg.AssetKey([REGISTRY, "gate_checks"])
CHAMPIONS = dg.AssetKey([REGISTRY, "champions"])

DATA_QUALITY = dg.AssetKey([REPORTING, "data_quality"])
CONSUMER_EFFECTS_REPORTED = dg.AssetKey([REPORTING, "consumer_channel_effects"])
REPORT = dg.AssetKey([REPORTING, "report"])

#: Artefact table (the dbt source of that name) -> the asset that writes it.
ARTEFACT_SOURCES = {
    "channel_effects": CHANNEL_EFFECTS,
    "market_channel_effects": MARKET_CHANNEL_EFFECTS,
    "segment_channel_effects": SEGMENT_CHANNEL_EFFECTS,
    "consumer_channel_effects": CONSUMER_CHANNEL_EFFECTS,
    "family_status": FAMILY_STATUS,
    "placebo_results": PLACEBO_RESULTS,
    "placebo_refits": PLACEBO_REFITS,
    "robustness_checks": ROBUSTNESS_CHECKS,
    "model_comparison": MODEL_COMPARISON,
    "refresh_stability": REFRESH_STABILITY,
    "causal_graph_edges": CAUSAL_GRAPH_EDGES,
    "response_curves": RESPONSE_CURVES,
    "channel_contributions": CHANNEL_CONTRIBUTIONS,
    "gate_checks": GATE_CHECKS,
    "champions": CHAMPIONS,
}

#: Families that need consumers with exposures; on other data they say "not evaluated".
FAMILY_HBMMM = "hbmmm"
FAMILY_WITHIN = "within_consumer"
FAMILY_CAUSAL = "causal"
FAMILY_CARRYOVER = "carryover"
FAMILY_PLACEBO = "placebo"
FAMILY_OVERLAP = "overlap"
FAMILY_CAUSAL_GRAPH = "causal_graph"  # of markets: market-only data have it too
FAMILY_RESPONSE = "response"  # of markets, like the graph
CONSUMER_FAMILIES = (
    FAMILY_HBMMM,
    FAMILY_WITHIN,
    FAMILY_CAUSAL,
    FAMILY_CARRYOVER,
    FAMILY_PLACEBO,
    FAMILY_OVERLAP,
)

#: Methods of the causal layer: published beside the primary model, not printed after a run.
SECOND_OPINION_METHODS = (
    "aipw_lagged",
    "aipw_own_median",
    "dose_weighted",
    "ipw_characteristics",
    "ipw_lagged",
    "naive_difference",
    "weighted_pseudo_posterior",
)

#: Name of the registered model, and model_name of its effect rows.
REGISTERED_HBMMM = "mediamix-hbmmm"
REGISTERED_CAUSALMMM = "mediamix-causalmmm"
REGISTERED_RESPONSE = "mediamix-response"

#: One writer, one opener: every step that opens warehouse.duckdb waits in this pool of size 1.
DUCKDB_POOL = instance.DUCKDB_POOL
OWNERS = ("team:mediamix",)
