"""One module a source system: where its files are and what their tables are called."""
