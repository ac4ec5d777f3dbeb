"""Interleaved sets: what their records have in common, and how they become documents."""
