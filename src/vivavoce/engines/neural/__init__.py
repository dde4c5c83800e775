"""What engines on torch share: where they compute, and how their checkpoints are read."""
