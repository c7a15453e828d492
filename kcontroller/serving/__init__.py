"""HTTP for probes and metrics: who may ask what is small, so that it answers when the rest of the process does not.

* `address`: an option's text to a listening socket, or one clear line why not.
* `http`: `HttpServer`, one loop thread that gathers request heads and a few workers that answer them.
* `connection`: one connection with its TLS handshake; `tls`: the certificate for it.
* `dispatch`: method and path to a function; GET and HEAD only.
* `health`: named checks behind ``/healthz`` and ``/readyz``.
* `metrics`: ``/metrics``; `access`: who may read it, where it is secure, by the `reviews` of the API server.
* `control`: what people on this machine ask and command, over the unix socket of `control_socket`; `debug`: threads,
  queues and cached objects.

A server never knows what it serves, and no probe waits for the API server: one that hangs on it would make the kubelet
restart every replica at once when the API server is slow. Who reads secure metrics does wait, on a server of their own.
"""
