"""What every thread of the process needs: time, stopping, threads, backoff, logs, metrics.

Nothing here knows Kubernetes.
"""
