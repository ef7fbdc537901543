"""A real engine for tests: llama.cpp's OpenAI-compatible server, on a tiny model of random weights."""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.waiting import wait_until_sync

MISSING = [name for name in ("llama_cpp", "gguf") if importlib.util.find_spec(name) is None]

needs_llama = pytest.mark.skipif(
    bool(MISSING), reason=f"a real engine needs the extra engine-tests; not importable: {', '.join(MISSING)}"
)
"""Skips a test where the engine is not installed; with `LLM_NODE_TESTS_MAY_SKIP=0` that is a failure."""

ALIAS = "tiny-llama"
"""What the server calls its model."""

CONTEXT = 16384
"""Tokens of the model's context; in plain text a character is one."""

_REST_S = 0.6
"""Even on a busy machine, generating takes more than a twentieth of so long."""

_EMBEDDING = 64
_BLOCKS = 2
_HEADS = 4
_FEED_FORWARD = 128


def write_tiny_model(path: Path, seed: int = 7) -> None:
    """Write a llama of two layers with random weights and a token for each byte: half a megabyte, in a moment.

    It writes printable characters without sense, and goes on until its limit. It pools embeddings by their mean.
    """
    import gguf
    import numpy as np

    random = np.random.default_rng(seed)
    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    # printable characters are tokens of their own too, since the tokenizer merges from these
    letters = [bytes([byte]) for byte in range(33, 127)] + ["▁".encode()]
    tokens += letters
    kinds += [gguf.TokenType.NORMAL] * len(letters)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(ALIAS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_EMBEDDING)
    writer.add_block_count(_BLOCKS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_EMBEDDING // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    def weights(*shape: int, spread: float = 0.02) -> np.ndarray:
        return random.normal(0, spread, shape).astype(np.float32)

    output = weights(len(tokens), _EMBEDDING, spread=1.0)
    output[: -len(letters)] = 0  # neither an end nor half of a character
    writer.add_tensor("token_embd.weight", weights(len(tokens), _EMBEDDING))
    writer.add_tensor("output_norm.weight", np.ones(_EMBEDDING, np.float32))
    writer.add_tensor("output.weight", output)
    for block in range(_BLOCKS):
        prefix = f"blk.{block}"
        writer.add_tensor(f"{prefix}.attn_norm.weight", np.ones(_EMBEDDING, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{prefix}.{name}.weight", weights(_EMBEDDING, _EMBEDDING))
        writer.add_tensor(f"{prefix}.ffn_norm.weight", np.ones(_EMBEDDING, np.float32))
        writer.add_tensor(f"{prefix}.ffn_gate.weight", weights(_FEED_FORWARD, _EMBEDDING))
        writer.add_tensor(f"{prefix}.ffn_up.weight", weights(_FEED_FORWARD, _EMBEDDING))
        writer.add_tensor(f"{prefix}.ffn_down.weight", weights(_EMBEDDING, _FEED_FORWARD))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@dataclass
class LlamaServer:
    """The server's process, always on the same port of loopback. One request runs at a time, others wait.

    With ``interrupts`` a request ends the one before it. The process ends with `kill`, whatever it does.
    """

    model: Path
    api_key: str = ""
    interrupts: bool = False
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Where its API begins."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, timeout_s: float = 25.0) -> None:
        """Start it, and return when it answers."""
        command = [sys.executable, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--model", str(self.model), "--model_alias", ALIAS, "--n_ctx", str(CONTEXT), "--n_threads", "1"]
        command += ["--embedding", "true", "--interrupt_requests", str(self.interrupts).lower(), "--verbose", "false"]
        if self.api_key:
            command += ["--api_key", self.api_key]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until_sync(self._answers, timeout_s, "llama.cpp's server answers")

    @property
    def log(self) -> Path:
        """What it says."""
        return self.model.with_name(f"llama-{self.port}.log")

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does, its connections left open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def at_rest(self, timeout_s: float = 20.0) -> None:
        """Return when it computes nothing any more."""
        assert self.process is not None
        process = psutil.Process(self.process.pid)
        deadline = time.monotonic() + timeout_s
        while True:
            before = process.cpu_times()
            await asyncio.sleep(_REST_S)
            after = process.cpu_times()
            if after.user + after.system - before.user - before.system < _REST_S / 20:
                return
            assert time.monotonic() < deadline, f"it still computes after {timeout_s} s"

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"it ended: {self.log.read_text(errors='replace')[-2000:]}"
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        try:
            return httpx.get(f"{self.base_url}/models", headers=headers, trust_env=False).is_success
        except httpx.HTTPError:
            return False
