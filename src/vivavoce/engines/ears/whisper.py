"""OpenAI's Whisper through faster-whisper (CTranslate2): a hundred languages, words with times, CPU or GPU.

Pieces come cut by a voice detector, so its own stays off, and each is heard for itself: what was said before is not
told to the net, which would carry a mistake on. A text that the net itself thinks little of is left out.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vivavoce.engines.ears.drafts import Draft, segments
from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound, VivavoceError
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, EarTraits, Transcript
from vivavoce.text.languages import resolve

__all__ = ["WhisperEar"]

_RATE = 16_000
_LONGEST = 30.0
_FILES = ("model.bin", "config.json", "tokenizer.json")
_BATCH = {"cpu": 2, "cuda": 16}
"""Pieces at once: a GPU has room, a CPU gains little by more and would not hear a cancel for long."""
_BEAM = 5
_WARMTH = (0.0, 0.4, 0.8)
"""Temperatures: a draft that is not good enough is written anew, with more chance in it."""
_TOKENS_A_SECOND = 25
"""More than anybody says: a net that cannot stop is stopped."""
_SILENT, _UNSURE, _REPEATS = 0.6, -1.0, 2.4
"""Probability of no speech, mean log-probability of a token, and ratio of compression: Whisper's own limits."""
_OURS = {"no": "nb"}
"""Whisper's codes that are others here."""


class WhisperEar:
    """A Whisper model in CTranslate2's format. Any number of threads may use it."""

    def __init__(
        self,
        model: str = "small",
        *,
        device: str = "auto",
        compute: str = "",
        threads: int = 0,
        models_dir: Path | None = None,
        models_cache: Path | None = None,
        offline: bool = False,
    ) -> None:
        """``model`` is a size of the catalogue or a folder; ``device`` auto, cpu or cuda.

        ``compute`` is CTranslate2's type, "" for int8 on a CPU and float16 on a GPU; ``threads`` 0 is one for each
        core. Nothing is fetched here. Raises ``EngineUnavailable`` when the model is missing, is none, or does not run.
        """
        folder = _folder(model, ModelStore(models_dir, models_cache, offline))
        self._device = _device(device)
        try:
            self._model = _loaded(folder, self._device, compute, threads)
        except EngineUnavailable:
            if device != "auto" or self._device == "cpu":
                raise
            self._device = "cpu"  # a GPU is there, and its libraries are not
            self._model = _loaded(folder, self._device, compute, threads)
        codes = self._model.supported_languages
        has = self._model.hf_tokenizer.token_to_id
        known = [c for c in codes if has(f"<|{c}|>") is not None] if self._model.model.is_multilingual else ["en"]
        self._codes = {_OURS.get(code, code): code for code in known}

    @property
    def traits(self) -> EarTraits:
        """The model's languages."""
        return EarTraits(
            languages=tuple(self._codes),
            rate=_RATE,
            longest=_LONGEST,
            detects=len(self._codes) > 1,
            device=self._device,
            licence="MIT",
        )

    def recognize(
        self, pieces: Sequence[Audio], *, language: str = "", phrases: Sequence[str] = ()
    ) -> Iterator[Transcript]:
        """What is said in each piece; several are heard at once. ``phrases`` are not looked at.

        Raises ``InvalidInput`` at once for a language that the model lacks; later ``EngineUnavailable`` when the
        device fails.
        """
        del phrases
        if any(piece.rate != _RATE for piece in pieces):
            raise ValueError(f"The recogniser whisper wants {_RATE} samples a second.")
        asked = resolve(language).code if language else ""
        if asked and asked not in self._codes:
            raise InvalidInput(f"The recogniser whisper lacks the language {asked}; it has {', '.join(self._codes)}.")
        return self._heard(pieces, asked)

    def close(self) -> None:
        """Let go of the model's memory."""
        with _failing_clearly(self._device):
            self._model.model.unload_model()

    def _heard(self, pieces: Sequence[Audio], asked: str) -> Iterator[Transcript]:
        count = _BATCH.get(self._device, 1)
        for first in range(0, len(pieces), count):
            with _failing_clearly(self._device):
                made = self._batch(pieces[first : first + count], asked)
            yield from made

    def _batch(self, pieces: Sequence[Audio], asked: str) -> list[Transcript]:
        encoded = self._encoded(pieces)
        told = [asked] * len(pieces) if asked else self._languages(encoded)
        if len(set(told)) == 1:
            return self._written(pieces, encoded, told[0])
        apart: list[Transcript] = []
        for piece, language in zip(pieces, told, strict=True):
            apart += self._written([piece], self._encoded([piece]), language)
        return apart

    def _encoded(self, pieces: Sequence[Audio]) -> Any:
        import numpy as np
        from faster_whisper.audio import pad_or_trim

        heard = [pad_or_trim(self._model.feature_extractor(piece.samples)[..., :-1]) for piece in pieces]
        return self._model.encode(np.stack(heard))

    def _languages(self, encoded: Any) -> list[str]:
        """The likeliest language of each piece."""
        if len(self._codes) == 1:
            return list(self._codes) * int(encoded.shape[0])
        ours = {f"<|{theirs}|>": code for code, theirs in self._codes.items()}
        likely = self._model.model.detect_language(encoded)
        return [next((ours[token] for token, _ in ranked if token in ours), "en") for ranked in likely]

    def _written(self, pieces: Sequence[Audio], encoded: Any, language: str) -> list[Transcript]:
        from faster_whisper.tokenizer import Tokenizer

        multilingual = self._model.model.is_multilingual
        tokenizer = Tokenizer(self._model.hf_tokenizer, multilingual, "transcribe", self._codes[language])
        drafts = self._drafts(pieces, encoded, tokenizer)
        kept = [d.tokens if d.is_kept(_SILENT, _UNSURE, _REPEATS) else [] for d in drafts]
        frames = [min(int(piece.seconds * 100), 3000) for piece in pieces]
        timed = self._model.find_alignment(tokenizer, kept, encoded, frames) if any(kept) else [[] for _ in pieces]
        return [
            Transcript(language, piece.seconds, segments(words, piece.seconds))
            for piece, words in zip(pieces, timed, strict=True)
        ]

    def _drafts(self, pieces: Sequence[Audio], encoded: Any, tokenizer: Any) -> list[Draft]:
        """The best draft of each piece: the first that is good enough, else the likeliest that does not go in circles.

        Those of a batch that are not good enough are written anew, one by one.
        """
        longest = max(piece.seconds for piece in pieces)
        drafts = self._generated(encoded, len(pieces), tokenizer, longest, _WARMTH[0])
        for i, piece in enumerate(pieces):
            tried = [drafts[i]]
            alone = None
            for warmth in _WARMTH[1:]:
                if tried[-1].is_good(_SILENT, _UNSURE, _REPEATS):
                    break
                alone = alone or (encoded if len(pieces) == 1 else self._encoded([piece]))
                tried += self._generated(alone, 1, tokenizer, piece.seconds, warmth)
            good = tried[-1].is_good(_SILENT, _UNSURE, _REPEATS)
            drafts[i] = tried[-1] if good else max(tried, key=lambda d: (d.compression <= _REPEATS, d.likely))
        return drafts

    def _generated(self, encoded: Any, count: int, tokenizer: Any, seconds: float, warmth: float) -> list[Draft]:
        from faster_whisper.transcribe import get_suppressed_tokens

        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        search = {"beam_size": 1, "num_hypotheses": 5, "sampling_topk": 0, "sampling_temperature": warmth}
        results = self._model.model.generate(
            encoded,
            [prompt] * count,
            max_length=min(self._model.max_length, 2 * (16 + int(seconds * _TOKENS_A_SECOND))),  # it writes half of it
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
            **(search if warmth else {"beam_size": _BEAM}),
        )
        texts = [[t for t in r.sequences_ids[0] if t < tokenizer.eot] for r in results]  # no times
        return [
            Draft.of(tokens, r.scores[0], r.no_speech_prob, tokenizer.decode(tokens))
            for tokens, r in zip(texts, results, strict=True)
        ]


def _folder(model: str, store: ModelStore) -> Path:
    """Where the model lies."""
    own = Path(model).expanduser()
    if own.is_absolute() or len(own.parts) > 1:
        lacking = [name for name in _FILES if not (own / name).is_file()]
        if lacking:
            raise EngineUnavailable(
                f"The folder {own} holds no Whisper model of CTranslate2: {', '.join(lacking)} is missing; "
                "set VIVAVOCE_EARS__WHISPER__MODEL to one that does, or to a size such as small."
            )
        return own
    try:
        return store.path(f"whisper-{model}")
    except NotFound:
        raise EngineUnavailable(
            f"There is no Whisper model {model!r}; set VIVAVOCE_EARS__WHISPER__MODEL to tiny, base, small, medium, "
            "large-v3, large-v3-turbo or a folder of your own."
        ) from None


def _device(asked: str) -> str:
    import ctranslate2

    if asked != "auto":
        return asked
    return "cuda" if ctranslate2.get_cuda_device_count() else "cpu"


def _loaded(folder: Path, device: str, compute: str, threads: int) -> Any:
    import ctranslate2
    import numpy as np
    from faster_whisper import WhisperModel

    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    with _failing_clearly(device):
        types = ctranslate2.get_supported_compute_types(device)
        usual = "float16" if device == "cuda" else "int8"
        kind = compute or (usual if usual in types else "default")
        model = WhisperModel(str(folder), device=device, compute_type=kind, cpu_threads=threads, local_files_only=True)
        if device == "cuda":  # its libraries are looked for at the first use only
            model.encode(np.zeros((model.model.n_mels, 3000), np.float32))
        return model


@contextmanager
def _failing_clearly(device: str) -> Iterator[None]:
    try:
        yield
    except VivavoceError:
        raise
    except Exception as e:  # CTranslate2 and tokenizers raise whatever they meet
        said = str(e).splitlines()[0][:200].rstrip(".") if str(e) else type(e).__name__
        raise EngineUnavailable(f"The recogniser whisper does not run on this machine's {device} ({said}).") from e
