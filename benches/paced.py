"""Requests at fixed times, and how long each took from the time at which it was due."""

import collections
import gc
import random
import select
import socket
import sys
import time
import urllib.parse

# The source of keys is the same in each run.
SEED = 42
# So long after the last request answers may arrive.
PATIENCE = 10.0


class Requests:
    """POST requests with an API key."""

    def __init__(self, url, key, bodies):
        at = urllib.parse.urlsplit(url)
        self.address = (at.hostname, at.port)
        head = f"POST {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nAuthorization: Bearer {key}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: "
        self.messages = [f"{head}{len(body)}\r\n\r\n{body}".encode() for body in bodies]
        self.random = random.Random(SEED)

    def once(self):
        """The answer to one request, as text."""
        with socket.create_connection(self.address) as connection:
            connection.sendall(self.messages[0])
            got = b""
            while not whole(got):
                more = connection.recv(65536)
                if not more:
                    break
                got += more
        return got.decode()

    def paced(self, rate, seconds, connections):
        """Sends `rate` requests a second, each on a connection that waits for nothing, or as soon as
        there is one. Answers the rate, percentiles of the latency in milliseconds, and the 99th
        percentile of how late requests went out though a connection was free."""
        count = int(rate * seconds)
        order = [self.messages[self.random.randrange(len(self.messages))] for _ in range(count)]
        opened = [socket.create_connection(self.address) for _ in range(connections)]
        poll = select.epoll()
        for one in opened:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
            poll.register(one.fileno(), select.EPOLLIN)
        gc.collect()
        gc.disable()
        try:
            took, late = send(order, 1 / rate, opened, poll)
        finally:
            gc.enable()
            poll.close()
            for one in opened:
                one.close()
        took.sort()
        late.sort()
        return {
            "rate": rate,
            "p50": took[count // 2] * 1e3,
            "p99": took[count * 99 // 100] * 1e3,
            "p99.9": took[count * 999 // 1000] * 1e3,
            "late": late[len(late) * 99 // 100] * 1e3 if late else 0.0,
        }


def send(order, gap, opened, poll):
    """Turns without a pause, so as not to be late: a timer would be."""
    by_number = {one.fileno(): one for one in opened}
    free = collections.deque(opened)
    due_of, parts = {}, {}
    took, late = [], []
    now = time.perf_counter
    begun, sent, count = now(), 0, len(order)
    waited = False
    while len(took) < count:
        time_now = now()
        while sent < count and time_now >= begun + sent * gap:
            if not free:
                waited = True
                break
            one = free.popleft()
            due = begun + sent * gap
            if not waited:
                late.append(time_now - due)
            waited = False
            due_of[one.fileno()] = due
            one.send(order[sent])
            sent += 1
            time_now = now()
        for number, _ in poll.poll(0):
            one = by_number[number]
            got = parts.pop(number, b"") + one.recv(65536)
            if whole(got):
                if not got.startswith(b"HTTP/1.1 200"):
                    sys.exit(got.decode())
                took.append(now() - due_of.pop(number))
                free.append(one)
            else:
                parts[number] = got
        if sent == count and now() > begun + count * gap + PATIENCE:
            sys.exit(f"{count - len(took)} requests were not answered")
    return took, late


def whole(got):
    """Whether an answer has arrived with its body."""
    end = got.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = got[:end].lower()
    at = head.find(b"content-length: ")
    if at < 0:
        sys.exit(f"an answer without a length: {got.decode()}")
    return len(got) >= end + 4 + int(head[at + 16 :].split(b"\r\n", 1)[0])
