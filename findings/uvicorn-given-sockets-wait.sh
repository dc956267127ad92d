#!/usr/bin/env bash
# A uvicorn server that is given a listening socket answers 40 ms late on kept connections.
#
# Expected: uvicorn answers as soon on sockets=[socket.create_server(...)] as where it opens the port itself.
# Happens: asyncio turns Nagle's algorithm off only for sockets whose protocol number says TCP. That of
#   socket.create_server is 0, so the algorithm stays on. uvicorn writes the head and the body of a response apart, and
#   the body waits until the client has acknowledged the head: with Linux's delayed acknowledgement, up to 40 ms.
# Versions: uvicorn 0.38.0 with h11 0.16.0, on Python 3.11 to 3.13.
# Seen: the second and later requests on one connection, to a server on the loopback interface.
# Matters: whoever opens the port first, to report a taken one or to pass it on, loses 40 ms with every answer.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check uvicorn==0.38.0 h11==0.16.0
venv/bin/python - <<'PROGRAM'
import http.client
import socket
import statistics
import sys
import threading
import time
from importlib.metadata import version

import uvicorn

without_nagle = {}


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def median(kind, listener):
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", http="h11", lifespan="off"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    connection = http.client.HTTPConnection(*listener.getsockname())
    times = []
    for _ in range(20):
        started = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        times.append(time.perf_counter() - started)
    (transport,) = (one.transport for one in server.server_state.connections)
    option = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    without_nagle[kind] = bool(option)
    server.should_exit = True
    return statistics.median(times) * 1000


made = socket.create_server(("127.0.0.1", 0))
named = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
named.bind(("127.0.0.1", 0))
named.listen()
print("Python", sys.version.split()[0], "uvicorn", version("uvicorn"))
for kind, listener in (("create_server", made), ("of protocol TCP", named)):
    took = median(kind, listener)
    print(f"{kind}: {took:.1f} ms a response, Nagle's algorithm off: {without_nagle[kind]}")
if list(without_nagle.values()) != [False, True]:
    sys.exit(f"The behaviour has changed: {without_nagle}.")
PROGRAM
