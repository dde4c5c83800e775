"""Errors in the words of each API family: which body a path answers with, and sentences for bad requests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from vivavoce.errors import Cancelled, VivavoceError

__all__ = ["LISTING", "Problem", "allow", "answer", "install"]

_SENTENCE = "sentence"
_RETRY_SECONDS = 2
CODE_HEADER = "X-Error-Code"
LISTING = ("/files/", "/audio/", "/speaker/")
"""Paths whose document promises the framework's own list for a malformed request, with status 422."""


class Problem(BaseModel):
    """What a failed call of the native API answers (RFC 9457, ``application/problem+json``)."""

    type: str = "about:blank"
    title: str = Field(examples=["Bad Request"])
    status: int = Field(examples=[400])
    detail: str = Field(description="One sentence", examples=["The text is empty; send at least one letter or digit."])
    code: str = Field(description="A stable name for programs", examples=["invalid-input"])


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong, before it is put into a family's words."""

    status: int
    code: str
    message: str


def _chunks(fault: Fault) -> dict[str, Any]:
    return {"success": False, "error": fault.message}


def _problem(fault: Fault) -> dict[str, Any]:
    """RFC 9457."""
    title = HTTPStatus(fault.status).phrase
    return {"type": "about:blank", "title": title, "status": fault.status, "detail": fault.message, "code": fault.code}


def _detail(fault: Fault) -> dict[str, Any]:
    return {"detail": fault.message}


def _studio(fault: Fault) -> dict[str, Any]:
    return {"status": "error", "message": fault.message}


def _openai(fault: Fault) -> dict[str, Any]:
    """As OpenAI's clients read it, beside the problem itself."""
    kind = "invalid_request_error" if fault.status < 500 else "server_error"
    return _problem(fault) | {"error": {"message": fault.message, "type": kind, "param": None, "code": fault.code}}


_STUDIO = (
    "/save_audio",
    "/video_generation",
    "/model_training",
    "/audio_clone",
    "/chat_system",
    "/api/status",
    "/api/history/",
    "/api/cloned-audios",
    "/static/",
)
_DIALECTS: tuple[tuple[str, Callable[[Fault], dict[str, Any]], str], ...] = (
    *((path, _studio, "application/json") for path in _STUDIO),
    ("/api/", _chunks, "application/json"),
    ("/video/", _chunks, "application/json"),
    ("/assets/audio/", _chunks, "application/json"),
    ("/v1/audio/", _openai, "application/problem+json"),
    ("/v1/", _problem, "application/problem+json"),
    ("/", _detail, "application/json"),
)
"""Path prefix, body, media type; the first that fits."""


def answer(path: str, fault: Fault, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer to a failed request in the dialect of its path."""
    body, media_type = next((body, kind) for prefix, body, kind in _DIALECTS if path.startswith(prefix))
    more = {CODE_HEADER: fault.code} | dict(headers or {})
    if fault.status in (429, 503):
        more.setdefault("Retry-After", str(_RETRY_SECONDS))
    return JSONResponse(body(fault), fault.status, headers=more, media_type=media_type)


def of(error: VivavoceError) -> Fault:
    """The fault that an error of ours is."""
    return Fault(error.status, error.code, str(error))


def allow(sentence: str) -> WrapValidator:
    """For ``Annotated``: whatever the type refuses is answered with this sentence, which says what is allowed."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError(_SENTENCE, "{words}", {"words": sentence}) from None

    return WrapValidator(check)


def _invalid(errors: Sequence[Any]) -> str:
    """The first thing that was wrong with a request, as a sentence without what the client wrote."""
    first = errors[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    match first["type"]:
        case "sentence":
            return str(first["msg"])
        case "json_invalid":
            return "The body is not valid JSON."
        case "missing" if where:
            return f"{where[-1]} is required."
        case _ if not where or first["type"].endswith("attributes_type"):
            return "Send a JSON object, with the header Content-Type: application/json."
        case _:
            return f"{where[-1]}: {first['msg']}."


_HTTP = {
    404: ("not-found", "There is nothing at this address."),
    405: ("not-allowed", "This address does not take that method; it takes {allowed}."),
    413: ("too-large", "The body is too large."),
}


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, VivavoceError)
    return answer(request.url.path, of(error))


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if request.url.path.startswith(LISTING):
        problems = [{key: e[key] for key in ("type", "loc", "msg")} for e in error.errors()]
        return JSONResponse({"detail": problems}, 422, headers={CODE_HEADER: "invalid-input"})
    return answer(request.url.path, Fault(400, "invalid-input", _invalid(error.errors())))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = error.headers or {}
    code, words = _HTTP.get(error.status_code, ("invalid-input", str(error.detail)))
    message = words.format(allowed=headers.get("Allow", headers.get("allow", "another")))
    return answer(request.url.path, Fault(error.status_code, code, message), headers)


async def _on_leaving(request: Request, _: Exception) -> JSONResponse:
    """Nobody reads it: the client left before all of its request was here."""
    return answer(request.url.path, of(Cancelled("The client left.")))


def install(app: FastAPI) -> None:
    """Let every failure of the app be answered in the dialect of its path."""
    app.add_exception_handler(VivavoceError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_leaving)
