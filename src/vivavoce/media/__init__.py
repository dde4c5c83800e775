"""Sound, pictures and films in and out, through PyAV, soxr and Pillow; nothing is spawned."""
