"""What a request costs whom: the nodes of this program beside other programs that make the same requests.

Run as ``.venv/bin/python -m benchmarks.request_costs``. Everybody takes a turn within each round, and ratios are those
of one round: what else the machine does then weighs on all alike. There are three loads: every poll brings a job, one in
five does, none does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from benchmarks.cores import Cores, two_cores
from benchmarks.figures import Found, Goal, Kind, Spread, Unmeasurable
from benchmarks.node_loop import client as node_loop
from benchmarks.peers.found import Peer, Peers, find_peers
from benchmarks.static_gateway import static_gateway
from benchmarks.synthetic_fleet import FleetPlan
from benchmarks.turns import INTERPRETED, Client, Shape, Turn, take_turn
from node.runtime.build import is_compiled

Load = Literal["jobs", "mixed", "polls"]

LOADS: Final[Mapping[Load, float]] = {"jobs": 100.0, "mixed": 20.0, "polls": 0.0}
"""By name, the percentage of the polls that bring a job."""

SAYS: Final[Mapping[Load, str]] = {
    "jobs": "every poll brings a job",
    "mixed": "four polls in five are empty",
    "polls": "all polls are empty",
}
_USERS: Final = (50, 200)
_CYCLE_S: Final = 0.05
_MANY: Final = 1000
"""Nodes wait for a cycle after an empty poll: so many at the shortest cycle keep a core busy."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who takes turns with the others under a load."""

    name: str
    what: str
    load: Load
    users: int
    client: Client | str
    """How it is run, or why it cannot be."""

    @property
    def key(self) -> str:
        """Its name among all."""
        return f"{self.load}.{self.name}_{self.users}"


class Rounds(NamedTuple):
    """How often everybody has a turn, and what a turn is."""

    number: int
    shape: Shape


Turns = Mapping[str, Sequence[Turn | str]]
"""By a contender's key, its turns in the order of the rounds; a text says why one came to nothing."""


def contenders(peers: Peers) -> list[Contender]:
    """Everybody, in the order of their turns."""
    made = [*(each for users in _USERS for each in _with_jobs(peers, users))]
    made.append(Contender("httpx", "httpx, a client a user", "jobs", 50, _python("httpx_loop", 50, "own")))
    made += _mixed(peers)
    made += _polls(peers)
    return made


def _with_jobs(peers: Peers, users: int) -> Iterator[Contender]:
    ours = node_loop(FleetPlan(users))
    yield Contender("node_loop", "this program's nodes", "jobs", users, ours)
    yield Contender("node_interpreted", "this program's nodes, interpreted", "jobs", users, _interpreted(ours))
    yield Contender("locust_bare", "Locust FastHttpUser, get and post", "jobs", users, _locust(peers, users, "Bare"))
    yield Contender("locust_checked", "Locust FastHttpUser, rest", "jobs", users, _locust(peers, users, "Checked"))
    if users == 200:
        yield Contender("autocannon", "autocannon", "jobs", users, _autocannon(peers, users))
        yield Contender("wrk", "wrk, one thread", "jobs", users, _wrk(peers, users))


def _mixed(peers: Peers) -> Iterator[Contender]:
    plan = FleetPlan(_MANY, _CYCLE_S)
    yield Contender("node_loop", "this program's nodes", "mixed", _MANY, node_loop(plan))
    yield Contender("locust_bare", "Locust FastHttpUser, get and post", "mixed", 200, _locust(peers, 200, "Bare"))
    yield Contender("locust_checked", "Locust FastHttpUser, rest", "mixed", 200, _locust(peers, 200, "Checked"))
    yield Contender("autocannon", "autocannon", "mixed", 200, _autocannon(peers, 200))
    yield Contender("wrk", "wrk, one thread", "mixed", 200, _wrk(peers, 200))


def _polls(peers: Peers) -> Iterator[Contender]:
    plan = FleetPlan(_MANY, _CYCLE_S)
    yield Contender("node_loop", "this program's nodes", "polls", _MANY, node_loop(plan))
    yield Contender("transport", "this program's transport alone", "polls", 200, transport(200))
    yield Contender("stock", "httpx as this program's transport", "polls", 50, _python("transport_loop", 50, "httpx"))
    yield Contender("httpx", "httpx, a client a user", "polls", 50, _python("httpx_loop", 50, "own"))
    yield Contender("httpx_shared", "httpx, one client", "polls", 50, _python("httpx_loop", 50, "shared"))
    yield Contender("locust_bare", "Locust FastHttpUser, get", "polls", 200, _locust(peers, 200, "Bare"))
    yield Contender("autocannon", "autocannon", "polls", 200, _autocannon(peers, 200))
    yield Contender("wrk", "wrk, one thread", "polls", 200, _wrk(peers, 200))


def _interpreted(client: Client) -> Client | str:
    return replace(client, environment=INTERPRETED) if is_compiled() else "all its modules are interpreted"


def transport(users: int) -> Client:
    """The program's own transport with nothing above it."""
    return _python("transport_loop", users, "fast")


def _python(module: str, users: int, *arguments: str) -> Client:
    return Client([sys.executable, "-m", f"benchmarks.peers.{module}", "{url}", str(users), *arguments])


def _locust(peers: Peers, users: int, user_class: str) -> Client | str:
    flags = ("-u", str(users), "-r", str(users), "-t", "1h", "--only-summary", "--loglevel", "ERROR", "-H", "{url}")
    return _peer(peers.locust, *flags, user_class)


def _autocannon(peers: Peers, users: int) -> Client | str:
    return _peer(peers.autocannon, "{url}", str(users))


def _wrk(peers: Peers, users: int) -> Client | str:
    return _peer(peers.wrk, f"-c{users}", "{url}")


def _peer(peer: Peer, *arguments: str) -> Client | str:
    return peer.missing or Client([*peer.command, *arguments], INTERPRETED)


def take_turns(
    everybody: Sequence[Contender], cores: Cores, rounds: Rounds, tell: Callable[[str], object]
) -> dict[str, list[Turn | str]]:
    """All turns of all rounds; ``tell`` is told who is next.

    Who could not make its requests in two rounds takes no turn in the others.

    Raises:
        Unmeasurable: there is no nginx.
    """
    turns: dict[str, list[Turn | str]] = {each.key: [] for each in everybody}
    for number in range(rounds.number):
        for load, jobs_percent in LOADS.items():
            with static_gateway(jobs_percent=jobs_percent, core=cores.server) as gateway:
                for each in (each for each in everybody if each.load == load):
                    before = turns[each.key]
                    if isinstance(each.client, str):
                        before.append(each.client)
                    elif len(failed := [turn for turn in before if isinstance(turn, str)]) >= 2:
                        before.append(failed[-1])
                    else:
                        tell(f"round {number + 1} of {rounds.number}, {SAYS[load]}: {each.what}, {each.users} users")
                        try:
                            before.append(take_turn(each.client, gateway, cores.client, jobs_percent, rounds.shape))
                        except Unmeasurable as error:
                            before.append(str(error))
    return turns


def measured(rounds: Rounds, tell: Callable[[str], object]) -> Found:
    """All figures of `kinds`.

    Raises:
        Unmeasurable: there is no nginx, or only one core.
    """
    everybody = contenders(find_peers())
    return found(everybody, take_turns(everybody, two_cores(), rounds, tell))


def kinds(everybody: Sequence[Contender]) -> list[Kind]:
    """What is measured: the ratios, then what a request costs everybody."""
    least = Goal(at_least=5)
    made = [
        Kind("node_loop.ratio_vs_locust_fast", "nodes by Locust's faster way: requests a CPU-second", "×", least),
        Kind("node_loop.ratio_interpreted_vs_locust_fast", "nodes, interpreted, by Locust's faster way", "×"),
        Kind("node_loop.ratio_vs_locust_bare", "nodes by Locust with get and post", "×"),
        Kind("node_loop.ratio_vs_locust_checked", "nodes by Locust with rest", "×"),
        Kind("node_loop.ratio_mixed_vs_locust_fast", "nodes by Locust's faster way, four polls in five empty", "×"),
        Kind("node_loop.ratio_vs_autocannon", "nodes by autocannon", "×"),
        Kind("node_loop.ratio_vs_httpx", "nodes by httpx, a client a user", "×"),
        Kind("transport.ratio_vs_httpx", "the transport alone by httpx, a client a user", "×"),
        Kind("transport.ratio_vs_locust_bare", "the transport alone by Locust with get", "×"),
    ]
    for each in everybody:
        what = f"{each.what}, {each.users} users, {SAYS[each.load]}"
        made.append(Kind(f"requests.{each.key}.cpu_us", f"CPU of a request: {what}", "µs", is_detail=True))
        made.append(Kind(f"requests.{each.key}.per_s", f"requests on one core: {what}", "1/s", is_detail=True))
    return made


def found(everybody: Sequence[Contender], turns: Turns) -> Found:
    """The figures of these turns."""
    made: dict[str, Spread | str] = {}
    for each in everybody:
        windows = [window for turn in turns[each.key] if isinstance(turn, Turn) for window in turn.windows]
        missing = next((turn for turn in turns[each.key] if isinstance(turn, str)), "it took no turn")
        made[f"requests.{each.key}.cpu_us"] = Spread.of([one.cpu_us for one in windows]) if windows else missing
        made[f"requests.{each.key}.per_s"] = Spread.of([one.per_s for one in windows]) if windows else missing
    jobs, interpreted = (
        {users: f"jobs.{name}_{users}" for users in _USERS} for name in ("node_loop", "node_interpreted")
    )
    bare, checked = ({users: [f"jobs.locust_{way}_{users}"] for users in _USERS} for way in ("bare", "checked"))
    either = {users: bare[users] + checked[users] for users in _USERS}
    made["node_loop.ratio_vs_locust_fast"] = _worst(jobs, either, turns)
    made["node_loop.ratio_interpreted_vs_locust_fast"] = _worst(interpreted, either, turns)
    made["node_loop.ratio_vs_locust_bare"] = _worst(jobs, bare, turns)
    made["node_loop.ratio_vs_locust_checked"] = _worst(jobs, checked, turns)
    mixed = ["mixed.locust_bare_200", "mixed.locust_checked_200"]
    made["node_loop.ratio_mixed_vs_locust_fast"] = _ratio(f"mixed.node_loop_{_MANY}", mixed, turns)
    made["node_loop.ratio_vs_autocannon"] = _ratio(jobs[200], ["jobs.autocannon_200"], turns)
    made["node_loop.ratio_vs_httpx"] = _ratio(jobs[50], ["jobs.httpx_50"], turns)
    made["transport.ratio_vs_httpx"] = _ratio("polls.transport_200", ["polls.httpx_50"], turns)
    made["transport.ratio_vs_locust_bare"] = _ratio("polls.transport_200", ["polls.locust_bare_200"], turns)
    return made


def _worst(ours: Mapping[int, str], theirs: Mapping[int, Sequence[str]], turns: Turns) -> Spread | str:
    """Of the ratios at equal numbers of users, the lowest."""
    ratios = [_ratio(ours[users], theirs[users], turns) for users in ours]
    spreads = [ratio for ratio in ratios if isinstance(ratio, Spread)]
    missing = [ratio for ratio in ratios if isinstance(ratio, str)]
    return missing[0] if missing else min(spreads, key=lambda spread: spread.median)


def _ratio(ours: str, theirs: Sequence[str], turns: Turns) -> Spread | str:
    """In each round, CPU of the cheapest of theirs by CPU of ours."""
    ratios: list[float] = []
    for mine, *others in zip(turns[ours], *(turns[key] for key in theirs), strict=True):
        costs = [other.cpu_us for other in others if isinstance(other, Turn)]
        # Without one of the ways, the other may be the slower: that would flatter.
        if isinstance(mine, Turn) and len(costs) == len(others):
            ratios.append(min(costs) / mine.cpu_us)
    missing = [turn for key in (ours, *theirs) for turn in turns[key] if isinstance(turn, str)]
    return Spread.of(ratios) if ratios else next(iter(missing), "no round was whole")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks.request_costs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--load", choices=list(LOADS), help="this one alone")
    options = parser.parse_args()
    everybody = [each for each in contenders(find_peers()) if options.load in (None, each.load)]
    rounds = Rounds(options.rounds, Shape(1.0, options.windows, 0.7))
    turns = take_turns(everybody, two_cores(), rounds, lambda text: print(text, file=sys.stderr))
    for each in everybody:
        made = [turn for turn in turns[each.key] if isinstance(turn, Turn)]
        text = f"{each.load:6} {each.what:40} {each.users:5} users  "
        if made:
            cpu_us, per_s = (
                statistics.median(values) for values in zip(*((t.cpu_us, t.per_s) for t in made), strict=True)
            )
            print(f"{text}{cpu_us:8.1f} µs  {per_s:8,.0f}/s")
        else:
            print(f"{text}{turns[each.key][0]}")


if __name__ == "__main__":
    try:
        main()
    except Unmeasurable as error:
        sys.exit(str(error))
