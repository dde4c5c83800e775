"""What each of our own engines is made with; light to import, so that the web process may ask too."""

from typing import Any

from vivavoce.studio.config import StudioConfig

__all__ = ["engine_options"]


def engine_options(config: StudioConfig) -> dict[str, dict[str, Any]]:
    """Constructor arguments of our own engines, by entry point."""
    voices = {
        name: {**options, "seconds_limit": config.voice_seconds} for name, options in config.voice_options.items()
    }
    weights = {"models_dir": config.models_dir, "models_cache": config.models_cache, "offline": config.offline}
    others = config.audio_options, config.clone_options, config.chat_options
    return (
        voices
        | {name: dict(options) for group in others for name, options in group.items()}
        | {
            "voice.espeak": {"seconds_limit": config.voice_seconds},
            "face.photo": {**weights, "max_pixels": config.max_pixels},
            "face.person": weights,
            "face.ernerf": {**weights, **config.face_options.get("face.ernerf", {})},
            "face.synctalk": {**weights, **config.face_options.get("face.synctalk", {})},
            "face.wav2lip": {
                **weights,
                "max_pixels": config.max_pixels,
                **config.face_options.get("face.wav2lip", {}),
            },
        }
    )
