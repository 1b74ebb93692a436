"""How good the numbers are: recovery of known truth, coverage, and later splits and scores."""
