"""What a gateway must refuse, asked of it when all is over: no node of a load test would ever ask for such a thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from node.app.loadtest.assembly import LoadGateway
from node.domain.errors import TransportError
from node.domain.ids import JobId, NodeId
from node.loadtest.audit.gateway_word import GatewayWord
from node.loadtest.audit.kinds import Kind
from node.loadtest.driver.target import Target
from node.ports.transport import Reply, Request
from node.protocol.messages import (
    AnswerMessage,
    IdentityCheck,
    InputMessage,
    JobOutcome,
    JobRequest,
    JobTicket,
    Leaving,
    ModelsUpdate,
    PollReply,
    Registration,
    ResultBody,
    ResultUpdate,
    SecretCheck,
    Stats,
    TokenGrant,
    WireMessage,
)
from node.protocol.routes import Host, Step
from node.protocol.verdict import judge

_ASK_S: Final = 10.0
_POLLS: Final = 3
"""How often a job that nobody else can get is asked for."""

_VERSION: Final = "0.0.4"
_MACHINE: Final = Stats(ram=1024, cpu=1, vram=0, gpu="none", os="linux")
_STRANGER: Final = "this is no answer of the node that had the job"


@dataclass(frozen=True, slots=True)
class _Session:
    node: NodeId
    token: str = field(repr=False)


class Prober:
    """Two nodes and a job of its own, of a model that nobody else offers; nothing of it is in a run's books.

    Reads as not tried what the gateway does not let it try: it may know its nodes beforehand, or its models.
    """

    def __init__(self, gateway: LoadGateway, target: Target) -> None:
        self._gateway = gateway
        self._target = target

    async def probe(self, word: GatewayWord, name: str) -> None:
        """Enter what was tried and granted. ``name`` makes the nodes' names, which the gateway must not know."""
        model = f"{name}-probe:latest"
        first, second = await self._join(f"{name}-probe-1", model), await self._join(f"{name}-probe-2", model)
        if first is None or second is None:
            return
        await self._forge(word, first, model)
        await self._answer_for_another(word, first, second, model)
        await self._leave_for_another(word, first, second)
        await self._send(Step.LEAVE, Leaving(node_url=second.node), second.token)
        await self._outlive(word, first, model)
        await self._send(Step.LEAVE, Leaving(node_url=first.node), first.token)

    async def _forge(self, word: GatewayWord, session: _Session, model: str) -> None:
        """A token with a signature that nobody made."""
        token = session.token
        place = max(0, len(token) - 8)
        forged = f"{token[:place]}{'B' if token[place] == 'A' else 'A'}{token[place + 1 :]}"
        reply = await self._send(Step.UPDATE_MODELS, ModelsUpdate(node_url=session.node, models=[model]), forged)
        _note(word, "a forged token", None if reply is None else _is_granted(reply))

    async def _answer_for_another(self, word: GatewayWord, first: _Session, second: _Session, model: str) -> None:
        """A result from a node that never had the job."""
        asked = JobRequest(model=model, messages=[InputMessage(role="user", content="probe")], max_output=1)
        ticket = await self._send(Step.SUBMIT_JOB, asked)
        told = None if ticket is None else judge(Step.SUBMIT_JOB, ticket.status, ticket.headers, ticket.body).message
        job = JobId(told.job_id) if isinstance(told, JobTicket) else None
        if job is None or not await self._has_claimed(first, job):
            return
        await self._send(Step.UPDATE_RESULT, self._result(job, model, _STRANGER), second.token)
        if await self._shown(job) == _STRANGER:
            word.found.setdefault(Kind.UNCLAIMED_ANSWER, []).append(job)
        await self._send(Step.UPDATE_RESULT, self._result(job, model, "probed"), first.token)

    async def _leave_for_another(self, word: GatewayWord, first: _Session, second: _Session) -> None:
        """Another node's session ended: it counts where it has an effect, since some gateways go by the token alone."""
        reply = await self._send(Step.LEAVE, Leaving(node_url=first.node), second.token)
        if reply is None or not _is_granted(reply):
            _note(word, "another node's token", None if reply is None else False)
            return
        after = await self._send(Step.POLL, None, first.token)
        _note(word, "another node's token", None if after is None else after.status in {400, 401, 403})

    async def _outlive(self, word: GatewayWord, session: _Session, model: str) -> None:
        """A token after its end, where the gateway is the run's own and can be told to end it."""
        control = self._gateway.control
        if control is None or not self._gateway.is_bundled or not await control.expire_tokens():
            return
        reply = await self._send(Step.UPDATE_MODELS, ModelsUpdate(node_url=session.node, models=[model]), session.token)
        _note(word, "an expired token", None if reply is None else _is_granted(reply))

    async def _join(self, name: str, model: str) -> _Session | None:
        node = NodeId(name)
        secret = blake2b(name.encode(), key=self._target.api_key.reveal().encode()[:64], digest_size=16).hexdigest()
        if await self._send(Step.CHECK_SECRET, SecretCheck(node_id=node, secret=secret)) is None:
            return None
        await self._send(Step.CHECK_IDENTITY, IdentityCheck(node_id=node, pub_key="loadtest", account_id="loadtest"))
        registration = Registration(node_url=node, node_version=_VERSION, stats=_MACHINE)
        reply = await self._send(Step.REGISTER, registration)
        grant = None if reply is None else judge(Step.REGISTER, reply.status, reply.headers, reply.body).message
        if not isinstance(grant, TokenGrant):
            return None
        session = _Session(node, grant.access_token)
        offered = await self._send(Step.UPDATE_MODELS, ModelsUpdate(node_url=node, models=[model]), session.token)
        return session if offered is not None and _is_granted(offered) else None

    async def _has_claimed(self, session: _Session, job: JobId) -> bool:
        for _ in range(_POLLS):
            reply = await self._send(Step.POLL, None, session.token)
            if reply is None:
                continue
            told = judge(Step.POLL, reply.status, reply.headers, reply.body).message
            if isinstance(told, PollReply) and told.job_data is not None:
                return told.job_data.job_id == job
        return False

    async def _shown(self, job: JobId) -> str:
        """The text that the developer is shown of a job; empty where there is none."""
        reply = await self._send(Step.GET_RESULT, None, job=job)
        told = None if reply is None else judge(Step.GET_RESULT, reply.status, reply.headers, reply.body).message
        return told.result.message.content if isinstance(told, JobOutcome) else ""

    def _result(self, job: JobId, model: str, text: str) -> ResultUpdate:
        body = ResultBody(message=AnswerMessage(content=text))
        key = self._target.api_key.reveal()
        return ResultUpdate(job_id=job, api_key=key, model_name=model, result=body, status="success")

    async def _send(self, step: Step, body: WireMessage | None, token: str = "", job: str = "") -> Reply | None:
        base = self._gateway.auth_url if step.route.host is Host.AUTH else self._gateway.url
        query = f"?node_version={_VERSION}" if step is Step.POLL else ""
        headers = [("authorization", f"Bearer {token}") if token else ("api_key", self._target.api_key.reveal())]
        if body is not None:
            headers.append(("content-type", "application/json"))
        url = f"{base.rstrip('/')}{step.route.path.format(job_id=job)}{query}"
        request = Request(step.route.method, url, tuple(headers), None if body is None else body.to_wire())
        try:
            return await self._target.transport.exchange(request, _ASK_S)
        except TransportError:
            return None


def _note(word: GatewayWord, what: str, granted: bool | None) -> None:
    if granted is None:
        return
    word.probes += 1
    if granted:
        word.found.setdefault(Kind.INTRUSION, []).append(JobId(what))


def _is_granted(reply: Reply) -> bool:
    return 200 <= reply.status < 300
