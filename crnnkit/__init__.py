"""Adapt a CRNN text recogniser to your own domain, on an ordinary computer."""

__version__ = "0.1.0"
