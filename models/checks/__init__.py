"""Checks with three outcomes: passed, failed, not evaluated."""
