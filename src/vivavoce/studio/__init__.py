"""The use cases: speak, render, prepare. Nothing else composes engines."""
