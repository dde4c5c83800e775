"""Webhooks against a real receiver that behaves well, badly or not at all, and against addresses that must not pass."""

import asyncio
import hashlib
import hmac
import json
import random
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from vivavoce.errors import InvalidInput
from vivavoce.nouns import Job
from vivavoce.store.database import Database
from vivavoce.store.jobs import JobTable
from vivavoce.studio.addresses import Gate, is_public
from vivavoce.studio.webhooks import BACKOFF, Webhooks

SECRET = "whsec-of-the-operator"
JOB = Job("job-1", "video", "succeeded", {"text": "Hello"}, result={"video": "film"})


class Receiver(ThreadingHTTPServer):
    """Records what arrives and answers as its script says; the last line of the script holds for the rest."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[dict[str, Any]] = [{"status": 200}]
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.sent = 0
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?of=mine"

    def handle_error(self, *_: object) -> None:
        """Clients that leave are expected."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        script = self.server.script
        step = script[min(len(self.server.seen), len(script) - 1)]
        self.server.seen.append((self.path, dict(self.headers.items()), body))
        if step.get("hangs"):
            self.server.over.wait(20)
            return
        self.send_response(step["status"])
        for name, value in step.get("headers", {}).items():
            self.send_header(name, value)
        if step.get("endless"):
            self.end_headers()
            while not self.server.over.is_set():
                self.server.sent += self.wfile.write(bytes(65536))
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {}, b"GET"))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def make() -> Iterator[Callable[[], Receiver]]:
    made: list[tuple[Receiver, threading.Thread]] = []

    def one() -> Receiver:
        receiver = Receiver()
        thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
        thread.start()
        made.append((receiver, thread))
        return receiver

    yield one
    for receiver, thread in made:
        receiver.over.set()
        receiver.shutdown()
        thread.join()
        receiver.server_close()


@pytest.fixture
def receiver(make: Callable[[], Receiver]) -> Receiver:
    return make()


@dataclass(frozen=True)
class Owed:
    url: str
    id: str = "delivery-1"
    job: Job = JOB
    attempt: int = 1


@dataclass
class Ledger:
    """What is owed, handed out once, and what came of it."""

    owed: list[Owed]
    ends: list[tuple[str, str, Any]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def due(self, worker: str, limit: int = 20) -> Sequence[Owed]:  # noqa: ARG002
        taken, self.owed = self.owed[:limit], self.owed[limit:]
        return taken

    async def delivered(self, id: str) -> None:  # noqa: A002
        self._end("delivered", id)

    async def postponed(self, id: str, until: float) -> None:  # noqa: A002
        self._end("postponed", id, until - time.time())

    async def given_up(self, id: str, reason: str) -> None:  # noqa: A002
        self._end("given up", id, reason)

    def _end(self, end: str, name: str, more: Any = None) -> None:
        self.ends.append((end, name, more))
        self.ended.set()


def view(job: Job) -> dict[str, Any]:
    return {"id": job.id, "state": job.state, "text": "Привет"}


LOCAL = Gate(["127.0.0.0/8"])


@asynccontextmanager
async def delivering(debts: Any, **chosen: Any) -> AsyncIterator[Webhooks]:
    more: dict[str, Any] = {"secret": SECRET, "gate": LOCAL} | chosen
    hooks = Webhooks(debts, view, worker="w", **more)
    hooks.start()
    try:
        yield hooks
    finally:
        await hooks.close()


def once(url: str, *, attempt: int = 1, **more: Any) -> tuple[str, Any]:
    """What comes of one attempt."""

    async def main() -> tuple[str, Any]:
        ledger = Ledger([Owed(url, attempt=attempt)])
        async with asyncio.timeout(15), delivering(ledger, **more):
            await ledger.ended.wait()
        [(end, name, detail)] = ledger.ends
        assert name == "delivery-1"
        assert len(asyncio.all_tasks()) == 1
        return end, detail

    return asyncio.run(main())


# ---- what arrives


def test_a_message_is_signed_and_says_what_became_of_the_job(receiver: Receiver) -> None:
    assert once(receiver.url) == ("delivered", None)
    [(path, headers, body)] = receiver.seen
    assert path == "/hook?of=mine"
    assert json.loads(body) == {"type": "job.succeeded", "job": {"id": "job-1", "state": "succeeded", "text": "Привет"}}
    assert headers["Content-Type"] == "application/json"
    assert headers["Vivavoce-Delivery"] == "delivery-1"
    assert headers["Host"] == f"127.0.0.1:{receiver.server_port}"
    match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["Vivavoce-Signature"])
    assert match
    assert abs(int(match[1]) - time.time()) < 10
    assert match[2] == hmac.new(SECRET.encode(), f"{match[1]}.".encode() + body, hashlib.sha256).hexdigest()


def test_what_the_job_table_owes_is_delivered_until_it_arrives(receiver: Receiver, tmp_path: Path) -> None:
    """Every end of a job, each told once to a receiver that fails first."""
    receiver.script = [{"status": 503}, {"status": 500}, {"status": 200}]

    async def main() -> None:
        database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
        await database.start()
        table = JobTable(database)
        try:
            async with asyncio.timeout(15), delivering(table, backoff=(0.05,) * 5) as hooks:
                for state in ("succeeded", "failed", "cancelled"):
                    await table.add("video", {"n": state}, webhook=receiver.url)
                    job = await table.claim("w", ["video"])
                    assert job
                    await table.finish(job.id, job.lease, state)
                hooks.wake()
                await settled(lambda: len(receiver.seen) == 5)
            assert await table.due("another") == []
        finally:
            await database.close()

    asyncio.run(main())
    assert ends(receiver) == {"job.succeeded", "job.failed", "job.cancelled"}
    deliveries = {headers["Vivavoce-Delivery"] for _, headers, _ in receiver.seen}
    assert len(deliveries) == 3


def test_a_message_survives_the_end_of_its_server(receiver: Receiver, tmp_path: Path) -> None:
    receiver.script = [{"hangs": True}, {"status": 200}]

    async def main() -> None:
        ahead = 0.0
        database = Database(f"sqlite:///{tmp_path / 'jobs.db'}")
        await database.start()
        table = JobTable(database, clock=lambda: time.time() + ahead)
        try:
            await table.add("video", {}, webhook=receiver.url)
            job = await table.claim("w", ["video"])
            assert job
            await table.finish(job.id, job.lease, "succeeded")
            async with delivering(table):
                await settled(lambda: len(receiver.seen) == 1)
            ahead = 61
            async with delivering(table):
                await settled(lambda: len(receiver.seen) == 2)
                ahead = 300
                while await table.due("another"):
                    ahead += 100
        finally:
            await database.close()

    asyncio.run(main())
    assert len({headers["Vivavoce-Delivery"] for _, headers, _ in receiver.seen}) == 1


def ends(receiver: Receiver) -> set[str]:
    return {json.loads(body)["type"] for _, _, body in receiver.seen}


async def settled(condition: Callable[[], bool]) -> None:
    """Wait for what only the receiver knows."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - a thread sets no event of ours
            await asyncio.sleep(0.005)


# ---- what does not arrive


@pytest.mark.parametrize("status", [200, 201, 204])
def test_these_answers_mean_it_has_arrived(receiver: Receiver, status: int) -> None:
    receiver.script = [{"status": status}]
    assert once(receiver.url) == ("delivered", None)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_these_answers_may_pass(receiver: Receiver, status: int) -> None:
    receiver.script = [{"status": status}]
    assert once(receiver.url)[0] == "postponed"


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 410, 422])
def test_these_answers_do_not_pass(receiver: Receiver, status: int) -> None:
    receiver.script = [{"status": status}]
    assert once(receiver.url) == ("given up", f"it answered {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere(receiver: Receiver, make: Callable[[], Receiver], status: int) -> None:
    inner = make()
    receiver.script = [{"status": status, "headers": {"Location": inner.url}}]
    assert once(receiver.url) == ("given up", f"it answered {status}")
    assert inner.seen == []


@pytest.mark.parametrize(("attempt", "seconds"), list(enumerate(BACKOFF, 1)))
def test_waits_grow_and_are_not_all_alike(receiver: Receiver, attempt: int, seconds: float) -> None:
    receiver.script = [{"status": 500}]
    random.seed(attempt)
    waits = {once(receiver.url, attempt=attempt)[1] for _ in range(3)}
    assert len(waits) == 3
    assert all(0.75 * seconds < wait < 1.25 * seconds for wait in waits)


def test_after_the_last_attempt_it_is_given_up(receiver: Receiver) -> None:
    receiver.script = [{"status": 500}]
    assert once(receiver.url, attempt=6) == ("given up", "it answered 500")


@pytest.mark.parametrize(
    ("wish", "least", "most"),
    [("90", 85, 91), ("0", 0, 2), ("soon", 0, 2), ("-5", 0, 2), ("9" * 50, 890, 901), ("DATE", 55, 61), ("²", 0, 2)],
)
def test_a_receiver_may_ask_for_time_within_reason(receiver: Receiver, wish: str, least: float, most: float) -> None:
    wish = formatdate(time.time() + 60, usegmt=True) if wish == "DATE" else wish
    receiver.script = [{"status": 429, "headers": {"Retry-After": wish}}]
    end, seconds = once(receiver.url)
    assert end == "postponed"
    assert least <= seconds <= most


def test_a_receiver_that_hangs_is_left(receiver: Receiver) -> None:
    receiver.script = [{"hangs": True}]
    began = time.monotonic()
    assert once(receiver.url, limit=0.3)[0] == "postponed"
    assert time.monotonic() - began < 3


def test_the_body_of_an_answer_is_not_read(receiver: Receiver) -> None:
    receiver.script = [{"status": 200, "endless": True}]
    assert once(receiver.url) == ("delivered", None)
    assert receiver.sent < 20_000_000  # what the kernel's buffers take


def test_nobody_there(receiver: Receiver) -> None:
    port = Receiver()
    url = port.url
    port.server_close()
    assert once(url)[0] == "postponed"
    assert once(url, attempt=6) == ("given up", "it could not be reached (ConnectError)")


def test_one_that_hangs_holds_up_no_other(receiver: Receiver, make: Callable[[], Receiver]) -> None:
    slow = make()
    slow.script = [{"hangs": True}]

    async def main() -> None:
        ledger = Ledger([Owed(slow.url, f"slow-{n}") for n in range(10)] + [Owed(receiver.url, "quick")])
        async with asyncio.timeout(5), delivering(ledger):
            await ledger.ended.wait()
        assert ledger.ends == [("delivered", "quick", None)]

    asyncio.run(main())


@pytest.mark.parametrize("steps", range(4))
def test_closing_ends_at_once_whatever_has_just_happened(steps: int) -> None:
    """Also when a look is due in the very moment: a cancel must not be swallowed."""

    async def main() -> None:
        async with asyncio.timeout(15), delivering(Ledger([])) as hooks:
            for _ in range(200):  # until it waits for something to do
                await asyncio.sleep(0)
            while hooks._look.is_set() or not hooks._look._waiters:
                await asyncio.to_thread(lambda: None)
            hooks.wake()
            for _ in range(steps):
                await asyncio.sleep(0)

    asyncio.run(main())


def test_logs_tell_neither_the_secret_nor_the_address(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    receiver.script = [{"status": 404}]
    with capture_logs() as logs:
        once(receiver.url)
        once("http://127.0.0.1:1/of=mine", attempt=1)
    assert len(logs) == 2
    for word in (SECRET, "of=mine", "127.0.0.1", "Hello"):
        assert word not in f"{logs}{caplog.text}"


# ---- where it may go


def names(**known: list[str]) -> Callable[[str, int], Any]:
    """A resolver that knows these hosts; ``_`` stands for a dot. Each answer of a list in a list is given once."""

    async def look(host: str, port: int) -> Sequence[str]:
        key = host.replace(".", "_").replace("-", "_")
        if key not in known:
            raise OSError("unknown")
        return known[key]

    return look


async def _numeric(host: str, port: int) -> Sequence[str]:
    """As the system reads numbers; names are public."""
    with suppress(OSError):
        return [str(found[4][0]) for found in await _system(host, port)]
    return ["93.184.215.14"]


async def _system(host: str, port: int) -> Any:
    import socket

    return await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )


PUBLIC = ["https://example.org/hook", "http://example.org", "https://example.org:8443/a?b=c", "https://93.184.215.14/x"]


@pytest.mark.parametrize("url", [*PUBLIC, "https://[2606:2800:21f::1]/x", "http://example.org:1024/"])
def test_public_addresses_pass(url: str) -> None:
    hooks = Webhooks(Ledger([]), view, secret=SECRET, worker="w", gate=Gate(resolve=_numeric))
    asyncio.run(hooks.check_url(url))


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/", "http://localhost.localdomain:1/", "http://10.0.0.8/", "http://192.168.1.1:8080/"),
        *("http://169.254.169.254/latest/meta-data", "http://100.64.0.1/", "http://0.0.0.0/", "http://224.0.0.1/"),
        *("http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://0/"),
        *("http://[::1]/", "http://[::]/", "http://[fe80::1]/", "http://[fd00::1]/", "http://[ff02::1]/"),
        *("http://[::ffff:10.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[64:ff9b::a00:1]/", "http://[2002:a00:1::]/"),
        *("http://[::127.0.0.1]/", "http://[fec0::1]/", "http://[2001:0:a00:1::]/", "http://[64:ff9b:1::8.8.8.8]/"),
        *("ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "//example.org/", "example.org", ""),
        *("http://", "http:///x", "https://user@example.org/", "https://a:b@example.org/", "http://exa mple.org/"),
        *(
            "http://example.org:22/",
            "http://example.org:6379/" + "x" * 2000,
            "http://example.org:0/",
            "http://e:99999/",
        ),
        *(
            "http://example.org:25",
            "http://example.org\\@10.0.0.1/",
            "http://example.org/\r\nX: y",
            "http://пример.рф/",
        ),
        *("http://[::1", "http://example.org:x/", "http://a..b\x00/", "http://xn--/"),
    ],
)
def test_other_addresses_do_not_pass(url: str) -> None:
    hooks = Webhooks(Ledger([]), view, secret=SECRET, worker="w", gate=Gate(resolve=_numeric))
    with pytest.raises(InvalidInput) as caught:
        asyncio.run(hooks.check_url(url))
    assert str(caught.value).endswith(".")
    assert "10.0.0" not in str(caught.value)


def test_one_private_address_among_public_ones_is_enough() -> None:
    gate = Gate(resolve=names(mixed_example=["93.184.215.14", "10.0.0.1"], none_example=[]))
    for host in ("mixed.example", "none.example", "unknown.example"):
        with pytest.raises(InvalidInput, match=r"public internet"):
            asyncio.run(gate.check(f"https://{host}/"))


def test_wrapped_public_addresses_are_public() -> None:
    for address in ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "2606:4700::1111"):
        assert is_public(address)
    for address in ("fe80::1%eth0", "example.org", "", "192.0.0.9", "3fff::1", "198.18.0.1", "192.88.99.1"):
        assert not is_public(address)


def test_the_operators_own_hosts_pass_when_he_says_so() -> None:
    known = names(hooks_lan=["10.1.2.3"], other_lan=["10.9.9.9"], six_lan=["fd00::5"], mapped_lan=["::ffff:10.1.2.4"])
    gate = Gate(["hooks.lan", "10.1.0.0/16", "fd00::/8"], resolve=known)
    for host in ("hooks.lan", "HOOKS.lan.", "six.lan", "mapped.lan"):
        asyncio.run(gate.check(f"http://{host}:8080/"))
    for url in ("http://other.lan/", "http://hooks.lan:22/", "http://x@hooks.lan/"):
        with pytest.raises(InvalidInput):
            asyncio.run(gate.check(url))


def test_without_a_secret_there_are_no_webhooks(receiver: Receiver) -> None:
    async def main() -> None:
        hooks = Webhooks(Ledger([Owed(receiver.url)]), view, secret="", worker="w", gate=LOCAL)
        hooks.start()
        with pytest.raises(InvalidInput, match="no webhooks"):
            await hooks.check_url(receiver.url)
        await hooks.close()

    asyncio.run(main())
    assert receiver.seen == []


def test_a_name_that_changes_its_mind_leads_nowhere(receiver: Receiver) -> None:
    """DNS rebinding: public when the job is taken, our own machine when it is told."""
    answers = [["93.184.215.14"], ["127.0.0.1"]]

    async def turncoat(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    gate = Gate(resolve=turncoat)
    url = f"http://turncoat.example:{receiver.server_port}/"
    asyncio.run(gate.check(url))
    assert once(url, gate=gate)[0] == "postponed"
    assert answers == []
    assert receiver.seen == []


def test_the_connection_goes_where_the_check_looked(receiver: Receiver) -> None:
    """One question for each attempt; a second answer would lead astray."""
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.99"]

    gate = Gate(["hooks.example"], resolve=resolve)
    assert once(f"http://hooks.example:{receiver.server_port}/", gate=gate) == ("delivered", None)
    assert asked == [("hooks.example", receiver.server_port)]
    assert receiver.seen[0][1]["Host"] == f"hooks.example:{receiver.server_port}"


def test_another_address_of_a_host_is_tried(receiver: Receiver) -> None:
    gate = Gate(["hooks.example"], resolve=names(hooks_example=["127.0.0.77", "::1", "127.0.0.1"]))
    assert once(f"http://hooks.example:{receiver.server_port}/", gate=gate) == ("delivered", None)


def test_certificates_are_those_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is pinned, the name is not forgotten: it is asked for, and must be the certificate's."""
    certificate = certified(tmp_path, "hooks.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    receiver = Receiver()
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,))
    thread.start()
    try:
        gate = Gate(["127.0.0.1"], resolve=names(hooks_example=["127.0.0.1"], other_example=["127.0.0.1"]))
        url = f"https://hooks.example:{receiver.server_port}/"
        assert once(url, gate=gate)[0] == "postponed", "nobody knows who signed it"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert once(url, gate=gate) == ("delivered", None)
        assert once(url.replace("hooks", "other"), gate=gate)[0] == "postponed"
        assert asked == ["hooks.example", "hooks.example", "other.example"]
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def certified(folder: Path, name: str) -> Path:
    """A self-signed certificate and its key in one file."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
    from datetime import UTC, datetime, timedelta

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "certificate.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_receivers_check_a_message_as_the_documents_say(receiver: Receiver) -> None:
    documents = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"
    [program] = re.findall(r"```python\n(.*?)```", documents.read_text("utf-8"), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(program, scope)
    check = scope["is_from_vivavoce"]
    once(receiver.url)
    [(_, headers, body)] = receiver.seen
    signed = headers["Vivavoce-Signature"]
    assert check(SECRET, signed, body)
    assert not check(SECRET, signed, body + b" ")
    assert not check("another", signed, body)
    assert not check(SECRET, signed, body, tolerance=-1)
    for header in ("", "t=1", "v1=", "t=x,v1=ы", signed.replace("t=1", "t=2")):
        assert not check(SECRET, header, body)
