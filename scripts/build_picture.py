"""Makes the picture of the README: the three avatars saying one sentence, frame by frame.

Usage: ``python scripts/build_picture.py``. Output: ``docs/avatars.jpg``.
"""

from pathlib import Path

import numpy as np

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.engines.photo import PhotoFace
from vivavoce.media.picture import write_jpeg
from vivavoce.nouns import Avatar, Canvas

ROOT = Path(__file__).resolve().parents[1]
SAYINGS = {
    "anna": ("en", "I am Anna, hello!"),
    "aigul": ("kk", "Сәлем, мен Айгүл!"),
    "david": ("ru", "Я Давид, привет!"),
}
CANVAS = Canvas(288, 288)
COLUMNS = 6


def main() -> None:
    """One row an avatar, six frames spread over what it says."""
    voice, face, rows = EspeakVoice(), PhotoFace(), []
    for name, (language, text) in SAYINGS.items():
        folder = ROOT / "src" / "vivavoce" / "artwork" / "avatars" / name
        speech = next(iter(voice.synthesize(text, language=language, voice="")))
        frames = [f.image for f in face.animate(Avatar(name, folder, "photo"), speech, canvas=CANVAS)]
        chosen = np.linspace(2, len(frames) - 4, COLUMNS).astype(int)
        rows.append(np.hstack([frames[i] for i in chosen]))
    voice.close()
    write_jpeg(ROOT / "docs" / "avatars.jpg", np.vstack(rows), quality=84)


if __name__ == "__main__":
    main()
