"""From a checkpoint to a reader that people and programs use."""
