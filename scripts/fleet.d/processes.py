"""Processes of a fleet, which end with the one that started them."""

import os
import shutil
import signal
import socket
import subprocess
import time

# The longest wait for something that usually takes a second.
PATIENCE = 120


class Failed(Exception):
    """What had to be so was not."""


def until(what, holds, within=PATIENCE, pause=0.05):
    """Waits until it is so, and answers what `holds` did."""
    end = time.monotonic() + within
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failed(f"waited {within} s for {what}")
        time.sleep(pause)


def free_port():
    """A port below those that the system gives to whoever asks for any: nobody takes it while its server is
    away."""
    for port in range(20_000 + os.getpid() * 37 % 8_000 + free_port.step, 32_000):
        free_port.step += 1
        # A member of a Redis Cluster has a second one, 10,000 above.
        if can_bind(port) and can_bind(port + 10_000):
            return port
    raise Failed("no port is free")


free_port.step = 0


def can_bind(port):
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port):
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def program(name):
    """Where it is; PostgreSQL is outside of the path."""
    versions = "/usr/lib/postgresql"
    if os.path.isdir(versions):
        for version in sorted(os.listdir(versions), key=lambda text: int(text) if text.isdigit() else 0, reverse=True):
            path = os.path.join(versions, version, "bin", name)
            if os.access(path, os.X_OK):
                return path
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        raise Failed(f"{name} is not installed")
    return path


def as_user(user):
    """What to put before a command so that this user runs it; only root can."""
    if os.geteuid() != 0 or user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


class Process:
    """One process, with a directory for what it writes."""

    def __init__(self, name, home, user=None):
        self.name, self.user = name, user
        self.home = os.path.join(home, name)
        os.mkdir(self.home, 0o700)
        if user and os.geteuid() == 0:
            shutil.chown(self.home, user, user)
        self.process = None

    def spawn(self, command, environment=None):
        """Starts it. What it says is in `log`, beside its directory."""
        with open(self.home + ".log", "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *as_user(self.user), *command],
                env={**os.environ, **(environment or {})},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def run(self, command):
        """Runs a command of its user to the end."""
        ran = subprocess.run(
            [*as_user(self.user), *command], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if ran.returncode:
            raise Failed(f"{command[0]}: {ran.stdout}")
        return ran.stdout

    def log(self):
        """What it said."""
        with open(self.home + ".log", encoding="utf-8", errors="replace") as log:
            return log.read()

    def runs(self):
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None

    def all(self):
        """Its processes: those that it started as well."""
        if not self.runs():
            return []
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], stdout=subprocess.PIPE, text=True, check=False
        )
        return [self.process.pid, *map(int, listed.stdout.split())]

    def signal(self, number, pids=None):
        """Sends all of them a signal."""
        for pid in pids or self.all():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        """Ends all of them at once, as a power cut does."""
        pids = self.all()
        if pids:
            # Stopped, it starts no more of them.
            os.kill(pids[0], signal.SIGSTOP)
            self.signal(signal.SIGKILL, self.all())
            self.process.wait()

    def freeze(self):
        """They hang, and their connections stay."""
        self.signal(signal.SIGSTOP)

    def thaw(self):
        """They hang no more."""
        self.signal(signal.SIGCONT)

    def end(self):
        """Asks it to end, and waits."""
        if self.runs():
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
