"""The worker that drives llama.cpp's server, on a server that only counts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.environments import ROOT
from benchmarks.peers.llama_server_worker import answer_of, request_for
from benchmarks.peers.worker_process import PeerError, WorkerProcess

PROGRAM = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

arguments = sys.argv[1:]
if "--fail" in arguments:
    sys.exit(3)
loading = [True]

class Handler(BaseHTTPRequestHandler):
    def reply(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health" and loading:
            loading.clear()
            return self.reply(503, {{"error": "loading"}})
        self.reply(200, {{"build_info": " ".join(arguments)}})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        last, count = asked["prompt"][-1], asked["n_predict"]
        timings = {{"prompt_ms": 50.0, "predicted_ms": 200.0, "predicted_n": count,
                   "draft_n": 6, "draft_n_accepted": 3}}
        tokens = [last + at for at in range(1, count + 1)]
        self.reply(200, {{"tokens": tokens, "timings": timings}})

    def log_message(self, *args):
        pass

HTTPServer(("127.0.0.1", int(arguments[arguments.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "llama-server"
    path.write_text(PROGRAM.format(python=sys.executable), "utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    """Start the worker in a process of its own, as the driver does; it may talk to its server."""
    command = [sys.executable, "-m", "benchmarks.peers.llama_server_worker"]
    log = tmp_path / "log"
    process = WorkerProcess(command, log=log, environment={"PYTHONPATH": str(ROOT)})
    yield process
    process.stop()


def test_server_is_waited_for_and_answers_by_its_own_clock(
    program: str, worker: WorkerProcess
) -> None:
    models = {"verifier": "v.gguf", "drafter": "d.gguf", "arguments": ["--spec-type", "x"]}
    load = {"do": "load", "settings": {"server": program, "threads": 2, **models}}
    told = worker.ask(load, timeout_s=60)["about"]["llama.cpp"]
    assert "--model v.gguf --model-draft d.gguf" in told
    assert "--threads 2 --threads-batch 2" in told
    assert told.endswith("--spec-type x")
    request = {"do": "answer", "prompt": [5, 6], "max_new_tokens": 9, "temperature": 0.0, "seed": 0}
    reply = worker.ask(request, timeout_s=60)
    made = reply["answer"]
    assert made["tokens"] == list(range(7, 16))
    assert (made["first_s"], made["first_len"]) == (0.05, 1)
    assert (made["decode_s"], made["decode_len"], made["passes"]) == (0.2, 8, 5)
    assert reply["peak_bytes"] is None or reply["peak_bytes"] > 1_000_000


def test_server_that_ends_is_not_waited_for(program: str, worker: WorkerProcess) -> None:
    settings = {"server": program, "verifier": "v.gguf", "threads": 2, "arguments": ["--fail"]}
    with pytest.raises(PeerError, match="RuntimeError: the server ended with status 3"):
        worker.ask({"do": "load", "settings": settings}, timeout_s=60)


def test_temperature_alone_shapes_what_is_drawn() -> None:
    greedy, drawn = (
        request_for([5], max_new_tokens=3, temperature=temperature, seed=4)
        for temperature in (0.0, 0.7)
    )
    assert (greedy["samplers"], greedy["top_k"]) == (["top_k"], 1)
    assert (drawn["samplers"], drawn["temperature"], drawn["seed"]) == (["temperature"], 0.7, 4)
    assert greedy["cache_prompt"] is drawn["cache_prompt"] is False


def test_answer_of_one_token_took_no_time_to_decode() -> None:
    timings = {"prompt_ms": 5.0, "predicted_ms": 0.001, "predicted_n": 1}
    made = answer_of({"tokens": [4], "timings": timings})
    assert (made.decode_s, made.decode_len, made.passes) == (0.0, 0, 0)
