"""Who owns which field, and server-side apply, which merges by it."""
