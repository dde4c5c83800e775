"""What every encoder of ours hears: the speech of a recording alone, if there is enough of it."""

from vivavoce.errors import InvalidInput
from vivavoce.hear.activity import activity
from vivavoce.nouns import Audio, SpeakerTraits

__all__ = ["voiced"]


def voiced(audio: Audio, traits: SpeakerTraits) -> Audio:
    """The speech in ``audio`` at the encoder's rate. Raises ``InvalidInput`` below ``traits.least`` seconds of it."""
    found = activity(audio)
    if found.seconds < traits.least:
        raise InvalidInput(
            f"There are {found.seconds:.1f} s of speech in {audio.seconds:.1f} s of sound; at least {traits.least:g} s "
            "are needed, send a longer recording."
        )
    return found.speech
