// The dials: what people change; and under More every other setting, from the schema of Settings.
import { html } from "./vendor/preact-htm.js";
import { change, ignore, labelOf, paint, shownJob, state, t, UNFINISHED, value } from "./state.js";

const MIDDLE = 50, MAX_FACTOR = 20; // of the photo's weight at the ends of the balance
const SIZES = [256, 384, 512, 768, 1024, 1536, 2048, 3072];
const ON_DIALS = ["size", "views", "color", "color_strength", "style_size", "style_blend"];
const round = (number) => Number(number.toPrecision(6));

const isWrong = (setting) => setting !== undefined && state.wrong?.setting === setting;
const mark = (setting) => (isWrong(setting) ? { "aria-invalid": "true", "aria-describedby": "fault" } : {});
const Fault = ({ setting }) => isWrong(setting) && html`<p id="fault" class="fault">${state.wrong.text}</p>`;

function Dial({ id, label, setting, ends, text = "", ...slider }) {
  return html`<div class="dial">
    <label for=${id}>${label}<output for=${id}>${text}</output></label>
    <input type="range" id=${id} ...${slider} ...${mark(setting)} />
    <${Fault} setting=${setting} />
    ${ends && html`<${Ends} ends=${ends} />`}
  </div>`;
}

const Ends = ({ ends }) => html`<p class="ends" aria-hidden="true"><span>${ends[0]}</span><span>${ends[1]}</span></p>`;

function Choice({ id, label, choices, chosen, onPick, ends }) {
  const options = choices.map(
    ([key, text]) => html`<label><input type="radio" name=${id} checked=${String(key) === String(chosen)} onChange=${() => onPick(key)} /><span>${text}</span></label>`,
  );
  return html`<fieldset class="choice" role="radiogroup" id=${id} ...${mark(id)}><legend>${label}</legend><div>${options}</div>${ends && html`<${Ends} ends=${ends} />`}<${Fault} setting=${id} /></fieldset>`;
}

function Balance() {
  const usual = state.form.values.content_weight || 1, weight = Math.max(value("content_weight"), 1e-9);
  const place = Math.min(100, Math.max(0, MIDDLE * (1 - Math.log(weight / usual) / Math.log(MAX_FACTOR))));
  const turn = ({ target }) => change({ content_weight: round(usual * MAX_FACTOR ** (1 - target.value / MIDDLE)) });
  return html`<${Dial} id="balance" label=${t("balance")} text=${`${100 - Math.round(place)} : ${Math.round(place)}`} ends=${[t("photo"), t("painting")]} min="0" max="100" value=${Math.round(place)} onInput=${turn} />`;
}

function StrokeSize() {
  const size = parseFloat(value("style_size")) || 1, isPlain = !/[,pa]/.test(value("style_size"));
  const turn = ({ target }) => change({ style_size: String(round(2 ** Number(target.value))) });
  const text = isPlain ? `× ${Number(size.toFixed(2))}` : value("style_size");
  return html`<${Dial} id="strokes" setting="style_size" label=${t("strokes")} text=${text} ends=${[t("fine"), t("broad")]} min="-2.5" max="2" step="0.25" value=${isPlain ? Math.log2(size) : 0} onInput=${turn} />`;
}

function Blend() {
  const weights = state.paintings.map((_, place) => value("style_blend")[place] ?? 1);
  const turn = (place, weight) => change({ style_blend: weights.with(place, Number(weight)) });
  return state.paintings.map(
    ({ id, name }, place) => html`<${Dial} key=${id} id=${`blend-${place + 1}`} setting=${place ? undefined : "style_blend"} label=${t("share", { name })} text=${weights[place]} min="0" max=${Math.max(1, ...weights)} step="0.05" value=${weights[place]} onInput=${({ target }) => turn(place, target.value)} />`,
  );
}

function Views() {
  const weights = value("views").split(","), usual = state.form.values.views.split(",");
  const pick = (count) => change({ views: Array.from({ length: count }, (_, place) => usual[place] ?? "1").join(",") });
  return html`<${Choice} id="views" label=${t("views")} choices=${[1, 2, 3, 4].map((count) => [count, count])} chosen=${weights.length} ends=${[t("viewsFew"), t("viewsAll")]} onPick=${pick} />`;
}

function Colors() {
  const colors = ["none", "keep", "match", "only"].map((key) => [key, t(`color.${key}`)]);
  return html`<${Choice} id="color" label=${t("colors")} choices=${colors} chosen=${value("color")} onPick=${(color) => change({ color, ...(color === "none" ? { color_strength: null } : {}) })} />
    ${value("color") !== "none" &&
    html`<${Dial} id="color-strength" setting="color_strength" label=${t("colorStrength")} text=${`${Math.round(100 * value("color_strength"))} %`} min="0" max="1" step="0.05" value=${value("color_strength")} onInput=${({ target }) => change({ color_strength: Number(target.value) })} />`}`;
}

const listOptions = (choices, chosen) =>
  choices.map(([key, text]) => html`<option value=${key} selected=${String(key) === String(chosen)}>${text}</option>`);

function Select({ id, label, choices, chosen, onPick }) {
  return html`<div class="select"><label for=${id}>${label}</label>
    <select id=${id} value=${chosen} ...${mark(id)} onChange=${({ target }) => onPick(target.value)}>
      ${listOptions(choices, chosen)}
    </select><${Fault} setting=${id} /></div>`;
}

function SizeAndPreset() {
  const size = value("size"), sizes = [...new Set([...SIZES, size])].sort((a, b) => a - b);
  const { choices } = state.form.fields.preset, isPlain = (name) => `preset.${name}` in state.words.en; // the others: More
  const presets = choices.filter((name) => isPlain(name) || name === value("preset")).map((name) => [name, isPlain(name) ? t(`preset.${name}`) : name]);
  return html`<div class="pair">
    <${Select} id="size" label=${t("size")} choices=${sizes.map((side) => [side, t("pixels", { n: side })])} chosen=${size} onPick=${(side) => change({ size: Number(side) })} />
    <${Select} id="preset" label=${t("preset")} choices=${presets} chosen=${value("preset")} onPick=${(preset) => change({ preset })} />
  </div>`;
}

// More

function Field({ name }) {
  const { choices, type, minimum, maximum, description } = state.form.fields[name], id = `setting-${name}`;
  const numeric = ["integer", "number"].includes(type);
  const typed = document.activeElement, shown = typed?.id === id ? typed.value : value(name); // what is typed stays
  const set = ({ target }) => {
    const text = target.value.trim();
    change({ [name]: type === "boolean" ? target.checked : text === "" ? null : numeric ? Number(text) : text });
  };
  const common = { id, "aria-describedby": `${id}-help`, onChange: set, ...mark(name) };
  const kind = numeric ? { type: "number", step: "any", min: minimum, max: maximum } : { type: "text" };
  const entry = type === "boolean" ? { type: "checkbox", checked: value(name) } : { ...kind, value: shown };
  const input = choices.length
    ? html`<select ...${common} value=${value(name)}>${listOptions(choices.map((choice) => [choice, choice]), value(name))}</select>`
    : html`<input ...${common} ...${entry} />`;
  return html`<div class=${`field ${type}`}><label for=${id}>${labelOf(name)}</label>${input}<${Fault} setting=${name} /><p id=${`${id}-help`}>${t(description)}</p></div>`;
}

function More() {
  const names = Object.keys(state.form.fields).filter((name) => !ON_DIALS.includes(name));
  const groups = Map.groupBy(names, (name) => state.form.fields[name].group);
  return html`<details class="more">
    <summary>${t("more")}</summary>
    ${[...groups].map(
      ([group, fields]) => html`<details key=${group}>
        <summary>${t(`group.${group}`)}</summary>
        ${fields.map((name) => html`<${Field} key=${name} name=${name} />`)}
      </details>`,
    )}
  </details>`;
}

export function Dials() {
  return html`<section class="dials" aria-label=${t("dials")} hidden=${state.sheet !== "dials"}>
    <div class="scroll">
      <${Balance} /><${StrokeSize} />${state.paintings.length > 1 && html`<${Blend} />`}<${Colors} /><${Views} /><${SizeAndPreset} /><${More} />
    </div>
  </section>`;
}

export function PaintButton() {
  const isLive = UNFINISHED.includes(shownJob()?.status), isMissing = !state.photo || !state.paintings.length;
  const press = () => paint().catch(ignore);
  return html`<button id="paint" class="primary" disabled=${isMissing} aria-busy=${state.isSending} onClick=${press}>${t(isLive ? "paintAgain" : "paint")}</button>`;
}
