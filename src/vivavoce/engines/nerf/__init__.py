"""Radiance fields of talking heads."""
