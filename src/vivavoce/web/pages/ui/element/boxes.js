// MP4 as far as a player needs it (ISO/IEC 14496-12). Media Source Extensions take fragmented films only; a plain MP4,
// index first, is turned into one fragment here: the same samples behind another index, nothing is encoded again.

const NESTED = new Set(["trak", "mdia", "minf", "stbl"]);
const EMPTY = { stts: 8, stsc: 8, stco: 8, stsz: 12 };
const DROPPED = new Set(["ctts", "stss", "sdtp", "co64", "udta", "mvex", "meta"]);
const KEY_FRAME = 0x02000000;
const OTHER_FRAME = 0x01010000;

/** What is no MP4, or one that cannot be played from memory. */
export class Unsupported extends Error {}

const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const nameAt = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 4));

export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** `{type, whole, body}` of the box that begins at `at`, or null when it is not all there. */
function boxAt(bytes, at) {
  if (at + 8 > bytes.length) return null;
  const view = viewOf(bytes);
  let size = view.getUint32(at);
  let head = 8;
  if (size === 1) {
    if (at + 16 > bytes.length) return null;
    size = Number(view.getBigUint64(at + 8));
    head = 16;
  }
  if (size < head) throw new Unsupported("The film is damaged.");
  if (at + size > bytes.length) return null;
  return { type: nameAt(bytes, at + 4), whole: bytes.subarray(at, at + size), body: bytes.subarray(at + head, at + size) };
}

/** The boxes inside `body`. */
function children(body) {
  const found = [];
  for (let box = boxAt(body, 0), at = 0; box; box = boxAt(body, at)) {
    found.push(box);
    at += box.whole.length;
  }
  return found;
}

/** The body of the first box at `path`, or undefined. */
function inside(body, ...path) {
  return path.reduce((held, type) => held && children(held).find((box) => box.type === type)?.body, body);
}

/** Cuts bytes that come in pieces of any size into whole boxes. */
export class Boxes {
  #held = new Uint8Array(0);

  /** Add bytes; gives the boxes that are whole now. */
  *push(piece) {
    this.#held = this.#held.length ? joined([this.#held, piece]) : piece;
    let at = 0;
    for (let box = boxAt(this.#held, 0); box; box = boxAt(this.#held, at)) {
      yield box;
      at += box.whole.length;
    }
    this.#held = this.#held.slice(at);
  }

  get empty() {
    return this.#held.length === 0;
  }
}

/** What the index of a film says. */
export class Index {
  constructor(moov) {
    this.moov = moov;
    this.fragmented = inside(moov, "mvex") !== undefined;
    this.tracks = children(moov).filter((box) => box.type === "trak").map((box) => trackOf(box.body));
    if (!this.tracks.length) throw new Unsupported("The film has no tracks.");
    for (const trex of children(inside(moov, "mvex") ?? moov).filter((box) => box.type === "trex")) {
      const view = viewOf(trex.body);
      const track = this.tracks.find((t) => t.id === view.getUint32(4));
      if (track) track.usual = view.getUint32(12);
    }
  }

  /** The type that a source buffer is asked for. */
  get type() {
    return `video/mp4; codecs="${this.tracks.map((track) => track.codec).join(",")}"`;
  }

  /** Seconds at which a fragment ends. */
  end(moof) {
    const ends = children(moof).filter((box) => box.type === "traf").map((box) => this.#trackEnd(box.body));
    return Math.max(0, ...ends);
  }

  #trackEnd(traf) {
    const head = viewOf(inside(traf, "tfhd"));
    const track = this.tracks.find((t) => t.id === head.getUint32(4));
    const flags = head.getUint32(0);
    const usual = flags & 8 ? head.getUint32(8 + (flags & 1 ? 8 : 0) + (flags & 2 ? 4 : 0)) : track.usual;
    const time = viewOf(inside(traf, "tfdt"));
    let ticks = time.getUint8(0) ? Number(time.getBigUint64(4)) : time.getUint32(4);
    for (const run of children(traf).filter((box) => box.type === "trun")) ticks += runTicks(viewOf(run.body), usual);
    return ticks / track.timescale;
  }

  /** A plain film as one fragment: the index without its tables, the fragment, and where it ends in seconds. */
  fragment(film) {
    const listed = this.tracks.map((track) => samplesOf(track));
    const trex = this.tracks.map((track) => box("trex", words(0, track.id, 1, 0, 0, 0)));
    const start = joined([...before(film), box("moov", ...bare(this.moov), box("mvex", ...trex))]);
    const shape = (base) => {
      let at = base;
      const parts = this.tracks.map((track, i) => {
        const part = traf(track, listed[i], at);
        at += listed[i].reduce((sum, sample) => sum + sample.size, 0);
        return part;
      });
      return box("moof", box("mfhd", words(0, 1)), ...parts);
    };
    const moof = shape(shape(0).length + 8);
    const data = listed.flatMap((samples) => samples.map(({ at, size }) => film.subarray(at, at + size)));
    const ends = listed.map((samples, i) => samples.reduce((sum, s) => sum + s.ticks, 0) / this.tracks[i].timescale);
    return { start, media: joined([moof, box("mdat", ...data)]), seconds: Math.max(...ends) };
  }
}

function trackOf(trak) {
  const header = viewOf(inside(trak, "tkhd"));
  const media = viewOf(inside(trak, "mdia", "mdhd"));
  const tables = inside(trak, "mdia", "minf", "stbl");
  return {
    id: header.getUint32(header.getUint8(0) ? 20 : 12),
    timescale: media.getUint32(media.getUint8(0) ? 20 : 12),
    codec: codecOf(inside(tables, "stsd").subarray(8)),
    tables,
    usual: 0,
  };
}

function codecOf(entry) {
  const type = nameAt(entry, 4);
  if (type === "mp4a") return "mp4a.40.2";
  const avc = type === "avc1" && inside(entry.subarray(86), "avcC");  // behind 78 bytes of a picture's sample entry
  if (!avc) throw new Unsupported(`Films in ${type} are not played from memory.`);
  return `avc1.${[...avc.subarray(1, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function runTicks(run, usual) {
  const flags = run.getUint32(0);
  const count = run.getUint32(4);
  if (!(flags & 0x100)) return count * usual;
  const step = [0x100, 0x200, 0x400, 0x800].filter((flag) => flags & flag).length * 4;
  let at = 8 + (flags & 1 ? 4 : 0) + (flags & 4 ? 4 : 0);
  let ticks = 0;
  for (let i = 0; i < count; i += 1, at += step) ticks += run.getUint32(at);
  return ticks;
}

/** The samples of a track in order: where they lie, how long they are and how long they last. */
function samplesOf({ tables }) {
  const table = (type) => { const body = inside(tables, type); return body && viewOf(body); };
  const sizes = table("stsz");
  const samples = Array.from({ length: sizes.getUint32(8) }, (_, i) => (
    { at: 0, size: sizes.getUint32(4) || sizes.getUint32(12 + 4 * i), ticks: 0, shift: 0, key: true }
  ));
  repeated(table("stts"), (i, ticks) => { if (samples[i]) samples[i].ticks = ticks; });
  if (table("ctts")) repeated(table("ctts"), (i, shift) => { if (samples[i]) samples[i].shift = shift; });
  const keys = table("stss");
  if (keys) {
    for (const sample of samples) sample.key = false;
    for (let i = 0; i < keys.getUint32(4); i += 1) samples[keys.getUint32(8 + 4 * i) - 1].key = true;
  }
  place(samples, table("stsc"), table("stco"), table("co64"));
  return samples;
}

function repeated(table, each) {
  for (let row = 0, i = 0; row < table.getUint32(4); row += 1) {
    for (let n = table.getUint32(8 + 8 * row); n > 0; n -= 1, i += 1) each(i, table.getUint32(12 + 8 * row));
  }
}

function place(samples, groups, near, far) {
  const count = (near ?? far).getUint32(4);
  for (let chunk = 0, row = 0, i = 0; chunk < count; chunk += 1) {
    while (row + 1 < groups.getUint32(4) && groups.getUint32(8 + 12 * (row + 1)) <= chunk + 1) row += 1;
    let at = near ? near.getUint32(8 + 4 * chunk) : Number(far.getBigUint64(8 + 8 * chunk));
    for (let n = groups.getUint32(12 + 12 * row); n > 0 && i < samples.length; n -= 1, i += 1) {
      samples[i].at = at;
      at += samples[i].size;
    }
  }
}

function words(...numbers) {
  const bytes = new Uint8Array(numbers.length * 4);
  numbers.forEach((number, i) => viewOf(bytes).setUint32(4 * i, number));
  return bytes;
}

function box(type, ...parts) {
  const bytes = joined([new Uint8Array(8), ...parts]);
  viewOf(bytes).setUint32(0, bytes.length);
  for (let i = 0; i < 4; i += 1) bytes[4 + i] = type.charCodeAt(i);
  return bytes;
}

/** The boxes of an index without the tables of samples. */
function bare(body) {
  return children(body).filter(({ type }) => !DROPPED.has(type)).map(({ type, whole, body: held }) => {
    if (type in EMPTY) return box(type, new Uint8Array(EMPTY[type]));
    return NESTED.has(type) ? box(type, ...bare(held)) : whole;
  });
}

const before = (film) => children(film).filter(({ type }) => type === "ftyp").map(({ whole }) => whole);

function traf({ id }, samples, at) {
  const rows = samples.flatMap(({ size, ticks, shift, key }) => [ticks, size, key ? KEY_FRAME : OTHER_FRAME, shift]);
  return box(
    "traf",
    box("tfhd", words(0x020000, id)),
    box("tfdt", words(0, 0)),
    box("trun", words(0x01000f01, samples.length, at, ...rows)),
  );
}
