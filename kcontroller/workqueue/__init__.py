"""One queue per controller, for all its clusters: what is to be reconciled, in which order, and when.

What a `WorkQueue` guarantees:

* *One copy, one worker.* A request waits at most once and is never in two workers at the same time. An add while it
  is in work gives exactly one more hand-out, after `done`.
* *Earliest wins.* Of several delays the shortest counts, and an add without delay replaces a pending one. (client-go
  would fire twice.)
* *Priority, then order.* Higher priorities come first; within one priority of one cluster the order of arrival
  counts. A re-add can raise a priority, never lower it; a raised request joins the tail of its new level. Every
  sixteenth pick goes one level down (every 256th two, and so on), so that nothing starves.
* *Fair between clusters.* Within a priority the clusters take turns. As soon as two of them have work, each holds at
  most a quarter of the workers, but at least one. A queue that `reserves` keeps the last worker from a cluster that is
  alone with work. One that weighs more gets more of each turn. Clusters that are degraded count as one, all together.
* *Backoff per request.* `done` with `Outcome.retry` waits 5 ms, 10 ms, ... 1000 s; any other end of its work
  forgets the failures.
* *Pauses have holders.* A cluster that several have paused is handed out again when all of them have resumed it.
* *Leaving is clean.* `purge` forgets a cluster: ready, delayed, failures, pauses (but that of ``command``, which means
  the name). The outcome of its items in work is ignored, and they count against no cap any more, but a request added
  again still waits until the old worker has returned.
* *Bounded.* A queue with a `limit` refuses a new request while so many of its cluster are ready, and calls `on_room`
  when half of them are handed out.
* *Stop is immediate.* Ready and delayed items are dropped (an informer lists them again), every `get` returns None,
  later adds are ignored, items in work may still be done. `drain` waits until there is nothing to drop.

What it does not guarantee: an order between requests of different clusters or priorities, or that delays and failures
outlive the process.

::

    add ─┬─────────────> READY ── get ──> PROCESSING ── done ─┬─> (forgotten)
         └─> DELAYED ──────^                                  └─> READY or DELAYED, as outcome and adds say

Any thread may call any method. Locks: one per queue. Only the clock's own lock is taken under it; metrics are written
after it is released; no user code runs inside except the hash and equality of the request.

Files: `outcome` what a worker reports, `entry` what is known of a request, `share` a cluster's part, `rings` whose turn
it is, `ready` the ward of those that are ill, `paces` who is slow, `delayed` the heap, `retries` the wait after a
failure, `schedule` the whole as a step machine, `waiting` the workers without an item, `relay` how many compute at
once, `bound` how many requests may be ready, `queue` the lock, `view` what can be seen of it, `reading` in which form,
`meter` metrics.
"""

from __future__ import annotations

from kcontroller.workqueue.entry import ClusterRequest, Item
from kcontroller.workqueue.outcome import Outcome
from kcontroller.workqueue.queue import LOW_PRIORITY, WorkQueue
from kcontroller.workqueue.reading import Standing

__all__ = ["LOW_PRIORITY", "ClusterRequest", "Item", "Outcome", "Standing", "WorkQueue"]
