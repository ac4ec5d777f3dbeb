"""The passes of a build, one per file: extract, measure, fetch, score, group, decide, pack."""
