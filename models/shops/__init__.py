"""What every family that meets shops says in the same words: panels, graphs of shops, forecasts and scales."""
