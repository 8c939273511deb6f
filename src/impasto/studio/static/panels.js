// What opens over the page: the gallery, choosing by eye, and taking the picture away.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { FileButton } from "./tray.js";
import { change, compose, fileUrl, finalPicture, ignore, labelOf, listJobs, paint, post, quickLook, removeJob, say, sendOnce, setForm, shownJob, showJob, state, t, update, upload, value } from "./state.js";

const CENTIMETERS_PER_INCH = 2.54;

function Panel({ title, children }) {
  const ref = useRef();
  useEffect(() => ref.current.showModal(), []);
  return html`<dialog ref=${ref} class=${`panel ${state.panel}`} aria-label=${title} onClose=${() => update({ panel: "" })}>
    <header><h2>${title}</h2><button onClick=${() => ref.current.close()}>${t("close")}</button></header>
    <div class="scroll">${children}</div>
    <${Message} />
  </dialog>`;
}

/** What is said last. It stands in the panel that is open: nothing outside of that can be pressed. */
export function Message() {
  if (!state.message) return null;
  const { text, action, label } = state.message, close = () => update({ message: null });
  return html`<div class="message" role="alert"><p>${text}</p>
    ${action && html`<button onClick=${() => (close(), action())}>${label}</button>`}<button aria-label=${t("close")} onClick=${close}>×</button></div>`;
}

// The gallery: all pictures of this machine, to be searched, shown, compared, removed

export function Gallery() {
  const [words, setWords] = useState("");
  const text = (job) => `${job.title} ${JSON.stringify(job.settings)} ${t(`status.${job.status}`)}`.toLowerCase();
  const jobs = listJobs(), found = jobs.filter((job) => words.toLowerCase().split(/\s+/).every((word) => text(job).includes(word)));
  return html`<${Panel} title=${t("gallery")}>
    <input type="search" aria-label=${t("search")} placeholder=${t("search")} value=${words} onInput=${({ target }) => setWords(target.value)} />
    ${found.length ? html`<ul class="cards">${found.map((job) => html`<${Card} key=${job.id} job=${job} />`)}</ul>` : html`<p>${t(jobs.length ? "nothingMatches" : "nothingYet")}</p>`}
  <//>`;
}

function Card({ job }) {
  const pictures = job.kind === "painting" ? job.pictures : [], name = pictures.at(-1) ?? "preview.jpg";
  const compareWith = () => update({ other: { url: fileUrl(job, name), title: job.title }, tool: "compare", panel: "" });
  const show = (picture) => showJob(job, picture).catch(ignore);
  const download = job.pictures.at(-1);
  return html`<li class="card" data-id=${job.id}>
    <button class="look" aria-label=${`${t("show")}: ${job.title}`} onClick=${() => show("")}>
      ${pictures.length || job.progress.version ? html`<img src=${fileUrl(job, job.progress.version ? "preview.jpg" : name)} alt="" loading="lazy" />` : html`<span class="film">…</span>`}
    </button>
    <p class="title" title=${job.title}>${job.title}</p>
    <p class="state">${t(`status.${job.status}`)} · ${new Date(1000 * job.created).toLocaleString(state.language, { dateStyle: "short", timeStyle: "short" })}</p>
    ${pictures.length > 1 && html`<p class="kept">${pictures.map((kept, place) => html`<button title=${kept} onClick=${() => show(kept)}>${place + 1}</button>`)}</p>`}
    <p class="buttons">
      ${download && html`<a class="button" href=${fileUrl(job, download, "?download=1")} download>${t("download")}</a>`}
      ${(pictures.length > 0 || job.progress.version > 0) && job.kind === "painting" && state.photo && html`<button onClick=${compareWith}>${t("compare")}</button>`}
      ${job.status !== "painting" && html`<button onClick=${() => removeJob(job)}>${t("remove")}</button>`}
    </p>
  </li>`;
}

// Choosing by eye: quick looks side by side, each with other settings or another painting

const WAYS = {
  strokes: ["style_size=0.35,0.6,1,1.6,2.5,4"],
  balance: ["content_weight=3,1,0.4,0.14,0.05,0.02"],
  both: ["content_weight=1,0.2,0.04", "style_size=0.4,1,2.5"],
};

async function listCells({ way, text }) {
  if (way === "paintings") {
    return state.tray.paintings.slice(0, 12).map((painting) => ({ text: painting.name, paintings: [painting], settings: compose().settings }));
  }
  const given = state.settings, all = await post("variations", { settings: given, vary: WAYS[way] ?? text.split("\n") });
  const varied = (settings) => Object.keys(settings).filter((name) => String(settings[name]) !== String(given[name]));
  return all.map((settings) => ({ settings, text: varied(settings).map((name) => `${labelOf(name)} ${settings[name]}`).join(", ") }));
}

export function Choose() {
  const [text, setText] = useState("style_weight=0.3,1,3"), [asked, setAsked] = useState({ way: "strokes" }), [cells, setCells] = useState([]);
  useEffect(() => {
    const control = new AbortController();
    drawCells(asked, setCells, control.signal).catch(ignore);
    return () => control.abort();
  }, [asked]);
  const { way } = asked, tryOut = (way) => setAsked({ way, text });
  return html`<${Panel} title=${t("choose")}>
    <div class="ways"><label>${t("vary")} <select id="vary" value=${way} onChange=${({ target }) => tryOut(target.value)}>${[...Object.keys(WAYS), "paintings", "own"].map((key) => html`<option value=${key}>${t(`vary.${key}`)}</option>`)}</select></label>
      ${way === "own" && html`<label class="own">${t("varyHelp")}<textarea rows="2" value=${text} onInput=${({ target }) => setText(target.value)}></textarea></label><button onClick=${() => tryOut("own")}>${t("tryOut")}</button>`}
      <button aria-busy=${state.isSending} onClick=${() => paintCells(cells)}>${t("paintThese")}</button></div>
    <ol class="cells">${cells.map((cell) => html`<li><button onClick=${() => pickCell(cell)} aria-label=${cell.text}>${cell.url ? html`<img src=${cell.url} alt="" />` : html`<span class="film">…</span>`}<span>${cell.text}</span></button></li>`)}</ol>
  <//>`;
}

const cellComposition = (cell) => ({ ...compose(cell.settings), ...(cell.paintings ? { paintings: cell.paintings.map(({ id }) => id) } : {}) });

async function drawCells(asked, setCells, signal) {
  const cells = await listCells(asked);
  if (signal.aborted) return;
  setCells([...cells]);
  await Promise.all(
    cells.map(async (cell) => {
      for await (const { url } of quickLook(cellComposition(cell), signal, "?fresh=1&steps=10")) setCells((cell.url = url, [...cells]));
    }),
  );
}

async function paintCells(cells) {
  await sendOnce(async () => {
    for (const cell of cells) await post("jobs", cellComposition(cell));
  }).catch(ignore);
  update({ panel: "gallery" });
}

async function pickCell(cell) {
  update({ panel: "", ...(cell.paintings ? { paintings: cell.paintings } : {}), settings: {} });
  await setForm(cell.settings).catch(ignore);
  change(cell.settings);
}

// Taking it away: the picture, a print, a film, many photos

export function Take() {
  const job = shownJob(), name = job && finalPicture(job);
  return html`<${Panel} title=${t("take")}>
    <section><h3>${t("picture")}</h3>
      ${name ? html`<p>${t("pictureHelp")}</p><a class="button primary" href=${fileUrl(job, name, "?download=1")} download>${t("download")}</a>` : html`<p>${t("paintFirst")}</p>`}
    </section>
    <${Print} /><${Many} />
  <//>`;
}

function Print() {
  const [size, setSize] = useState({ centimeters: 30, dpi: 200 }), [plan, setPlan] = useState(""), fields = useRef();
  const side = Math.round((size.centimeters / CENTIMETERS_PER_INCH) * size.dpi);
  const settings = { ...state.settings, size: side, fit: "longest" };
  const shorter = Math.min(state.aspect, 1 / state.aspect);
  const both = (longer, unit) => {
    const sides = [longer, Number((longer * shorter).toFixed(unit === "cm" ? 1 : 0))];
    return { [unit]: (state.aspect < 1 ? sides.reverse() : sides).join(" × ") };
  };
  const run = (action) => async () => {
    const isRight = [...fields.current.querySelectorAll("input")].every((input) => input.reportValidity());
    if (isRight) await action().catch((error) => setPlan(error.message));
  };
  const ask = run(async () => (setPlan(t("measuring")), setPlan((await post("plan", { ...compose(settings), masks: null })).text)));
  const number = (key, min, max) => html`<label>${t(key)} <input type="number" id=${key} ...${{ min, max, step: "any" }} value=${size[key]} onInput=${({ target }) => setSize({ ...size, [key]: Number(target.value) })} /></label>`;
  return html`<section class="print"><h3>${t("print")}</h3>
    <p class="fields" ref=${fields}>${number("centimeters", 1, 300)} ${number("dpi", 50, 600)}</p>
    <p id="print-size">${state.aspectOf === state.photo?.id ? t("printSize", { ...both(size.centimeters, "cm"), ...both(side, "px") }) : "…"}</p>
    <p class="buttons"><button onClick=${ask}>${t("showPlan")}</button><button onClick=${run(() => paint(settings))}>${t("paintPrint")}</button></p>
    <p id="plan" role="status">${plan}</p>
  </section>`;
}

function Many() {
  const paintAll = async (files) => {
    const isKnown = ({ type, name }) => /^(image|video)\//.test(type) || state.form.types.some((one) => name.toLowerCase().endsWith(one));
    const chosen = files.filter(isKnown), uploads = [];
    try {
      for (const file of chosen) uploads.push(await upload(file, "photo")); // all are checked before any is painted
      for (const { id } of uploads) await post("jobs", { ...compose(), photo: id, masks: null });
      say(t("inQueue", { n: chosen.length }));
      update({ panel: "gallery" });
    } catch {
      update({ panel: "" }); // said already
    }
  };
  return html`<section class="many"><h3>${t("many")}</h3><p>${t("manyHelp")}</p>
    <p class="buttons"><${FileButton} text=${t("chooseFiles")} multiple films onFiles=${paintAll} />
      <${FileButton} text=${t("chooseFolder")} webkitdirectory multiple onFiles=${paintAll} /></p>
  </section>`;
}
