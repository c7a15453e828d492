"""Informers: a copy of one kind in memory, fed by a list and a watch.

::

    feed.py        what an informer asks of its cluster's loop
    reflector.py   what to ask the server next: a step machine without I/O
    actions.py     its answers
    events.py      one line of a watch or one page of a list, decoded as far as the machine and the store need it
    poison.py      objects that cannot be decoded: skipped, counted, named once
    projection.py  bytes to `Entry`: canonical JSON, the header, the declared paths
    store.py       the entries, their indexes, and the version they stand at
    receivers.py   pieces of an answer to lines and pages
    subscribers.py  those who hear of the changes; a late one is told of what there is in turns of the loop
    turns.py       bulk work of the process: one thread at a time, a few objects each
    informer.py    runs a reflector on a cluster's loop and tells the subscribers what changed

Guarantees:

* A subscriber hears of every object once when it joins, then of every change of it in order; nothing is promised about
  the order between objects. What was missed during a cut is told as one change after it: the cache is level-triggered.
* A deletion that nobody saw is told with the last state known (`Change.unseen`); an object that was deleted and made
  again under the same name is told as a deletion and a creation.
* When a subscriber hears of a change, the store already shows it.
* The store never goes back: an answer older than what it has is dropped. Only a consistent read that is older is
  believed, since then the server itself went back (restored, or started anew), and counts as a reset.
* Handlers run on the cluster's thread, so they are ours, never user code: they may not block, and one that raises is a
  fault of the framework that ends the process, like an exception in any of its threads.

The store has one lock, taken for the moment of a change or of copying references; nothing is called while it is held.
"""
