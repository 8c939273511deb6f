// Paints apart from the page, which stays usable meanwhile. A request without a photo only loads the model.
import * as ort from "./vendor/ort.wasm.min.mjs";

let session = null;

async function load() {
  const answer = await fetch("model.onnx");
  if (!answer.ok) throw new Error(`model.onnx: HTTP ${answer.status}`);
  return ort.InferenceSession.create(new Uint8Array(await answer.arrayBuffer()), { executionProviders: ["wasm"] });
}

function toTensor({ data, width, height }) {
  return new ort.Tensor("uint8", new Uint8Array(data.buffer), [height, width, 4]);
}

async function paint({ photo, painting, size, strength }) {
  const { picture } = await session.run({
    photo: toTensor(photo),
    painting: toTensor(painting),
    size: new ort.Tensor("int32", [size], []),
    strength: new ort.Tensor("float32", [strength], []),
  });
  const [height, width] = picture.dims;
  return { pixels: new Uint8ClampedArray(picture.data), width, height };
}

onmessage = async ({ data }) => {
  try {
    session ??= await load();
    postMessage(data.photo ? await paint(data) : {});
  } catch (error) {
    postMessage({ error: String(error?.message ?? error) });
  }
};
