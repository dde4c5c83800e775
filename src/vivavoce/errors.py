"""Every failure that a caller may see, in one tree.

* VivavoceError            500  internal
  - InvalidInput           400  invalid-input        what the client sent cannot be used
    - TooLarge             413  too-large            more bytes, pixels, characters or seconds than allowed
    - UnsupportedMedia     415  unsupported-media    not a format that is read here
    - FaceRejected         422  face-rejected        a picture without a usable face
  - NotFound               404  not-found
  - Conflict               409  conflict             it stands against something that is there already
    - LeaseLost            409  lease-lost           the job was given to another worker meanwhile
  - Cancelled              409  cancelled
  - Overloaded             429  overloaded           retryable
  - EngineUnavailable      503  engine-unavailable   a missing extra, weight file, device or key
  - TimedOut               504  timed-out            retryable
  - WorkerDied             500  worker-died          retryable

A message is one sentence for the user: what is wrong, what is allowed, what to do. ``status`` is the HTTP
status that fits, ``code`` a stable name for programs, ``retryable`` whether the same call may succeed later.
"""

__all__ = [
    "Cancelled",
    "Conflict",
    "EngineUnavailable",
    "FaceRejected",
    "InvalidInput",
    "LeaseLost",
    "NotFound",
    "Overloaded",
    "TimedOut",
    "TooLarge",
    "UnsupportedMedia",
    "VivavoceError",
    "WorkerDied",
]


class VivavoceError(Exception):
    """The root: our own fault unless a subclass says otherwise."""

    status = 500
    code = "internal"
    retryable = False


class InvalidInput(VivavoceError):
    """What the client sent cannot be used; it never reached a model."""

    status, code = 400, "invalid-input"


class TooLarge(InvalidInput):
    """More bytes, pixels, characters or seconds than the settings allow."""

    status, code = 413, "too-large"


class UnsupportedMedia(InvalidInput):
    """The bytes are not in a format that is read here."""

    status, code = 415, "unsupported-media"


class FaceRejected(InvalidInput):
    """The picture has no face that can be animated; the message says why."""

    status, code = 422, "face-rejected"


class NotFound(VivavoceError):
    """No such thing, or not for this client: the two are never told apart."""

    status, code = 404, "not-found"


class Conflict(VivavoceError):
    """It stands against something that is there already: a job that has ended, a key that was used for another call."""

    status, code = 409, "conflict"


class LeaseLost(Conflict):
    """The job was given to another worker, cancelled or ended meanwhile: this one's results are not wanted."""

    code = "lease-lost"


class Cancelled(VivavoceError):
    """The work was cancelled, by request or because its client left."""

    status, code = 409, "cancelled"


class Overloaded(VivavoceError):
    """Too much work is waiting; try again later."""

    status, code, retryable = 429, "overloaded", True


class EngineUnavailable(VivavoceError):
    """An engine cannot run here: an extra, a weight file, a device or a key is missing."""

    status, code = 503, "engine-unavailable"


class TimedOut(VivavoceError):
    """A stage took longer than its limit."""

    status, code, retryable = 504, "timed-out", True


class WorkerDied(VivavoceError):
    """The process that did the work died."""

    status, code, retryable = 500, "worker-died", True
