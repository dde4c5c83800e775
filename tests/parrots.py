"""A Whisper model that tests make themselves: of the right format, a few megabytes, and it knows one sentence.

Its weights are written by hand. Low sound is English, high sound is Russian, and whoever makes a sound is taken to say
the sentence, a token every 140 ms; silence is nothing. So whatever is around the model (files, batches, languages,
words, times) is tested with the real runtime, and without a download.
"""

import json
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

SENTENCE = " Hello there, my friends. How are you today?"
LANGUAGES = ("en", "ru", "no")
WIDTH, HEADS, MELS, FRAMES, MOST = 48, 2, 80, 1500, 448
WORDS = {True: 50_257, False: 50_256}
"""Tokens before the special ones, with many languages or one. The last of many is empty: so CTranslate2 tells them."""
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
    *(f"<|{step * 0.02:.2f}|>" for step in range(1501)),
)
_LOUD, _PITCH, _SAYS, _ENDS = 18.0, 6.0, 80.0, 90.0
"""How strongly the decoder is told of sound, of its pitch, of the next word, and that it may stop."""
_LISTENS = 8.0
"""How much more it looks at a moment with sound than at one without."""
_CODE = 16
"""Channels in which moments are written, as waves; words leave them free."""
_PERIODS = 20 * 2.0 ** np.arange(_CODE // 2)
"""Of the waves, in frames of 20 ms."""
TOKEN = 7
"""Frames between two tokens."""

Matrix = npt.NDArray[np.float32]


def parrot(folder: Path, *, sentence: str = SENTENCE, multilingual: bool = True) -> Path:
    """Write the model into ``folder``, which is made."""
    folder.mkdir(parents=True)
    tokenizer = _tokenizer(sentence, WORDS[multilingual])
    _spec(tokenizer, sentence, multilingual=multilingual).save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer(sentence: str, words: int) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        [sentence], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    learnt = json.loads(made.to_str())["model"]
    fillers = range(len(learnt["vocab"]), words)
    vocabulary = learnt["vocab"] | {"" if i == WORDS[True] - 1 else f"<filler {i}>": i for i in fillers}
    made.model = models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in learnt["merges"]])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    return made


def _spec(tokenizer: tokenizers.Tokenizer, sentence: str, *, multilingual: bool) -> Any:
    rng = np.random.default_rng(7)
    ids = tokenizer.token_to_id
    size = tokenizer.get_vocab_size()
    used = [i for i in range(size) if not (tokenizer.id_to_token(i) or "<filler").startswith("<filler")]
    known = rng.normal(size=(len(used), WIDTH - _CODE)).astype(np.float32)
    known -= known.mean(1, keepdims=True)
    end = used.index(tokenizer.token_to_id("<|endoftext|>") or 0)
    stop = known[end].copy()
    known -= np.outer(known @ stop, stop) / (stop @ stop)  # what is told of the end says nothing of the others
    known[end] = stop
    words = np.zeros((size, WIDTH), np.float32)
    words[used, :-_CODE] = 3 * known / np.linalg.norm(known, axis=1, keepdims=True)
    spec = ctranslate2.specs.WhisperSpec(1, HEADS, 1, HEADS)
    _encoder(spec.encoder)
    _decoder(spec.decoder, words, tokenizer, sentence, multilingual=multilingual)
    spec.register_vocabulary([tokenizer.id_to_token(i) for i in range(size)])
    spec.config.lang_ids = [ids(f"<|{code}|>") for code in LANGUAGES]
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(0, 0), (0, 1)]
    spec.validate()
    return spec


def _encoder(encoder: Any) -> None:
    """Channel 0 is how loud the low sound is, channel 1 the high sound, channel 2 always on."""
    low, high = np.zeros(MELS, np.float32), np.zeros(MELS, np.float32)
    low[:30], high[50:] = 1 / 30, 1 / 30
    first = np.zeros((WIDTH, MELS, 3), np.float32)
    first[0, :, 1], first[1, :, 1] = 30 * low, 30 * high
    second = np.zeros((WIDTH, WIDTH, 3), np.float32)
    second[0, 0, 1] = second[1, 1, 1] = 1
    for conv, weight in ((encoder.conv1, first), (encoder.conv2, second)):
        conv.weight, conv.bias = weight, np.zeros(WIDTH, np.float32)
    encoder.position_encodings.encodings = _places(FRAMES)
    _norm(encoder.layer_norm)
    for layer in encoder.layer:
        _attention(layer.self_attention, np.zeros((WIDTH, WIDTH), np.float32), cross=False)
        _idle(layer.ffn)


def _places(count: int) -> Matrix:
    """The code of each moment, and the channel that is always on."""
    made = np.zeros((count, WIDTH), np.float32)
    made[:, 2] = 1
    made[:, -_CODE:] = 10 * _moments(np.arange(count))
    return made


def _moments(frames: npt.NDArray[Any]) -> Matrix:
    angles = 2 * np.pi * frames[:, None] / _PERIODS
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def _decoder(
    decoder: Any, words: Matrix, tokenizer: tokenizers.Tokenizer, sentence: str, *, multilingual: bool
) -> None:
    ids = tokenizer.token_to_id
    stop = words[ids("<|endoftext|>")]
    said = tokenizer.encode(sentence, add_special_tokens=False).ids
    first = 3 if multilingual else 1  # where the prompt ends
    places = np.zeros((MOST, WIDTH), np.float32)
    for place, token in enumerate(said, first):
        places[place] = _SAYS * words[token] + _ENDS * stop
    places[first + len(said) :] = 3 * _SAYS * stop
    places[first:, -_CODE:] = 85 * _moments(np.arange(MOST - first) * TOKEN)
    decoder.embeddings.weight = words
    decoder.projection.weight = words
    decoder.position_encodings.encodings = places
    _norm(decoder.layer_norm)
    told = np.zeros((WIDTH, WIDTH), np.float32)
    for channel, code in ((0, "en"), (1, "ru")):
        told[:, channel] = -_LOUD * stop
        if multilingual:
            told[:, channel] += _PITCH * words[ids(f"<|{code}|>")]
    for layer in decoder.layer:
        _attention(layer.self_attention, np.zeros((WIDTH, WIDTH), np.float32), cross=False)
        _attention(layer.attention, told, cross=True)
        _idle(layer.ffn)


def _attention(attention: Any, out: Matrix, *, cross: bool) -> None:
    """Values are what it hears; across, it looks where there is sound. ``out`` is what it tells of that."""
    same, asks, keys = np.eye(WIDTH, dtype=np.float32), *np.zeros((2, WIDTH, WIDTH), np.float32)
    always = np.zeros(WIDTH, np.float32)
    for head in range(0, WIDTH, WIDTH // HEADS) if cross else ():
        always[head], keys[head, :2] = _LISTENS, 1  # the same question at every place: where is sound?
        code = slice(head + 1, head + 1 + _CODE)
        asks[code, -_CODE:] = keys[code, -_CODE:] = 1.5 * np.eye(_CODE)  # and: which moment?
    parts = [asks, np.concatenate([keys, same])] if cross else [np.concatenate([asks, keys, same])]
    for linear, weight in zip(attention.linear, [*parts, out], strict=True):
        linear.weight, linear.bias = weight, np.zeros(len(weight), np.float32)
    attention.linear[0].bias[:WIDTH] = always
    _norm(attention.layer_norm)


def _idle(ffn: Any) -> None:
    for linear, shape in ((ffn.linear_0, (4, WIDTH)), (ffn.linear_1, (WIDTH, 4))):
        linear.weight, linear.bias = np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)
    _norm(ffn.layer_norm)


def _norm(norm: Any) -> None:
    norm.gamma, norm.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
