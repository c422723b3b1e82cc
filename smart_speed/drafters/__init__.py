"""Drafters: what writes ahead. One file each; ``base`` holds the protocol."""
