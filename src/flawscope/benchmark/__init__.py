"""Protocols of the papers: recipes of their tables, run on the user's data, ours beside theirs."""
