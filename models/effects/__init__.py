"""Effect estimators beside the model: within-consumer regression, weighting, doubly robust scores, sensitivity."""
