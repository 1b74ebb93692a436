"""Wiring: what exists, where it lives, when it runs. Imports nothing on purpose."""
