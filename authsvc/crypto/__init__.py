"""Arithmetic with secrets: no I/O, no clock, and no randomness but the Entropy that is handed in."""
