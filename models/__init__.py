"""The scientific library of mediamix: arrays and frames in, frozen results out.

Knows no orchestrator, no warehouse and no experiment tracker.
"""

__version__ = "0.1.0"
