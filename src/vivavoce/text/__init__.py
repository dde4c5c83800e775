"""Languages, chunks, articulation and alignment."""
