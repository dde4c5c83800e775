"""Cloners: speech in the voice of somebody who was recorded."""
