"""How fast and how large the framework is, beside its peer on the same server in the same run.

::

    __main__.py           the commands of bin/bench
    widgets.py            the objects: their definition and twenty thousand of them
    contenders.py         the programs that are compared, and how each is started
    kcontroller_side.py   one of them: this framework, as people write a controller on it
    go/                   the other: controller-runtime, the same work line by line
    usage.py              what a process has used, by its own account
    duel.py               the runs: alternating, warm-up discarded
    figures.py            medians, spread, ratios; the table and the JSON
    machine.py            what the figures were measured on
    memory.py             bytes per cached object, without a server

`docs/benchmarks.md` says what is measured and how to read it.
"""
