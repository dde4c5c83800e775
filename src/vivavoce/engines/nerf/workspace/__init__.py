"""Heads that the published programs trained, as files, become avatars of ours."""
