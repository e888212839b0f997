"""What users see while one after the other part of a fleet fails."""

import time

from processes import Failed, until
from servers import status
from users import Maker, Visitors


class Drill:
    """A failure, what goes back to normal, and what has to hold."""

    def __init__(self, name, act, no_errors=False, at_most=None):
        self.name, self.act = name, act
        # Whether every redirect has to be answered, or how many may not.
        self.at_most = 0 if no_errors else at_most


def all_drills(fleet, pause):
    """In this order; each leaves the fleet whole. `pause` is how long a failure lasts, where it has to last."""

    def wait(seconds=pause):
        time.sleep(seconds)

    def redis_master():
        member = fleet.redis.master()
        member.kill()
        others = [one for one in fleet.redis.members if one is not member]
        until("a replica to take over", lambda: sum(one.is_master() for one in others) == 3, pause=0.2)
        wait()
        member.start()
        until("the cluster to be sound", fleet.redis.is_sound, pause=0.2)

    def whole_redis():
        fleet.redis.kill()
        wait()
        fleet.redis.start()

    def standby():
        fleet.standby.kill()
        wait()
        fleet.standby.start()
        fleet.primary.wait_for_standby()

    def primary():
        # As whoever promotes has to know: what is answered is on the standby.
        fleet.primary.synchronous(True)
        fleet.primary.kill()
        wait()
        fleet.standby.promote()
        until("links to be made again", lambda: can_write(fleet))
        fleet.swap()

    def instance():
        one = fleet.instances[0]
        one.kill()
        wait()
        one.start()

    def hang(server):
        def act():
            server().freeze()
            try:
                wait()
            finally:
                server().thaw()
            wait(2)

        return act

    def rolling_restart():
        for one in fleet.instances:
            one.end()
            one.start()
            # Until it is asked again: HAProxy looks every second.
            wait(2)

    def frozen_master():
        member = fleet.redis.master()
        member.freeze()
        wait()
        member.thaw()
        until("the cluster to be sound", fleet.redis.is_sound, pause=0.2)

    return {
        "redis-master": Drill("a Redis master is killed, comes back as a replica", redis_master, no_errors=True),
        "redis": Drill("all six Redis are killed, and come back empty", whole_redis, no_errors=True),
        "standby": Drill("the PostgreSQL standby is killed, and comes back", standby, no_errors=True),
        "primary": Drill("the PostgreSQL primary is killed, and the standby promoted", primary, no_errors=True),
        # Those that it was answering: no more than there are connections.
        "instance": Drill("one Tollgate is killed, and comes back", instance, at_most=64),
        "redis-hangs": Drill("a Redis master hangs", frozen_master),
        "standby-hangs": Drill("the PostgreSQL standby hangs", hang(lambda: fleet.standby)),
        "primary-hangs": Drill("the PostgreSQL primary hangs", hang(lambda: fleet.primary)),
        "instance-hangs": Drill("one Tollgate hangs", hang(lambda: fleet.instances[0])),
        "rolling-restart": Drill("all Tollgate are restarted, one after the other", rolling_restart, no_errors=True),
    }


def can_write(fleet):
    """Whether a link can be made."""
    maker = Maker(fleet.haproxy.admin, 0.05)
    time.sleep(0.5)
    return maker.stop()["made"] > 0


def run(fleet, drill, codes, options):
    """Lets a part fail under load: what visitors saw, what became of writes, and what should not have been."""
    until("the fleet to be well", lambda: status(fleet.haproxy.admin, "/health/ready") == 200)
    visitors = Visitors(options.load, fleet.haproxy.edge, codes, options.rate, options.patience)
    maker = Maker(fleet.haproxy.admin, options.write_pause)
    wrong = []
    time.sleep(1)
    try:
        drill.act()
        time.sleep(1)
    except Failed as error:
        wrong.append(str(error))
    finally:
        seen, writes = visitors.stop(), maker.stop()
    lost = maker.lost(fleet.haproxy.edge)
    if lost:
        wrong.append(f"{len(lost)} links that were answered are lost: {', '.join(lost[:3])}")
    if drill.at_most is not None and seen["errors"] > drill.at_most:
        wrong.append(f"{seen['errors']} redirects failed, of at most {drill.at_most}: {seen}")
    if writes["without_retry_after"]:
        wrong.append(f"{writes['without_retry_after']} writes were refused without Retry-After, or not by 503")
    if not writes["made"]:
        wrong.append("no link was made")
    return seen, writes, len(lost), wrong


def table(rows):
    """As Markdown."""
    print("| what fails | redirects | failed | longest outage | slowest 1 in 1000 | links made | refused | longest pause | lost |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, seen, writes, lost in rows:
        print(
            f"| {name} | {seen['due']:,} | {seen['errors']} | {seen['outage_s']} s | {seen['p999_ms']} ms "
            f"| {writes['made']:,} | {writes['refused'] + writes['broken']} | {writes['outage_s']} s | {lost} |"
        )
