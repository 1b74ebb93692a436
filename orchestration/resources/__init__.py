"""Settings and connections that assets ask for."""
