"""Stopping strategies: how long to draft. One file each; ``base`` holds the protocol."""
