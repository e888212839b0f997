"""Who uses a fleet: visitors in an open loop, and somebody who makes links all the time."""

import http.client
import json
import subprocess
import threading
import time

from servers import KEY

# How fine outages are seen.
WINDOW = 0.1


# How long the visitors of one run of the client come: nobody knows beforehand how long a drill takes.
PIECE = 3


class Visitors:
    """Redirects at a steady rate, whether or not those before were answered (crates/load), until they are
    stopped."""

    def __init__(self, load, port, codes, rate, patience):
        self.load = load
        self.plan = {
            "address": f"127.0.0.1:{port}",
            "request": "GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            "values": codes,
            "order": "random",
            "rate": rate,
            "seconds": PIECE,
            "connections": 64,
            "timeout_ms": int(patience * 1000),
            "patient": True,
            "window_seconds": WINDOW,
        }
        self.end = threading.Event()
        self.reports = []
        self.thread = threading.Thread(target=self.go)
        self.thread.start()

    def go(self):
        """Until the end."""
        plan = json.dumps(self.plan)
        while not self.end.is_set():
            ran = subprocess.run([self.load], input=plan, stdout=subprocess.PIPE, text=True, check=True)
            self.reports.append(json.loads(ran.stdout))

    def stop(self):
        """What came of it: requests, errors, the longest time in which none was answered, the slowest 1 in 1000."""
        self.end.set()
        self.thread.join()
        longest = outage = 0
        for window in (window for report in self.reports for window in report["windows"]):
            if window["good"]:
                outage = 0
            elif window["due"]:
                outage += 1
            longest = max(longest, outage)
        totals = [report["total"] for report in self.reports]
        seen = {name: sum(total[name] for total in totals) for name in ("due", "good", "shed", "other", "late", "broken")}
        return {
            **seen,
            "errors": seen["due"] - seen["good"],
            "outage_s": round(longest * WINDOW, 1),
            "p999_ms": round(max(total["p999_us"] for total in totals) / 1000),
        }


class Maker:
    """Makes a link, and another when that is answered, until it is stopped. What was answered 201 has to be
    there for good."""

    def __init__(self, port, pause):
        self.port, self.pause = port, pause
        self.end = threading.Event()
        self.made = {}
        self.counts = {"requests": 0, "refused": 0, "without_retry_after": 0, "broken": 0}
        self.longest = 0.0
        self.last = time.monotonic()
        self.thread = threading.Thread(target=self.go)
        self.thread.start()

    def go(self):
        """Until the end."""
        connection, number = None, 0
        while not self.end.wait(self.pause):
            number += 1
            target = f"https://made.example/{number}"
            self.counts["requests"] += 1
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
                headers = {"Authorization": "Bearer " + KEY, "Content-Type": "application/json"}
                connection.request("POST", "/api/v1/links", json.dumps({"url": target}), headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 201:
                    self.made[json.loads(body)["code"]] = target
                    self.longest = max(self.longest, time.monotonic() - self.last)
                    self.last = time.monotonic()
                    continue
                self.counts["refused"] += 1
                if answer.status != 503 or not answer.getheader("Retry-After"):
                    self.counts["without_retry_after"] += 1
            except (OSError, http.client.HTTPException):
                self.counts["broken"] += 1
            if connection:
                connection.close()
            connection = None

    def stop(self):
        """What came of it."""
        self.end.set()
        self.thread.join()
        longest = max(self.longest, time.monotonic() - self.last)
        return {**self.counts, "made": len(self.made), "outage_s": round(longest, 1)}

    def lost(self, port):
        """Of the links that were answered, those that do not lead where they should."""
        lost = []
        for code, target in self.made.items():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
            connection.request("GET", "/" + code)
            answer = connection.getresponse()
            if answer.status != 302 or answer.getheader("Location") != target:
                lost.append(f"{code}: {answer.status}")
            connection.close()
        return lost
