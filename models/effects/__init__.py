"""Effect estimators beside the model: within-consumer regression, propensity, overlap."""
