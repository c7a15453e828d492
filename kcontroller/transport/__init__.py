"""Bytes to and from one API server.

* `config`, `loading`, `kubeconfig`, `credentials`: which server, who we are to it, and where that is written.
* `messages`, `requests`: blocking requests over HTTP/1.1, from any thread (`Requester.send`).
* `streams`: lists and watches over HTTP/2, on the thread of their cluster (`StreamLoop`); `lines` cuts them.
* `curl`, `multi`, `pollers`, `pool`, `faults`, `retries`, `limiter`, `gate`, `measure`: what these two stand on.

Guarantees: a write is sent at most once unless the server answered that it did not do it (401, or an answer with
Retry-After); what is not known is said (`OutcomeUnknown`). Every wait has a bound and ends with its stop token. A dead
connection is found in bounded time. Certificates and tokens are asked for at each request, so that rotation needs no
restart. No exception, log line or metric carries a secret.

Not here: what the bytes mean. Statuses of 400 and more are returned, not raised.
"""
