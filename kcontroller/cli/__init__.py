"""The ``kcontroller`` command: `main` finds commands, one module each; they import the framework only when they run it.

`options` gives every option its environment variable and its place in ``--help``; `durations` and `namespaces` read
what is written in Kubernetes' forms; `run_options`, `cluster_options` and `election` belong to ``kcontroller run``. Bad
input ends in one line and exit code 2, never in a traceback.
"""
