"""CustomResourceDefinitions: their defaults, checks and status, and the kinds that they define."""

from kcontroller.embedded.definitions.meaning import check, complete, kinds_of, starting_status, status

__all__ = ["check", "complete", "kinds_of", "starting_status", "status"]
