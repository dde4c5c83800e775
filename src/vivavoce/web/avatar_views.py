"""Avatars as clients see them, and what they send to have one made."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vivavoce.web.dialects import allow

__all__ = ["AvatarAsk", "AvatarFacts", "AvatarName", "AvatarOut", "AvatarsOut", "CheckOut", "FindingOut", "ReportOut"]

AvatarName = Annotated[
    str,
    Field(
        pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="Letters a-z, digits, - and _; at most 63", examples=["mary"]
    ),
    allow("An avatar's name has 1 to 63 letters a-z, digits, - or _, and begins with no - or _."),
]


class FindingOut(BaseModel):
    """One thing that was looked at."""

    check: str = Field(examples=["face-size"])
    level: Literal["ok", "warn", "refuse"] = Field(description="`refuse`: no avatar can be made of it")
    value: str = Field(description="What was measured", examples=["312 pixels between the eyes' outer corners"])
    advice: str = Field(examples=["The face is large enough."])


class ReportOut(BaseModel):
    """What an avatar of a picture or a video would be like."""

    kind: Literal["picture", "video"]
    level: Literal["ok", "warn", "refuse"] = Field(description="The worst of all findings")
    findings: list[FindingOut]


class CheckOut(BaseModel):
    """What was seen in a file; nothing of it is kept."""

    report: ReportOut
    width: int = Field(description="Pixels, upright", examples=[1024])
    height: int = Field(examples=[1024])
    seconds: float | None = Field(description="Of a video", examples=[None])
    fps: float | None = Field(description="Of a video", examples=[None])
    landmarks: dict[str, tuple[float, float]] | None = Field(
        description="Named points on the face, pixels of the upright picture; left and right are the picture's. Null "
        "for a video, and where no face is found",
        examples=[{"left_eye_outer": [350.5, 420.0], "chin": [512.0, 760.2]}],
    )
    preview: str | None = Field(
        description="The picture, or the first of a video, upright, as a `data:` address of a JPEG",
        examples=["data:image/jpeg;base64,/9j/4AAQ"],
    )


class AvatarOut(BaseModel):
    """An avatar that can speak."""

    name: str = Field(examples=["anna"])
    engine: str = Field(description="The face engine that plays it", examples=["photo"])
    kind: str = Field(description="What it was made of: `picture` or `video`", examples=["picture"])
    builtin: bool = Field(description="Part of the program; cannot be removed")
    default: bool = Field(description="Who speaks where a request does not say")
    warnings: list[str] = Field(description="What would be better otherwise", examples=[[]])
    poster: str = Field(description="The same as `poster_url`", examples=["/api/avatar?name=anna"])
    poster_url: str = Field(description="Its picture, a JPEG", examples=["/api/avatar?name=anna"])
    idle_url: str = Field(description="A film of it listening, to be looped", examples=["/v1/avatars/anna/idle"])
    url: str = Field(examples=["/v1/avatars/anna"])


class AvatarFacts(AvatarOut):
    """Everything that is known of an avatar."""

    width: int | None = Field(None, description="Pixels of what it is painted from", examples=[1024])
    height: int | None = Field(None, examples=[1024])
    fps: float | None = Field(None, description="Of a video", examples=[None])
    frames: int | None = Field(None, description="Of a video: pictures that are replayed", examples=[None])
    without_face: int | None = Field(None, description="Of a video: pictures shown untouched", examples=[None])
    resolutions: dict[str, str] = Field(
        description="Sizes of films in its own shape, by their names", examples=[{"720p": "720x720"}]
    )
    created: str | None = Field(None, description="When it was made", examples=["2026-11-21T10:15:00+00:00"])
    landmarks: str | None = Field(None, description="`located` or `given`", examples=["located"])
    report: ReportOut | None = Field(None, description="The report of its source")


class AvatarsOut(BaseModel):
    """All avatars, those of the program first."""

    avatars: list[AvatarOut]


class AvatarAsk(BaseModel):
    """The text fields of the form."""

    model_config = ConfigDict(extra="forbid")

    name: AvatarName
    engine: str | None = Field(None, max_length=60, description="Face engine; the server's default when left out")
    landmarks: str | None = Field(
        None,
        max_length=200_000,
        description='JSON of named points `{"left_eye_outer": [x, y], …}` in pixels of the upright picture, as the '
        "check answers them, perhaps corrected; or all 468. For a picture only",
    )
    webhook: str | None = Field(None, max_length=2000, description="Called, signed, when the job has ended")
