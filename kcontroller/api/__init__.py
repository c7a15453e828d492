"""Values of the Kubernetes API, without I/O.

Two forms of an object stand side by side: `objects.Object` holds the JSON as it is, `models.Resource` is a typed class
of the user's. Everything else here (conditions, finalizers, owners, patches) takes both. An object that was read
remembers the bytes it came from, and `codec` sends back only what changed since: unknown fields survive, defaults are
not changes.
"""
