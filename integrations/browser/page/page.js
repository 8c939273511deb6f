// The page: reads the pictures, has the worker paint, and shows what comes back.

const MAX_READ_SIDE = 2048; // pixels: a larger picture is reduced as it is read
const MIN_SIDE = 32; // pixels: what the coarsest level of the network needs

const find = (id) => document.getElementById(id);
const [form, paint, status, error, canvas] = ["form", "paint", "status", "error", "picture"].map(find);
const sources = { photo: null, own: null }; // what was chosen, as pixels
let worker = null;
let isReady = false;
let isBusy = false; // a request waits for its answer: the worker takes one at a time

class Problem extends Error {}

function say(text) {
  status.textContent = text;
}

function complain(problem) {
  error.textContent = problem.message;
  error.scrollIntoView({ block: "nearest" });
}

function setBusy(value) {
  isBusy = value;
  find("busy").hidden = !isBusy;
  updatePaint();
}

function updatePaint() {
  paint.disabled = isBusy || !isReady || !sources.photo;
}

async function readPixels(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new Problem(`${name} is not a picture that this browser can read. Choose a JPEG, PNG or WebP file.`);
  }
  const scale = Math.min(1, MAX_READ_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const read = Object.assign(document.createElement("canvas"), { width, height });
  const context = read.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // behind transparent parts
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

async function choose(file, source, seen) {
  if (!file) return;
  error.textContent = "";
  try {
    sources[source] = await readPixels(file, file.name);
  } catch (problem) {
    return complain(problem);
  }
  URL.revokeObjectURL(seen.src);
  seen.src = URL.createObjectURL(file);
  seen.hidden = false;
  if (source === "own") {
    find("own").parentElement.hidden = false;
    find("own").checked = true;
    showCredit();
  }
  updatePaint();
  if (isReady && !isBusy && sources.photo) say("Ready.");
}

function showCredit() {
  find("credit").textContent = form.painting.value === "own" ? "Your own painting." : chosenTile().title;
}

function chosenTile() {
  return form.querySelector("[name=painting]:checked").parentElement;
}

async function readPainting() {
  if (form.painting.value === "own") return sources.own;
  const { src, alt } = chosenTile().querySelector("img");
  const answer = await fetch(src).catch(() => null);
  if (!answer?.ok) throw new Problem(`The painting ${alt} could not be loaded from the server. Try again.`);
  return readPixels(await answer.blob(), alt);
}

function checkSides(name, { width, height }, size) {
  const shorter = Math.round((size * Math.min(width, height)) / Math.max(width, height));
  if (shorter < MIN_SIDE) {
    throw new Problem(
      `The ${name} would be ${shorter} pixels across, and at least ${MIN_SIDE} are needed. ` +
        "Choose a larger size, or crop it to be less narrow.",
    );
  }
}

async function start(event) {
  event.preventDefault();
  error.textContent = "";
  setBusy(true);
  say("Painting…");
  try {
    const size = Number(find("size").value);
    const painting = await readPainting();
    checkSides("photo", sources.photo, size);
    checkSides("painting", painting, size);
    const strength = find("strength").value / 100;
    const began = performance.now();
    const picture = await ask({ photo: sources.photo, painting, size, strength });
    show(picture, (performance.now() - began) / 1000);
  } catch (problem) {
    say("");
    complain(problem);
  }
  setBusy(false);
}

function show({ pixels, width, height }, seconds) {
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  canvas.toBlob((blob) => {
    const link = find("download");
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
    link.download = "picture.png";
  });
  say(`Painted in ${seconds.toFixed(1)} seconds: ${width} x ${height} pixels.`);
  const figure = canvas.closest("figure");
  figure.hidden = false;
  figure.scrollIntoView({ block: "nearest" });
}

// Sends the worker a request. After an error the worker is replaced: its memory may be full, or in disorder.
function ask(request) {
  return new Promise((resolve, reject) => {
    const fail = (text) => {
      worker.terminate();
      startWorker();
      reject(new Problem(text));
    };
    worker.onmessage = ({ data }) => (data.error ? fail(explain(data.error)) : resolve(data));
    worker.onerror = (event) => fail(explain(event.message ?? "the worker could not be started"));
    worker.postMessage(request);
  });
}

function startWorker() {
  worker = new Worker("worker.js", { type: "module" });
}

function explain(text) {
  if (/memory|alloc|out of bounds/i.test(text)) {
    return "There was not enough memory. Choose a smaller size, or close other tabs.";
  }
  if (/fetch|load|HTTP/i.test(text)) return `A part of this page could not be loaded from its server: ${text}`;
  if (/backend|WebAssembly/.test(text)) {
    return `This browser can't run what paints, which needs WebAssembly with SIMD. Try a newer browser. (${text})`;
  }
  return `Something went wrong: ${text}. Reload the page; if it happens again, try another browser.`;
}

function acceptDrops(target, source, seen) {
  const mark = (event) => {
    event.preventDefault();
    target.classList.toggle("dragged", event.type === "dragover");
  };
  for (const type of ["dragover", "dragleave", "drop"]) target.addEventListener(type, mark);
  target.addEventListener("drop", (event) => choose(event.dataTransfer.files[0], source, seen));
}

async function open() {
  for (const [input, drop, source, seen] of [
    ["photo", "photo-drop", "photo", "photo-seen"],
    ["own-file", "painting-drop", "own", "own-seen"],
  ]) {
    find(input).addEventListener("change", ({ target }) => choose(target.files[0], source, find(seen)));
    acceptDrops(find(drop), source, find(seen));
  }
  for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
  find("strength").addEventListener("input", ({ target }) => (find("strength-seen").value = `${target.value} %`));
  form.addEventListener("change", showCredit);
  form.addEventListener("submit", start);
  showCredit();
  if (typeof WebAssembly === "undefined") {
    say("");
    return complain(new Problem("This browser has no WebAssembly, which this page paints with. Try another browser."));
  }
  setBusy(true);
  say("Loading what paints: about 25 MB, once…");
  startWorker();
  try {
    await ask({});
    isReady = true;
    say(sources.photo ? "Ready." : "Choose a photo to begin.");
  } catch (problem) {
    say("");
    complain(problem);
  }
  setBusy(false);
}

open();
