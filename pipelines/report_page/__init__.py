"""The report of a build or a training run: one HTML file that needs no network, no server and no script."""
