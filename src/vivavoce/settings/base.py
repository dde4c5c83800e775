"""What groups of settings are made of."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Closed", "Group"]


class Group(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Closed(Group):
    """A group that may hold keys: an error about it does not show what was given."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
