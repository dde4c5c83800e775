"""Trains the network of ``vivavoce.face.sound``: espeak-ng speaks sentences of ours, and our own curves are the labels.

Run from the checkout: ``python scripts/train_sound.py [minutes] [out.npz]``. Three or four minutes on one core. The
network is kept small and is shown the sound through many rooms, throats and microphones, or it would learn the
synthesiser rather than speech: a larger one does better on espeak-ng and worse on people.
"""

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from vivavoce.engines.espeak import EspeakVoice
from vivavoce.face.features import CEPSTRA, SIZE, spoken, stacked
from vivavoce.nouns import Audio, Mark, Speech
from vivavoce.text.articulation import PARAMETERS, articulate
from vivavoce.text.cepstrum import log_mel, mfcc

Matrix = npt.NDArray[np.float32]

HIDDEN = (64, 32)
"""Twice this was no better on human recordings."""
RATE = 16000
NOISE = 0.25
"""Deviation of the noise on the normalised input."""
QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Where the network's timid output is stretched to the labels' range."""
WEIGHTS = Path(__file__).resolve().parents[1] / "src" / "vivavoce" / "face" / "sound.npz"
VARIANTS = ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt", "klatt2", "klatt4")

SENTENCES = {
    "en": """
We bought five big apples and a bowl of warm plum pudding. The old man opened his umbrella and walked home slowly.
My mother makes very good bread, but my father burns it. Please move the blue chair away from the window.
Four vans full of fresh fish left the farm before breakfast. Who would have thought that it could rain all week?
She sells silver shoes in a small shop near the sea. Bring me the map, Peter, and I will show you the bridge.
Nothing in the room was quite as odd as the yellow clock. Maybe people laugh because they remember something else.
The judge asked a strange question about the jam. You too may choose the music that we play at noon.
Eleven brave women climbed up the steep path above the village. Oh, wonderful, the paper boat is floating!""",
    "ru": """
Мама купила пять больших яблок и банку мёда. Старый пёс лежал у ворот и внимательно смотрел на дорогу.
Мы быстро вышли на площадь, потому что начинался праздник. Хорошо бы завтра поехать за город и собрать грибов.
Почему ты молчишь, когда тебя просят выбрать фильм? Восемь лебедей плыли по тёмной воде мимо высокой башни.
Бабушка испекла пирог с вишней и позвала всех к столу. Этот поезд приходит рано утром, а уходит ближе к полуночи.
Умный юноша улыбнулся и открыл тяжёлую дверь. Пожалуйста, говорите чуть громче, здесь плохо слышно.
Фонари вспыхнули, и вся улица стала похожа на сцену. Объём работы вырос, но мы успели вовремя.""",
    "kk": """
Бүгін ауа райы өте жақсы, далаға шығып серуендейік. Әжем таңертең ыстық бауырсақ пісіріп, бәрімізді шақырды.
Үлкен қаланың көшелері кешке қарай жарыққа толады. Мен жаңа кітап сатып алдым, оны досыма сыйлаймын.
Балалар өзен бойында ойнап, күліп жүр. Ұшақ биік бұлттардың үстімен ұшып барады.
Бізге тағы бес минут керек, сәл күте тұрыңызшы. Қысқы түнде аспандағы жұлдыздар ерекше жарқырайды.""",
    "ko": """
오늘은 바람이 많이 불어서 모자가 날아갔어요. 우리 어머니는 아침마다 맛있는 밥을 지으십니다.
버스를 타고 바다에 가면 기분이 좋아집니다. 작은 고양이가 의자 위에서 조용히 자고 있어요.
내일 오후에 빵과 우유를 사러 같이 갈까요? 푸른 숲 속에서 새들이 노래를 부릅니다.
이 문제는 어렵지만 천천히 생각하면 풀 수 있어요. 비가 오면 창문을 꼭 닫아 주세요.""",
    "zh": """
今天的天气很好，我们一起去公园散步吧。妈妈买了苹果和面包，爸爸泡了一壶茶。
明天上午八点，请你在门口等我。这本书非常有意思，我读了两遍。
小猫跑过马路，跳上了一棵大树。服务员把热汤放在桌子上，慢慢地走开了。
外婆住在河边的老房子里，门前种满了花。学生们认真地听老师说话。""",
    "de": """
Meine Mutter kauft fünf frische Äpfel und ein großes Brot. Über die schmale Brücke fahren am Abend viele Autos.
Wir möchten morgen früh mit dem Zug ans Meer fahren. Warum bleibt der müde Hund immer vor der Tür liegen?""",
    "es": """
Mañana vamos a comprar pan, fruta y un poco de vino. El viejo barco volvió al puerto muy despacio.
Mi abuela pone música y baila por toda la casa. ¿Quién puede abrirme la puerta, por favor?""",
    "fr": """
Ma voisine vend des pommes et du beau fromage au marché. Il pleut beaucoup, mais nous voulons sortir un peu.
Où as-tu posé le vieux livre bleu de mon père? Une petite lune brillait au-dessus du village.""",
    "tr": """
Bugün hava çok güzel, öğleden sonra parka gidelim. Büyük babam bahçede domates ve biber yetiştiriyor.""",
}
SHARES = {"en": 4.0, "ru": 4.0, "kk": 1.5, "ko": 1.5, "zh": 2.0, "de": 1.0, "es": 1.0, "fr": 1.0, "tr": 0.5}


def utterances(seconds: float, rng: np.random.Generator) -> Iterator[tuple[Audio, Matrix]]:
    """Sound of augmented sentences, and the curves of the mouths that say them, ``seconds`` of it in all."""
    voice = EspeakVoice()
    shares = np.array(list(SHARES.values())) / sum(SHARES.values())
    try:
        while seconds > 0:
            language = str(rng.choice(list(SHARES), p=shares))
            line = str(rng.choice(SENTENCES[language].strip().splitlines()))
            id_ = f"{rng.choice(VARIANTS)};rate={rng.integers(110, 230)};pitch={rng.integers(15, 85)}"
            for speech in voice.synthesize(line, language=language, voice=id_):
                audio, stretch = augmented(speech.audio, rng)
                seconds -= audio.seconds
                yield audio, articulate(stretched(speech, stretch), audio.seconds)
    finally:
        voice.close()


def stretched(speech: Speech, by: float) -> list[Mark]:
    """The phonemes of a speech that was slowed down by a factor."""
    return [Mark(m.kind, m.text, m.start * by, m.end * by) for m in speech.of("phoneme")]


def augmented(audio: Audio, rng: np.random.Generator) -> tuple[Audio, float]:
    """Another throat (by resampling), loudspeaker, room and noise; and how much longer the sound became."""
    longer = float(rng.uniform(0.86, 1.18))
    x = soxr.resample(audio.samples, audio.rate / longer, RATE).astype(np.float64)
    x = coloured(x, rng)
    if rng.random() < 0.5:
        delay = int(rng.uniform(0.004, 0.04) * RATE)
        for k in range(1, 5):
            x[k * delay :] += rng.uniform(0.1, 0.5) ** k * x[: max(0, len(x) - k * delay)]
    noise = coloured(rng.standard_normal(len(x)), rng)
    loudness = np.sqrt((x**2).mean()) * 10 ** (-rng.uniform(10, 45) / 20)
    x += noise * loudness / (noise.std() + 1e-9)
    return Audio((x / (np.abs(x).max() + 1e-9)).astype(np.float32), RATE), longer


def coloured(x: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The sound through a random smooth equaliser, up to 12 dB either way."""
    spectrum = np.fft.rfft(x)
    knots = np.concatenate([[rng.uniform(-6, 6)], rng.uniform(-1, 1, 5) * rng.uniform(0, 12)])
    gain = np.interp(np.linspace(0, 1, len(spectrum)) ** 0.5, np.linspace(0, 1, len(knots)), knots)
    return np.fft.irfft(spectrum * 10 ** (gain / 20), len(x))


def train(x: Matrix, y: Matrix, rng: np.random.Generator, epochs: int = 40) -> list[Matrix]:
    """Weights and biases of the network, by Adam with weight decay, dropout and noise on the input."""
    sizes = (SIZE, *HIDDEN, len(PARAMETERS))
    layers: list[Matrix] = []
    for a, b in pairwise(sizes):
        layers += [(rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype(np.float32), np.zeros(b, np.float32)]
    means, squares = [np.zeros_like(w) for w in layers], [np.zeros_like(w) for w in layers]
    # Closed lips are rare and matter most.
    importance = np.where(np.array(PARAMETERS) == "press", 1.5, 1.0).astype(np.float32)
    batch, step, n_steps = 256, 0, epochs * (len(x) // 256)
    for epoch in range(epochs):
        losses = []
        for rows in np.array_split(rng.permutation(len(x)), len(x) // batch):
            noisy = x[rows] + rng.normal(0, NOISE, (len(rows), SIZE)).astype(np.float32)
            loss, gradients = backward(layers, noisy, y[rows], importance, rng)
            losses.append(loss)
            step += 1
            rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * step / (n_steps + epochs)))
            for i, g in enumerate(gradients):
                means[i] = 0.9 * means[i] + 0.1 * g
                squares[i] = 0.999 * squares[i] + 0.001 * g * g
                move = means[i] / (1 - 0.9**step) / (np.sqrt(squares[i] / (1 - 0.999**step)) + 1e-8)
                layers[i] = (layers[i] - rate * (move + (0.02 if layers[i].ndim == 2 else 0) * layers[i])).astype(
                    np.float32
                )
        print(f"epoch {epoch + 1:2}  loss {np.mean(losses):.4f}", flush=True)
    return layers


def forward(layers: list[Matrix], x: Matrix) -> Matrix:
    """What the network makes of the rows of ``x``."""
    for i in range(0, len(layers), 2):
        x = x @ layers[i] + layers[i + 1]
        if i + 2 < len(layers):
            x = np.maximum(x, 0)
    return x


def backward(
    layers: list[Matrix], x: Matrix, y: Matrix, importance: Matrix, rng: np.random.Generator
) -> tuple[float, list[Matrix]]:
    """Mean squared error of a batch, and its gradients by every layer."""
    outputs, masks = [x], []
    for i in range(0, len(layers), 2):
        z = outputs[-1] @ layers[i] + layers[i + 1]
        if i + 2 < len(layers):
            masks.append((z > 0) * (rng.random(z.shape) > 0.1) / np.float32(0.9))
            z = z * masks[-1]
        outputs.append(z)
    error = (outputs[-1] - y) * importance
    gradient = 2 * error * importance / len(x)
    gradients: list[Matrix] = []
    for i in range(len(layers) - 2, -1, -2):
        gradients = [np.asarray(outputs[i // 2].T @ gradient, np.float32), gradient.sum(0), *gradients]
        if i:
            gradient = (gradient @ layers[i].T) * masks[i // 2 - 1]
    return float((error**2).mean()), gradients


def main() -> None:
    """Make the data, train, and write the weights."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else WEIGHTS
    rng = np.random.default_rng(7)
    begun = time.monotonic()
    spoken_material = list(utterances(60 * minutes, rng))
    cepstra = [np.asarray(mfcc(m, CEPSTRA)[spoken(m)]) for m in (log_mel(a) for a, _ in spoken_material)]
    mean = np.stack([c.mean(0) for c in cepstra]).mean(0)
    deviation = np.stack([c.std(0) for c in cepstra]).mean(0)
    usual = np.asarray(mean, np.float32), np.asarray(deviation, np.float32)
    pairs = [(stacked(a, usual), y) for a, y in spoken_material]
    x = np.concatenate([f[: len(y) : 2] for f, y in pairs])
    y = np.concatenate([y[: len(f) : 2] for f, y in pairs])
    print(f"{len(x)} moments of {minutes:g} minutes in {time.monotonic() - begun:.0f} s")
    layers = train(x, y, rng)
    said = forward(layers, x)
    stored: dict[str, Any] = {
        "mean": usual[0],
        "deviation": usual[1],
        "said": np.quantile(said, QUANTILES, axis=0).astype(np.float32),
        "meant": np.quantile(y, QUANTILES, axis=0).astype(np.float32),
        **{f"layer{i}": w.astype(np.float16) for i, w in enumerate(layers)},
    }
    np.savez_compressed(out, **stored)
    print(f"{out}: {out.stat().st_size} bytes, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
