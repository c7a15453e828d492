"""Whether an object may be stored: pruned, defaulted and validated by its schema, worded as kube-apiserver does."""

from kcontroller.embedded.validation.objects import decode, validate

__all__ = ["decode", "validate"]
