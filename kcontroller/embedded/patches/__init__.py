"""Patches: merge, JSON and strategic merge, applied to a document."""
