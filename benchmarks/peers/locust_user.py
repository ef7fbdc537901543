"""Locust users who do what a node does. Run by locust in an environment of its own, never imported.

``Bare`` is the shortest that works; ``Checked`` is how Locust's documentation tests a JSON API: `rest`, whose reply is
parsed and judged. Each takes a job's answer apart and posts a result of the same words.
"""

from __future__ import annotations

from typing import Any

from locust import FastHttpUser, constant, task

POLL = "/worker/get_job?node_version=0.0.4"
RESULT = "/worker/update_result"
HEADERS = {
    "authorization": "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJleHAiOjQxMDI0NDQ4MDB9.cTyXsC8pWaWJxVtkGJdCuKX7hNqxzYxTJXHvSTmWe8M"
}


def result_of(job: dict[str, Any]) -> dict[str, Any]:
    """What a node posts of a job."""
    return {
        "job_id": job["job_id"],
        "api_key": job["api_key"],
        "model_name": job["model"],
        "result": {"message": {"role": "assistant", "content": "word"}},
        "status": "success",
    }


class Bare(FastHttpUser):
    """Asks, and answers at once."""

    wait_time = constant(0)

    @task
    def work(self) -> None:
        """One poll, and the result of its job."""
        job = self.client.get(POLL, headers=HEADERS).json()["job_data"]
        if job:
            self.client.post(RESULT, json=result_of(job), headers=HEADERS)


class Checked(FastHttpUser):
    """The same, with each reply judged."""

    wait_time = constant(0)

    @task
    def work(self) -> None:
        """One poll, and the result of its job."""
        with self.rest("GET", POLL, headers=HEADERS) as reply:
            job = reply.js["job_data"]
        if job:
            with self.rest("POST", RESULT, json=result_of(job), headers=HEADERS) as reply:
                if reply.js["status"] != "ok":
                    reply.failure("it was not taken")
