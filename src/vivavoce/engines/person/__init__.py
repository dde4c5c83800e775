"""``face.person``: a person's own mouth, out of a film of them, says something else."""
