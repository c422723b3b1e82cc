"""Workloads: the prompts that an experiment runs over."""
