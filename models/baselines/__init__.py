"""Rival estimators that the comparison tables need."""
