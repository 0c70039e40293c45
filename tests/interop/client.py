"""Command line: speaks to a node as a stranger would who has only read the specification.

    python client.py ping      PEER@HOST:PORT [--count N]
    python client.py identify  PEER@HOST:PORT
    python client.py message   PEER@HOST:PORT TEXT [--kind chat|data|control]

`--early` sends a ping with the Hello, before any answer; no other protocol here is idempotent.
"""

import argparse
import json
import os
import socket
import sys
import time

import addresses
import driver
import identity
import messages


def main(arguments=None):
    options = parse(arguments)
    peer = addresses.parse(options.peer)
    direct = [c for c in peer.candidates if c.relay is None]
    if not direct:
        sys.exit("an address of the form PEER@HOST:PORT is needed")
    host, port = direct[0].host, direct[0].port
    seed = options.seed and bytes.fromhex(options.seed)
    key = identity.Key.from_seed(seed) if seed else identity.Key.new()
    network = identity.Network.public()
    if options.network_key:
        with open(options.network_key, encoding="ascii") as file:
            network = identity.Network.from_file_text(file.read())
    address = socket.getaddrinfo(str(host), port, type=socket.SOCK_DGRAM)[0][4][0]
    if options.early and not messages.PROTOCOLS[options.command + "/1"].idempotent:
        sys.exit(f"{options.command}/1 is not idempotent and must not be sent as early data")
    with driver.dial(key, peer.peer_id, network, address, port) as link:
        if not options.early:
            link.establish(options.timeout)
        COMMANDS[options.command](link, options)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("peer")
    parser.add_argument("text", nargs="?", default="hello")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--kind", choices=list(messages.KINDS), default="chat")
    parser.add_argument("--early", action="store_true")
    parser.add_argument("--seed", help="32 bytes of hexadecimal; a fresh key without it")
    parser.add_argument("--network-key", help="file of a private network's key")
    parser.add_argument("--timeout", type=float, default=5.0)
    return parser.parse_args(arguments)


def ping(link, options):
    for number in range(options.count):
        rtt = driver.ping(link, options.timeout)
        print(json.dumps({"seq": number, "rtt_ms": round(rtt * 1000, 3)}))


def identify(link, options):
    print(json.dumps(driver.identify(link, options.timeout).as_json()))


def message(link, options):
    started = time.monotonic()
    reply = driver.send_message(
        link, options.kind, options.text.encode(), os.urandom(16), options.timeout
    )
    elapsed = (time.monotonic() - started) * 1000
    print(json.dumps({**reply.as_json(), "acked_ms": round(elapsed, 3)}))


COMMANDS = {"ping": ping, "identify": identify, "message": message}

if __name__ == "__main__":
    main()
