"""What a head is, and how it is seen: nets over encodings, cells, rays, and pictures; imports nothing of training."""
