"""The market-level response model: what the graph lets it estimate, and the panel it is fitted on."""
