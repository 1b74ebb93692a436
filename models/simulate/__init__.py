"""Worlds whose true effects are known."""
