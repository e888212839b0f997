"""What the benchmarks share: building and starting the server, loading links, driving wrk."""

import json
import os
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
KEY = "tg_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
# Links in one bulk request.
BULK_LINKS = 50_000
# nginx compares the keys of a map without regard to case, so the codes must differ without it too.
# No vowels and no digits that look like them: such codes spell no word the server refuses.
LETTERS = "bcdfghjkmnpqrvwxz2689"


def need(*commands):
    """Installs what is missing by apt; the packages are named as their commands."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # nginx lives where only root looks
    missing = [command for command in commands if not shutil.which(command)]
    if not missing:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-qq"], install):
        subprocess.run([*as_root, *command], check=True, stdout=subprocess.DEVNULL)


def build():
    """Builds the binary, unless TOLLGATE_BINARY names one, and answers its path."""
    if os.environ.get("TOLLGATE_BINARY"):
        return os.environ["TOLLGATE_BINARY"]
    command = ["cargo", "build", "--quiet", "--package", "tollgate", "--release"]
    subprocess.run(command, check=True, cwd=ROOT)
    return os.path.join(target(), "release", "tollgate")


def target():
    """Where cargo puts what it builds."""
    command = ["cargo", "metadata", "--format-version=1", "--no-deps"]
    metadata = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout
    return json.loads(metadata)["target_directory"]


class Tollgate:
    """A running server in a directory of its own."""

    def __init__(self, binary, config, before=()):
        self.home = tempfile.TemporaryDirectory(prefix="tollgate-bench-")
        file = os.path.join(self.home.name, "tollgate.toml")
        with open(file, "w", encoding="utf-8") as out:
            out.write(config)
        self.process = subprocess.Popen(
            [*before, binary, "serve", "--config", file]
            + ["--data-dir", os.path.join(self.home.name, "data")]
            + ["--edge-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
            env={**os.environ, "TOLLGATE_ADMIN_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        found = {}
        while len(found) < 2:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("the server did not start")
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            for name in ("edge", "admin"):
                if address and name in line.lower():
                    found.setdefault(name, address.group())
        self.edge, self.admin = found["edge"], found["admin"]
        # What it says later must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        wait_for(self.admin + "/health/ready")

    def load(self, links):
        """Creates links by bulk requests; each is a dictionary of the API's fields."""
        batch = []
        for link in links:
            batch.append(json.dumps(link))
            if len(batch) == BULK_LINKS:
                self._bulk(batch)
                batch = []
        if batch:
            self._bulk(batch)

    def _bulk(self, lines):
        request = urllib.request.Request(
            self.admin + "/api/v1/links/bulk",
            data="\n".join(lines).encode(),
            headers={"Content-Type": "application/x-ndjson", "Authorization": "Bearer " + KEY},
        )
        with urllib.request.urlopen(request) as answer:
            made = sum(1 for line in answer if json.loads(line).get("status") == 201)
        if made != len(lines):
            sys.exit(f"only {made} of {len(lines)} links were made")

    def memory(self, line):
        """A line of /proc/PID/status, in bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            for text in status:
                if text.startswith(line + ":"):
                    return int(text.split()[1]) * 1024
        return sys.exit(f"there is no {line}")

    def stop(self):
        """Ends the server and deletes its files."""
        self.process.terminate()
        self.process.wait()
        self.home.cleanup()


def policies(text="domain: tollgate\ndescriptors: []\n"):
    """A file with these policies, there until it is closed; by default with none, in place of those that guard the server."""
    file = tempfile.NamedTemporaryFile("w", prefix="tollgate-bench-", suffix=".yaml", encoding="utf-8")
    file.write(text)
    file.flush()
    return file


def cpu_seconds(pid):
    """The processor time a process and its children have used."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as children:
        of_children = sum(cpu_seconds(int(child)) for child in children.read().split())
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + of_children


def wrk(url, arguments, seconds, connections, before=()):
    """Runs one thread of wrk with requests.lua, and answers what that printed."""
    command = [*before, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-s", os.path.join(HERE, "requests.lua"), url, "--", *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result = re.search(r"^WRK (.*)$", output, re.MULTILINE)
    if not result:
        sys.exit(output)
    return {name: float(value) for name, value in (p.split("=") for p in result[1].split())}


def two_cores():
    """What to put before a command so that it runs on the first core, and on the second one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the servers, one for those who ask them")
    return [["taskset", "-c", str(core)] for core in cores[:2]]


def free_port():
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    """Waits until somebody listens."""
    for _ in range(1_000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"nobody listens on {port}")


class Redis:
    """A Redis that keeps everything in memory."""

    def __init__(self, home, before=()):
        self.port = free_port()
        self.command = [*before, "redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        self.command += ["--dir", home, "--save", "", "--appendonly", "no"]
        self.start()

    def start(self):
        """Starts it, always on the same port, and waits until it answers."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def monitor(self):
        """Sees what is asked from now on."""
        return Monitor(self.port)

    def stop(self):
        """Ends it, and forgets what it holds."""
        self.process.terminate()
        self.process.wait()


class Monitor:
    """The commands that a Redis is sent."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.connection.sendall(b"MONITOR\r\n")
        self.lines = self.connection.makefile(encoding="utf-8")
        if self.lines.readline() != "+OK\n":
            sys.exit("Redis cannot be watched")

    def first(self, name):
        """The words of the first command of this name. They are plain text."""
        for line in self.lines:
            words = re.findall(r'"([^"\\]*)"', line)
            if words and words[0].upper() == name:
                return words
        return sys.exit(f"nobody asked for {name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.connection.close()


def redis_benchmark(port, command, keys, clients, requests, pipeline=1, before=()):
    """Requests a second, and the 99th percentile of their latency in milliseconds."""
    bench = [*before, "redis-benchmark", "-p", str(port), "-c", str(clients)]
    bench += ["-n", str(requests), "-P", str(pipeline), "-r", str(keys), *command]
    output = subprocess.run(bench, check=True, stdout=subprocess.PIPE, text=True).stdout
    rate = re.search(r"throughput summary: ([\d.]+)", output)
    latency = re.search(r"avg +min +p50 +p95 +p99 +max\s+([\d. ]+)", output)
    if not rate or not latency or "rror" in output:
        sys.exit(output)
    return float(rate[1]), float(latency[1].split()[4])


def links(count):
    """Codes of seven characters and their targets; always the same ones."""
    source = random.Random(42)
    codes = set()
    while len(codes) < count:
        codes.add("".join(source.choices(LETTERS, k=7)))
    return {
        code: f"https://www.example.com/products/{at}?utm_source=mail&utm_campaign=spring"
        for at, code in enumerate(sorted(codes))
    }


def redirects(url, pid, arguments, seconds, connections, before=()):
    """One round of random redirects against one server: rates, latency, processor time."""
    used = cpu_seconds(pid)
    result = wrk(url, ["random", *arguments], seconds, connections, before)
    used = cpu_seconds(pid) - used
    if result["bad_status"] or result["failed"]:
        sys.exit(f"{url} failed under load: {result}")
    return {
        "requests": result["requests"],
        "rps": result["requests"] / result["seconds"],
        "p50": result["p50"],
        "p99": result["p99"],
        "core": used / result["seconds"],
        "rps_core": result["requests"] / used,
    }


class Load:
    """The client of load.rs, which is compiled first."""

    def __init__(self, before=()):
        self.before = before
        self.binary = os.path.join(target(), "tollgate-bench-load")
        source = os.path.join(HERE, "load.rs")
        os.makedirs(os.path.dirname(self.binary), exist_ok=True)
        subprocess.run(["rustc", "--edition", "2024", "-O", "-o", self.binary, source], check=True)

    def command(self, port, words, keys, clients, requests, pipeline=1):
        """Asks a command of the Redis protocol: requests a second, and the 99th percentile of their
        latency in milliseconds."""
        words = [word.encode() for word in words]
        request = b"*%d\r\n" % len(words)
        request += b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        result = self.ask(f"127.0.0.1:{port}", "resp", request, keys, clients, requests, pipeline)
        return result["rate"], result["p99"] / 1e3

    def redirects(self, url, pid, file, requests, connections):
        """As the function `redirects`, with codes out of a file, one after the other."""
        address = url.removeprefix("http://")
        request = f"GET /__value__ HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        used = cpu_seconds(pid)
        result = self.ask(address, "http", request, 1, connections, requests, file=file)
        used = cpu_seconds(pid) - used
        return {
            "requests": requests,
            "rps": result["rate"],
            "p50": result["p50"],
            "p99": result["p99"],
            "core": used * result["rate"] / requests,
            "rps_core": requests / used,
        }

    def ask(self, address, protocol, request, keys, connections, requests, pipeline=1, rate=0, file=None):
        """Requests a second, and percentiles of their latency in microseconds."""
        command = [*self.before, self.binary, address, protocol]
        command += map(str, (connections, pipeline, keys, requests, rate))
        command += [file] if file else []
        ran = subprocess.run(command, check=True, input=request, stdout=subprocess.PIPE)
        return {name: float(n) for name, n in re.findall(r"(\w+)=([\d.]+)", ran.stdout.decode())}


class OpenLoop:
    """The client of crates/load: it asks when requests are due, answered or not."""

    def __init__(self, before=()):
        self.before = before
        self.binary = os.environ.get("TOLLGATE_LOAD_BINARY")
        if not self.binary:
            command = ["cargo", "build", "--quiet", "--package", "tollgate-load", "--release"]
            subprocess.run(command, check=True, cwd=ROOT)
            self.binary = os.path.join(target(), "release", "tollgate-load")

    def run(self, url, request, values, rate, seconds, connections, **more):
        """Its report; `more` is what else a plan may say."""
        return self.start(url, request, values, rate, seconds, connections, **more)()

    def start(self, url, request, values, rate, seconds, connections, **more):
        """The same in the background; what this answers waits for the report."""
        plan = {
            "address": url.removeprefix("http://"),
            "request": request,
            "values": values,
            "order": "random",
            "rate": rate,
            "seconds": seconds,
            "connections": connections,
            "timeout_ms": 1000,
            **more,
        }
        ran = subprocess.Popen(
            [*self.before, self.binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ran.stdin.write(json.dumps(plan))
        ran.stdin.close()

        def report():
            text = ran.stdout.read()
            if ran.wait():
                sys.exit("the client failed")
            return json.loads(text)

        return report


def get(path):
    """A GET request of this path."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n"


def post(path, body, key=KEY):
    """A POST request of this JSON, in which `{}` may stand for a value of seven characters."""
    length = len(body.replace("{}", "x" * 7))
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )


def allow_open_files(wanted):
    """Raises the limit of open files of this process and those it starts, as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, PermissionError):
        wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def metric(tollgate, name):
    """The sum of a metric's series whose name and labels begin like this."""
    with urllib.request.urlopen(tollgate.admin + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def medians(rounds):
    """The median of each value over some rounds."""
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def ratios(ours, theirs, *names):
    """The median of each value's ratios in pairs of rounds."""
    pairs = list(zip(ours, theirs))
    return {name: statistics.median(a[name] / b[name] for a, b in pairs) for name in names}


def wait_for(url):
    """Waits until somebody answers, with whatever status."""
    for _ in range(1_000):
        try:
            urllib.request.urlopen(url).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.01)
    sys.exit(f"{url} does not answer")


def summary(name, **values):
    """One line for machines."""
    print("RESULT", name, *(f"{key}={value}" for key, value in values.items()), flush=True)
