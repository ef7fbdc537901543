"""One event of every kind and variant, for tests that look at all of them."""

from __future__ import annotations

from typing import Final

from node.domain import events as ev
from node.domain.ids import JobId, JobKey, NodeId, SourceId
from node.domain.results import Points
from node.domain.states import Hold, Life, LifeInput, Session
from node.domain.trace import TraceContext

NODE: Final = NodeId("node-1")
KEY: Final = JobKey(SourceId("http://gateway"), NODE, JobId("job-1"))

EVENTS: Final[tuple[ev.Event, ...]] = (
    ev.LifeChanged(NODE, Life.NEW, LifeInput.START, Life.STARTING),
    ev.LifeChanged(NODE, Life.STARTING, LifeInput.READY, Life.RUNNING),
    ev.LifeChanged(NODE, Life.RUNNING, LifeInput.FAULT, Life.RECOVERING, "HTTP 503"),
    ev.LifeChanged(NODE, Life.STARTING, LifeInput.REFUSED, Life.FAILED, "denied"),
    ev.SessionChanged(NODE, Session.VALID, 1),
    ev.SessionChanged(NODE, Session.REJECTED, 1, "HTTP 401"),
    ev.HoldsChanged(NODE, Hold.PAUSED | Hold.DISK),
    ev.PollStarted(NODE, 0.01),
    ev.PollEnded(NODE, 0.02, None),
    ev.PollEnded(NODE, 0.02, KEY.job),
    ev.PollFailed(NODE, 0.02, "HTTP 503", 1.5),
    ev.StepEnded(NODE, "register", 0.1),
    ev.StepEnded(NODE, "register", 0.1, 5, "HTTP 503"),
    ev.StepRetried(NODE, "register", 1, "HTTP 503", 0.5),
    ev.JobClaimed(KEY, "llama3.1:latest"),
    ev.JobSkipped(KEY, "it runs already"),
    ev.JobEnded(KEY, "stored", "llama3.1:latest", 0.5, 12, finish_reason="stop"),
    ev.JobEnded(KEY, "", "llama3.1:latest", 0.5, None, "no executor took it"),
    ev.ResultAccepted(KEY, 0.6, 1, already=False),
    ev.ResultAccepted(KEY, 0.6, 2, already=True),
    ev.ResultDelayed(KEY, 1, "HTTP 503", 0.5),
    ev.ResultBuried(KEY, "HTTP 404"),
    ev.ResultUnsafe(KEY, "disk full"),
    ev.ResultLost(KEY, "the node ended"),
    ev.JobProfiled(KEY, "m", "", ev.JobPhases(0.02, 0.1, 2.0, 0.3, 1.5, 0.002, 0.05), 1, 0.2, 0.01, TraceContext(1, 2)),
    ev.JobProfiled(KEY, "m", "HTTP 404", ev.JobPhases(0, 0, 0, 0, 0, 0, 0), 0, 0.2, 0.01, TraceContext(1, 2)),
    ev.PointsChecked(NODE, Points(12.5, 13.0)),
    ev.ModelsAnnounced(NODE, ("a", "b")),
    ev.AuthHealthChanged("open", "timed out"),
    ev.AuthHealthChanged("closed", "the service answers"),
    ev.ProxyChecked("http://10.0.0.1:1", 0.1),
    ev.ProxyChecked("http://10.0.0.1:1", 0.1, "timed out"),
    ev.ProxyAssigned(NODE, "http://10.0.0.1:1"),
    ev.EngineChanged("ollama", available=True, reason=""),
    ev.EngineChanged("ollama", available=False, reason="connection refused"),
    ev.EngineCalled("ollama", "llama3.1:latest", 2.5, 100),
    ev.EngineCalled("ollama", "llama3.1:latest", 2.5, None, "cut off"),
    ev.EngineCalled("vllm", "m", 2.5, 100, prompt_tokens=40, first_token_s=0.5),
    ev.EngineCalled("vllm", "m", 0.1, None, "queue full", is_overload=True),
    ev.EngineCalled("llama", "m", 2.5, 100, first_token_s=0.5, load_s=0.25, trace=TraceContext(1, 2)),
    ev.BreakerChanged("vllm", "m", "open", "5 failures in a row"),
    ev.BreakerChanged("vllm", "m", "half-open"),
    ev.BreakerChanged("vllm", "m", "closed"),
    ev.FellBack("m", "small", "the circuit is open"),
    ev.RuleBroken("max_messages", "m"),
    ev.ModelMoved("ollama", "m", "load", 3.0),
    ev.ModelMoved("ollama", "m", "pull", 60.0, "disk full"),
    ev.ModelPulling("ollama", "m", 1_000, 4_000),
    ev.ModelPulling("ollama", "m", 10, None),
    ev.Notice("prompts", "2 files"),
    ev.Notice("models", "no model is on offer", NODE, is_trouble=True),
    ev.Notice("prompts", "2 files", NODE),
    ev.Crash("poller", "ValueError: x", "  File x\n", NODE),
    ev.Crash("sender", "ValueError: x", "  File x\n"),
)
