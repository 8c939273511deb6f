// The page. No request leaves this machine.
import { html } from "./vendor/preact-htm.js";
import { redo, undo } from "./brush.js";
import { Dials, PaintButton } from "./dials.js";
import { Choose, Gallery, Message, Take } from "./panels.js";
import { Stage } from "./stage.js";
import { askJson, closeOnBack, firstPaintings, follow, ignore, listJobs, restore, setForm, setLanguage, startAnew, state, start, t, takeFiles, UNFINISHED, update } from "./state.js";
import { Tray } from "./tray.js";

const PANELS = { gallery: Gallery, choose: Choose, take: Take };

function Header() {
  const jobs = listJobs(), busy = jobs.filter((job) => UNFINISHED.includes(job?.status)).length;
  return html`<header class="top">
    <p class="name">impasto</p>
    <button onClick=${() => startAnew().catch(ignore)}>${t("startAnew")}</button>
    <button onClick=${() => update({ panel: "gallery" })}>${t("gallery")} <span class="count">${jobs.length}</span>${busy > 0 && html` <span class="busy">${t("busy", { n: busy })}</span>`}</button>
    <select aria-label=${t("language")} onChange=${({ target }) => setLanguage(target.value)}>
      ${Object.keys(state.words).map((language) => html`<option value=${language} selected=${language === state.language}>${state.words[language].name}</option>`)}
    </select>
  </header>`;
}

function Tabs() {
  const tab = (sheet) => html`<button aria-pressed=${state.sheet === sheet} onClick=${() => update({ sheet: state.sheet === sheet ? "" : sheet })}>${t(sheet)}</button>`;
  return html`<nav class="tabs" aria-label=${t("sheets")}>${tab("pictures")} ${tab("dials")}</nav>`;
}

function App() {
  return html`<${Header} /><${Tray} /><${Stage} /><${Dials} /><footer class="bar"><${Tabs} /><${PaintButton} /></footer>
    ${state.panel ? html`<${PANELS[state.panel]} />` : html`<${Message} />`}`;
}

addEventListener("popstate", closeOnBack);
document.addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && takeFiles(clipboardData.files, "photo"));
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (state.tool !== "brush" || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  event.preventDefault();
  (event.shiftKey ? redo : undo)();
});

const [words, tray] = await Promise.all([fetch("static/words.json").then((answer) => answer.json()), askJson("tray"), setForm({})]);
const wanted = localStorage.getItem("language") ?? navigator.language.slice(0, 2);
update({ words, tray });
update({ paintings: firstPaintings() });
setLanguage(words[wanted] ? wanted : "en");
await restore().catch(ignore);
follow();
start(App);
