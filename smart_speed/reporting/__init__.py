"""What a run looks like to people: pages, plots, tables. Needs records only, never a model."""
