"""llama.cpp's own server, over HTTP on this machine.

Settings: ``server`` (the program), ``verifier`` and ``drafter`` (GGUF files; the latter may be left
out), ``threads`` and ``arguments`` (more of them). Seconds are the server's own, which leave out
HTTP: the first token is there when the prompt has been processed, the others are generated.
"""

import atexit
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, final

from benchmarks.peers.serving import Answer, main, peak_of

_START_S, _ANSWER_S, _POLL_S = 120.0, 300.0, 0.05
_CONTEXT_LEN = 4096


@final
class LlamaServer:
    """A server of one slot."""

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        threads = str(settings["threads"])
        drafter = ["--model-draft", settings["drafter"]] if settings.get("drafter") else []
        self._address = f"http://127.0.0.1:{_free_port()}"
        command = [
            *(settings["server"], "--model", settings["verifier"], *drafter),
            *("--host", "127.0.0.1", "--port", self._address.rpartition(":")[2]),
            *("--threads", threads, "--threads-batch", threads),
            *("--parallel", "1", "--ctx-size", str(_CONTEXT_LEN)),
            *settings.get("arguments", []),
        ]
        self._process = subprocess.Popen(command, stdout=sys.stderr, stdin=subprocess.DEVNULL)
        atexit.register(self._process.kill)
        self._wait()
        return {"llama.cpp": self._asked("/props").get("build_info", "unknown")}

    def _wait(self) -> None:
        """Wait until models are loaded."""
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s:
            if (status := self._process.poll()) is not None:
                raise RuntimeError(f"the server ended with status {status}")
            try:
                self._asked("/health")
            except urllib.error.HTTPError as error:  # still loading
                error.close()
                time.sleep(_POLL_S)
            except OSError:  # not listening yet
                time.sleep(_POLL_S)
            else:
                return
        raise RuntimeError(f"the server was not ready within {_START_S:g} s")

    def _asked(self, path: str, document: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(
            self._address + path, data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as reply:
            found: dict[str, Any] = json.load(reply)
        return found

    def answer(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> Answer:
        request = request_for(
            prompt, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed
        )
        return answer_of(self._asked("/completion", request))

    def peak_bytes(self) -> int | None:
        return peak_of(self._process.pid)


def request_for(
    prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
) -> dict[str, Any]:
    """Return what the server is asked for."""
    drawn = {"samplers": ["temperature"], "temperature": temperature, "seed": seed}
    return {
        "prompt": list(prompt),
        "n_predict": max_new_tokens,
        "cache_prompt": False,
        "return_tokens": True,
        **(drawn if temperature else {"samplers": ["top_k"], "top_k": 1}),
    }


def answer_of(reply: Mapping[str, Any]) -> Answer:
    """Return what a reply of ``/completion`` says."""
    timings = reply["timings"]
    decode_len = timings["predicted_n"] - 1
    return Answer(
        tokens=reply["tokens"],
        first_s=timings["prompt_ms"] / 1e3,
        first_len=1,
        decode_s=timings["predicted_ms"] / 1e3 if decode_len else 0.0,
        decode_len=decode_len,
        # Each pass adds a token of its own to the drafted ones that it accepts.
        passes=max(decode_len - timings.get("draft_n_accepted", 0), 0),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    main(LlamaServer())
