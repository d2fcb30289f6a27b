"""Measurements: peers, frozen test sets, figures of the README."""
