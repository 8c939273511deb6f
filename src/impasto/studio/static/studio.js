// The preview, the gallery and the mask editor. No request leaves this machine.
(() => {
  "use strict";

  slowFrames();

  const jobs = new Map(); // by ID
  let order = [], revision = 0, session = "", shown = null, expectedAfter = 0, lost = false, ready = false;
  let preview = null, gallery = null, emit = null;
  const UNFINISHED = ["painting", "paused", "waiting"];

  // Small helpers

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name in made && name !== "list" && name !== "form") made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return made;
  }

  function button(text, action, attributes = {}) {
    return make("button", { type: "button", className: "quiet", onclick: action, ...attributes }, text);
  }

  function downloadLink(job, name) {
    return make("a", { className: "quiet", href: pictureUrl(job, name, "?download=1"), download: "" }, "Download");
  }

  const pictureUrl = (job, name, query = "") => `${job.folder}${name}${query}`;
  const versionQuery = (job) => `?v=${job.progress.version}`;
  const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  function duration(seconds) {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${(seconds / 3600).toFixed(1)} h`;
  }

  function captionedItem(title, image, caption, onclick) {
    return make("li", {}, make("button", { type: "button", title, onclick }, image, make("span", {}, caption)));
  }

  // Requests to the studio

  async function act(job, action, more = {}) {
    try {
      const answer = await fetch("studio/actions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ action, id: job.id, ...more }),
      });
      if (!answer.ok) showError((await answer.json()).error || "This could not be done.");
    } catch {
      showError("The studio does not answer.");
    }
  }

  function showError(text) {
    const message = document.querySelector("#message");
    if (!message) return;
    let paragraph = message.querySelector("p.message-error.local");
    if (!paragraph) message.append((paragraph = make("p", { className: "message-error local", role: "alert" })));
    paragraph.textContent = text;
    setTimeout(() => paragraph.remove(), 8000);
  }

  async function follow() {
    for (;;) {
      try {
        const wait = document.hidden ? 0 : 8;
        const answer = await fetch(`studio/updates?since=${revision}&wait=${wait}`, { cache: "no-store" });
        if (!answer.ok) throw new Error(String(answer.status));
        applyUpdate(await answer.json());
        setLost(false);
        if (document.hidden) await sleep(3000);
      } catch {
        setLost(true);
        await sleep(1500);
      }
    }
  }

  function applyUpdate(update) {
    if (update.session !== session) {
      const first = session === "";
      session = update.session;
      if (!first) {
        jobs.clear();
        revision = 0;
        return;
      }
    }
    revision = update.revision;
    order = update.order;
    for (const job of update.changed) jobs.set(job.id, job);
    for (const id of [...jobs.keys()]) if (!order.includes(id)) jobs.delete(id);
    if (expectedAfter) {
      const newest = [...jobs.values()].filter((job) => job.created > expectedAfter).sort((a, b) => b.created - a.created)[0];
      if (newest) [shown, expectedAfter] = [newest.id, 0];
    }
    if (!jobs.has(shown)) shown = order.find((id) => jobs.has(id)) ?? null;
    labelDrops();
    ready = update.ready;
    drawPreview();
    drawGallery(update.changed);
  }

  // Gradio gives all places for files the same name.
  const DROPS = { photo: "Choose a photo", paintings: "Choose paintings", painted: "Choose a painted picture", "many-files": "Choose photos and films" };

  function labelDrops() {
    for (const [id, text] of Object.entries(DROPS)) {
      document.querySelector(`#${id} .upload-container`)?.setAttribute("aria-label", text);
    }
  }

  function setLost(now) {
    if (now === lost) return;
    lost = now;
    document.body.classList.toggle("studio-lost", lost);
    if (lost) setStatus("The studio does not answer. Trying again …");
    else drawPreview();
  }

  // Gradio's loading timer requests every animation frame and never stops, which takes a tenth of a core from the painter.
  // Unless somebody uses the page, frames come once a second.
  function slowFrames() {
    const ACTIVE_MS = 1500, PAUSE_MS = 1000;
    const [request, cancel] = [window.requestAnimationFrame.bind(window), window.cancelAnimationFrame.bind(window)];
    const delayed = new Map(); // timers by the numbers that their callers know
    let usedAt = performance.now() + ACTIVE_MS; // the page moves while it is built
    for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchmove", "drop"]) {
      window.addEventListener(kind, () => (usedAt = performance.now()), { capture: true, passive: true });
    }
    window.requestAnimationFrame = (draw) => {
      if (performance.now() - usedAt < ACTIVE_MS) return request(draw);
      const timer = setTimeout(() => {
        delayed.delete(-timer);
        request(draw);
      }, PAUSE_MS);
      delayed.set(-timer, timer);
      return -timer; // no frame has a number below 0
    };
    window.cancelAnimationFrame = (number) => {
      clearTimeout(delayed.get(number));
      delayed.delete(number);
      cancel(number);
    };
  }

  // The preview: the picture that is being painted, or was chosen in the gallery

  const parts = {};

  function mountPreview(element, trigger) {
    preview = element.querySelector(".preview");
    emit = trigger;
    preview.replaceChildren(
      (parts.frame = make("div", { className: "frame" })),
      (parts.status = make("p", { className: "status", role: "status" })),
      (parts.bar = make("progress", { max: 1, value: 0, hidden: true })),
      (parts.plan = make("p", { className: "plan", hidden: true })),
      (parts.tools = make("div", { className: "tools" })),
      (parts.notes = make("div", { className: "notes" })),
      (parts.plot = make("figure", { className: "plot", hidden: true })),
      (parts.snapshots = make("div", { className: "snapshots", hidden: true })),
    );
    parts.bar.setAttribute("aria-label", "Progress");
    parts.key = {};
    drawPreview();
  }

  function setStatus(text) {
    if (parts.status && parts.status.textContent !== text) parts.status.textContent = text;
  }

  function drawPreview() {
    if (!preview) return;
    const job = jobs.get(shown);
    preview.dataset.status = job ? job.status : "empty";
    preview.dataset.id = job ? job.id : "";
    if (!job) {
      change("frame", "empty", () => parts.frame.replaceChildren(make("p", { className: "empty" }, "Your picture will grow here.")));
      setStatus(ready ? "Choose a photo and a painting, then press Paint." : "Getting the paints ready …");
      for (const name of ["bar", "plan", "plot", "snapshots"]) parts[name].hidden = true;
      change("tools", "", () => parts.tools.replaceChildren());
      change("notes", "", () => parts.notes.replaceChildren());
      return;
    }
    if (job.kind !== "film") parts.key.film = null;
    if (job.kind === "sheet") drawSheet(job);
    else if (job.kind === "film") drawFilm(job);
    else drawCanvas(job);
    setStatus(status(job));
    parts.plan.hidden = !job.plan;
    if (parts.plan.textContent !== job.plan) parts.plan.textContent = job.plan;
    parts.bar.hidden = !(job.status === "painting" || job.status === "paused");
    parts.bar.value = job.progress.share;
    const toolsKey = [job.id, job.status, job.snapshots.length > 0, job.pictures.join(), job.progress.version > 0].join();
    change("tools", toolsKey, () => drawTools(job));
    change("notes", JSON.stringify([job.message, job.notes]), () =>
      parts.notes.replaceChildren(...[job.message, ...job.notes].filter(Boolean).map((text) => make("p", {}, text))),
    );
    drawPlot(job);
    change("snapshots", job.id + job.snapshots.map((snapshot) => snapshot.number).join(), () => drawSnapshots(job));
  }

  function change(name, key, draw) {
    if (parts.key[name] === key) return;
    parts.key[name] = key;
    draw();
  }

  function status(job) {
    const { step, total, scale, scales, width, height, seconds_left: left } = job.progress;
    if (job.status === "waiting") {
      const ahead = order.filter((id) => ["painting", "waiting"].includes(jobs.get(id)?.status)).indexOf(job.id);
      return !ready ? "Getting the paints ready …" : ahead > 0 ? `Waiting; ${ahead} before it.` : "Beginning …";
    }
    if (job.kind === "sheet") {
      if (job.status === "painting") return `Picture ${Math.min(step || 1, job.cells.length)} of ${job.cells.length}`;
      return { done: "Choose the one that you like.", paused: "Paused.", stopped: "Stopped.", failed: "This could not be painted." }[job.status];
    }
    const frames = `frame ${step} of ${total}, ${width} × ${height} pixels`;
    const where = job.kind === "film" ? (step ? frames : "") : step ? `step ${step} of ${total}, ${width} × ${height} pixels` : "";
    const scaleText = scales > 1 && job.kind !== "film" ? `scale ${scale} of ${scales}, ` : "";
    if (job.status === "painting") {
      return step ? `Painting: ${scaleText}${where}${left === null ? "" : `, ${duration(left)} left`}` : "Beginning …";
    }
    const text = { paused: "Paused", done: "Finished", stopped: "Stopped", failed: "This could not be painted" }[job.status];
    return where ? `${text}: ${where}` : `${text}.`;
  }

  function drawFilm(job) {
    const playable = job.pictures.includes("film.mp4") && job.status !== "painting";
    change("film", [job.id, playable && job.progress.step].join(), () => {
      parts.key.frame = null;
      parts.wanted = null;
      if (!playable) return;
      parts.frame.replaceChildren(
        make("video", { src: pictureUrl(job, "film.mp4", `?v=${job.progress.step}`), poster: pictureUrl(job, "preview.jpg"), controls: true, loop: true, title: job.title }),
      );
    });
    if (!playable) drawCanvas(job);
  }

  function drawCanvas(job) {
    change("frame", job.id, () => {
      parts.wanted = null;
      parts.frame.replaceChildren(make("p", { className: "empty" }, job.status === "failed" ? "No picture came of this." : "The first picture comes in a moment."));
    });
    if (job.progress.version > 0) load(job, pictureUrl(job, "preview.jpg", versionQuery(job)));
  }

  // A new preview takes the old one's place when it is decoded: nothing flickers, and none is asked for meanwhile.
  let loading = null;
  async function load(job, source) {
    if (parts.wanted === source) return;
    parts.wanted = source;
    if (loading) return;
    while (parts.wanted !== loading) {
      loading = parts.wanted;
      const image = make("img", { alt: `The picture so far: ${job.title}`, src: loading, draggable: false });
      image.dataset.version = new URL(image.src).searchParams.get("v");
      try {
        await image.decode();
      } catch {
        continue;
      }
      if (shown !== job.id) break;
      parts.frame.replaceChildren(image);
    }
    loading = null;
  }

  function drawTools(job) {
    const tools = [], finished = job.pictures.includes("picture.png");
    const tool = (text, action) => button(text, () => act(job, action));
    if (job.status === "painting") tools.push(tool("Pause", "pause"), tool("Stop and keep", "stop"));
    if (job.status === "painting" && job.kind === "painting") tools.push(tool("Keep this one too", "keep"));
    if (job.status === "painting" && job.kind !== "sheet") tools.push(tool("Stop at once", "stop_now"));
    if (job.status === "waiting") tools.push(tool("Hold", "pause"), tool("Cancel", "stop"));
    if (job.status === "paused") tools.push(tool("Go on", "resume"), tool("Stop", "stop"));
    if (["stopped", "failed"].includes(job.status)) tools.push(tool(job.snapshots.length || job.kind === "film" ? "Go on" : "Try again", "resume"));
    if (job.kind === "painting" && (finished || job.progress.version)) {
      const name = finished && job.status !== "painting" ? "picture.png" : "preview.jpg";
      tools.push(button("Look closely", () => lookClosely(job, name)), button("Compare with the photo", () => compare(job, name)));
    }
    const final = ["picture.png", "film.mp4"].find((name) => job.pictures.includes(name));
    if (final && job.status !== "painting") tools.push(downloadLink(job, final));
    parts.tools.replaceChildren(...tools);
  }

  function drawSnapshots(job) {
    parts.snapshots.hidden = job.snapshots.length < 1;
    const list = job.snapshots.map(({ number, step }) => {
      const image = make("img", { src: pictureUrl(job, `snapshot-${number}.jpg`), alt: "" });
      return captionedItem(`Go on from step ${step}`, image, `Step ${step}`, () => act(job, "resume", { snapshot: number }));
    });
    parts.snapshots.replaceChildren(make("h3", {}, "Go on from an earlier state"), make("ol", {}, ...list));
  }

  // The losses: a line each, on a logarithmic scale

  const LINES = { content: 1, style: 2, total: 3 };

  function drawPlot(job) {
    const points = job.progress.points;
    parts.plot.hidden = job.kind === "sheet" || points.length < 3;
    if (!parts.plot.hidden) change("plot", `${job.id} ${points.length} ${points.at(-1)[0]}`, () => drawLosses(points));
  }

  function drawLosses(points) {
    const values = points.flatMap((point) => [point[1], point[2], point[3]]).filter((value) => value > 0);
    const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
    const across = (step) => (100 * (step - points[0][0])) / Math.max(1, points.at(-1)[0] - points[0][0]);
    const down = (value) => 38 - (36 * (Math.log10(Math.max(value, 1e-12)) - low)) / Math.max(1e-6, high - low);
    const lines = Object.entries(LINES).map(
      ([name, column]) =>
        `<polyline class="${name}" points="${points
          .filter((point) => point[column] > 0)
          .map((point) => `${across(point[0]).toFixed(2)},${down(point[column]).toFixed(2)}`)
          .join(" ")}"/>`,
    );
    const last = points.at(-1);
    const text = Object.entries(LINES).map(([name, column]) => `${name} ${Number(last[column].toPrecision(3))}`);
    parts.plot.innerHTML =
      `<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="Losses by step, now ${text.join(", ")}">${lines.join("")}</svg>` +
      `<figcaption>${Object.keys(LINES).map((name, place) => `<span class="${name}">${text[place]}</span>`).join("")}</figcaption>`;
  }

  // Sheets

  function drawSheet(job) {
    change("frame", [job.id, job.pictures.length, job.status].join(), () => {
      const cells = job.cells.map((cell, index) => {
        const name = `cell-${String(index + 1).padStart(2, "0")}.png`;
        const text = Object.entries(cell).filter(([key]) => key !== "size").map(([key, value]) => `${key.replaceAll("_", " ")} ${value}`).join(", ");
        if (!job.pictures.includes(name)) {
          return make("li", { className: "pending" }, make("span", { className: "blank" }), make("span", {}, text));
        }
        const image = make("img", { src: pictureUrl(job, name), alt: text });
        return captionedItem("Go on with this one", image, text, () => prefillForm(job, name));
      });
      parts.frame.replaceChildren(make("ol", { className: "sheet" }, ...cells));
    });
  }

  function prefillForm(job, name) {
    emit("select", { id: job.id, name });
    document.querySelector("#paint")?.scrollIntoView({ block: "center", behavior: "smooth" });
  }

  // Dialogs: at 100 %, and over the photo

  function open(text, ...children) {
    const dialog = make("dialog", { className: "studio-dialog" });
    dialog.setAttribute("aria-label", text);
    const close = button("Close", () => dialog.close());
    dialog.append(make("header", {}, make("h2", {}, text), close), ...children);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  function lookClosely(job, name) {
    const image = make("img", { src: pictureUrl(job, name, versionQuery(job)), alt: job.title });
    const view = make("div", { className: "view", tabIndex: 0 }, image);
    view.setAttribute("aria-label", "The picture at 100 %, to be scrolled");
    open("At 100 %", view);
  }

  function compare(job, name) {
    const photo = make("img", { src: pictureUrl(job, "photo.jpg"), alt: "The photo" });
    const picture = make("img", { src: pictureUrl(job, name, versionQuery(job)), alt: "The picture" });
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50 });
    slider.setAttribute("aria-label", "Photo on the left, picture on the right");
    const pair = make("div", { className: "pair" }, photo, picture);
    const move = () => pair.style.setProperty("--split", `${slider.value}%`);
    slider.addEventListener("input", move);
    move();
    open("Photo and picture", pair, slider);
  }

  // The gallery

  function mountGallery(element) {
    gallery = element.querySelector(".gallery");
    drawGallery([]);
  }

  const cards = new Map();

  function drawGallery(changed) {
    if (!gallery) return;
    let redrawn = gallery.dataset.order !== order.join();
    const draw = (job, key) => {
      cards.set(job.id, { key, card: drawCard(job) });
      redrawn = true;
    };
    for (const job of changed) {
      const key = [job.status, job.pictures.join(), job.progress.version > 0 && job.status !== "painting"].join();
      if (cards.get(job.id)?.key !== key) draw(job, key);
    }
    for (const job of jobs.values()) if (!cards.has(job.id)) draw(job, "");
    for (const id of [...cards.keys()]) if (!jobs.has(id)) cards.delete(id);
    if (!redrawn) return;
    gallery.dataset.order = order.join();
    const listed = order.filter((id) => cards.has(id)).map((id) => cards.get(id).card);
    gallery.hidden = listed.length < 1;
    gallery.replaceChildren(make("h2", {}, "Pictures"), make("ul", {}, ...listed));
  }

  const STATUS_TEXTS = { waiting: "waiting", painting: "being painted", paused: "paused", done: "", stopped: "stopped", failed: "failed" };

  function drawCard(job) {
    const pictures = { sheet: job.pictures.slice(0, 1), painting: job.pictures, film: [] }[job.kind];
    const tiles = pictures.map((name) => drawTile(job, name));
    if (!tiles.length) {
      const thumbnail = job.progress.version > 0 ? make("img", { src: pictureUrl(job, "preview.jpg", versionQuery(job)), alt: "" }) : make("span", { className: "blank" });
      tiles.push(make("button", { type: "button", className: "tile", title: "Show", onclick: () => show(job) }, thumbnail));
    }
    const text = [job.kind === "sheet" ? `sheet of ${job.cells.length}` : job.kind === "film" ? "film" : "", STATUS_TEXTS[job.status]].filter(Boolean).join(", ");
    const tools = [button("Show", () => show(job))];
    if (job.kind !== "film") tools.push(button("Settings", () => prefillForm(job, job.kind === "sheet" ? "" : job.pictures.at(-1) || "")));
    if (job.kind !== "sheet" && job.pictures.length) tools.push(downloadLink(job, job.pictures.at(-1)));
    if (job.status !== "painting") tools.push(button("Remove", (event) => remove(job, event.target)));
    return make(
      "li",
      { className: "card" },
      make("div", { className: "tiles" }, ...tiles),
      make("p", { className: "title", title: job.title }, job.title),
      text ? make("p", { className: "status" }, text) : null,
      make("div", { className: "tools" }, ...tools),
    );
  }

  function drawTile(job, name) {
    const image = make("img", { src: pictureUrl(job, name, versionQuery(job)), alt: `${job.title}, ${name.replace(/\..*/, "")}`, loading: "lazy" });
    const action = job.kind === "sheet" ? () => show(job) : () => lookClosely(job, name);
    return make("button", { type: "button", className: "tile", title: job.kind === "sheet" ? "Show" : "Look closely", onclick: action }, image);
  }

  function show(job) {
    shown = job.id;
    drawPreview();
    preview.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  function remove(job, pressed) {
    if (pressed.dataset.sure) return act(job, "remove");
    pressed.dataset.sure = "yes";
    pressed.textContent = "Remove for good?";
    setTimeout(() => {
      pressed.textContent = "Remove";
      delete pressed.dataset.sure;
    }, 4000);
  }

  // Masks, brushed on the photo: with a finger, a pen, a mouse, or the arrow keys and the space bar

  function mountMaskEditor(element, trigger, watch) {
    const mount = () => {
      const root = element.querySelector(".mask-editor");
      if (root && !root.dataset.mounted) mountBoard(root, trigger);
    };
    mount();
    watch("value", mount);
  }

  function mountBoard(root, trigger) {
    root.dataset.mounted = "yes";
    const colors = [...root.dataset.colors.split(","), ""];
    const labels = [...root.dataset.labels.split("\n"), "Wipe away"];
    const photo = make("img", { src: root.dataset.photo, alt: "The photo that is brushed on" });
    const board = make("canvas", { tabIndex: 0 });
    board.setAttribute("role", "img");
    board.setAttribute("aria-label", "Brush on the photo; with the keyboard: arrow keys move, space brushes");
    const size = make("input", { type: "range", min: 4, max: 120, value: 40 });
    const before = [];
    let color = colors[0], last = null, spot = null;
    const pick = (value) => (color = value);
    const choice = labels.map((label, place) =>
      make(
        "label",
        {},
        make("input", { type: "radio", name: "brush-color", checked: place === 0, onchange: () => pick(colors[place]) }),
        colors[place] ? make("span", { className: "chip", style: `background: ${colors[place]}` }) : "",
        label,
      ),
    );
    const pen = () => board.getContext("2d");
    const remember = () => {
      before.push(pen().getImageData(0, 0, board.width, board.height));
      if (before.length > 20) before.shift();
    };
    const emitMasks = () => {
      const pixels = pen().getImageData(0, 0, board.width, board.height).data;
      const empty = !pixels.some((value, place) => place % 4 === 3 && value);
      trigger("input", { data: empty ? "" : board.toDataURL("image/png") });
    };
    const draw = (from, to) => {
      const context = pen();
      context.globalCompositeOperation = color ? "source-over" : "destination-out";
      context.strokeStyle = color || "#000";
      context.lineWidth = (Number(size.value) * board.width) / 480;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x + 0.01, to.y);
      context.stroke();
    };
    const place = (event) => {
      const box = board.getBoundingClientRect();
      return { x: ((event.clientX - box.left) * board.width) / box.width, y: ((event.clientY - box.top) * board.height) / box.height };
    };
    board.addEventListener("pointerdown", (event) => {
      board.setPointerCapture(event.pointerId);
      remember();
      last = place(event);
      draw(last, last);
    });
    board.addEventListener("pointermove", (event) => {
      if (!last) return;
      const next = place(event);
      draw(last, next);
      last = next;
    });
    for (const end of ["pointerup", "pointercancel"]) {
      board.addEventListener(end, () => {
        if (last) emitMasks();
        last = null;
      });
    }
    board.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      spot ??= { x: board.width / 2, y: board.height / 2 };
      if (moves[event.key]) {
        const pace = board.width / 24;
        spot.x = Math.min(board.width, Math.max(0, spot.x + moves[event.key][0] * pace));
        spot.y = Math.min(board.height, Math.max(0, spot.y + moves[event.key][1] * pace));
      } else if (event.key === " ") {
        remember();
        draw(spot, spot);
        emitMasks();
      } else return;
      event.preventDefault();
    });
    const undo = button("Undo", () => {
      if (before.length) pen().putImageData(before.pop(), 0, 0);
      emitMasks();
    });
    const clear = button("Wipe all", () => {
      remember();
      pen().clearRect(0, 0, board.width, board.height);
      emitMasks();
    });
    photo.decode().then(() => {
      [board.width, board.height] = [photo.naturalWidth, photo.naturalHeight];
      if (!root.dataset.start) return;
      const start = make("img", { src: root.dataset.start });
      start.decode().then(() => pen().drawImage(start, 0, 0, board.width, board.height));
    });
    root.append(
      make("div", { className: "board" }, photo, board),
      make("fieldset", { className: "colors" }, make("legend", { className: "visually-hidden" }, "What to brush"), ...choice),
      make("label", { className: "size" }, "Brush size", size),
      make("div", { className: "tools" }, undo, clear),
    );
  }

  window.impasto = {
    mountPreview,
    mountMaskEditor,
    mountGallery,
    current: () => (UNFINISHED.includes(jobs.get(shown)?.status) ? shown : ""),
    expectNewJob: () => {
      expectedAfter = Math.max(0.001, ...[...jobs.values()].map((job) => job.created));
      if (window.innerWidth < 768) preview?.scrollIntoView({ behavior: "smooth" });
    },
  };
  for (const go of window.impastoReady || []) go();
  follow();
})();
