"""What every engine must keep, ours or anybody's: run these over a new engine before you ship it.

Each check plays the engine as the server does and raises ``ContractBroken`` with a sentence that says which promise of
``vivavoce.ports`` is broken. They need no test framework:

    check_synthesizer(MyVoice())
    check_animator(MyFace(), MyFace().prepare(picture, empty_folder))
"""

from vivavoce.testing.base import ContractBroken
from vivavoce.testing.chats import check_chat
from vivavoce.testing.cleaners import check_enhancer
from vivavoce.testing.clones import check_cloner
from vivavoce.testing.ears import check_recognizer
from vivavoce.testing.faces import check_animator, check_prepare, sample_speech
from vivavoce.testing.speakers import check_encoder
from vivavoce.testing.voices import SENTENCES, check_synthesizer

__all__ = [
    "SENTENCES",
    "ContractBroken",
    "check_animator",
    "check_chat",
    "check_cloner",
    "check_encoder",
    "check_enhancer",
    "check_prepare",
    "check_recognizer",
    "check_synthesizer",
    "sample_speech",
]
