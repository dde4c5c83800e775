// How good a recording is: how long somebody speaks in it, how far the voice stands out of the room, whether it is cut off.

const BLOCK = 0.025;  // seconds
const SILENT = -90, WEAK = -45;  // dB below full scale: no sound at all, and a voice that is too far away
const ABOVE = 8;  // dB over the room's noise from which a block counts as speech
const QUIET = 0.05;  // share of the blocks that are the room alone: between sentences, and where lips are shut
const CLEAR = 22, NOISY = 15;  // dB between speech and noise; below the second, noise is learnt with the voice
const CLIPPED = 0.002;  // share of a second's samples at full scale that can be heard as harshness

const decibels = (power) => (power > 0 ? Math.max(SILENT, 10 * Math.log10(power)) : SILENT);

export class Room {
  /** Of all blocks so far. */
  seconds = 0;
  #levels = [];
  #full = 0;
  #samples = 0;

  /** Take in samples: 16-bit ones, or floats from -1 to 1. */
  add(samples, rate) {
    const scale = samples instanceof Int16Array ? 1 / 32768 : 1;
    const step = Math.floor(rate * BLOCK);
    for (let at = 0; at + step <= samples.length; at += step) this.#block(samples.subarray(at, at + step), scale);
    this.seconds += samples.length / rate;
  }

  #block(samples, scale) {
    let power = 0;
    for (const sample of samples) {
      const value = sample * scale;
      power += value * value;
      if (Math.abs(value) > 0.99) this.#full += 1;
    }
    this.#samples += samples.length;
    this.#levels.push(decibels(power / samples.length));
  }

  /** `{seconds, speech, snr, verdict}`: seconds in all and of speech, dB, and `silent`, `clipped`, `weak`, `noisy`, `fair` or `good`. */
  judge() {
    const sorted = [...this.#levels].sort((a, b) => a - b);
    const noise = sorted[Math.floor(sorted.length * QUIET)] ?? SILENT;
    const loudest = sorted[Math.floor(sorted.length * 0.98)] ?? SILENT;
    const from = Math.max(noise + ABOVE, loudest - 30);
    const spoken = loudest > noise + ABOVE ? this.#levels.filter((level) => level >= from) : [];
    const loud = decibels(spoken.reduce((sum, level) => sum + 10 ** (level / 10), 0) / Math.max(1, spoken.length));
    const snr = spoken.length ? Math.min(60, loud - noise) : 0;
    return { seconds: this.seconds, speech: spoken.length * BLOCK, snr, verdict: this.#verdict(spoken.length, snr, loud) };
  }

  #verdict(spoken, snr, loud) {
    if (!spoken) return "silent";
    if (this.#full / Math.max(1, this.#samples) > CLIPPED) return "clipped";
    if (loud < WEAK) return "weak";
    return snr >= CLEAR ? "good" : snr >= NOISY ? "fair" : "noisy";
  }
}

/** The same of a whole file; null where the browser cannot decode it. */
export async function judged(blob) {
  const room = new Room();
  try {
    const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(await blob.arrayBuffer());
    room.add(sound.getChannelData(0), sound.sampleRate);
  } catch {
    return null;
  }
  return room.judge();
}
