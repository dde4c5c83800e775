"""The worker's side of the studio: engines are loaded here once, and every task is played here.

Kinds of task, each with built-in types as parameters and as result:

=========  ======================================================================  ==================================
kind       parameters (beside those of ``Scene.params``)                           result
=========  ======================================================================  ==================================
describe   none                                                                    ``voices``, ``device``, ``loaded``
able       none                                                                    ``cloners``, ``trainers``
say        maybe ``audio`` (path to write), ``recording`` (path), ``owner``        ``speech`` (plain), ``frames``,
                                                                                   ``words``
speech     ``text``, ``language``, ``voice_engine``, ``voice``, ``audio`` (path),  ``seconds``
           ``format``, maybe ``owner``, ``speed``; no scene
render     ``speech``, ``start_frame``, ``video``, ``audio`` (paths to write);     ``frames``, ``seconds``
           maybe ``growing``
film       ``video``; maybe ``audio``, ``growing`` (paths to write),               ``frames``, ``seconds``
           ``recording`` (path), ``owner``
idle       ``avatar``, ``face_engine``, ``canvas``, ``video`` (path to write)      ``frames``, ``seconds``
check      ``source`` (path)                                                       see ``studio.inspection``
prepare    ``source`` (path), ``name``, ``face_engine``, maybe ``job`` (id),       ``name``, ``kind``, ``warnings``,
           ``landmarks`` (JSON, see ``face.given``)                                ``report``
train      ``source``, ``folder`` (paths; see ``studio.training``), ``name``,      ``name``, ``kind``, ``engine``,
           ``face_engine``, ``epochs``, ``options``, ``consent``, ``job`` (id)     ``warnings``, ``report``,
                                                                                   ``trained``, ``consent``
=========  ======================================================================  ==================================

With ``growing`` the film can be watched at that path while it is made; ``Grown`` tells how far. At the end ``video`` is
there too, and ``growing`` is the caller's to remove; work that fails or is cancelled leaves neither. A ``frame_skip``
other than 1 is handed to the face engine. The ``owner`` is whose voices of people can speak. Sound that a voice made is
marked as synthetic (``media.synthetic``), and so is every film; the sound of a recording is not.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog

from vivavoce.errors import EngineUnavailable, InvalidInput, NotFound, VivavoceError
from vivavoce.face.locate import FaceLocator
from vivavoce.media import audio, formats, video
from vivavoce.media.synthetic import mark_wav
from vivavoce.media.tempo import at_speed
from vivavoce.models import ModelStore
from vivavoce.nouns import Audio, Canvas, Frame, Speech
from vivavoce.ports import Idler
from vivavoce.registry import Registry
from vivavoce.store.avatars import AvatarLibrary
from vivavoce.store.voices import VoiceStore
from vivavoce.studio import speech as speeches
from vivavoce.studio.audition import Audition
from vivavoce.studio.cloning import Cloning
from vivavoce.studio.config import StudioConfig
from vivavoce.studio.equipment import engine_options
from vivavoce.studio.inspection import inspect
from vivavoce.studio.making import completed, noted, preparation
from vivavoce.studio.scene import CLONE, builtin_avatars
from vivavoce.studio.thread import Prompter, events_of
from vivavoce.studio.training import Training
from vivavoce.studio.voicing import Voicing
from vivavoce.text import alignment
from vivavoce.work.events import Event, Task

__all__ = ["Stage"]

_log = structlog.get_logger(__name__)
_IDLE_SECONDS = 8.0
_REPORT_EVERY = 5
"""Frames between two reports: rare enough to cost nothing, often enough that a cancel is obeyed at once."""


class Stage:
    """Plays tasks one after another; engines stay loaded between them."""

    def __init__(self, config: StudioConfig) -> None:
        self._config = config
        self._registry = Registry(engine_options(config))
        people = VoiceStore(config.voices)
        self._voicing = Voicing(self._registry, people, fallback=config.voice_fallback)
        self._cloning = Cloning(self._registry, people)
        self._audition = Audition(config, self._registry)
        self._avatars = AvatarLibrary(config.avatars, builtin_avatars())
        self._training = Training(self._registry, self._avatars)
        self._locator: FaceLocator | None = None
        self._loaded = False
        cv2.setNumThreads(1)  # pictures are painted in one thread and encoded in another: more would get in the way
        self._works: dict[str, Callable[[Mapping[str, Any], Prompter], dict[str, Any]]] = {
            "describe": self._describe,
            "able": self._able,
            "say": self._say,
            "speech": self._speech,
            "render": self._render,
            "film": self._film,
            "idle": self._idle,
            "check": self._check,
            "prepare": self._prepare,
            **self._audition.works,
            **self._cloning.works,
            **self._training.works,
        }

    def __call__(self, task: Task) -> Iterator[Event]:
        """Play one task; closing the iterator cancels it. Raises what the engines raise."""
        return events_of(lambda prompter: self._played(task, prompter) | prompter.notes)

    def _played(self, task: Task, prompter: Prompter) -> dict[str, Any]:
        try:
            return self._works[task.kind](task.params, prompter)
        except OSError:
            if task.params.get("avatar"):  # removed meanwhile? then that is what is wrong
                self._avatars.get(task.params["avatar"])
            raise

    def close(self) -> None:
        """End the engines."""
        self._registry.close()

    def warm(self) -> None:
        """Load the default engines and avatar, so that the first request does not wait for them."""
        config = self._config
        try:
            engine, _, name = config.voice.rpartition("/")
            voice = None if engine == CLONE else self._registry.get("voice", engine or config.voice_engine)
            if voice is None or voice.traits.network:  # each of its words may cost money; the embedded voice helps it
                self._voicing.reference("1", config.language)
            else:
                for _ in voice.synthesize("1", language=config.language, voice=name):
                    pass
            avatar = self._avatars.get(config.avatar)
            still = Speech("", config.language, Audio(np.zeros(1600, np.float32), 16000))
            for _ in self._registry.get("face", avatar.engine).animate(avatar, still, canvas=config.canvas):
                pass
            self._loaded = True
        except VivavoceError as e:  # the server starts all the same: each request then says what is missing
            _log.warning("warming failed", reason=str(e))

    # ---- the kinds

    def _describe(self, _: Mapping[str, Any], __: Prompter) -> dict[str, Any]:
        voices = []
        for name in self._registry.names("voice"):
            try:
                traits = self._registry.get("voice", name).traits
            except VivavoceError as e:  # one that is broken or not set up must not hide the others
                _log.info("voice engine unavailable", engine=name, reason=str(e))
                continue
            voices.append(
                {
                    "engine": name,
                    "languages": list(traits.languages),
                    "voices": [(v.id, v.name, list(v.languages), v.gender) for v in traits.voices],
                    "licence": traits.licence,
                    "network": traits.network,
                }
            )
        device = self._registry.get("face", self._config.face_engine).traits.device if self._loaded else "cpu"
        return {
            "voices": voices,
            "device": device,
            "loaded": self._loaded,
        }

    def _able(self, _: Mapping[str, Any], __: Prompter) -> dict[str, Any]:
        """What learns people and their voices; not asked for at the start, since it loads engines that few need."""
        return {"cloners": self._cloning.offer(), "trainers": self._training.offer()}

    def _say(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        spoken = self._spoken(params, prompter)
        if params.get("audio"):
            _write_sound(params, spoken.audio)
        frames = Canvas(*params["canvas"]).frames(spoken.audio.seconds)
        return {"speech": speeches.to_plain(spoken), "frames": frames, "words": speeches.words(spoken)}

    def _speech(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "voice")
        said = self._voicing.speak(params, prompter, complete=False)
        sound = at_speed(said.audio, params.get("speed", 1.0))
        formats.write(Path(params["audio"]), sound, params["format"])
        return {"seconds": round(sound.seconds, 3)}

    def _render(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        return self._shot(params, speeches.from_plain(params["speech"]), prompter)

    def _film(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        return self._shot(params, self._spoken(params, prompter), prompter)

    def _idle(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        canvas = Canvas(*params["canvas"])
        engine = self._registry.get("face", params["face_engine"])
        if not isinstance(engine, Idler):
            raise EngineUnavailable(f"The face engine {params['face_engine']!r} has no film of an avatar listening.")
        frames = engine.idle(self._avatars.get(params["avatar"]), canvas=canvas, seconds=_IDLE_SECONDS)
        silence = Audio(np.zeros(round(_IDLE_SECONDS * 16_000), np.float32), 16_000)
        film = video.encode(Path(params["video"]), self._reported(frames, canvas, silence, prompter), silence, canvas)
        return {"frames": film.frames, "seconds": film.seconds}

    def _check(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "check")
        return inspect(Path(params["source"]), self._finder(), max_pixels=self._config.max_pixels)

    def _finder(self) -> FaceLocator:
        if self._locator is None:
            config = self._config
            self._locator = FaceLocator(ModelStore(config.models_dir, config.models_cache, config.offline))
        return self._locator

    def _prepare(self, params: Mapping[str, Any], prompter: Prompter) -> dict[str, Any]:
        prompter.report(0.0, "prepare")
        name, job = params["name"], params.get("job", "")
        if not self._is_done(name, job):
            landmarks = params.get("landmarks")
            if landmarks is not None:
                landmarks = completed(landmarks, Path(params["source"]), self._finder(), self._config.max_pixels)
            prepare = preparation(self._registry, params["face_engine"], landmarks, prompter.report)
            note = {"job": job, "created": datetime.now(UTC).isoformat(timespec="seconds")}
            self._avatars.add(name, lambda into: noted(prepare(Path(params["source"]), into), note))
        made, facts = self._avatars.get(name), self._avatars.facts(name)
        return {
            "name": made.name,
            "kind": facts.get("kind", "picture"),
            "warnings": list(made.warnings),
            "report": facts.get("report"),
        }

    def _is_done(self, name: str, job: str) -> bool:
        """Whether an earlier attempt at the job made the avatar and died before it could say so."""
        try:
            return bool(job and self._avatars.facts(name).get("job") == job)
        except NotFound:
            return False

    # ---- their parts

    def _spoken(self, params: Mapping[str, Any], prompter: Prompter) -> Speech:
        """The scene's speech with silence around it: the voice's, or a recording's."""
        prompter.report(0.0, "voice")
        spoken = (
            self._voicing.speak(params, prompter) if not params.get("recording") else self._recorded(params, prompter)
        )
        prompter.report(0.0, "face")
        return speeches.padded(spoken, Canvas(*params["canvas"]))

    def _recorded(self, params: Mapping[str, Any], prompter: Prompter) -> Speech:
        sound = audio.decode(Path(params["recording"]), max_seconds=self._config.max_audio_seconds)
        if audio.is_silent(sound):
            raise InvalidInput("The recording is silent; send one in which somebody speaks.")
        if not params["text"]:
            heard = self._audition.words(sound, params["language"], prompter)
            if heard is None:
                return Speech("", params["language"], sound)
            # The sound itself tells better when a phoneme is said than a recogniser's times of words.
            return self._voicing.completed(replace(heard, marks=()))
        return alignment.align(self._voicing.reference(params["text"], params["language"], params), sound)

    def _shot(self, params: Mapping[str, Any], spoken: Speech, prompter: Prompter) -> dict[str, Any]:
        canvas = Canvas(*params["canvas"])
        if params.get("audio"):
            _write_sound(params, spoken.audio)
        frames = self._frames(params, spoken, canvas, prompter)
        growing = Path(params["growing"]) if params.get("growing") else None
        target = Path(params["video"])
        film = video.encode(target, frames, spoken.audio, canvas, growing=growing, grown=prompter.grown)
        return {"frames": film.frames, "seconds": film.seconds}

    def _frames(self, params: Mapping[str, Any], spoken: Speech, canvas: Canvas, prompter: Prompter) -> Iterator[Frame]:
        avatar = self._avatars.get(params["avatar"])
        engine = self._registry.get("face", params["face_engine"])
        # Plug-ins need not know what is left at its default.
        more = {} if params.get("frame_skip", 1) == 1 else {"frame_skip": params["frame_skip"]}
        frames = engine.animate(avatar, spoken, canvas=canvas, start_frame=params.get("start_frame", 0), **more)
        return self._reported(frames, canvas, spoken.audio, prompter)

    @staticmethod
    def _reported(frames: Iterator[Frame], canvas: Canvas, sound: Audio, prompter: Prompter) -> Iterator[Frame]:
        """The frames, with word of how many of them are done; closing closes them."""
        total = canvas.frames(sound.seconds)
        try:
            for count, frame in enumerate(frames):
                if count % _REPORT_EVERY == 0:
                    prompter.report(count / total, "face")
                yield frame
        finally:
            if isinstance(frames, Generator):  # the port promises an iterator; most are generators
                frames.close()


def _write_sound(params: Mapping[str, Any], sound: Audio) -> None:
    """The sound of a film; marked as synthetic unless somebody said it."""
    target = Path(params["audio"])
    audio.write_wav(target, sound)
    if not params.get("recording"):
        mark_wav(target)
