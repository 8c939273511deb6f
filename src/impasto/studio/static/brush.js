// Masks, brushed over the picture: with a finger, a pen, a mouse, or the arrow keys and the space bar.
import { html, useEffect, useRef } from "./vendor/preact-htm.js";
import { ask, ignore, lookSoon, post, say, state, t, update, upload, value } from "./state.js";

const SIDE = 640, MAX_UNDO = 30;
const brush = { color: null, size: 60, past: [], future: [], board: null, of: "", spot: null };

const pen = () => brush.board.getContext("2d", { willReadFrequently: true });
const pixels = () => pen().getImageData(0, 0, brush.board.width, brush.board.height);

function remember() {
  brush.past = [...brush.past, pixels()].slice(-MAX_UNDO);
  brush.future = [];
  update();
}

function restore(from, to) {
  if (!from.length) return;
  to.push(pixels());
  pen().putImageData(from.pop(), 0, 0);
  update();
  save();
}

export const undo = () => restore(brush.past, brush.future);
export const redo = () => restore(brush.future, brush.past);

const save = () => (state.saving = saveBoard());

/** Upload what is brushed, and look at it. */
async function saveBoard() {
  if (!pixels().data.some((part, place) => place % 4 === 3 && part)) update({ masks: null });
  else {
    const file = await new Promise((done) => brush.board.toBlob(done, "image/png"));
    const uploaded = await upload(new File([file], "brush.png"), "masks").catch(ignore);
    if (uploaded) update({ masks: (brush.of = uploaded.id) });
  }
  lookSoon(0);
}

function stroke(from, to) {
  const context = pen(), { color } = brush;
  context.globalCompositeOperation = color ? "source-over" : "destination-out";
  context.strokeStyle = color || "#000";
  context.lineWidth = brush.size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}

function place(event) {
  const box = brush.board.getBoundingClientRect();
  return { x: ((event.clientX - box.left) * brush.board.width) / box.width, y: ((event.clientY - box.top) * brush.board.height) / box.height };
}

let last = null;
const pointer = {
  onPointerDown: (event) => {
    brush.board.setPointerCapture(event.pointerId);
    remember();
    stroke((last = place(event)), last);
  },
  onPointerMove: (event) => {
    if (!last) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) stroke(last, (last = place(part)));
  },
  onPointerUp: () => {
    last = null;
    save();
  },
};

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function press(event) {
  const { width, height } = brush.board, move = MOVES[event.key];
  const spot = (brush.spot ??= { x: width / 2, y: height / 2 });
  if (move) {
    spot.x = Math.min(width, Math.max(0, spot.x + (move[0] * width) / 24));
    spot.y = Math.min(height, Math.max(0, spot.y + (move[1] * width) / 24));
    update();
  } else if (event.key === " ") {
    remember();
    stroke(spot, spot);
    save();
  } else return;
  event.preventDefault();
}

/** The board over the picture. It shows the masks of the composition, wherever they come from. */
export function Board() {
  const ref = useRef();
  useEffect(() => {
    const board = (brush.board = ref.current);
    [board.width, board.height] = state.aspect > 1 ? [SIDE, Math.round(SIDE / state.aspect)] : [Math.round(SIDE * state.aspect), SIDE];
    Object.assign(brush, { past: [], future: [], of: "", spot: null });
    update();
  }, [state.photo?.id, state.aspect]);
  useEffect(() => {
    if (state.masks && state.masks !== brush.of) drawMasks(state.masks, true).catch(ignore);
  }, [state.masks, state.photo?.id, state.aspect]);
  const spot = brush.spot && { left: `${(100 * brush.spot.x) / ref.current.width}%`, top: `${(100 * brush.spot.y) / ref.current.height}%` };
  return html`<canvas ref=${ref} class="board" tabindex="0" role="img" aria-label=${t("boardHelp")} ...${pointer} onKeyDown=${press}></canvas>
    ${spot && html`<span class="spot" style=${spot}></span>`}`;
}

async function drawMasks(id, isAlone) {
  const image = await createImageBitmap(await (await ask(`masks/${id}`)).blob());
  brush.of = id;
  remember();
  if (isAlone) pen().clearRect(0, 0, brush.board.width, brush.board.height);
  pen().globalCompositeOperation = "source-over";
  pen().drawImage(image, 0, 0, brush.board.width, brush.board.height);
}

export function BrushTools() {
  const { paintings, preserve, guard } = state.form.colors, hasGuard = Number(value("guard")) > 0;
  const colors = [
    ...(state.paintings.length > 1 ? state.paintings.map(({ name }, number) => [paintings[number], name]) : []),
    [preserve, t("stays")],
    ...(hasGuard ? [[guard, t("readable")]] : []),
    ["", t("wipe")],
  ];
  if (!colors.some(([color]) => color === brush.color)) brush.color = colors[0][0];
  const pick = (color) => update((brush.color = color, {}));
  const find = async () => {
    const isReplaced = state.masks;
    update({ masks: (await post(`regions/${state.photo.id}?paintings=${state.paintings.length}`)).id });
    if (isReplaced) say(`${t("regionsFound")} ${t("regionsReplace")}`, { label: t("undo"), action: undo });
    else say(t("regionsFound"));
    lookSoon(0);
  };
  const findFaces = async () => {
    await drawMasks((await post(`faces/${state.photo.id}`)).id, false);
    await saveBoard();
    say(t("facesFound"));
  };
  const wipe = () => (remember(), pen().clearRect(0, 0, brush.board.width, brush.board.height), save());
  return html`<div class="brush" role="group" aria-label=${t("brush")}>
    <div class="chips" role="radiogroup" aria-label=${t("whatToBrush")}>
      ${colors.map(([color, text]) => html`<label><input type="radio" name="brush" checked=${color === brush.color} onChange=${() => pick(color)} /><span class="chip" style=${{ background: color || "transparent" }}></span>${text}</label>`)}
    </div>
    <label class="size">${t("brushSize")}<input type="range" min="8" max="180" value=${brush.size} onInput=${({ target }) => (brush.size = Number(target.value))} /></label>
    <button disabled=${!brush.past.length} onClick=${undo}>${t("undo")}</button>
    <button disabled=${!brush.future.length} onClick=${redo}>${t("redo")}</button>
    <button onClick=${wipe}>${t("wipeAll")}</button>
    <button onClick=${() => (state.saving = find().catch(ignore))}>${t("findRegions")}</button>
    <button disabled=${!hasGuard} onClick=${() => (state.saving = findFaces().catch(ignore))}>${t("findFaces")}</button>
  </div>`;
}
