// The points on a photo: drawn over it, dragged with mouse or finger, moved with the arrow keys.

import { $, say, translated } from "/ui/shell.js";

/** Those that are shown; the others follow them. */
const SHOWN = [
  "left_eye_outer", "left_eye_inner", "right_eye_inner", "right_eye_outer", "nose_tip", "left_cheek", "right_cheek",
  "mouth_left", "upper_lip_top", "upper_lip_bottom", "mouth_right", "lower_lip_top", "lower_lip_bottom", "chin",
];
/** A mean face: the outer corners of the eyes are one apart, their middle is the origin. */
const MEAN = {
  left_eye_outer: [-0.5, 0], left_eye_inner: [-0.19, 0.02], right_eye_inner: [0.19, 0.02], right_eye_outer: [0.5, 0],
  nose_tip: [0, 0.46], mouth_left: [-0.28, 0.7], mouth_right: [0.28, 0.7], upper_lip_top: [0, 0.67], upper_lip_bottom: [0, 0.75],
  lower_lip_top: [0, 0.76], lower_lip_bottom: [0, 0.86], chin: [0, 1.22], left_cheek: [-0.75, 0.19], right_cheek: [0.75, 0.19],
};
const NEAR = 26;  // CSS pixels within which a point is taken
const ZOOM = 2.6;
const between = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

export class Points {
  #first = null;
  #now = null;
  #size = [1, 1];
  #view = { x: 0, y: 0, side: 1 };
  #held = null;
  #dots = new Map();

  constructor() {
    const photo = $("photo");
    photo.addEventListener("pointerdown", (event) => this.#take(event));
    photo.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) photo.addEventListener(end, () => this.#drop());
    translated(() => { for (const [name, dot] of this.#dots) dot.ariaLabel = say(`point.${name}`); });
  }

  /** Show a picture of `width` by `height` pixels at the address `source`, with its points if it has any. */
  show(source, width, height, landmarks) {
    this.#size = [width, height];
    $("shown").src = source;
    $("photo").hidden = false;
    this.#set(landmarks);
  }

  hide() {
    $("photo").hidden = true;
    $("shown").removeAttribute("src");
    this.#set(null);
  }

  /** Put the points of a mean face where a face may be. */
  place() {
    const [width, height] = this.#size;
    const eyes = 0.34 * Math.min(width, height);
    const [x, y] = [width / 2, height * 0.36];
    this.#set(Object.fromEntries(SHOWN.map((name) => [name, [x + MEAN[name][0] * eyes, y + MEAN[name][1] * eyes]])), { whole: true });
    this.#first = null;
    this.#draw();
  }

  reset() {
    if (!this.#first) return this.place();
    this.#now = structuredClone(this.#first);
    return this.#draw();
  }

  /** Where the points are, in pixels of the picture; null when they are as they were found, or there are none. */
  get moved() {
    if (!this.#now) return null;
    const same = this.#first && SHOWN.every((name) => between(this.#first[name], this.#now[name]) < 0.5);
    return same ? null : Object.fromEntries(Object.entries(this.#now).map(([name, at]) => [name, at.map((v) => Math.round(v * 10) / 10)]));
  }

  #set(landmarks, { whole = !landmarks } = {}) {
    this.#first = landmarks && structuredClone(landmarks);
    this.#now = landmarks && structuredClone(landmarks);
    this.#dots.clear();
    if (landmarks) {
      for (const name of SHOWN) {
        const dot = Object.assign(document.createElement("button"), { type: "button", className: "dot", ariaLabel: say(`point.${name}`) });
        dot.dataset.name = name;
        dot.addEventListener("keydown", (event) => this.#key(event, name));
        this.#dots.set(name, dot);
      }
    }
    $("dots").replaceChildren(...this.#dots.values());
    this.#look(whole);
    this.#draw();
  }

  /** The window: the face with room around it, or the whole picture; always a square. */
  #look(whole) {
    const [width, height] = this.#size;
    let side = Math.max(width, height);
    let middle = [width / 2, height / 2];
    if (!whole) {
      const xs = SHOWN.map((name) => this.#now[name][0]);
      const ys = SHOWN.map((name) => this.#now[name][1]);
      const span = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
      side = Math.min(side, span * 1.7);
      middle = [(Math.max(...xs) + Math.min(...xs)) / 2, (Math.max(...ys) + Math.min(...ys)) / 2 - span * 0.12];
    }
    const at = (centre, length) => (length <= side ? (length - side) / 2 : Math.min(Math.max(centre - side / 2, 0), length - side));
    this.#view = { x: at(middle[0], width), y: at(middle[1], height), side };
    const share = (v) => `${(v / side) * 100}%`;
    Object.assign($("shown").style, { width: share(width), height: share(height), left: share(-this.#view.x), top: share(-this.#view.y) });
    $("lines").setAttribute("viewBox", `${this.#view.x} ${this.#view.y} ${side} ${side}`);
  }

  #draw() {
    $("pointing").hidden = !this.#now;
    $("reset").disabled = !this.moved;
    if (!this.#now) {
      $("lines").replaceChildren();
      return;
    }
    for (const [name, dot] of this.#dots) {
      const [x, y] = this.#now[name];
      dot.style.left = `${((x - this.#view.x) / this.#view.side) * 100}%`;
      dot.style.top = `${((y - this.#view.y) / this.#view.side) * 100}%`;
    }
    const p = (name) => this.#now[name].join(" ");
    const [cheek, chin, other] = [this.#now.left_cheek, this.#now.chin, this.#now.right_cheek];
    const jaw = (side) => `${side[0] * 0.93 + chin[0] * 0.07} ${chin[1] * 0.9 + side[1] * 0.1}`;
    const lip = (name) => {  // a quadratic curve whose middle is the point
      const [a, b, m] = [this.#now.mouth_left, this.#now.mouth_right, this.#now[name]];
      return `M${a.join(" ")} Q${2 * m[0] - (a[0] + b[0]) / 2} ${2 * m[1] - (a[1] + b[1]) / 2} ${b.join(" ")}`;
    };
    const paths = [
      ...["left", "right"].map((side) => `M${p(`${side}_eye_outer`)} L${p(`${side}_eye_inner`)}`),
      ...["upper_lip_top", "upper_lip_bottom", "lower_lip_top", "lower_lip_bottom"].map(lip),
      `M${cheek.join(" ")} Q${jaw(cheek)} ${chin.join(" ")} Q${jaw(other)} ${other.join(" ")}`,
    ];
    $("lines").replaceChildren(...paths.map((d) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", d);
      return path;
    }));
  }

  /** Where a pointer is, in pixels of the picture. */
  #at(event) {
    const box = $("photo").getBoundingClientRect();
    const scale = this.#view.side / box.width;
    return [this.#view.x + (event.clientX - box.left) * scale, this.#view.y + (event.clientY - box.top) * scale];
  }

  #take(event) {
    if (!this.#now || (event.pointerType === "mouse" && event.button !== 0)) return;
    const at = this.#at(event);
    const scale = this.#view.side / $("photo").clientWidth;
    const [nearest] = SHOWN.map((name) => [name, between(this.#now[name], at)]).sort((a, b) => a[1] - b[1]);
    if (nearest[1] > NEAR * scale) return;
    event.preventDefault();
    const [name] = nearest;
    this.#held = { name, offset: [this.#now[name][0] - at[0], this.#now[name][1] - at[1]], touch: event.pointerType !== "mouse" };
    this.#dots.get(name).focus({ preventScroll: true });
    this.#dots.get(name).classList.add("held");
    $("photo").classList.add("dragging");
    $("photo").setPointerCapture(event.pointerId);
    this.#magnify();
  }

  #drag(event) {
    if (!this.#held) return;
    const at = this.#at(event);
    this.#move(this.#held.name, [at[0] + this.#held.offset[0], at[1] + this.#held.offset[1]]);
    this.#magnify();
  }

  #drop() {
    if (!this.#held) return;
    this.#dots.get(this.#held.name)?.classList.remove("held");
    this.#held = null;
    $("photo").classList.remove("dragging");
    $("loupe").hidden = true;
  }

  #key(event, name) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const length = Math.max(0.5, this.#view.side / $("photo").clientWidth) * (event.shiftKey ? 10 : 1);
    const [x, y] = this.#now[name];
    this.#move(name, [x + step[0] * length, y + step[1] * length]);
  }

  #move(name, [x, y]) {
    const { x: left, y: top, side } = this.#view;
    const within = (v, low, length) => Math.min(Math.max(v, Math.max(low, 0)), Math.min(low + side, length));
    this.#now[name] = [within(x, left, this.#size[0]), within(y, top, this.#size[1])];
    this.#follow();
    this.#draw();
  }

  /** The points that are not shown go with those near them. */
  #follow() {
    if (!this.#first) return;
    for (const [name, from] of Object.entries(this.#first)) {
      if (SHOWN.includes(name)) continue;
      let [sum, dx, dy] = [0, 0, 0];
      for (const near of SHOWN) {
        const weight = 1 / (between(this.#first[near], from) ** 2 + 1);
        sum += weight;
        dx += weight * (this.#now[near][0] - this.#first[near][0]);
        dy += weight * (this.#now[near][1] - this.#first[near][1]);
      }
      this.#now[name] = [from[0] + dx / sum, from[1] + dy / sum];
    }
  }

  /** What lies below the finger, larger, where the finger is not. */
  #magnify() {
    const loupe = $("loupe");
    loupe.hidden = false;
    const box = $("photo").clientWidth;
    const [x, y] = this.#now[this.#held.name];
    const scale = (box / this.#view.side) * ZOOM;
    const left = (x - this.#view.x) / this.#view.side < 0.5;
    const radius = (loupe.clientWidth || 114) / 2;
    Object.assign(loupe.style, {
      left: left ? "auto" : "0.75rem",
      right: left ? "0.75rem" : "auto",
      backgroundImage: `url("${$("shown").src}")`,
      backgroundSize: `${this.#size[0] * scale}px ${this.#size[1] * scale}px`,
      backgroundPosition: `${radius - x * scale}px ${radius - y * scale}px`,
    });
  }
}
