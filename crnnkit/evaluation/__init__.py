"""What a recogniser reads right and wrong."""
