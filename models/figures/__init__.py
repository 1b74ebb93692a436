"""Pictures of results, from result tables and draws only."""
