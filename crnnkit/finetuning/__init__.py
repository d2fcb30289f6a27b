"""Training: from nothing, or from a base checkpoint."""
