/** Loads a classifier from this server alone, and shows what it says of the text in the field. */
import { env, pipeline } from "@huggingface/transformers";

const asked = new URLSearchParams(location.search);
const [field, shown] = [document.querySelector("input"), document.querySelector("output")];

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/models/";
// Its runtime, which it would else fetch from elsewhere.
env.backends.onnx.wasm.wasmPaths = "/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/";

const classify = await pipeline("text-classification", asked.get("model") ?? "model", {
  dtype: asked.get("dtype") ?? "q8",
  device: asked.get("device") ?? "wasm",
});

async function show() {
  const [{ label, score }] = await classify(field.value);
  shown.value = `${label} ${(100 * score).toFixed(1)} %`;
}

field.addEventListener("input", show);
await show();
