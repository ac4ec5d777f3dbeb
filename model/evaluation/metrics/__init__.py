"""One metric per file: plain answers and references in, the official number out, to the printed digit."""
