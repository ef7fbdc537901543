"""Reports as a person asks for them: ``--report DIR`` and ``--push-metrics URL``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from node.domain.errors import TransportError
from node.domain.secret import Secret
from node.gateway.tls import client_context
from node.loadtest.driver.outcome import LoadOutcome
from node.loadtest.report.folder import ReportFolder
from node.loadtest.report.push import PushTarget, push, push_target


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What was asked for on the command line; None for nothing. ``push_url`` may hold credentials."""

    folder: Path | None = None
    push_url: Secret | None = None

    def opened(self, *, ca_file: Path | None, trust_env: bool) -> Reports:
        """See that all of it can be done, and make the folder.

        ``ca_file`` is trusted for the Pushgateway too, and with ``trust_env`` it is reached by the environment's proxies.

        Raises:
            InvalidInput: something cannot.
        """
        target = None if self.push_url is None else push_target(self.push_url, "--push-metrics")
        folder = None if self.folder is None else ReportFolder.prepared(self.folder, "--report")
        return Reports(folder, target, ca_file, trust_env)


@dataclass(frozen=True, slots=True)
class Reports:
    """What becomes of an outcome beside the words on the terminal. `ReportOptions.opened` makes it."""

    folder: ReportFolder | None
    target: PushTarget | None
    ca_file: Path | None
    trust_env: bool

    def deliver(self, outcome: LoadOutcome, redact: Callable[[str], str], say: Callable[[str], object]) -> None:
        """Write and push, as far as it is asked for. It blocks.

        Metrics that could not be pushed are a warning, and a note in the report: they change no verdict.

        Raises:
            StorageError: the report could not be written.
        """
        # Written before anything is pushed: whoever loses patience with a Pushgateway still has the report.
        self._write(outcome, redact)
        failure = self._push(outcome)
        if self.target is not None and not failure:
            say(f"The metrics were pushed to {self.target.address}.")
        if failure:
            say(f"Warning: {failure}")
            self._write(replace(outcome, notes=(*outcome.notes, failure)), redact)
        if self.folder is not None:
            say(f"The report is {self.folder.path / 'report.html'}; the files for machines are beside it.")

    def _write(self, outcome: LoadOutcome, redact: Callable[[str], str]) -> None:
        if self.folder is not None:
            self.folder.write(outcome, redact)

    def _push(self, outcome: LoadOutcome) -> str:
        """What went wrong; empty when nothing did, or nothing was to be pushed."""
        if self.target is None:
            return ""
        try:
            push(outcome, self.target, client_context(self.ca_file), trust_env=self.trust_env)
        except TransportError as error:
            return f"the metrics were not pushed: {error}"
        return ""
