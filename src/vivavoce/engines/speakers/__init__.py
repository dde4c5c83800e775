"""Speaker encoders: who speaks."""
