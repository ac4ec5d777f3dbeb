"""Models that several filters ask, loaded once per worker."""
