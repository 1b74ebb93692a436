"""What to spend next, and what to find out first: allocation over the posterior, power and value of experiments."""
