"""Distilling a drafter: corpus, vocabulary, start, training, evaluation, export."""
