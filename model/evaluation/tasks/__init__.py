"""The tasks: per family the official files it reads, the questions it asks, and the score it computes from answers."""
