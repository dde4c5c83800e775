"""What the server shows, keeps and forgets."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from serving import Served
from vivavoce.web.site import preferred

PATHS = (
    "/",
    "/realtime",
    "/chat",
    "/avatars",
    "/training",
    "/voices",
    "/microphone",
    "/history",
    "/status",
    "/api-test",
)
SECRET = {"text": "My sister Aurelia lives in Zanzibar.", "language": "en"}


@pytest.mark.parametrize(
    ("header", "tongue"),
    [
        ("", "en"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        ("fr-CH, fr;q=0.9, kk;q=0.8, en;q=0.7", "kk"),
        ("en;q=0.5, ko", "ko"),
        ("zh-Hans-CN", "zh"),
        ("de", "en"),
        ("ru;q=much, zh", "zh"),
        (";;,,=", "en"),
    ],
)
def test_the_language_that_a_browser_likes_best(header: str, tongue: str) -> None:
    assert preferred(header) == tongue


@pytest.mark.parametrize("path", PATHS)
def test_every_page_leads_to_all_and_says_which_it_is(server: Served, path: str) -> None:
    page = requests.get(server.url + path, timeout=10).text
    (nav,) = re.findall(r"<nav.*?</nav>", page, flags=re.DOTALL)
    ways = re.findall(r'<a href="([^"]+)"', nav)
    assert ways == list(PATHS)
    assert re.findall(r'<a href="([^"]+)" aria-current="page"', nav) == [path]


@pytest.mark.parametrize("path", PATHS)
def test_pages_come_in_the_browsers_language_and_load_nothing_from_elsewhere(server: Served, path: str) -> None:
    page = requests.get(server.url + path, headers={"Accept-Language": "kk"}, timeout=10)
    assert page.headers["content-type"].startswith("text/html")
    assert '<html lang="kk">' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    assert all(link.startswith(("/", "#")) for link in links)
    for link in links:
        if link.startswith("/ui/"):
            assert requests.get(server.url + link, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *PATHS,
        *("/docs", "/redoc", "/openapi.json", "/favicon.ico"),
        "/ui/base.css",
        *("/ui/vendor/swagger-ui.css", "/livez", "/readyz", "/api/health", "/api/avatar", "/v1/avatars", "/v1/voices"),
    ],
)
def test_head_is_answered_like_get_without_a_body(server: Served, path: str) -> None:
    whole = requests.get(server.url + path, timeout=10, allow_redirects=False)
    head = requests.head(server.url + path, timeout=10, allow_redirects=False)
    assert head.status_code == whole.status_code < 400
    assert head.content == b""
    own = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in whole.headers.items() if k not in own
    }
    assert head.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *(("swagger-ui-bundle.js", 100_000), ("swagger-ui.css", 100_000), ("redoc.standalone.js", 100_000)),
        *(("uplot.iife.min.js", 50_000), ("uplot.min.css", 1_500)),
    ],
)
def test_vendored_files_arrive_whole(server: Served, name: str, least: int) -> None:
    answer = requests.get(f"{server.url}/ui/vendor/{name}", timeout=10)
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert len(answer.content) > least


@pytest.mark.parametrize(
    "path", ["/ui/vendor/..%2f..%2fapp.py", "/ui/vendor/README.md", "/ui/../app.py", "/ui/%2e%2e/app.py"]
)
def test_nothing_else_of_the_package_is_served(server: Served, path: str) -> None:
    request = requests.Request("GET", server.url).prepare()
    request.url = server.url + path
    with requests.Session() as session:
        assert session.send(request, timeout=10).status_code == 404


def test_avatars_and_voices_are_listed(server: Served) -> None:
    avatars = requests.get(f"{server.url}/v1/avatars", timeout=10).json()["avatars"]
    assert {"anna", "aigul", "david", "toy"} <= {a["name"] for a in avatars}
    assert [a["name"] for a in avatars if a["default"]] == ["toy"]
    for avatar in avatars:
        assert requests.get(server.url + avatar["poster"], timeout=10).headers["content-type"] == "image/jpeg"
    offer = requests.get(f"{server.url}/v1/voices", timeout=10).json()
    assert [language["code"] for language in offer["languages"]][:5] == ["ru", "kk", "en", "ko", "zh"]
    voice = next(v for v in offer["voices"] if v["engine"] == "espeak")
    body = SECRET | {"voice": f"espeak/{voice['id']}"}
    assert requests.post(f"{server.url}/api/generate", json=body, timeout=30).status_code == 200


def test_logs_tell_no_text_and_no_id(server: Served) -> None:
    chunk = requests.post(f"{server.url}/api/stream_chunks", json=SECRET, timeout=30).json()["chunks"][0]
    answer = requests.get(server.url + chunk["video_url"], timeout=10)
    for _ in range(200):  # a film is logged when its last byte has left, which its reader may see first
        requests.get(f"{server.url}/livez", timeout=10)
        log = server.log.read_text()
        if answer.headers["x-request-id"] in log:
            break
    assert answer.headers["x-request-id"] in log
    for secret in ("Aurelia", "Zanzibar", chunk["video_url"].split("/")[-1]):
        assert secret not in log


def test_old_results_are_removed_and_new_ones_stay(server: Served) -> None:
    old, new = [
        requests.post(f"{server.url}/api/stream_chunks", json=SECRET, timeout=30).json()["chunks"][0] for _ in range(2)
    ]
    for kind in ("video", "audio"):
        name = old[f"{kind}_url"].split("/")[-1]
        for path in Path(server.data).rglob(f"{name}*"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3700))
    answer = requests.post(f"{server.url}/api/cleanup", timeout=10).json()
    assert re.fullmatch(r"Removed \d+ old results?\.", answer["message"])
    for kind in ("video", "audio"):
        assert requests.get(server.url + old[f"{kind}_url"], timeout=10).status_code == 404
        assert requests.get(server.url + new[f"{kind}_url"], timeout=10).status_code == 200


def test_a_server_that_ends_leaves_no_process(serve: Callable[..., Served]) -> None:
    server = serve(work__processes="1")
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(family) > 1
    family[0].terminate()
    _, alive = psutil.wait_procs(family, 15)
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


def test_a_server_without_its_avatar_says_so(serve: Callable[..., Served]) -> None:
    server = serve(defaults__avatar="nobody", work__processes="1")
    assert requests.get(f"{server.url}/livez", timeout=10).status_code == 200
    assert requests.get(f"{server.url}/readyz", timeout=10).status_code == 503
    assert requests.get(f"{server.url}/api/health", timeout=10).json()["models_loaded"] is False
    assert requests.post(f"{server.url}/api/generate", json=SECRET, timeout=30).status_code == 404
    assert requests.post(f"{server.url}/api/generate", json=SECRET | {"avatar": "toy"}, timeout=30).status_code == 200
