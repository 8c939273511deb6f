// The canvas in the middle: the quick look or the painting, compared, zoomed, brushed; and how far the painting is.
import { html, useEffect, useState } from "./vendor/preact-htm.js";
import { Board, BrushTools } from "./brush.js";
import { dropFor, FileButton } from "./tray.js";
import { act, chooseInputs, fileUrl, finalPicture, jobPicture, pictureUrl, shownJob, state, t, translate, update } from "./state.js";

const LOSSES = ["content", "style", "total"];
const PAUSING = "Pausing after this step …"; // a job's message

/** A picture that is replaced only once the next one can be seen. Of those that come meanwhile, the last is taken. */
function Picture({ url, alt, ...more }) {
  const [seen, setSeen] = useState("");
  useEffect(() => {
    const image = new Image();
    let isWanted = true;
    image.src = url;
    image.decode().then(() => isWanted && setSeen(url), () => {});
    return () => (isWanted = false);
  }, [url]);
  return seen && html`<img src=${seen} alt=${alt} draggable=${false} ...${more} />`;
}

function Welcome() {
  const example = state.tray.photos.find(({ id }) => id === "cat");
  return html`<div class="welcome">
    <h1>${t("welcome")}</h1>
    <p>${t("welcomeHint")}</p>
    <div class="buttons">
      <${FileButton} role="photo" text=${t("choosePhoto")} films />
      ${example && html`<button onClick=${() => chooseInputs({ photo: example })}>${t("tryExample")}</button>`}
    </div>
  </div>`;
}

function Frame({ job }) {
  const photoUrl = state.photo && pictureUrl(state.photo, 1024);
  const url = (job && jobPicture(job)) || state.look?.url || photoUrl;
  const isFilm = job?.kind === "film" && job.status !== "painting" && job.pictures.includes("film.mp4");
  if (isFilm) return html`<div class="frame"><video controls src=${fileUrl(job, "film.mp4")}></video></div>`;
  if (!url) return null;
  const compared = state.tool === "compare" && (state.other?.url ?? photoUrl);
  const whole = { class: "frame", style: { "--aspect": state.aspect } };
  const zoomed = { class: "frame zoom", tabindex: 0, role: "region", "aria-label": t("zoomed") };
  return html`<div ...${state.tool === "zoom" ? zoomed : whole}>
    <${Picture} key=${state.photo?.id} url=${url} alt=${t(job ? "pictureOf" : "lookOf", { title: job?.title ?? state.photo.name })} data-version=${job?.progress.version} />
    ${compared && html`<${Compare} url=${compared} />`} ${state.tool === "brush" && html`<${Board} />`}
  </div>`;
}

function Compare({ url }) {
  const [split, setSplit] = useState(50);
  const drag = ({ currentTarget, buttons, clientX, pointerId }) => {
    if (!buttons) return;
    currentTarget.setPointerCapture(pointerId);
    const { left, width } = currentTarget.getBoundingClientRect();
    setSplit(Math.min(100, Math.max(0, (100 * (clientX - left)) / width)));
  };
  return html`<img class="under" src=${url} alt=${state.other?.title ?? t("photo")} style=${{ clipPath: `inset(0 ${100 - split}% 0 0)` }} />
    <span class="line" style=${{ left: `${split}%` }}></span>
    <div class="grip" onPointerDown=${drag} onPointerMove=${drag}></div>
    <input type="range" min="0" max="100" value=${split} aria-label=${t("split")} onInput=${({ target }) => setSplit(Number(target.value))} />`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function statusText(job) {
  const { status, progress, message } = job, { step, total, width, height, seconds, seconds_left: left } = progress;
  if (status === "waiting") return state.isReady ? t("waiting") : state.fault || t("warmingUp");
  if (status === "painting" && step && !message) {
    const time = left ? [t("left", { time: duration(left) })] : [];
    return [t(job.kind === "film" ? "frameOf" : "stepOf", { step, total }), ...time, `${width} × ${height}`].join(" · ");
  }
  const size = width ? ` · ${width} × ${height} · ${duration(seconds)}` : "";
  return translate(message) || t(`status.${status}`) + size;
}

export function Status() {
  const job = shownJob();
  if (state.isLost) return html`<p class="status" role="status">${t("lost")}</p>`;
  const share = job ? job.progress.share : state.look ? state.look.step / state.look.steps : 0;
  const hint = state.look ? (share < 1 ? "looking" : state.photo.is_film ? "lookedFilm" : "looked") : state.photo && !state.paintings.length && "choosePainting";
  const text = job ? statusText(job) : hint ? t(hint) : "";
  return html`<div class="status">
    <progress max="1" value=${share} class=${share > 0 && share < 1 ? "" : "rest"} aria-label=${t("progress")}></progress>
    <p role="status">${text}</p>
    ${job && html`<div class="buttons"><${JobButtons} job=${job} /></div>`}
  </div>`;
}

function JobButtons({ job }) {
  const { status, kind, message } = job, buttons = [];
  const isPausing = message === PAUSING;
  const add = (key, action, isOff = false) => buttons.push(html`<button key=${key} disabled=${isOff} onClick=${() => act(job, action)}>${t(key)}</button>`);
  if (status === "painting") {
    add(isPausing ? "pausing" : "pause", "pause", Boolean(message));
    add("stop", "stop", message && !isPausing);
    if (kind === "painting") add("keep", "keep");
    add("stopNow", "stop_now");
  }
  if (status === "waiting") add("hold", "pause"), add("cancel", "stop");
  if (status === "paused") add("goOn", "resume"), add("stop", "stop");
  const name = status !== "painting" && finalPicture(job);
  if (name) buttons.push(html`<a key="download" class="button" href=${fileUrl(job, name, "?download=1")} download>${t("download")}</a>`);
  if (["stopped", "failed"].includes(status)) add(job.snapshots.length || kind === "film" ? "goOn" : "tryAgain", "resume");
  return buttons;
}

function Details({ job }) {
  const { points } = job.progress;
  if (!job.plan && !job.notes.length && !job.snapshots.length) return null;
  return html`<details class="details"><summary>${t("details")}</summary>
    <${Snapshots} job=${job} />
    <p class="plan">${job.plan}</p>
    ${job.notes.map((note) => html`<p class="note">${note}</p>`)}
    ${points.length > 2 && html`<${Plot} points=${points} />`}
  </details>`;
}

function Plot({ points }) {
  const logs = points.flatMap((point) => point.slice(1)).filter((loss) => loss > 0).map(Math.log10);
  const low = Math.min(...logs), span = Math.max(1e-6, Math.max(...logs) - low), steps = Math.max(1, points.at(-1)[0] - points[0][0]);
  const line = (column) =>
    points.filter((point) => point[column] > 0).map((point) => `${(100 * (point[0] - points[0][0])) / steps},${38 - (36 * (Math.log10(point[column]) - low)) / span}`);
  const text = LOSSES.map((name, place) => `${name} ${Number(points.at(-1)[place + 1].toPrecision(3))}`);
  return html`<figure class="plot">
    <svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label=${text.join(", ")}>
      ${LOSSES.map((name, place) => html`<polyline class=${name} points=${line(place + 1).join(" ")} />`)}
    </svg>
    <figcaption>${text.map((part, place) => html`<span class=${LOSSES[place]}>${part}</span> `)}</figcaption>
  </figure>`;
}

function Snapshots({ job }) {
  if (!job.snapshots.length) return null;
  return html`<ol class="snapshots" aria-label=${t("snapshots")}>
    ${job.snapshots.map(
      ({ number, step }) => html`<li key=${number}><button title=${t("backTo", { step })} aria-label=${t("backTo", { step })} onClick=${() => act(job, "resume", `?snapshot=${number}`)}>
        <img src=${fileUrl(job, `snapshot-${number}.jpg`, "")} alt="" /></button></li>`,
    )}
  </ol>`;
}

function Tools({ job }) {
  const toggle = (tool) => update({ tool: state.tool === tool ? "" : tool, other: null, sheet: tool === "brush" ? "" : state.sheet });
  const tool = (name, isOff = false, why = "") => html`<button aria-pressed=${state.tool === name} disabled=${isOff} title=${why} onClick=${() => toggle(name)}>${t(name)}</button>`;
  const isFilm = state.photo?.is_film;
  return html`<div class="tools" role="toolbar" aria-label=${t("tools")}>
    ${tool("brush", isFilm || !state.photo, isFilm ? t("filmEverywhere") : "")} ${tool("compare", (isFilm && job) || !state.photo)} ${tool("zoom", !job || isFilm)}
    <button disabled=${!state.photo} onClick=${() => update({ panel: "choose" })}>${t("choose")}</button>
    <button disabled=${!state.photo} onClick=${() => update({ panel: "take" })}>${t("take")}</button>
    ${state.tool === "brush" && html`<${BrushTools} />`}
  </div>`;
}

export function Stage() {
  const job = shownJob();
  return html`<main class="stage" data-id=${job?.id} data-status=${job?.status ?? "draft"} data-look=${job ? undefined : state.look?.step} ...${dropFor("photo")}>
    <div class="wall">${state.photo || job ? html`<${Frame} job=${job} />` : html`<${Welcome} />`}</div>
    <${Status} />
    ${job && html`<${Details} job=${job} />`}
    <${Tools} job=${job} />
  </main>`;
}
