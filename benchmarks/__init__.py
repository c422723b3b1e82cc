"""Measurements: what tests must not assert, because it depends on the machine."""
