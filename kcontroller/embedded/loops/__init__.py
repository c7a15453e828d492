"""The control loops that run after requests."""
