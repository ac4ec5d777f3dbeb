"""Comparing everything with everything on disk: a shuffle by key, links, and groups of what they connect."""
