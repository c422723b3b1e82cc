"""Learn on a small calibration set what pays, per verifier, drafter and machine.

Traces and measured costs in, a profile out. No engine is needed to read or to fit anything here.
"""
