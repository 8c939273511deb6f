// What the page knows, and what it asks of the studio. Components draw `state`; nothing else is kept between two draws.
import { html, render } from "./vendor/preact-htm.js";

export const UNFINISHED = ["painting", "paused", "waiting"];
const LOOK_SIDE = 256, LOOK_STEPS = 12; // a painting replaces the quick look once it has as many pixels, and so many steps
const OF_ANY_FINISH = ["size", "style_size", "style_blend", "color", "color_strength"]; // dials that another finish keeps
const DOUBLE_CLICK = 800; // milliseconds
const KEPT = ["photo", "aspect", "aspectOf", "paintings", "settings", "masks", "shown", "pictureName", "tool"]; // when the page is opened again
const MESSAGE_TIME = 9000; // milliseconds, also to undo what the message tells
const RETRY_TIME = 2000; // milliseconds, where the studio refused to be followed

export const state = {
  words: {}, language: "en", form: null, tray: { photos: [], paintings: [] },
  photo: null, paintings: [], settings: {}, masks: null,
  aspect: 1.5, aspectOf: "", // width over height, and the ID of the photo whose shape this is
  jobs: new Map(), order: [], isReady: false, fault: "", isLost: false,
  shown: null, // a job's ID, or null for what is being composed
  pictureName: "", // of the job that is shown, where it is not the last
  look: null, lookOf: "", // the last quick look, and the composition or job that it is of
  panel: "", tool: "", other: null, sheet: "pictures", message: null,
  wrong: null, // the setting that was refused last, and why
  saving: null, // the brushed masks, while they are uploaded
  removed: new Map(), // uploads and jobs that are deleted soon, by ID, with their timers
  isSending: false, // a composition, on its way into the queue
};

const OPEN = "open"; // the entry of the browser's history that Back leaves to close a panel or a tool
let drawn = null;
let root = null;

export function start(component) {
  root = component;
  update();
}

/** Change the state, and draw the page once all changes of this moment are made. */
export function update(changes = {}) {
  Object.assign(state, changes);
  return (drawn ??= Promise.resolve().then(() => {
    drawn = null;
    if (!root) return;
    render(html`<${root} />`, document.body);
    if ((state.panel || state.tool) && history.state !== OPEN) history.pushState(OPEN, "");
    const kept = JSON.stringify(Object.fromEntries(KEPT.map((name) => [name, state[name]])));
    for (const storage of [sessionStorage, localStorage]) storage.setItem("composition", kept); // of this tab; of the last one
  }));
}

/** Close what is open over the page, where the browser's Back was pressed; leave the page if nothing is. */
export function closeOnBack({ state: entry }) {
  if (entry === OPEN) return; // that was Forward
  if (!state.panel && !state.tool) return history.back();
  update(state.panel ? { panel: "" } : { tool: "" });
}

export const t = (key, values = {}) =>
  (state.words[state.language]?.[key] ?? state.words.en?.[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** Translate a job's message sentence by sentence; errors are in English. */
export const translate = (message) =>
  message.split(/(?<=[.…]) /).map((sentence) => state.words[state.language]?.[sentence] ?? sentence).join(" ");

export const labelOf = (name) =>
  state.words[state.language]?.[`setting.${name}`] ?? (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");

export function setLanguage(language) {
  localStorage.setItem("language", language);
  document.documentElement.lang = language;
  update({ language });
}

let messageTimer = 0;

/** Show a message, with a button where there is an `action`, which stays unless it is `brief`. */
export function say(text, { action = null, label = "", brief = !action } = {}) {
  clearTimeout(messageTimer);
  if (brief) messageTimer = setTimeout(() => update({ message: null }), MESSAGE_TIME);
  update({ message: { text, action, label } });
}

/** Mark a setting that was refused, and bring it into sight. */
async function markWrong(setting, text) {
  const isKnown = state.wrong?.setting === setting;
  await update({ wrong: { setting, text }, ...(isKnown ? {} : { sheet: "dials" }) });
  if (isKnown) return;
  const field = document.querySelector(".dials [aria-invalid=true]");
  for (let part = field; part; part = part.parentElement) if (part.matches("details")) part.open = true;
  field?.scrollIntoView({ block: "nearest" });
}

/** Ask the studio; returns the response. What is refused is shown, unless `quiet`, and thrown. */
export async function ask(path, { method = "GET", body, signal, quiet = false } = {}) {
  const isFile = body instanceof Blob;
  const headers = body === undefined ? {} : { "content-type": isFile ? "application/octet-stream" : "application/json" };
  try {
    const answer = await fetch(`api/${path}`, { method, headers, signal, body: isFile ? body : JSON.stringify(body) });
    if (answer.ok) {
      if (body && !isFile) update({ wrong: null });
      return answer;
    }
    const { detail, setting } = await answer.json();
    throw Object.assign(new Error(typeof detail === "string" ? detail : t("refused")), { setting });
  } catch (error) {
    if (error.name !== "AbortError" && !quiet) {
      say(error instanceof TypeError ? t("lost") : error.message);
      if (error.setting) markWrong(error.setting, error.message);
    }
    throw error;
  }
}

export const askJson = async (path, options) => (await ask(path, options)).json();
export const post = (path, body = {}) => askJson(path, { method: "POST", body });
export const ignore = () => {};

export function follow() {
  const events = new EventSource("api/events");
  events.onmessage = ({ data }) => {
    const { order, changed, ready, fault } = JSON.parse(data);
    const jobs = new Map(order.map((id) => [id, state.jobs.get(id)]));
    for (const job of changed) jobs.set(job.id, job);
    update({ jobs, order, isReady: ready, fault, isLost: false, shown: jobs.has(state.shown) ? state.shown : null });
  };
  events.onerror = () => {
    update({ isLost: true });
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, RETRY_TIME); // otherwise it tries again by itself
  };
}

// What is composed: a photo, paintings, settings, masks

export const listJobs = () => state.order.filter((id) => !state.removed.has(id)).map((id) => state.jobs.get(id));
export const shownJob = () => state.jobs.get(state.shown);
const liveJob = () => (UNFINISHED.includes(shownJob()?.status) && shownJob().kind === "painting" ? shownJob() : null);
export const value = (name) => state.settings[name] ?? state.form.values[name];

export const compose = (settings = state.settings) => ({
  photo: state.photo?.id ?? "",
  paintings: state.paintings.map(({ id }) => id),
  settings,
  masks: state.masks,
});

/** Change what is painted from: the quick look begins anew, and a job that is shown goes on in the background. */
export function chooseInputs(changes) {
  const { style_blend: _, ...settings } = state.settings;
  if ("photo" in changes) update({ masks: null });
  if ("paintings" in changes) update({ settings });
  update({ ...changes, shown: null });
  if (state.tool !== "brush" || state.photo?.is_film) update({ tool: "" });
  if (changes.photo) measurePhoto(changes.photo);
  lookSoon(0);
}

/** Show again what this tab showed before it was reloaded, or the last one before it was closed. */
export async function restore() {
  const kept = JSON.parse(sessionStorage.getItem("composition") ?? localStorage.getItem("composition"));
  if (!kept) return;
  const isHere = (path) => ask(path, { quiet: true }).then(() => true, () => false); // uploads are deleted one day
  const found = (pictures) => Promise.all(pictures.map(async (it) => ((await isHere(`pictures/${it.id}`)) ? [it] : []))).then((all) => all.flat());
  const [[photo = null], paintings] = [await found(kept.photo ? [kept.photo] : []), await found(kept.paintings)];
  const masks = kept.masks && (await isHere(`masks/${kept.masks}`)) ? kept.masks : null;
  await setForm(kept.settings);
  update({ ...kept, photo, paintings, masks });
  if (photo) measurePhoto(photo);
  if (!kept.shown) lookSoon(0);
}

/** Begin a new picture, with everything as usual. */
export async function startAnew() {
  const takeBack = rememberComposition();
  await setForm({});
  chooseInputs({ photo: null, paintings: firstPaintings(), settings: {} });
  update({ pictureName: "", tool: "", wrong: null });
  say(t("startedAnew"), { label: t("undo"), action: takeBack, brief: true });
}

export const firstPaintings = () => state.tray.paintings.filter(({ id }) => id === "starry_night");

/** Return a function that brings back what is composed and shown now. */
function rememberComposition() {
  const { form } = state, kept = Object.fromEntries(KEPT.map((name) => [name, state[name]]));
  return () => {
    update({ form, ...kept });
    if (!kept.shown) lookSoon(0);
  };
}

function measurePhoto(photo) {
  const image = new Image();
  image.onload = () => state.photo?.id === photo.id && update({ aspect: image.naturalWidth / image.naturalHeight, aspectOf: photo.id });
  image.src = pictureUrl(photo, 320);
}

export const pictureUrl = ({ id }, side) => `api/pictures/${id}?side=${side}`;

/** Ask for the dials and fields, and what is usual with a preset and a network. */
const askForm = ({ preset = "default", network = "" }) => askJson(`form?preset=${preset}&network=${network}`);
export const setForm = async (settings) => update({ form: await askForm(settings) });

/** Set settings; null means as usual. The painting that is shown follows, or else the quick look does. */
export async function change(changes) {
  const settings = { ...state.settings, ...changes };
  const balance = value("content_weight") / state.form.values.content_weight; // which another finish keeps, too
  if (changes.preset) {
    for (const name of Object.keys(settings)) if (!OF_ANY_FINISH.includes(name) && !(name in changes)) delete settings[name];
  }
  if (changes.preset || "network" in changes) await setForm(settings).catch(ignore);
  if (changes.preset && Number.isFinite(balance) && balance !== 1 && !("content_weight" in changes)) settings.content_weight = Number((balance * state.form.values.content_weight).toPrecision(6));
  const usual = state.form.values;
  const isUsual = (name) => settings[name] === null || (name !== "size" && name !== "preset" && String(settings[name]) === String(usual[name]));
  for (const name of Object.keys(settings)) if (isUsual(name)) delete settings[name];
  const { wrong, message } = state, job = liveJob();
  update({ settings, wrong: wrong?.setting in changes ? null : wrong, message: message?.action ? message : null });
  if (!job) return lookSoon();
  const hasEffect = (name) => name !== "color_strength" || value("color") !== "none";
  const canSteer = (name) => state.form.steerable.includes(name);
  const steered = Object.keys(changes).filter((name) => canSteer(name) && hasEffect(name));
  if (steered.length) steerSoon(Object.fromEntries(steered.map((name) => [name, value(name)])));
  const later = Object.keys(changes).filter((name) => !canSteer(name) && String(settings[name]) !== String(job.settings[name]));
  if (later.length) say(t("nextPaint", { names: later.map(labelOf).join(", ") }), { label: t("paintAnew"), action: () => paintAnew(job) });
}

/** Stop a job, which keeps its picture, and paint with the settings as they are now. */
const paintAnew = (job) => act(job, "stop").then(() => paint()).catch(ignore);

let steerTimer = 0, steering = {};

function steerSoon(changes) {
  clearTimeout(steerTimer);
  steering = { ...steering, ...changes };
  steerTimer = setTimeout(() => {
    const job = liveJob();
    if (job) ask(`jobs/${job.id}`, { method: "PATCH", body: steering }).catch(ignore);
    steering = {};
  }, 120);
}

// The quick look

let lookTimer = 0, looking = null;

export function lookSoon(delay = 16) {
  clearTimeout(lookTimer);
  lookTimer = setTimeout(look, delay);
}

async function look() {
  looking?.abort();
  if (!state.photo || !state.paintings.length) return update({ look: null });
  const control = (looking = new AbortController()), composition = compose();
  const of = JSON.stringify([composition.photo, composition.paintings]);
  const url = shownJob() ? jobPicture(shownJob()) : of === state.lookOf ? state.look?.url : null;
  const before = url ? { url, step: 0, steps: 1 } : null; // what is seen stays until the next one comes
  update({ shown: null, pictureName: "", look: before, lookOf: of });
  try {
    for await (const frame of quickLook(composition, control.signal)) update({ look: frame });
  } catch {
    // said already, or called off by the next look
  }
}

/** Yield the pictures of a quick look, ever better; with `?fresh=1` from the photo on, not from the last look. */
export async function* quickLook(composition, signal, query = "") {
  const answer = await ask(`quick_look${query}`, { method: "POST", body: composition, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value: part, done } = await reader.read();
    if (done) return;
    const lines = (text + part).split("\n");
    text = lines.pop();
    for (const { jpeg, step, steps } of lines.map(JSON.parse)) yield { url: `data:image/jpeg;base64,${jpeg}`, step, steps };
  }
}

// Jobs

let painted = -DOUBLE_CLICK; // when Paint was pressed last

/** Call `send`, which puts something into the queue; a second press meanwhile does nothing. */
export async function sendOnce(send) {
  if (state.isSending) return;
  update({ isSending: true });
  return send().finally(() => update({ isSending: false }));
}

/** Put a composition into the queue and show it, the quick look until the painting is better. */
export async function paint(settings = state.settings) {
  if (state.isSending || performance.now() - painted < DOUBLE_CLICK) return;
  painted = performance.now();
  const job = await sendOnce(async () => {
    await state.saving; // what was brushed last belongs to it
    return post("jobs", compose(settings));
  });
  clearTimeout(lookTimer);
  looking?.abort();
  const hasLook = state.look?.steps > 1; // or what is seen is of something else
  const jobs = new Map(state.jobs).set(job.id, state.jobs.get(job.id) ?? job);
  update({ jobs, shown: job.id, pictureName: "", panel: "", tool: "", lookOf: hasLook ? job.id : "" });
}

export const act = (job, action, query = "") => post(`jobs/${job.id}/${action}${query}`).catch(ignore);

/** Show a job, and take over what it is painted from, so that the dials are its own. */
export async function showJob(job, name = "") {
  looking?.abort();
  update({ shown: job.id, pictureName: name, panel: "", tool: "", look: null, lookOf: "" });
  const { photo, paintings, settings, masks } = await askJson(`jobs/${job.id}/composition?name=${name}`);
  const [form, tray] = await Promise.all([askForm(settings), askJson("tray")]), names = [job.photo, ...job.paintings];
  if (state.shown !== job.id || state.pictureName !== name) return; // another one was chosen meanwhile
  const known = [photo, ...paintings].map((id, place) => inTray(tray, id) ?? { id, name: names[place], is_film: !place && job.kind === "film" });
  update({ photo: known[0], paintings: known.slice(1), settings, masks, form, tray });
  measurePhoto(known[0]);
}

const inTray = ({ photos, paintings }, id) => [...photos, ...paintings].find((picture) => picture.id === id);

/** The address of what is seen of a job, or null while the quick look is better. */
export function jobPicture(job) {
  const { progress, pictures, status } = job, isPainting = status === "painting" || status === "waiting";
  if (state.pictureName) return fileUrl(job, state.pictureName);
  if (!isPainting && pictures.includes("picture.png")) return fileUrl(job, "picture.png");
  const isLarge = Math.max(progress.width, progress.height) >= LOOK_SIDE || progress.scale === progress.scales;
  const isBetter = (isLarge && progress.step >= LOOK_STEPS) || !isPainting || state.lookOf !== job.id;
  return progress.version > 0 && isBetter ? fileUrl(job, "preview.jpg") : null;
}

/** The name of the finished picture that is shown, or undefined. */
export const finalPicture = (job) => state.pictureName || ["picture.png", "film.mp4"].find((name) => job.pictures.includes(name));

export const fileUrl = (job, name, query = `?v=${job.progress.version}`) => `${job.folder}${name}${query}`;

export async function upload(file, role) {
  const uploaded = await askJson(`uploads?role=${role}&name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
  unhide(uploaded.id);
  if (role !== "masks") askJson("tray").then((tray) => update({ tray }));
  return uploaded;
}

/** Take files that were dropped, pasted or picked. */
export async function takeFiles(files, role) {
  const uploads = [];
  for (const file of files) uploads.push(await upload(file, role).catch(ignore));
  const taken = uploads.filter(Boolean);
  if (!taken.length) return;
  if (role === "painting") return chooseInputs({ paintings: taken.slice(0, state.form.colors.paintings.length) });
  const photo = taken.at(-1);
  chooseInputs({ photo });
  if (photo.has_recipe) say(t("hasRecipe"), { label: t("useSettings"), action: () => useRecipe(photo) });
}

/** Delete an upload; where it was chosen, nothing is. */
export function removeUpload({ id, name }) {
  const takeBack = rememberComposition(), paintings = state.paintings.filter((one) => one.id !== id);
  const isPhoto = state.photo?.id === id, isPainting = paintings.length < state.paintings.length;
  if (isPhoto) chooseInputs({ photo: null });
  if (isPainting) chooseInputs({ paintings });
  const remove = async () => {
    await ask(`uploads/${id}`, { method: "DELETE" }).catch(ignore);
    update({ tray: await askJson("tray") });
  };
  removeLater(id, t("removed", { name }), remove, () => (isPhoto || isPainting) && takeBack());
}

/** Delete a job with its pictures. One that waits is held meanwhile. */
export function removeJob(job) {
  const takeBack = rememberComposition(), isShown = state.shown === job.id, isWaiting = job.status === "waiting";
  if (isWaiting) act(job, "pause");
  if (isShown) update({ shown: null, pictureName: "" });
  const remove = async () => {
    await ask(`jobs/${job.id}`, { method: "DELETE" });
    update({ order: state.order.filter((id) => id !== job.id) });
  };
  const bringBack = () => (isWaiting && act(job, "resume"), isShown && takeBack());
  removeLater(job.id, t("removedJob", { title: job.title }), remove, bringBack);
}

/** Hide an upload or a job at once, and delete it when it is too late to undo that. */
function removeLater(id, text, remove, bringBack) {
  const timer = setTimeout(() => remove().catch(ignore).finally(() => unhide(id)), MESSAGE_TIME);
  update({ removed: state.removed.set(id, timer) });
  say(text, { label: t("undo"), brief: true, action: () => (unhide(id), bringBack()) });
}

function unhide(id) {
  clearTimeout(state.removed.get(id));
  state.removed.delete(id);
  update();
}

async function useRecipe(picture) {
  const { settings, left_out, files, photo, paintings } = await post(`recipes/${picture.id}`);
  await setForm(settings);
  const known = (id, place) => inTray(state.tray, id) ?? { id, name: files[place] ?? id };
  const inputs = photo ? { photo: known(photo, 0), paintings: paintings.map((id, place) => known(id, place + 1)) } : {};
  chooseInputs({ settings, masks: null, ...inputs });
  update({ settings });
  const missing = photo ? "" : ` ${t("paintedFrom", { files: files.join(", ") })}`;
  const dropped = left_out.length ? ` ${t("leftOut", { names: left_out.map(labelOf).join(", ") })}` : "";
  say(`${t("settingsTaken")}${missing}${dropped}`);
}
