"""A journal in one SQLite file, for a gateway whose state outlives its process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeAlias

from node.domain.errors import StorageUnavailable
from node.domain.ids import JobId, NodeId
from node.domain.secret import Secret
from node.runtime.database import Database
from node.sandbox.jobs import Answer, Claim, JobRecord
from node.sandbox.journal import Lease, Recorded
from node.sandbox.nodes import NodeRecord
from node.sandbox.sums import Counts

_Statement: TypeAlias = tuple[str, Sequence[Any]]

FILE_NAME: Final = "gateway.sqlite"

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS nodes (
        node_id TEXT PRIMARY KEY, proof TEXT NOT NULL, models TEXT NOT NULL, version TEXT NOT NULL,
        registered INTEGER NOT NULL, uptime_s REAL NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS jobs (
        seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, model TEXT NOT NULL, api_key TEXT NOT NULL,
        submitted_at REAL NOT NULL, claims TEXT NOT NULL, lease_node TEXT, lease_until REAL,
        answered_by TEXT, answered_at REAL, status TEXT, model_name TEXT, result BLOB
    )""",
    "CREATE INDEX IF NOT EXISTS leased ON jobs (lease_node) WHERE lease_node IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS bodies (job_id TEXT PRIMARY KEY, body BLOB NOT NULL)",
)
_KEEP_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_KEEP_NODE = """INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT (node_id) DO UPDATE SET
    proof = excluded.proof, models = excluded.models, version = excluded.version,
    registered = excluded.registered, uptime_s = excluded.uptime_s"""
_CREDIT = "UPDATE nodes SET succeeded = succeeded + ?, failed = failed + ?, uptime_s = ? WHERE node_id = ?"
_SUBMIT = "INSERT INTO jobs (seq, job_id, model, api_key, submitted_at, claims) VALUES (?, ?, ?, ?, ?, '[]')"
_CLAIM = "UPDATE jobs SET claims = ?, lease_node = ?, lease_until = ? WHERE seq = ?"
_GIVE_UP = "UPDATE jobs SET lease_node = NULL, lease_until = NULL WHERE lease_node = ?"
_ANSWER = """UPDATE jobs SET lease_node = NULL, lease_until = NULL, answered_by = ?, answered_at = ?, status = ?,
    model_name = ?, result = ? WHERE seq = ?"""
_JOBS = """SELECT seq, job_id, model, api_key, submitted_at, body, claims, lease_node, lease_until,
    answered_by, answered_at, status, model_name, result FROM jobs LEFT JOIN bodies USING (job_id) ORDER BY seq"""


class SqliteJournal:
    """A `Journal` on disk, made by `open`. The file holds prompts, answers and api_keys: its mode is 0600."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        new_secret: Secret,
        *,
        executor: Executor | None = None,
        before_commit: Callable[[], None] = lambda: None,
    ) -> tuple[SqliteJournal, Recorded]:
        """Open the journal in this folder, made when missing, and read what it holds.

        ``new_secret`` becomes the secret of a file that is new. ``executor`` and ``before_commit`` are as for
        `Database.open`.

        Raises:
            StorageInUse: another gateway holds the folder.
            StorageUnavailable: it cannot be read or written, or holds something else.
        """
        database = await Database.open(data_dir / FILE_NAME, _SCHEMA, executor=executor, before_commit=before_commit)
        try:
            return cls(database), await _read(database, new_secret)
        except (ValueError, TypeError) as error:
            await database.aclose()
            raise StorageUnavailable(f"{data_dir / FILE_NAME}: {error}") from error
        except BaseException:
            await database.aclose()
            raise

    async def node(self, node: NodeRecord) -> None:
        """See `Journal.node`."""
        await self._database.write(_node(node))

    async def left(self, node: NodeRecord) -> None:
        """See `Journal.left`."""
        await self._database.write(_node(node), (_GIVE_UP, (node.node_id,)))

    async def submitted(self, job: JobRecord) -> None:
        """See `Journal.submitted`."""
        await self._database.write(
            (_SUBMIT, (job.seq, job.job_id, job.model, job.api_key.reveal(), job.submitted_at)),
            ("INSERT INTO bodies VALUES (?, ?)", (job.job_id, job.body)),
        )

    async def claimed(self, job: JobRecord, claim: Claim, until: float) -> None:
        """See `Journal.claimed`."""
        claims = json.dumps([(claimed.node, claimed.at) for claimed in (*job.claims, claim)])
        await self._database.write((_CLAIM, (claims, claim.node, until, job.seq)))

    async def answered(self, job: JobRecord, answer: Answer, node: NodeRecord) -> None:
        """See `Journal.answered`."""
        good = answer.status == "success"
        values = (answer.node, answer.at, answer.status, answer.model_name, answer.result, job.seq)
        await self._database.write(
            (_ANSWER, values),
            ("DELETE FROM bodies WHERE job_id = ?", (job.job_id,)),
            (_CREDIT, (int(good), int(not good), node.uptime_s, node.node_id)),
        )

    async def checkpoint(self, nodes: Sequence[NodeRecord], gone: Sequence[JobRecord], forgotten: Counts) -> None:
        """See `Journal.checkpoint`."""
        await self._database.write(
            *(_node(node) for node in nodes),
            *(("DELETE FROM jobs WHERE seq = ?", (job.seq,)) for job in gone),
            (_KEEP_META, ("forgotten", json.dumps(asdict(forgotten)))),
        )

    async def aclose(self) -> None:
        """See `Journal.aclose`."""
        await self._database.aclose()


def _node(node: NodeRecord) -> _Statement:
    values = (
        node.node_id,
        node.proof,
        json.dumps(node.models),
        node.version,
        int(node.registered),
        node.uptime_s,
    )
    return _KEEP_NODE, values


async def _read(database: Database, new_secret: Secret) -> Recorded:
    meta: dict[str, str] = dict(await database.read("SELECT name, value FROM meta"))
    if "secret" not in meta:
        meta["secret"] = new_secret.reveal()
        await database.write((_KEEP_META, ("secret", meta["secret"])))
    nodes = [_read_node(row) for row in await database.read("SELECT * FROM nodes")]
    jobs, leases = _read_jobs(await database.read(_JOBS))
    return Recorded(
        secret=Secret(meta["secret"]),
        nodes=nodes,
        jobs=jobs,
        leases=leases,
        forgotten=Counts(**json.loads(meta.get("forgotten", "{}"))),
    )


def _read_node(row: tuple[Any, ...]) -> NodeRecord:
    node_id, proof, models, version, registered, uptime_s, succeeded, failed = row
    return NodeRecord(
        node_id=NodeId(node_id),
        proof=proof,
        models=tuple(json.loads(models)),
        version=version,
        registered=bool(registered),
        uptime_s=uptime_s,
        succeeded=succeeded,
        failed=failed,
    )


def _read_jobs(rows: Iterable[tuple[Any, ...]]) -> tuple[list[JobRecord], list[Lease]]:
    jobs: list[JobRecord] = []
    leases: list[Lease] = []
    for seq, job_id, model, api_key, submitted_at, body, claims, holder, until, *answered in rows:
        answered_by, answered_at, status, model_name, result = answered
        answer = None if status is None else Answer(NodeId(answered_by), answered_at, status, model_name, result)
        job = JobRecord(
            job_id=JobId(job_id),
            seq=seq,
            model=model,
            api_key=Secret(api_key),
            submitted_at=submitted_at,
            body=body or b"",
            claims=[Claim(NodeId(node), at) for node, at in json.loads(claims)],
            answer=answer,
            credits=(answer.node,) if answer is not None and answer.status == "success" else (),
        )
        jobs.append(job)
        if holder is not None and job.answer is None:
            leases.append(Lease(job, NodeId(holder), until))
    return jobs, leases
