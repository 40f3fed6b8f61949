"""Drafts a change end to end with llama.cpp's own server.

The model is random and says what a grammar makes it say. baton sends no grammar, so a proxy of ours
adds it on the way; everything else between the two is theirs.
"""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = pathlib.Path(__file__).parent
BATON = os.environ["BATON_BIN"]
CONTEXT = 8192
PATCH = """diff --git a/src/app.sh b/src/app.sh
--- a/src/app.sh
+++ b/src/app.sh
@@ -1 +1 @@
-echo 1
+echo 2
"""
REPLY = f"---BEGIN_PATCH---\n{PATCH}---END_PATCH---\n---BEGIN_NOTES---\n- two\n---END_NOTES---\n"


class Proxy(BaseHTTPRequestHandler):
    """Hands requests on to the server, with the grammar added."""

    upstream = ""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.hand_on(None)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body["grammar"] = "root ::= " + json.dumps(REPLY)
        self.hand_on(json.dumps(body))

    def hand_on(self, body):
        upstream = http.client.HTTPConnection(self.upstream, timeout=60)
        upstream.request(self.command, self.path, body, {"Content-Type": "application/json"})
        answer = upstream.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("Content-Type", ""))
        self.end_headers()
        while piece := answer.read1(4096):
            self.wfile.write(piece)


class Bench:
    """A scratch repository with a queue."""

    def __init__(self, folder):
        self.root = folder / "repo"
        (self.root / "src").mkdir(parents=True)
        (folder / "home").mkdir()
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "USER": "tester"}
        (self.root / "src/app.sh").write_text("echo 1\n")
        (self.root / "Makefile").write_text("check:\n\t@sh -n src/app.sh\ntest:\n\t@echo '1 passed, 0 failed'\n")
        for line in ("init -q -b main", "config user.name Op", "config user.email op@baton.example"):
            self.git(*line.split())
        self.commit()
        self.baton(0, "init")
        self.commit()

    def run(self, *line):
        return subprocess.run(line, cwd=self.root, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def git(self, *line):
        done = self.run("git", *line)
        assert done.returncode == 0, done

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def baton(self, code, *line):
        done = self.run(BATON, *line)
        assert done.returncode == code, (line, done)
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout

    def policy(self, **draft):
        path = self.root / ".autodev_ssot/POLICY.json"
        policy = json.loads(path.read_text())
        policy["draft"]["openai"] = {
            "model": "tiny",
            "num_ctx": CONTEXT,
            "num_predict": 2000,
            "price": {"input_cents_per_million": 0, "output_cents_per_million": 0},
            **draft,
        }
        path.write_text(json.dumps(policy))
        self.baton(0, "policy", "accept")
        self.commit()

    def draft(self, code, task):
        self.baton(0, "submit", "--id", task, "--title", "Two", "--goal", "Print two", "--allow", "src/**", "--target", "src/app.sh")
        return self.baton(code, "run", task, "--producer", "openai", "--reply-format", "udiff")


def codes(envelope):
    return [finding["code"] for finding in envelope["findings"]]


def a_draft_becomes_a_candidate(bench, endpoint):
    bench.policy(endpoint=endpoint)
    checks = {check["check"]: check for check in bench.baton(0, "doctor")["checks"]}
    assert checks["draft.openai"]["health"] == "good", checks
    print("doctor:", checks["draft.openai"]["text"])
    done = bench.draft(0, "T-1")
    folder = bench.root / ".autodev_queue/pr/T-1"
    assert (folder / "evidence/reply.txt").read_text() == REPLY
    assert "+echo 2" in (folder / "draft.patch").read_text()
    lines = (bench.root / ".autodev_queue/audit/events.ndjson").read_text().splitlines()
    proposed = [json.loads(line) for line in lines if '"PATCH_PROPOSED"' in line][-1]["meta"]
    assert proposed["prompt_tokens"] > 500 and proposed["output_tokens"] > 100, proposed
    print("draft:", done["decision"], proposed)


def a_short_reply_is_cut(bench, endpoint):
    bench.policy(endpoint=endpoint, num_predict=20)
    assert "REPLY_CUT" in codes(bench.draft(1, "T-2"))


def a_prompt_beyond_the_context_is_refused(bench, endpoint):
    # Few bytes by our estimate; for this model each is a token.
    (bench.root / "src/app.sh").write_text("echo 1\n" * 1300)
    bench.commit()
    bench.policy(endpoint=endpoint)
    envelope = bench.draft(1, "T-3")
    assert "PROMPT_TOO_LARGE" in codes(envelope), envelope
    print("too large:", envelope["findings"][0]["message"][:200])


def a_killed_server_is_down(bench, server):
    server.kill()
    server.wait()
    (bench.root / "src/app.sh").write_text("echo 1\n")
    bench.commit()
    found = codes(bench.draft(1, "T-4"))
    assert found and found[0].startswith("MODEL_SERVER_"), found


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "tiny.gguf"
        subprocess.run([sys.executable, HERE / "tiny.py", model], check=True)
        server = subprocess.Popen([sys.executable, HERE / "serve.py", model, str(CONTEXT)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = server.stdout.readline().strip()
            Proxy.upstream = address.removeprefix("http://")
            proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            print("server:", address)
            bench = Bench(folder)
            endpoint = f"http://127.0.0.1:{proxy.server_port}/v1"
            a_draft_becomes_a_candidate(bench, endpoint)
            a_short_reply_is_cut(bench, endpoint)
            a_prompt_beyond_the_context_is_refused(bench, endpoint)
            bench.policy(endpoint=address)
            a_killed_server_is_down(bench, server)
        finally:
            server.kill()
    print("4 passed, 0 failed")


if __name__ == "__main__":
    main()
