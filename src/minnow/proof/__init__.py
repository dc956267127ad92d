"""Proof that two ways from text to vector give the same answers."""
