"""Labelled lines: index files, their faults, batches, augmentation, rendering."""
