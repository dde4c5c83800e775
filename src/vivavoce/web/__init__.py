"""HTTP and pages; the web framework lives here and nowhere else."""
