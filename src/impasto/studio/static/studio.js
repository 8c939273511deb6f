// The easel and the gallery: what is being painted, followed as it changes. No request leaves this machine.
(() => {
  "use strict";

  calmFrames();

  const known = new Map(); // commissions by identity
  let order = [], revision = 0, session = "", shown = null, expecting = 0, lost = false, ready = false;
  let easel = null, gallery = null, tellEasel = null, tellGallery = null;
  const IN_WORK = ["painting", "paused", "waiting"];

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

  function button(words, action, attributes = {}) {
    return make("button", { type: "button", className: "quiet", onclick: action, ...attributes }, words);
  }

  const place = (it, name, more = "") => `studio/pictures/${it.identity}/${name}${more}`;
  const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

  function duration(seconds) {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${(seconds / 3600).toFixed(1)} h`;
  }

  // Asking and telling

  async function act(it, deed, more = {}) {
    try {
      const answer = await fetch("studio/act", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ act: deed, identity: it.identity, ...more }),
      });
      if (!answer.ok) complain((await answer.json()).error || "This could not be done.");
    } catch {
      complain("The studio does not answer.");
    }
  }

  function complain(words) {
    const message = document.querySelector("#message");
    if (!message) return;
    let said = message.querySelector("p.wrong.here");
    if (!said) message.append((said = make("p", { className: "wrong here", role: "alert" })));
    said.textContent = words;
    setTimeout(() => said.remove(), 8000);
  }

  async function follow() {
    for (;;) {
      try {
        const wait = document.hidden ? 0 : 8;
        const answer = await fetch(`studio/state?since=${revision}&wait=${wait}`, { cache: "no-store" });
        if (!answer.ok) throw new Error(String(answer.status));
        take(await answer.json());
        setLost(false);
        if (document.hidden) await sleep(3000);
      } catch {
        setLost(true);
        await sleep(1500);
      }
    }
  }

  function take(news) {
    if (news.session !== session) {
      const first = session === "";
      session = news.session;
      if (!first) {
        known.clear();
        revision = 0;
        return;
      }
    }
    revision = news.revision;
    order = news.order;
    for (const it of news.changed) known.set(it.identity, it);
    for (const identity of [...known.keys()]) if (!order.includes(identity)) known.delete(identity);
    if (expecting) {
      const newest = [...known.values()].filter((it) => it.made > expecting).sort((a, b) => b.made - a.made)[0];
      if (newest) [shown, expecting] = [newest.identity, 0];
    }
    if (!known.has(shown)) shown = order.find((identity) => known.has(identity)) ?? null;
    nameDrops();
    ready = news.ready;
    drawEasel();
    drawGallery(news.changed);
  }

  // Gradio calls every place for files the same.
  const DROPS = { photo: "Choose a photo", paintings: "Choose paintings", painted: "Choose a painted picture", "many-files": "Choose photos and films" };

  function nameDrops() {
    for (const [id, words] of Object.entries(DROPS)) {
      document.querySelector(`#${id} .upload-container`)?.setAttribute("aria-label", words);
    }
  }

  function setLost(now) {
    if (now === lost) return;
    lost = now;
    document.body.classList.toggle("studio-lost", lost);
    if (lost) say("The studio does not answer. Trying again …");
    else drawEasel();
  }

  // Gradio's clock of how long the page has been loading asks for each of the screen's frames and never stops, which is a
  // tenth of a core that the painter could have. Unless somebody does something, frames come once a second.
  function calmFrames() {
    const LIVELY = 1500, PAUSE = 1000; // milliseconds
    const [ask, forget] = [window.requestAnimationFrame.bind(window), window.cancelAnimationFrame.bind(window)];
    const putOff = new Map(); // timers by the numbers that their askers know
    let touched = performance.now() + LIVELY; // the page moves while it is built
    for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchmove", "drop"]) {
      window.addEventListener(kind, () => (touched = performance.now()), { capture: true, passive: true });
    }
    window.requestAnimationFrame = (draw) => {
      if (performance.now() - touched < LIVELY) return ask(draw);
      const timer = setTimeout(() => {
        putOff.delete(-timer);
        ask(draw);
      }, PAUSE);
      putOff.set(-timer, timer);
      return -timer; // no frame has a number below 0
    };
    window.cancelAnimationFrame = (number) => {
      clearTimeout(putOff.get(number));
      putOff.delete(number);
      forget(number);
    };
  }

  // The easel

  const parts = {};

  function hang(element, trigger) {
    easel = element.querySelector(".easel");
    tellEasel = trigger;
    easel.replaceChildren(
      (parts.frame = make("div", { className: "frame" })),
      (parts.status = make("p", { className: "status", role: "status" })),
      (parts.bar = make("progress", { max: 1, value: 0, hidden: true })),
      (parts.plan = make("p", { className: "plan", hidden: true })),
      (parts.tools = make("div", { className: "tools" })),
      (parts.notes = make("div", { className: "notes" })),
      (parts.plot = make("figure", { className: "plot", hidden: true })),
      (parts.states = make("div", { className: "states", hidden: true })),
    );
    parts.bar.setAttribute("aria-label", "Progress");
    parts.key = {};
    drawEasel();
  }

  function say(words) {
    if (parts.status && parts.status.textContent !== words) parts.status.textContent = words;
  }

  function drawEasel() {
    if (!easel) return;
    const it = known.get(shown);
    easel.dataset.stage = it ? it.stage : "empty";
    easel.dataset.identity = it ? it.identity : "";
    if (!it) {
      change("frame", "empty", () => parts.frame.replaceChildren(make("p", { className: "empty" }, "Your picture will grow here.")));
      say(ready ? "Choose a photo and a painting, then press Paint." : "Getting the paints ready …");
      for (const name of ["bar", "plan", "plot", "states"]) parts[name].hidden = true;
      change("tools", "", () => parts.tools.replaceChildren());
      change("notes", "", () => parts.notes.replaceChildren());
      return;
    }
    if (it.kind !== "film") parts.key.film = null;
    if (it.kind === "sheet") drawSheet(it);
    else if (it.kind === "film") drawFilm(it);
    else drawCanvas(it);
    say(status(it));
    parts.plan.hidden = !it.plan;
    if (parts.plan.textContent !== it.plan) parts.plan.textContent = it.plan;
    const { step, total } = it.progress;
    parts.bar.hidden = !(it.stage === "painting" || it.stage === "paused");
    parts.bar.value = total ? step / total : 0;
    const finished = it.pictures.includes("picture.png");
    change("tools", [it.identity, it.stage, it.states.length > 0, finished, it.pictures.length, it.progress.version > 0].join(), () => drawTools(it, finished));
    change("notes", JSON.stringify([it.message, it.notes]), () =>
      parts.notes.replaceChildren(...[it.message, ...it.notes].filter(Boolean).map((words) => make("p", {}, words))),
    );
    drawPlot(it);
    change("states", it.identity + it.states.map((state) => state.number).join(), () => drawStates(it));
  }

  function change(name, key, draw) {
    if (parts.key[name] === key) return;
    parts.key[name] = key;
    draw();
  }

  function status(it) {
    const { step, total, scale, scales, width, height, left } = it.progress;
    if (it.stage === "waiting") {
      const ahead = order.filter((identity) => ["painting", "waiting"].includes(known.get(identity)?.stage)).indexOf(it.identity);
      return !ready ? "Getting the paints ready …" : ahead > 0 ? `Waiting; ${ahead} before it.` : "Beginning …";
    }
    if (it.kind === "sheet") {
      if (it.stage === "painting") return `Picture ${Math.min(step || 1, it.cells.length)} of ${it.cells.length}`;
      return { done: "Choose the one that you like.", paused: "Paused.", stopped: "Stopped.", failed: "This could not be painted." }[it.stage];
    }
    const frames = `frame ${step} of ${total}, ${width} × ${height} pixels`;
    const where = it.kind === "film" ? (step ? frames : "") : step ? `step ${step} of ${total}, ${width} × ${height} pixels` : "";
    const scaleWords = scales > 1 && it.kind !== "film" ? `scale ${scale} of ${scales}, ` : "";
    if (it.stage === "painting") {
      return step ? `Painting: ${scaleWords}${where}${left === null ? "" : `, ${duration(left)} left`}` : "Beginning …";
    }
    const words = { paused: "Paused", done: "Finished", stopped: "Stopped", failed: "This could not be painted" }[it.stage];
    return where ? `${words}: ${where}` : `${words}.`;
  }

  function drawFilm(it) {
    const playable = it.pictures.includes("film.mp4") && it.stage !== "painting";
    change("film", [it.identity, playable && it.progress.step].join(), () => {
      parts.key.frame = null;
      parts.wanted = null;
      if (!playable) return;
      parts.frame.replaceChildren(
        make("video", { src: place(it, "film.mp4", `?v=${it.progress.step}`), poster: place(it, "preview.jpg"), controls: true, loop: true, title: it.title }),
      );
    });
    if (!playable) drawCanvas(it);
  }

  function drawCanvas(it) {
    change("frame", it.identity, () => {
      parts.wanted = null;
      parts.frame.replaceChildren(make("p", { className: "empty" }, it.stage === "failed" ? "No picture came of this." : "The first picture comes in a moment."));
    });
    if (it.progress.version > 0) load(it, place(it, "preview.jpg", `?v=${it.progress.version}`));
  }

  // A new preview takes the old one's place when it is decoded: nothing flickers, and none is asked for meanwhile.
  let loading = null;
  async function load(it, source) {
    if (parts.wanted === source) return;
    parts.wanted = source;
    if (loading) return;
    while (parts.wanted !== loading) {
      loading = parts.wanted;
      const image = make("img", { alt: `The picture so far: ${it.title}`, src: loading, draggable: false });
      image.dataset.version = new URL(image.src).searchParams.get("v");
      try {
        await image.decode();
      } catch {
        continue;
      }
      if (shown !== it.identity) break;
      parts.frame.replaceChildren(image);
    }
    loading = null;
  }

  function drawTools(it, finished) {
    const tools = [];
    const word = (words, deed, more) => button(words, () => act(it, deed, more));
    if (it.stage === "painting") tools.push(word("Pause", "pause"), word("Stop and keep", "stop"));
    if (it.stage === "painting" && it.kind === "painting") tools.push(word("Keep this one too", "keep"));
    if (it.stage === "painting" && it.kind !== "sheet") tools.push(word("Stop at once", "stop_now"));
    if (it.stage === "waiting") tools.push(word("Hold", "pause"), word("Cancel", "stop"));
    if (it.stage === "paused") tools.push(word("Go on", "go_on"), word("Stop", "stop"));
    if (["stopped", "failed"].includes(it.stage)) tools.push(word(it.states.length || it.kind === "film" ? "Go on" : "Try again", "go_on"));
    if (it.kind === "painting" && (finished || it.progress.version)) {
      const name = finished && it.stage !== "painting" ? "picture.png" : "preview.jpg";
      tools.push(button("Look closely", () => lookClosely(it, name)), button("Compare with the photo", () => compare(it, name)));
    }
    if (finished && it.stage !== "painting") {
      tools.push(make("a", { className: "quiet", href: place(it, "picture.png", "?download=1"), download: "" }, "Download"));
    } else if (it.pictures.includes("film.mp4") && it.stage !== "painting") {
      tools.push(make("a", { className: "quiet", href: place(it, "film.mp4", "?download=1"), download: "" }, "Download"));
    }
    parts.tools.replaceChildren(...tools);
  }

  function drawStates(it) {
    parts.states.hidden = it.states.length < 1;
    const list = it.states.map((state) =>
      make(
        "li",
        {},
        make(
          "button",
          { type: "button", title: `Go on from step ${state.step}`, onclick: () => act(it, "go_on", { state: state.number }) },
          make("img", { src: place(it, `state-${state.number}.jpg`), alt: "" }),
          make("span", {}, `Step ${state.step}`),
        ),
      ),
    );
    parts.states.replaceChildren(make("h3", {}, "Go on from an earlier state"), make("ol", {}, ...list));
  }

  // The losses: a line each, as high as they were, on a scale by powers of ten

  const LINES = { content: 1, style: 2, total: 3 };

  function drawPlot(it) {
    const points = it.progress.points;
    parts.plot.hidden = it.kind === "sheet" || points.length < 3;
    if (parts.plot.hidden || parts.key.plot === `${it.identity} ${points.length} ${points.at(-1)[0]}`) return;
    parts.key.plot = `${it.identity} ${points.length} ${points.at(-1)[0]}`;
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
    const words = Object.entries(LINES).map(([name, column]) => `${name} ${Number(last[column].toPrecision(3))}`);
    parts.plot.innerHTML =
      `<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="Losses by step, now ${words.join(", ")}">${lines.join("")}</svg>` +
      `<figcaption>${Object.keys(LINES).map((name, place) => `<span class="${name}">${words[place]}</span>`).join("")}</figcaption>`;
  }

  // Sheets

  function drawSheet(it) {
    change("frame", [it.identity, it.pictures.length, it.stage].join(), () => {
      const cells = it.cells.map((cell, index) => {
        const name = `cell-${String(index + 1).padStart(2, "0")}.png`;
        const words = Object.entries(cell).filter(([key]) => key !== "size").map(([key, value]) => `${key.replaceAll("_", " ")} ${value}`).join(", ");
        if (!it.pictures.includes(name)) {
          return make("li", { className: "pending" }, make("span", { className: "blank" }), make("span", {}, words));
        }
        return make(
          "li",
          {},
          make(
            "button",
            { type: "button", title: "Go on with this one", onclick: () => reopen(tellEasel, it, name) },
            make("img", { src: place(it, name), alt: words }),
            make("span", {}, words),
          ),
        );
      });
      parts.frame.replaceChildren(make("ol", { className: "sheet" }, ...cells));
    });
  }

  function reopen(tell, it, name) {
    tell("select", { identity: it.identity, name });
    document.querySelector("#paint")?.scrollIntoView({ block: "center", behavior: "smooth" });
  }

  // Looking closely, and beside the photo

  function open(words, ...children) {
    const dialog = make("dialog", { className: "studio-dialog" });
    dialog.setAttribute("aria-label", words);
    const close = button("Close", () => dialog.close());
    dialog.append(make("header", {}, make("h2", {}, words), close), ...children);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    return dialog;
  }

  function lookClosely(it, name) {
    const image = make("img", { src: place(it, name, `?v=${it.progress.version}`), alt: it.title });
    const view = make("div", { className: "view", tabIndex: 0 }, image);
    view.setAttribute("aria-label", "The picture at 100 %, to be scrolled");
    open("At 100 %", view);
  }

  function compare(it, name) {
    const photo = make("img", { src: place(it, "photo.jpg"), alt: "The photo" });
    const picture = make("img", { src: place(it, name, `?v=${it.progress.version}`), alt: "The picture" });
    const slider = make("input", { type: "range", min: 0, max: 100, value: 50 });
    slider.setAttribute("aria-label", "Photo on the left, picture on the right");
    const pair = make("div", { className: "pair" }, photo, picture);
    const move = () => pair.style.setProperty("--split", `${slider.value}%`);
    slider.addEventListener("input", move);
    move();
    open("Photo and picture", pair, slider);
  }

  // The gallery

  function shelve(element, trigger) {
    gallery = element.querySelector(".gallery");
    tellGallery = trigger;
    drawGallery([]);
  }

  const cards = new Map();

  function drawGallery(changed) {
    if (!gallery) return;
    let redrawn = gallery.dataset.order !== order.join();
    const draw = (it, key) => {
      cards.set(it.identity, { key, card: drawCard(it) });
      redrawn = true;
    };
    for (const it of changed) {
      const key = [it.stage, it.pictures.join(), it.progress.version > 0 && it.stage !== "painting"].join();
      if (cards.get(it.identity)?.key !== key) draw(it, key);
    }
    for (const it of known.values()) if (!cards.has(it.identity)) draw(it, "");
    for (const identity of [...cards.keys()]) if (!known.has(identity)) cards.delete(identity);
    if (!redrawn) return;
    gallery.dataset.order = order.join();
    const listed = order.filter((identity) => cards.has(identity)).map((identity) => cards.get(identity).card);
    gallery.hidden = listed.length < 1;
    gallery.replaceChildren(make("h2", {}, "Pictures"), make("ul", {}, ...listed));
  }

  const STAGES = { waiting: "waiting", painting: "being painted", paused: "paused", done: "", stopped: "stopped", failed: "failed" };

  function drawCard(it) {
    const pictures = { sheet: it.pictures.slice(0, 1), painting: it.pictures, film: [] }[it.kind];
    const tiles = pictures.map((name) => drawTile(it, name));
    if (!tiles.length) {
      const preview = it.progress.version > 0 ? make("img", { src: place(it, "preview.jpg", `?v=${it.progress.version}`), alt: "" }) : make("span", { className: "blank" });
      tiles.push(make("button", { type: "button", className: "tile", title: "Show", onclick: () => show(it) }, preview));
    }
    const words = [it.kind === "sheet" ? `sheet of ${it.cells.length}` : it.kind === "film" ? "film" : "", STAGES[it.stage]].filter(Boolean).join(", ");
    const tools = [button("Show", () => show(it))];
    if (it.kind !== "film") tools.push(button("Settings", () => reopen(tellGallery, it, it.kind === "sheet" ? "" : it.pictures.at(-1) || "")));
    if (it.kind !== "sheet" && it.pictures.length) {
      tools.push(make("a", { className: "quiet", href: place(it, it.pictures.at(-1), "?download=1"), download: "" }, "Download"));
    }
    if (it.stage !== "painting") tools.push(button("Remove", (event) => remove(it, event.target)));
    return make(
      "li",
      { className: "card" },
      make("div", { className: "tiles" }, ...tiles),
      make("p", { className: "title", title: it.title }, it.title),
      words ? make("p", { className: "stage" }, words) : null,
      make("div", { className: "tools" }, ...tools),
    );
  }

  function drawTile(it, name) {
    const image = make("img", { src: place(it, name, `?v=${it.progress.version}`), alt: `${it.title}, ${name.replace(/\..*/, "")}`, loading: "lazy" });
    const action = it.kind === "sheet" ? () => show(it) : () => lookClosely(it, name);
    return make("button", { type: "button", className: "tile", title: it.kind === "sheet" ? "Show" : "Look closely", onclick: action }, image);
  }

  function show(it) {
    shown = it.identity;
    drawEasel();
    easel.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  function remove(it, pressed) {
    if (pressed.dataset.sure) {
      act(it, "remove");
      return;
    }
    pressed.dataset.sure = "yes";
    pressed.textContent = "Remove for good?";
    setTimeout(() => {
      pressed.textContent = "Remove";
      delete pressed.dataset.sure;
    }, 4000);
  }

  // Masks, brushed on the photo: with a finger, a pen, a mouse, or the arrow keys and the space bar

  function brush(element, trigger, watch) {
    const lay = () => {
      const root = element.querySelector(".brush");
      if (root && !root.dataset.laid) layBoard(root, trigger);
    };
    lay();
    watch("value", lay);
  }

  function layBoard(root, trigger) {
    root.dataset.laid = "yes";
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
    const tell = () => {
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
        if (last) tell();
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
        tell();
      } else return;
      event.preventDefault();
    });
    const undo = button("Undo", () => {
      if (before.length) pen().putImageData(before.pop(), 0, 0);
      tell();
    });
    const clear = button("Wipe all", () => {
      remember();
      pen().clearRect(0, 0, board.width, board.height);
      tell();
    });
    photo.decode().then(() => {
      [board.width, board.height] = [photo.naturalWidth, photo.naturalHeight];
      if (!root.dataset.start) return;
      const start = make("img", { src: root.dataset.start });
      start.decode().then(() => pen().drawImage(start, 0, 0, board.width, board.height));
    });
    root.append(
      make("div", { className: "board" }, photo, board),
      make("fieldset", { className: "colors" }, make("legend", { className: "hidden-words" }, "What to brush"), ...choice),
      make("label", { className: "size" }, "Brush size", size),
      make("div", { className: "tools" }, undo, clear),
    );
  }

  window.impasto = {
    hang,
    brush,
    shelve,
    current: () => (IN_WORK.includes(known.get(shown)?.stage) ? shown : ""),
    expect: () => {
      expecting = Math.max(0.001, ...[...known.values()].map((it) => it.made));
      if (window.innerWidth < 768) easel?.scrollIntoView({ behavior: "smooth" });
    },
  };
  for (const go of window.impasto_ready || []) go();
  follow();
})();
