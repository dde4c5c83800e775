"""The pages a person opens, the API documents, and the player for other sites; all out of the package, no CDN."""

import hashlib
import html
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import URLPath
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from vivavoce.errors import NotFound

__all__ = ["LANGUAGES", "assets", "element", "preferred", "router"]

router = APIRouter(include_in_schema=False)
_READ = ["GET", "HEAD"]
PAGES = Path(__file__).resolve().parent / "pages"
VENDOR = Path(__file__).resolve().parent / "static" / "vendor"
LANGUAGES = ("en", "ru", "kk", "ko", "zh")
"""Of the interface."""
_PLACES = {
    "/": ("nav.create", "Video"),
    "/realtime": ("nav.live", "Live"),
    "/chat": ("nav.chat", "Chat"),
    "/avatars": ("nav.avatars", "Avatars"),
    "/training": ("nav.training", "Training"),
    "/voices": ("nav.voices", "Voices"),
    "/microphone": ("nav.microphone", "Microphone"),
    "/history": ("nav.history", "History"),
    "/status": ("nav.status", "Status"),
    "/api-test": ("nav.api", "API"),
}
"""The pages, in the order in which every one of them leads to the others: key of the word, and the English word."""
_PARTS = ("boxes", "calls", "captions", "stream", "files", "look", "stage", "avatar")
"""Of the player, each after those that it imports."""
_POLICY = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'"
_DOCS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'"
)


def preferred(accept_language: str) -> str:
    """The interface's language that a browser likes best (RFC 9110, 12.5.4); English when it likes none."""
    wishes = []
    for position, part in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wishes.append((-float(weight or 1), position, tag.partition("-")[0].lower()))
        except ValueError:  # a weight that is no number: as if the wish were not there
            continue
    return next((tag for _, _, tag in sorted(wishes) if tag in LANGUAGES), "en")


def _ways(here: str) -> str:
    """The navigation, as the page at ``here`` shows it."""
    current = {here: ' aria-current="page"'}
    links = (
        f'    <a href="{path}"{current.get(path, "")} data-t="{key}">{word}</a>'
        for path, (key, word) in _PLACES.items()
    )
    return "\n".join(['<nav aria-label="vivavoce">', *links, "  </nav>"])


def _page(request: Request, name: str) -> HTMLResponse:
    """A page in the browser's language; its empty ``<nav></nav>`` becomes the way to all pages."""
    language = preferred(request.headers.get("accept-language", ""))
    text = (PAGES / name).read_text("utf-8").replace('<html lang="en">', f'<html lang="{html.escape(language)}">', 1)
    text = text.replace("<nav></nav>", _ways(request.url.path), 1)
    headers = {"Content-Security-Policy": _POLICY, "Vary": "Accept-Language", "Cache-Control": "no-cache"}
    return HTMLResponse(text, headers=headers)


@router.api_route("/", methods=_READ)
def index(request: Request) -> HTMLResponse:
    """Text in, film out."""
    return _page(request, "index.html")


@router.api_route("/realtime", methods=_READ)
def realtime(request: Request) -> HTMLResponse:
    """Type, and the avatar speaks."""
    return _page(request, "realtime.html")


@router.api_route("/avatars", methods=_READ)
def avatars(request: Request) -> HTMLResponse:
    """Who is here, and how somebody new comes."""
    return _page(request, "avatars.html")


@router.api_route("/training", methods=_READ)
def training(request: Request) -> HTMLResponse:
    """A film of a person becomes their own talking head."""
    return _page(request, "training.html")


@router.api_route("/microphone", methods=_READ)
def microphone(request: Request) -> HTMLResponse:
    """Speak, and read along; clean and write down recordings, compare voices."""
    return _page(request, "microphone.html")


@router.api_route("/chat", methods=_READ)
def chat(request: Request) -> HTMLResponse:
    """Ask, and the avatar answers."""
    return _page(request, "chat.html")


@router.api_route("/voices", methods=_READ)
def voices(request: Request) -> HTMLResponse:
    """Whose voices are here, and how a recording becomes one."""
    return _page(request, "voices.html")


@router.api_route("/history", methods=_READ)
def history(request: Request) -> HTMLResponse:
    """What was asked for, and what came of it."""
    return _page(request, "history.html")


@router.api_route("/status", methods=_READ)
def status(request: Request) -> HTMLResponse:
    """What the machine and the server are doing."""
    return _page(request, "status.html")


@router.api_route("/api-test", methods=_READ)
def api_test(request: Request) -> HTMLResponse:
    """Every call of the chunk API, to try."""
    return _page(request, "api-test.html")


@router.api_route("/docs", methods=_READ)
def swagger() -> HTMLResponse:
    """The API, to try."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="vivavoce API",
        swagger_js_url="/ui/vendor/swagger-ui-bundle.js",
        swagger_css_url="/ui/vendor/swagger-ui.css",
        swagger_favicon_url="/ui/icon.svg",
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
    )
    page.headers["Content-Security-Policy"] = _DOCS_POLICY
    return page


@router.api_route("/redoc", methods=_READ)
def redoc() -> HTMLResponse:
    """The API, to read."""
    page = get_redoc_html(
        openapi_url="/openapi.json",
        title="vivavoce API",
        redoc_js_url="/ui/vendor/redoc.standalone.js",
        redoc_favicon_url="/ui/icon.svg",
        with_google_fonts=False,
    )
    page.headers["Content-Security-Policy"] = _DOCS_POLICY
    return page


@router.api_route("/favicon.ico", methods=_READ)
def favicon() -> Response:
    """Browsers ask for it whatever a page says."""
    return RedirectResponse(URLPath("/ui/icon.svg"), 308)


@router.api_route("/ui/vendor/{name}", methods=_READ)
def vendor(name: str) -> FileResponse:
    """A library of somebody else's; it is kept compressed."""
    kinds = {".js": "text/javascript", ".css": "text/css"}
    path = VENDOR / f"{name}.gz"
    if "/" in name or Path(name).suffix not in kinds or not path.is_file():
        raise NotFound("There is nothing at this address.")
    headers = {"Content-Encoding": "gzip", "Cache-Control": "max-age=86400"}
    return FileResponse(path, media_type=kinds[Path(name).suffix], headers=headers)


@cache
def element() -> str:
    """The player ``<vivavoce-avatar>`` as one module: its parts joined, without the imports between them."""
    parts = [(PAGES / "ui" / "element" / f"{name}.js").read_text("utf-8") for name in _PARTS]
    within = [re.sub(r"^export (?=class|const|function|async)", "", part, flags=re.MULTILINE) for part in parts[:-1]]
    module = "\n".join([*within, parts[-1]])
    return re.sub(r'^import \{[^}]*\} from "\./\w+\.js";\n', "", module, flags=re.MULTILINE)


@router.api_route("/vivavoce-avatar.js", methods=_READ)
def avatar_module(request: Request) -> Response:
    """The player for any site: one script tag, no other file."""
    tag = f'"{hashlib.sha256(element().encode()).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Cross-Origin-Resource-Policy": "cross-origin"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(element(), media_type="text/javascript", headers=headers)


def assets() -> StaticFiles:
    """Scripts and styles of the pages."""
    return StaticFiles(directory=PAGES / "ui")
