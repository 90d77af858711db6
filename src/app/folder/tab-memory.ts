/** Estimates the memory that a page needs for a model, and names tensors that a device may refuse. */
import { bytesOfValue, infer, peakBytes } from "#analysis";
import { allValues, asPithError, bytes, isSymbolic, open } from "#ir";
import { completeContext } from "#pass";
import { fixDimensions } from "../../rewrite/clean-up/fix-dimensions.ts";
import { randomInputs } from "../../runtime/run/random-inputs.ts";
import { guesses, type TrialSizes } from "../../runtime/run/size-guesses.ts";
import type { FileFigures } from "./records.ts";

/** Tokens of the run, sides of images, and earlier tokens in the cache. */
const sizes: TrialSizes = [128, 224, 896];
/** Bytes of the runtime's own memory: onnxruntime-web 1.30 after loading an empty model. */
const runtimeBytes = 25e6;
/** The maximum bytes of a buffer that each WebGPU device supports: the limit "maxStorageBufferBindingSize". */
const maxBindingBytes = 2 ** 27;

/**
 * Estimates the peak memory of a page that runs a model in WebAssembly, as onnxruntime-web takes it:
 *     download + runtime + max(3 · weights in the .onnx file + other weights, all weights + values)
 * Weights in the .onnx file exist three times while the model is loaded (file, message, tensor).
 */
export async function estimateTabMemory(
  path: string,
  fileBytes: number,
): Promise<Pick<FileFigures, "memory" | "oversized">> {
  const model = await open(path);
  const { graph } = model;
  try {
    const [guess] = guesses(model, randomInputs(model), { lengths: [sizes], batchSizes: [1] });
    const sizeOf = guess?.assignment(model);
    const names = graph.feeds.flatMap(({ type }) => (type?.dims ?? []).filter(isSymbolic).map(({ text }) => text));
    const fix = Object.fromEntries(names.map((name) => [name, sizeOf?.(name) ?? 1]));
    await fixDimensions(model, { fix }, completeContext({}));
    infer(model);
  } catch (error) {
    asPithError(error);
    return {};
  }
  let [inlineBytes, otherBytes] = [0, 0];
  const oversized: string[] = [];
  for (const value of allValues(graph)) {
    const { name, tensor } = value;
    if (tensor !== undefined) {
      if (tensor.stored?.source.name.endsWith(".onnx") === false) otherBytes += tensor.bytes;
      else inlineBytes += tensor.bytes;
    }
    const size = tensor?.bytes ?? bytesOfValue(value);
    if (size > maxBindingBytes) oversized.push(`${name} (${bytes(size)})`);
  }
  const loading = 3 * inlineBytes + otherBytes;
  const memory = fileBytes + runtimeBytes + Math.max(loading, inlineBytes + otherBytes + peakBytes(graph));
  return { memory, ...(oversized.length === 0 ? {} : { oversized }) };
}
