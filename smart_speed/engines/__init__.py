"""Engines: what runs a model. One file each; ``base`` holds the contract, ``loading`` chooses."""
