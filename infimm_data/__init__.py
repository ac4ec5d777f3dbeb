"""The document, its storage and its stream into a batch: what data building and training share."""
