"""Enhancers: noise suppression."""
