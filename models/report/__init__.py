"""The report: one self-contained HTML page from the reporting tables."""
