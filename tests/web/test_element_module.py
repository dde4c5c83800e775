"""The player's module as other sites fetch it."""

import re
from collections.abc import Callable

import requests

from serving import Served

ELSEWHERE = {"Origin": "https://example.org"}


def test_the_module_is_one_file_for_any_site(server: Served) -> None:
    answer = requests.get(f"{server.url}/vivavoce-avatar.js", headers=ELSEWHERE, timeout=10)
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert not re.search(r"^import|import\(|^export (?!class VivavoceAvatar)", answer.text, re.MULTILINE)
    assert "customElements.define" in answer.text


def test_the_module_is_not_sent_again_to_who_has_it(server: Served) -> None:
    first = requests.get(f"{server.url}/vivavoce-avatar.js", timeout=10)
    tag = {"If-None-Match": first.headers["etag"]}
    again = requests.get(f"{server.url}/vivavoce-avatar.js", headers=tag | ELSEWHERE, timeout=10)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["access-control-allow-origin"] == "*"


def test_the_module_runs_no_text_as_code_and_leaves_nothing_inline(server: Served) -> None:
    module = requests.get(f"{server.url}/vivavoce-avatar.js", timeout=10).text
    for word in ("eval(", "new Function", "innerHTML", "insertAdjacentHTML", "document.write", "<style", '"style"'):
        assert word not in module


def test_a_server_with_keys_gives_the_module_without(serve: Callable[..., Served]) -> None:
    server = serve(server__api_keys='["secret"]', work__processes="1")
    assert requests.get(f"{server.url}/vivavoce-avatar.js", timeout=10).status_code == 200
    assert requests.get(f"{server.url}/v1/avatars", timeout=10).status_code == 401
