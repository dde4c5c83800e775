// Pictures of films: a real frame of each, fetched when its row comes into view, two at a time.

const AT_ONCE = 2;
const PATIENCE = 10000;  // milliseconds
const WHERE = 0.4;  // of the film: near the beginning a mouth is still shut

const waiting = [];
let busy = 0;
const wanted = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    waiting.push(wanted.get(target));
    wanted.delete(target);
  }
  next();
}, { rootMargin: "200px" });

/** Draw a frame of the film at `url` into `canvas` when `row` comes into view; `done(is)` is told whether there is one. */
export function framed(row, canvas, url, done) {
  wanted.set(row, async () => done(await drawn(canvas, url)));
  seen.observe(row);
}

async function next() {
  while (busy < AT_ONCE && waiting.length) {
    busy += 1;
    waiting.shift()().finally(() => {
      busy -= 1;
      next();
    });
  }
}

function happens(target, name) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("too slow")), PATIENCE);
    target.addEventListener(name, () => { clearTimeout(timer); resolve(); }, { once: true });
    target.addEventListener("error", () => { clearTimeout(timer); reject(new Error("no film")); }, { once: true });
  });
}

async function drawn(canvas, url) {
  const film = Object.assign(document.createElement("video"), { muted: true, playsInline: true, preload: "auto" });
  try {
    film.src = url;
    await happens(film, "loadeddata");
    film.currentTime = film.duration * WHERE;
    await happens(film, "seeked");
    const side = Math.min(film.videoWidth, film.videoHeight);
    const size = Math.min(side, 2 * (canvas.parentElement.clientWidth || 120));
    canvas.width = canvas.height = size;
    canvas.getContext("2d").drawImage(film, (film.videoWidth - side) / 2, (film.videoHeight - side) / 2, side, side, 0, 0, size, size);
    return true;
  } catch {  // it has been removed, or this browser cannot play it
    return false;
  } finally {
    film.removeAttribute("src");  // lets its connection go
    film.load();
  }
}
