"""Hierarchical Bayesian media mix model at consumer level (Ni et al. 2023)."""
