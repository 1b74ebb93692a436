"""Thin Dagster assets: read inputs, call models/, write artefacts, attach metadata."""
