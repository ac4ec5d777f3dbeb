"""One question about a document, an image or an image-text pair per file; `table.py` lists them all."""
