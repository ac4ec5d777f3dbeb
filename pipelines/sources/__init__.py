"""One kind of dump per file; `table.py` lists them all."""
