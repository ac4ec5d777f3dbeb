"""Trained weights that ship with the filters, beside the scripts that trained them."""
