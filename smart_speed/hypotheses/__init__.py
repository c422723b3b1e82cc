"""Is it so? Three hypotheses, decided from a run's answers and traces; docs/hypotheses.md."""
