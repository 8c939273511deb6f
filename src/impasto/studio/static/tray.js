// The tray: the photo and the paintings as pictures, to drop, paste or pick.
import { html } from "./vendor/preact-htm.js";
import { chooseInputs, pictureUrl, removeUpload, state, t, takeFiles } from "./state.js";

export const dropFor = (role) => ({
  onDragOver: (event) => event.preventDefault(),
  onDrop: (event) => {
    event.preventDefault();
    event.stopPropagation();
    takeFiles(event.dataTransfer.files, role);
  },
});

export function FileButton({ role, text, multiple = false, films = false, onFiles, ...more }) {
  const accept = [...state.form.types, ...(films ? ["video/*"] : [])].join();
  const take = ({ target }) => {
    (onFiles ?? ((files) => takeFiles(files, role)))([...target.files]);
    target.value = "";
  };
  return html`<label class="file">
    <span>${text}</span>
    <input type="file" aria-label=${text} ...${{ accept, multiple, ...more }} onChange=${take} />
  </label>`;
}

/** The pictures of a list: those chosen that are not known, then all known, without those that are deleted soon. */
const listTiles = (chosen, known) =>
  [...chosen.filter((one) => !known.some(({ id }) => id === one.id)), ...known].filter(({ id }) => !state.removed.has(id));

export function Tray() {
  const photos = listTiles(state.photo ? [state.photo] : [], state.tray.photos);
  const paintings = listTiles(state.paintings, state.tray.paintings);
  return html`<section class="tray" aria-label=${t("pictures")} hidden=${state.sheet !== "pictures"}>
    <div class="picture-list" ...${dropFor("photo")}>
      <h2>${t("photo")}</h2>
      <ul>
        <li class="tile add"><${FileButton} role="photo" text=${t("addPhoto")} films /></li>
        ${photos.map((photo) => html`<${PhotoTile} key=${photo.id} photo=${photo} />`)}
      </ul>
    </div>
    <div class="picture-list" ...${dropFor("painting")}>
      <h2>${t("painting")}</h2>
      <ul>
        <li class="tile add"><${FileButton} role="painting" text=${t("addPainting")} multiple /></li>
        ${paintings.map((painting) => html`<${PaintingTile} key=${painting.id} painting=${painting} />`)}
      </ul>
    </div>
  </section>`;
}

const Thumbnail = ({ picture }) =>
  html`<img src=${pictureUrl(picture, 320)} alt="" loading="lazy" />${picture.is_film && html`<span class="play">▶</span>`}`;

const RemoveButton = ({ picture }) =>
  !picture.is_built_in &&
  html`<button class="remove" title=${t("removeUpload")} aria-label=${`${t("removeUpload")}: ${picture.name}`} onClick=${() => removeUpload(picture)}>×</button>`;

function PhotoTile({ photo }) {
  const isChosen = state.photo?.id === photo.id;
  const pick = () => isChosen || chooseInputs({ photo });
  return html`<li class="tile">
    <button aria-pressed=${isChosen} aria-label=${photo.name} title=${photo.name} onClick=${pick}><${Thumbnail} picture=${photo} /></button>
    <${RemoveButton} picture=${photo} />
  </li>`;
}

function PaintingTile({ painting }) {
  const place = state.paintings.findIndex(({ id }) => id === painting.id), isMixed = state.paintings.length > 1;
  const title = painting.credit || painting.name;
  const others = state.paintings.filter(({ id }) => id !== painting.id);
  const isFull = place < 0 && state.paintings.length >= state.form.colors.paintings.length;
  const mix = () => chooseInputs({ paintings: place < 0 ? [...state.paintings, painting] : others });
  const canMix = state.paintings.length > 0 && !isFull && !(place >= 0 && !isMixed);
  return html`<li class="tile">
    <button aria-pressed=${place >= 0} aria-label=${painting.name} title=${title} onClick=${() => chooseInputs({ paintings: [painting] })}>
      <${Thumbnail} picture=${painting} />
    </button>
    ${isMixed && place >= 0 && html`<span class="chip" style=${{ background: state.form.colors.paintings[place] }}></span>`}
    ${canMix &&
    html`<button class="mix" title=${t(place < 0 ? "mixIn" : "takeOut")} aria-label=${`${t(place < 0 ? "mixIn" : "takeOut")}: ${painting.name}`} onClick=${mix}>
      ${place < 0 ? "+" : "−"}
    </button>`}
    <${RemoveButton} picture=${painting} />
  </li>`;
}
