"""vivavoce: text or a voice in, speech and a lip-synced video of a person out."""

__version__ = "0.1.0"
