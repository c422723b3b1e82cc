"""Verification rules: which proposed tokens stay, and what follows them."""
