"""Erasure of one consumer from a home, and the scan that proves it."""
