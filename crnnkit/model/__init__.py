"""The network, its loss, its decoding and its file."""
