"""The servers of a fleet: PostgreSQL, Redis Cluster, Tollgate, HAProxy, each on ports of its own on loopback."""

import http.client
import json
import os
import re
import subprocess

from processes import Failed, Process, answers, free_port, program, until

KEY = "tg_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
PASSWORD = "sesame"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Postgres(Process):
    """A PostgreSQL, which can be a primary or follow one."""

    def __init__(self, name, home):
        super().__init__(name, home, user="postgres")
        self.port = free_port()
        self.data = os.path.join(self.home, "data")

    def initialise(self):
        """Makes an empty cluster."""
        secret = os.path.join(self.home, "password")
        with open(secret, "w", encoding="utf-8") as out:
            out.write(PASSWORD)
        os.chmod(secret, 0o644)
        self.run(
            [program("initdb"), "--pgdata", self.data, "--username", "tollgate", "--auth", "scram-sha-256"]
            + ["--pwfile", secret, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        )

    def copy(self, primary):
        """Makes it a standby of a server, whatever it was before."""
        self.run(["rm", "-rf", self.data])
        self.run(
            [program("pg_basebackup"), "--pgdata", self.data, "--dbname", primary.dsn()]
            + ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        )

    def start(self):
        """Starts it, and waits until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 300,
            "shared_buffers": "128MB",
            "wal_retrieve_retry_interval": "200ms",
            # What a standby that was away has missed.
            "wal_keep_size": "512MB",
            # A demonstration survives the end of processes, not of the machine.
            "fsync": "off",
        }
        command = [program("postgres"), "-D", self.data, "-p", str(self.port)]
        for setting, value in settings.items():
            command += ["-c", f"{setting}={value}"]
        self.spawn(command)
        ready = [program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until(f"{self.name} to start", lambda: self.is_up(ready))

    def is_up(self, ready):
        """Whether it accepts connections."""
        if not self.runs():
            raise Failed(f"{self.name} ended: {self.log()[-2000:]}")
        return subprocess.run(ready, check=False).returncode == 0

    def address(self):
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def dsn(self):
        """For the programs of PostgreSQL."""
        return f"postgres://tollgate:{PASSWORD}@{self.address()}/postgres?connect_timeout=5"

    def sql(self, statement):
        """The rows of a statement as text."""
        return self.run([program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement, self.dsn()]).strip()

    def synchronous(self, on):
        """Whether what is answered is on the standby as well."""
        self.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if on else ''}'")
        self.sql("SELECT pg_reload_conf()")
        if on:
            self.wait_for_standby("sync")

    def wait_for_standby(self, state="async"):
        """Waits until a standby streams from it."""
        states = "sync_state IN ('sync', 'async')" if state == "async" else "sync_state = 'sync'"
        query = f"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND {states}"
        until("a standby to stream", lambda: self.sql(query) != "0")

    def promote(self):
        """Makes it the primary."""
        self.sql("SELECT pg_promote()")
        self.synchronous(False)


class Redis(Process):
    """A member of a cluster."""

    def __init__(self, name, home):
        super().__init__(name, home)
        self.port = free_port()

    def start(self):
        """Starts it, with what it knew of the cluster."""
        settings = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.home,
            "save": "",
            "appendonly": "no",
            "cluster-enabled": "yes",
            "cluster-node-timeout": 2000,
            "cluster-replica-validity-factor": 0,
            "cluster-require-full-coverage": "no",
        }
        command = [program("redis-server")]
        for setting, value in settings.items():
            command += [f"--{setting}", str(value)]
        self.spawn(command)
        until(f"{self.name} to start", lambda: answers(self.port))

    def ask(self, *words):
        """What it says to a command."""
        command = [program("redis-cli"), "-h", "127.0.0.1", "-p", str(self.port), *words]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=10).stdout

    def is_master(self):
        """Whether it holds slots, as it knows itself."""
        return self.runs() and "role:master" in self.ask("INFO", "replication")


class RedisCluster:
    """Three masters, and a replica of each."""

    def __init__(self, home):
        self.members = [Redis(f"redis-{number}", home) for number in range(1, 7)]

    def start(self):
        """Starts all of them, and makes a cluster of them if they are none."""
        for member in self.members:
            member.start()
        if "cluster_known_nodes:1\r" in self.members[0].ask("CLUSTER", "INFO").replace("\n", "\r"):
            addresses = [f"127.0.0.1:{member.port}" for member in self.members]
            create = [program("redis-cli"), "--cluster", "create", *addresses]
            self.members[0].run([*create, "--cluster-replicas", "1", "--cluster-yes"])
        until("a sound cluster", self.is_sound, pause=0.2)

    def is_sound(self):
        """Whether all members are there, and all slots held."""
        said = [member.ask("CLUSTER", "INFO") for member in self.members]
        replicas = [member.ask("INFO", "replication") for member in self.members]
        return all(
            "cluster_state:ok" in text and "cluster_slots_ok:16384" in text and "cluster_known_nodes:6" in text
            for text in said
        ) and sum("master_link_status:up" in text for text in replicas) == 3

    def master(self):
        """One of the masters."""
        return next(member for member in self.members if member.is_master())

    def url(self):
        """As Tollgate takes it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    def kill(self):
        """Ends all of them at once."""
        for member in self.members:
            member.kill()

    def end(self):
        """Ends all of them."""
        for member in self.members:
            member.end()


class Tollgate(Process):
    """One of the instances."""

    def __init__(self, name, home, binary, config, environment):
        super().__init__(name, home)
        self.edge, self.admin = free_port(), free_port()
        self.binary = binary
        self.environment = {"TOLLGATE_ADMIN_KEY": KEY, **environment}
        self.file = os.path.join(self.home, "tollgate.toml")
        with open(self.file, "w", encoding="utf-8") as out:
            out.write(config)

    def start(self):
        """Starts it, and waits until it is ready."""
        command = [self.binary, "serve", "--config", self.file, "--data-dir", os.path.join(self.home, "data")]
        command += ["--edge-listen", f"127.0.0.1:{self.edge}", "--admin-listen", f"127.0.0.1:{self.admin}"]
        self.spawn(command, self.environment)
        until(f"{self.name} to be ready", self.is_ready)

    def is_ready(self):
        """Whether it says so."""
        if not self.runs():
            raise Failed(f"{self.name} ended: {self.log()[-2000:]}")
        return status(self.admin, "/health/ready") == 200


class Haproxy(Process):
    """In front of all instances, with the configuration of deploy/."""

    def __init__(self, home, instances):
        super().__init__("haproxy", home)
        self.edge, self.admin, self.instances = free_port(), free_port(), instances
        self.file = os.path.join(self.home, "haproxy.cfg")

    def start(self):
        """Starts it, and waits until it answers."""
        with open(self.file, "w", encoding="utf-8") as out:
            out.write(self.configuration())
        self.spawn([program("haproxy"), "-f", self.file])
        until("HAProxy to start", lambda: answers(self.edge) and answers(self.admin))

    def configuration(self):
        """For these ports, and as many instances as there are."""
        with open(os.path.join(ROOT, "deploy/haproxy/haproxy.cfg"), encoding="utf-8") as example:
            text = example.read()
        lines = []
        for line in text.splitlines():
            server = re.match(r"    server (a|b)(-unready)?( .*)", line)
            if not server:
                lines.append(line)
            elif server[1] == "a":
                for instance in self.instances:
                    own = server[3].replace("127.0.0.1:8080", f"127.0.0.1:{instance.edge}")
                    own = own.replace("127.0.0.1:8081", f"127.0.0.1:{instance.admin}")
                    own = own.replace("port 8081", f"port {instance.admin}")
                    own = own.replace("cookie a", f"cookie {instance.name}")
                    lines.append(f"    server {instance.name}{server[2] or ''}{own}")
        text = "\n".join(lines) + "\n"
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.edge}").replace(
            "127.0.0.1:8001", f"127.0.0.1:{self.admin}"
        )


def status(port, path):
    """The status of an answer; 0 if there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Fleet:
    """All of them."""

    def __init__(self, home, binary, instances=3, more=""):
        self.home = home
        self.primary, self.standby = Postgres("postgres-1", home), Postgres("postgres-2", home)
        self.redis = RedisCluster(home)
        base = free_port()
        store = f"postgres://tollgate:{PASSWORD}@{self.primary.address()},{self.standby.address()}/postgres"
        environment = {"TOLLGATE_LINKS__STORE": store, "TOLLGATE_CLICKS__STORE": store}
        self.instances = [
            Tollgate(f"tollgate-{number}", home, binary, "", environment) for number in range(1, instances + 1)
        ]
        self.haproxy = Haproxy(home, self.instances)
        self.haproxy.edge = base
        for instance in self.instances:
            with open(instance.file, "w", encoding="utf-8") as out:
                out.write(configuration(base, self.redis.url(), more))

    def start(self):
        """Starts all, each when what it needs is there."""
        self.primary.initialise()
        self.primary.start()
        self.standby.copy(self.primary)
        self.standby.start()
        self.primary.wait_for_standby()
        self.redis.start()
        for instance in self.instances:
            instance.start()
        self.haproxy.start()
        until("HAProxy to find the instances", lambda: status(self.haproxy.admin, "/health/ready") == 200)

    def end(self):
        """Ends all, those first that ask others."""
        for one in (self.haproxy, *self.instances, *self.redis.members, self.standby, self.primary):
            try:
                one.end()
            except OSError as error:
                print(f"{one.name}: {error}")

    def swap(self):
        """After a promotion: the old primary becomes a standby."""
        self.primary, self.standby = self.standby, self.primary
        self.standby.copy(self.primary)
        self.standby.start()
        self.primary.wait_for_standby()

    def metric(self, name):
        """The sum of a metric over all instances."""
        total = 0.0
        for instance in self.instances:
            connection = http.client.HTTPConnection("127.0.0.1", instance.admin, timeout=10)
            connection.request("GET", "/metrics")
            for line in connection.getresponse().read().decode().splitlines():
                if line.startswith(name):
                    total += float(line.rsplit(" ", 1)[1])
            connection.close()
        return total


def configuration(edge, redis, more):
    """The same for each instance."""
    return f"""
[links]
base_url = "http://127.0.0.1:{edge}"
cache = {json.dumps(redis)}
postgres.replicas = "prefer"
[edge]
trusted_proxies = ["127.0.0.1"]
[limits]
store = {json.dumps(redis)}
[shutdown]
delay = "3s"
[log]
level = "warn"
{more}
"""
