// How the element looks, and the few words on it. The sheet is adopted, not inlined, so a strict content policy holds.

export const SHEET = `
:host { display: block; position: relative; aspect-ratio: 1; overflow: hidden; contain: content; container-type: inline-size;
  background: #b9c0c9; color: #fff; border-radius: var(--vivavoce-radius, 0); isolation: isolate;
  font: 500 1rem/1.35 var(--vivavoce-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif); }
:host([hidden]) { display: none; }
.layer { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: var(--vivavoce-fit, cover); display: block; border: 0; }
.film, .idle { opacity: 0; pointer-events: none; }
.idle.on, .film.on { opacity: 1; }
.film.front { z-index: 1; }
.film[controls] { pointer-events: auto; object-fit: contain; }
.frame.stalled .film.on { opacity: 0; transition: opacity 0.3s 0.5s; }
.over { position: absolute; z-index: 2; inset: 0; pointer-events: none; display: flex; flex-direction: column; justify-content: flex-end; }
.over > * { pointer-events: auto; }
.captions { pointer-events: none; margin: 0 auto clamp(0.6rem, 4cqi, 1.6rem); padding: 0.3em 0.7em 0.35em; max-width: 90%; border-radius: 0.55em;
  background: var(--vivavoce-caption-background, rgb(12 13 16 / 72%)); color: var(--vivavoce-caption-color, #fff);
  font-size: clamp(0.875rem, 3.7cqi, 1.375rem); text-align: center; text-wrap: balance; overflow-wrap: anywhere; }
.captions:empty { display: none; }
.captions span { opacity: 0.72; }
.captions span.now, .captions.plain span { opacity: 1; }
button { font: inherit; color: inherit; border: 0; cursor: pointer; display: grid; place-items: center; padding: 0;
  background: rgb(12 13 16 / 55%); border-radius: 50%; backdrop-filter: blur(6px); }
button:hover { background: rgb(12 13 16 / 78%); }
button:focus-visible { outline: 3px solid #fff; outline-offset: 2px; box-shadow: 0 0 0 6px rgb(12 13 16 / 70%); }
button svg { width: 46%; height: 46%; fill: currentColor; display: block; }
[hidden] { display: none !important; }
.play { position: absolute; inset: 0; margin: auto; width: clamp(3.5rem, 22cqi, 6rem); height: clamp(3.5rem, 22cqi, 6rem); }
.tools { position: absolute; top: clamp(0.5rem, 2.5cqi, 1rem); right: clamp(0.5rem, 2.5cqi, 1rem); display: flex; gap: 0.4rem; }
.tools button { width: 2.5rem; height: 2.5rem; }
.bars { position: absolute; left: clamp(0.7rem, 3cqi, 1.2rem); top: clamp(0.7rem, 3cqi, 1.2rem); display: flex; gap: 0.3rem; pointer-events: none; }
.bars i { width: 0.5rem; height: 0.5rem; border-radius: 50%; background: #fff; box-shadow: 0 0 0 1px rgb(12 13 16 / 25%); animation: think 1s ease-in-out infinite alternate; }
.bars i:nth-child(2) { animation-delay: -0.66s; }
.bars i:nth-child(3) { animation-delay: -0.33s; }
@keyframes think { from { opacity: 0.25; } to { opacity: 1; } }
.trouble { margin: 0 auto clamp(0.6rem, 4cqi, 1.6rem); max-width: 90%; border: solid #7f1a15; border-width: 0.6em 0.9em; border-radius: 0.7em;
  background: #7f1a15; font-size: clamp(0.8125rem, 3.2cqi, 1rem); overflow: hidden; overflow-wrap: anywhere;
  display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: reduce) { .bars i { animation: none; } .frame.stalled .film.on { transition: none; opacity: 1; } }
`;

const SIZES = { "1080p": "16 / 9", "720p": "16 / 9", "480p": "854 / 480", "360p": "16 / 9" };

/** The shape that a resolution has, as CSS; "" when it is not known. */
export function shapeOf(resolution) {
  const [, width, height] = /^\s*(\d{2,5})\s*[x×]\s*(\d{2,5})\s*$/i.exec(resolution ?? "") ?? [];
  return width ? `${width} / ${height}` : (SIZES[resolution?.trim().toLowerCase()] ?? "");
}

const SAID = {
  en: { name: "Talking avatar", play: "Play", stop: "Stop", mute: "Sound off", sound: "Sound on", loading: "Preparing to speak", speaking: "Speaking" },
  ru: { name: "Говорящий аватар", play: "Воспроизвести", stop: "Остановить", mute: "Выключить звук", sound: "Включить звук", loading: "Готовится говорить", speaking: "Говорит" },
  kk: { name: "Сөйлейтін аватар", play: "Ойнату", stop: "Тоқтату", mute: "Дыбысты өшіру", sound: "Дыбысты қосу", loading: "Сөйлеуге дайындалуда", speaking: "Сөйлеп тұр" },
  ko: { name: "말하는 아바타", play: "재생", stop: "정지", mute: "소리 끄기", sound: "소리 켜기", loading: "말할 준비 중", speaking: "말하는 중" },
  zh: { name: "会说话的数字人", play: "播放", stop: "停止", mute: "静音", sound: "打开声音", loading: "正在准备", speaking: "正在说话" },
};

/** The words on the element in the language of the page around it. */
export function wordsFor(element) {
  const tongue = element.closest("[lang]")?.lang || navigator.language || "en";
  return SAID[tongue.slice(0, 2).toLowerCase()] ?? SAID.en;
}

const ICONS = {
  play: "M7 4.5v15a1 1 0 0 0 1.5.9l12-7.5a1 1 0 0 0 0-1.8l-12-7.5A1 1 0 0 0 7 4.5z",
  stop: "M7 5h10a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z",
  sound: "M4 9v6h4l5 5V4L8 9H4zm12-.8v7.6a4.5 4.5 0 0 0 0-7.6zm0-4.7v2.2a7 7 0 0 1 0 12.6v2.2a9 9 0 0 0 0-17z",
  mute: "M4 9v6h4l5 5V4L8 9H4zm17.7-.3-1.4-1.4-2.3 2.3-2.3-2.3-1.4 1.4 2.3 2.3-2.3 2.3 1.4 1.4 2.3-2.3 2.3 2.3 1.4-1.4-2.3-2.3z",
};

/** Make an element of the shadow tree. */
export function make(tag, name, more = {}) {
  const made = Object.assign(document.createElement(tag), more);
  made.className = name;
  return made;
}

/** A round button with a picture. */
export function button(name, icon, act) {
  const made = make("button", name, { type: "button" });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  made.append(svg);
  made.part = name;
  picture(made, icon);
  made.addEventListener("click", act);
  return made;
}

export function picture(made, icon) {
  made.querySelector("path").setAttribute("d", ICONS[icon]);
}
