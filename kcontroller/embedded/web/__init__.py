"""HTTP: the application, its answers and streams, who asks, certificates."""
