"""Running an experiment: settings, conditions, prompts, stages, and who answers."""
