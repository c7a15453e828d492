"""Providers that kcontroller brings along."""
