"""From records and answers to figures: each formula once; docs/metrics.md works them by hand."""
