"""How fast and how large the framework is, beside its peers on the same server in the same run.

::

    __main__.py           the commands of bin/bench
    widgets.py, pods.py   the objects: what they look like on the wire
    filling.py            a server full of them
    contenders.py         the programs that are compared, and with whom
    building.py           the peers, made once: the Go program and the environment of Kopf
    kcontroller_side.py   our side, as people write a controller; its kinds are in models.py and forms.py
    go/                   controller-runtime's side: the same work
    kopf_side.py          Kopf's side
    fleets.py             a server that stands for many clusters
    engaging.py           how long it takes to work on all of them: fleet_side.py beside go/fleet
    isolation.py          what clusters in trouble cost the others; troubled.py is the way to them
    measured.py           a process that is measured from outside, started by launcher.py
    writer.py             the process whose writes the benchmark of latency waits for
    duel.py               the runs: alternating, warm-up discarded
    figures.py            medians, ratios, spread: the document
    tables.py, picture.py the document as Markdown and as a picture
    results.py            what is kept in results/ and shown in README.md
    machine.py            what the figures were measured on
    memory.py             bytes per cached object, without a server
    rounding.py           medians and reaches

`README.md` says what is measured and how to read it.
"""
