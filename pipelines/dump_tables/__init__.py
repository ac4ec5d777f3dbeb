"""Tables of a dump, row by row in bounded memory: Parquet, CSV, TSV and JSON lines."""
