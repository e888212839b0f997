#!/usr/bin/env python3
"""Counts an access log, asks a server for the statistics of the same clicks, and compares all numbers.

count.py DIRECTORY ADMIN KEY: in the directory are `access.log` and `links.json`; the tables of user agents,
referrers and networks are beside this file. What is expected is written down in docs/clicks.md, docs/privacy.md
and docs/statistics.md; nothing here was taken from the product. The exit code is 1 if a number is wrong.
"""

import bisect
import collections
import csv
import datetime
import io
import ipaddress
import itertools
import json
import math
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request
import zoneinfo

HERE = pathlib.Path(__file__).parent
DIRECTORY, ADMIN, KEY = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
UTC = datetime.timezone.utc
DEFAULT = "go.example"
BEGIN = datetime.datetime(2026, 3, 27, tzinfo=UTC)
# The stated error of many visitors, and up to where they are exact.
ERROR, EXACT = 0.0163, 384
OWN = ["referrer", "channel", "country", "city", "browser", "os", "device", "language"]
OWN += ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"]
DIMENSIONS = OWN + ["bot", "link", "domain"]
NONE = "(none)"


def table(name):
    """The lines of a table; a dash is nothing."""
    with open(HERE / name, encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    return [[None if cell == "-" else cell for cell in row] for row in rows]


AGENTS = {row[4]: (row[0] == "bot", row[1], row[2], row[3]) for row in table("user_agents.tsv")}
REFERRERS = {row[2]: (row[0], row[1]) for row in table("referrers.tsv")}
NETWORKS = [(ipaddress.ip_network(row[0]), row[1], row[2]) for row in table("networks.tsv")]
LINE = re.compile(
    r'(\S+) (\S+) - - \[([^]]+)\] "(\S+) /(\S*) HTTP/1.1" (\d+) - "([^"]*)" "([^"]*)" "([^"]*)" "([^"]*)"'
)


def cut(text, most=128):
    """The first bytes of a text, with a mark if there were more."""
    data = text.encode()
    if len(data) <= most:
        return text
    return data[: most - 3].decode(errors="ignore") + "…"


def place(address):
    """Country and city."""
    ip = ipaddress.ip_address(address)
    for network, country, city in NETWORKS:
        if ip.version == network.version and ip in network:
            return country, city and f"{city}, {country}"
    return None, None


def referrer(text):
    """Host and channel."""
    if text == "-":
        return None, "direct"
    if text.startswith("https://long.example/"):
        return "long.example", "referral"
    return REFERRERS[text]


def language(text):
    """What is named first, without its region."""
    found = re.match(r"\s*([A-Za-z]{2,8})\s*(?:[-_,;]|$)", text)
    return found and found[1].lower()


def campaign(query, target):
    """The parameters of the request, or else of the target, in the order of the dimensions."""
    for text in (query, urllib.parse.urlsplit(target or "").query):
        pairs = [pair for pair in text.split("&") if pair.startswith("utm_")]
        if pairs:
            break
    # What is too long is cut before it is read.
    text = cut("&".join(pairs), 512)
    found = {}
    for name, value in urllib.parse.parse_qsl(text, errors="replace"):
        if value.strip():
            found.setdefault(name, cut(value.strip()))
    return [found.get(name) for name in OWN[-5:]]


class Memory(dict):
    """What a function answers, by its argument."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def __missing__(self, argument):
        answer = self[argument] = self.function(argument)
        return answer


def read():
    """The clicks: a column for each dimension, for the time, and for who it was."""
    links = {(link.get("domain", DEFAULT), link["code"]): link for link in json.load(open(DIRECTORY / "links.json"))}
    columns = {name: [] for name in [*DIMENSIONS, "at", "visitor", "is_visit"]}
    places, languages = Memory(place), Memory(language)
    campaigns = Memory(lambda both: campaign(*both))
    times = Memory(lambda text: int(datetime.datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()))
    with open(DIRECTORY / "access.log", encoding="utf-8") as lines:
        for line in lines:
            host, address, at, method, path, status, came, agent, speaks, wish = LINE.match(line).groups()
            code, _, query = path.partition("?")
            if method != "GET" or code.endswith("+"):
                continue
            at = times[at]
            link = links.get((host, code))
            assert status == ("302" if link else "404"), line
            tracked = wish == "-"
            # Of those who object, less is kept; and nobody knows that they would be programs.
            bot, device, browser, system = AGENTS.get(agent, (True, None, None, None)) if tracked else (False, None, None, None)
            country, city = places[address] if tracked else (None, None)
            where, channel = referrer(came)
            if not tracked and came != "-" and not came.lower().startswith(("http://", "https://", "android-app://")):
                where, channel = None, "direct"
            utm = campaigns[query, link and link["url"]]
            if any(utm[:3]):
                channel = "campaign"
            name = code if host == DEFAULT else f"{host}/{code}"
            row = [where, channel, country, city, browser, system, device, languages[speaks] if tracked else None]
            row += [*utm, "true" if bot else "false", name, None if host == DEFAULT else host]
            for dimension, value in zip(DIMENSIONS, row):
                columns[dimension].append(NONE if value is None else value)
            columns["at"].append(at)
            columns["visitor"].append((at // 86400, address, agent) if tracked else None)
            columns["is_visit"].append(link is not None)
    return columns, list(links.values())


class Clicks:
    """Some of the clicks, by their places in the columns, in the order of time."""

    def __init__(self, columns, places):
        self.columns, self.places = columns, places

    def column(self, name):
        """What each has there."""
        return list(map(self.columns[name].__getitem__, self.places))

    def only(self, name, holds):
        """Those for which something is true of what they have there."""
        return Clicks(self.columns, list(itertools.compress(self.places, map(holds, self.column(name)))))

    def within(self, begin, end):
        """Those of a period."""
        at = self.columns["at"].__getitem__
        first = bisect.bisect_left(self.places, begin, key=at)
        return Clicks(self.columns, self.places[first : bisect.bisect_left(self.places, end, key=at)])

    def by(self, dimension):
        return collections.Counter(self.column(dimension))

    def visitors(self):
        return len(set(self.column("visitor")) - {None})

    def __len__(self):
        return len(self.places)


class Report:
    """What was compared."""

    def __init__(self):
        self.questions = self.numbers = self.estimates = 0
        self.wrong, self.errors = [], []

    def equal(self, what, found, expected):
        self.numbers += 1
        if found != expected:
            self.wrong.append(f"{what}: {found!r}, and not {expected!r}")

    def near(self, what, found, expected):
        """Visitors: few are counted exactly, many within four times the stated error."""
        if expected is None or found is None or expected <= EXACT:
            return self.equal(what, found, expected)
        self.estimates += 1
        error = found / expected - 1
        self.errors.append(error)
        if abs(error) > 4 * ERROR:
            self.wrong.append(f"{what}: {found} is too far from {expected}")


REPORT = Report()


def get(path, parameters):
    url = f"{ADMIN}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + KEY})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def moment(text):
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def start(at, bucket, zone):
    """When the step begins in which a moment is."""
    local = datetime.datetime.fromtimestamp(at, zone)
    if bucket == "hour":
        # The hour that comes twice is two steps, so minutes are taken off the moment itself.
        return at - local.minute * 60 - local.second
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if bucket == "week":
        day = (day.replace(tzinfo=None) - datetime.timedelta(days=day.weekday())).replace(tzinfo=zone)
    if bucket == "month":
        day = day.replace(day=1)
    return int(day.timestamp())


def ask(name, path, clicks, begin, end, bucket="day", tz="UTC", by=(), bots="include", filters=(), compare=False,
        rough=False, scope=()):
    """Asks one question, and compares everything that is answered.

    `rough` leaves out what is exact to an hour only, where the zone is half an hour off.
    """
    zone = zoneinfo.ZoneInfo(tz)
    iso = lambda at: datetime.datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    parameters = [*scope, ("from", iso(begin)), ("to", iso(end)), ("bucket", bucket), ("tz", tz), ("top", 1000)]
    parameters += [("bots", bots), *(("filter", "=".join(one)) for one in filters)]
    if by:
        parameters.append(("by", ",".join(by)))
    if compare:
        parameters.append(("compare", "previous"))
    answer = json.loads(get(path, parameters))
    REPORT.questions += 1
    what = f"{name} {bucket} {tz} {bots} {list(filters)}"

    def chosen(begin, end):
        some = clicks.within(begin, end)
        for dimension, value in filters:
            some = some.only(dimension, value.__eq__)
        if bots != "include":
            some = some.only("bot", ("true" if bots == "only" else "false").__eq__)
        return some

    expected = chosen(begin, end)
    # Sums know no visitors of a value; single clicks do.
    knows = answer["source"] == "clicks" or all(dimension == "bot" for dimension, _ in filters)
    REPORT.equal(what + " total", answer["total"], len(expected))
    if not rough:
        REPORT.near(what + " unique", answer.get("unique"), expected.visitors() if knows else None)
    steps = collections.defaultdict(list)
    starts = Memory(lambda at: max(start(at, bucket, zone), begin))
    for at, visitor in zip(expected.column("at"), expected.column("visitor")):
        steps[starts[at]].append(visitor)
    answered = [moment(step["start"]) for step in answer["series"]]
    REPORT.equal(what + " order", answered, sorted(set(answered)))
    REPORT.equal(what + " other steps", set(steps) - set(answered), set())
    REPORT.equal(what + " first step", answered[0], begin)
    for step, at in zip(answer["series"], answered):
        REPORT.equal(f"{what} {step['start']}", step["clicks"], len(steps[at]))
        if not rough:
            visitors = set(steps[at]) - {None}
            REPORT.near(f"{what} {step['start']} unique", step.get("unique"), len(visitors) if knows else None)
    REPORT.equal(what + " dimensions", set(answer["by"]), set(by))
    for dimension in by:
        values = [(one["value"], one["clicks"]) for one in answer["by"][dimension]]
        counted = expected.by(dimension)
        REPORT.equal(f"{what} by {dimension}: order", [c for _, c in values], sorted(counted.values(), reverse=True))
        for value, clicks_ in values:
            REPORT.equal(f"{what} by {dimension}: {value}", clicks_, counted.get(value))
        REPORT.equal(f"{what} by {dimension}: missing", set(counted) - {value for value, _ in values}, set())
    if compare:
        before = chosen(begin - (end - begin), begin)
        REPORT.equal(what + " previous", answer["previous"]["total"], len(before))
        REPORT.near(what + " previous unique", answer["previous"].get("unique"), before.visitors())
    return answer, parameters


def ask_all(name, path, clicks, scope=()):
    """All that can be asked about some clicks."""
    hour, day = 3600, 86400
    begin = int(BEGIN.timestamp())
    end = begin + 3 * day
    def some(*arguments, **options):
        return ask(name, path, clicks, *arguments, scope=scope, **options)

    some(begin, end, by=DIMENSIONS)
    some(begin, end, bucket="hour", by=["browser"], bots="exclude")
    some(begin, end, bucket="hour", tz="Europe/Berlin", bots="only", by=["os", "device"])
    some(begin + day, end, tz="Europe/Berlin", by=["referrer"], compare=True)
    some(begin + 5 * hour, end - 7 * hour, tz="America/New_York", by=DIMENSIONS, bots="exclude")
    some(begin + hour // 4, end - 3 * hour // 4, bucket="hour", rough=True)
    some(begin, end, tz="Asia/Kolkata", rough=True)
    some(begin, end, bucket="hour", tz="Asia/Kolkata", rough=True)
    some(begin - 40 * day, end, bucket="week", tz="Europe/Berlin", by=["channel"])
    some(begin - 400 * day, end, bucket="month")
    for dimension in ("browser", "channel", "language", "country", "utm_campaign"):
        top = clicks.by(dimension).most_common(1)
        if top and top[0][0] != NONE:
            some(begin, end, bucket="hour", filters=[(dimension, top[0][0])], by=[dimension])
    some(begin, end, filters=[("bot", "true")], by=["browser"])
    some(begin, end, bucket="hour", filters=[("channel", "social")], by=["os", "referrer"])
    some(begin, end, tz="Europe/Berlin", filters=[("device", "mobile"), ("channel", "search")], by=["country"])


def csv_rows(path, parameters, **more):
    text = get(path, [*parameters, *more.items(), ("format", "csv")])
    return list(csv.reader(io.StringIO(text)))


def compare_tables(clicks, path, scope):
    """The same as a table, the usual period, and the single clicks."""
    begin, end = int(BEGIN.timestamp()), int(BEGIN.timestamp()) + 3 * 86400
    answer, parameters = ask("table", path, clicks, begin, end, by=["referrer"], scope=scope)
    rows = csv_rows(path, parameters)
    REPORT.equal("CSV by referrer", rows[1:], [[one["value"], str(one["clicks"])] for one in answer["by"]["referrer"]])
    answer, parameters = ask("table", path, clicks, begin, end, bucket="hour", scope=scope)
    rows = csv_rows(path, parameters)
    expected = [[step["start"], str(step["clicks"]), str(step["unique"])] for step in answer["series"]]
    REPORT.equal("CSV of the series", rows[1:], expected)
    REPORT.equal("the usual period", json.loads(get(path, scope))["total"], len(clicks))


def compare_single(clicks, code):
    """Each click of a link, as the API lists them."""
    expected = collections.Counter()
    columns = clicks.columns
    for place in clicks.places:
        values = tuple((name, columns[name][place]) for name in OWN if columns[name][place] != NONE)
        expected[columns["at"][place], columns["bot"][place], values] += 1
    found, cursor = collections.Counter(), []
    while True:
        page = json.loads(get(f"links/{code}/clicks", [("limit", 1000), *cursor]))
        for one in page["clicks"]:
            values = tuple((name, one["values"][name]) for name in OWN if name in one["values"])
            found[moment(one["at"]), "true" if one["bot"] else "false", values] += 1
        if not page.get("next_cursor"):
            break
        cursor = [("cursor", page["next_cursor"])]
    REPORT.equal(f"single clicks of {code}: missing", list((expected - found).items())[:3], [])
    REPORT.equal(f"single clicks of {code}: too many", list((found - expected).items())[:3], [])
    REPORT.numbers += len(clicks)


def main():
    began = time.monotonic()
    columns, links = read()
    everything = Clicks(columns, list(range(len(columns["at"]))))
    visits = everything.only("is_visit", True.__eq__)
    orphans = everything.only("is_visit", False.__eq__)
    print(f"{len(visits)} visits and {len(orphans)} orphans read in {time.monotonic() - began:.1f} s", flush=True)
    ask_all("everything", "stats", visits)
    ask_all("orphans", "stats/orphans", orphans)
    compare_tables(visits, "stats", [])
    compare_tables(orphans, "stats/orphans", [])
    for domain, value in ((DEFAULT, NONE), ("lnk.example", "lnk.example")):
        ask_all(domain, "stats", visits.only("domain", value.__eq__), [("domain", domain)])
    name = lambda link: f"{link['domain']}/{link['code']}" if "domain" in link else link["code"]
    for tag in sorted({tag for link in links for tag in link["tags"]}):
        names = {name(link) for link in links if tag in link["tags"]}
        ask_all(tag, "stats", visits.only("link", names.__contains__), [("tag", tag)])
    places = collections.defaultdict(list)
    for place, its in zip(visits.places, visits.column("link")):
        places[its].append(place)
    for rank, link in enumerate(links):
        of_link = Clicks(columns, places[name(link)])
        scope = [("domain", link.get("domain", DEFAULT))]
        path = f"links/{link['code']}/stats"
        if rank < 4 or rank % 50 == 0:
            ask_all(name(link), path, of_link, scope)
            compare_tables(of_link, path, scope)
        else:
            begin = int(BEGIN.timestamp())
            ask(name(link), path, of_link, begin, begin + 3 * 86400, bucket="hour", by=DIMENSIONS, scope=scope)
        if rank in (20, 100):
            compare_single(of_link, link["code"])
    squares = math.sqrt(sum(error * error for error in REPORT.errors) / max(1, len(REPORT.errors)))
    near = sum(abs(error) <= 0.033 for error in REPORT.errors) / max(1, len(REPORT.errors))
    print(
        f"{REPORT.questions} questions, {REPORT.numbers} numbers compared exactly, {len(REPORT.wrong)} wrong; "
        f"{REPORT.estimates} estimates of visitors, {100 * squares:.2f} % off (root mean square), "
        f"{100 * max(map(abs, REPORT.errors), default=0):.2f} % at most, {100 * near:.1f} % of them within 3.3 %"
    )
    if REPORT.estimates > 100 and (squares > 1.3 * ERROR or near < 0.9):
        REPORT.wrong.append("the estimates are worse than stated")
    for wrong in REPORT.wrong[:40]:
        print("WRONG", wrong)
    sys.exit(bool(REPORT.wrong))


main()
