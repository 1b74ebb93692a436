"""How good the numbers are: recovery of known truth, coverage, splits, scores and comparisons."""
