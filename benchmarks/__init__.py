"""Measurements of speed and scale; each is a command, writes docs/studies/, and is run by no test."""
