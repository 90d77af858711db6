/**
 * Stores weights in half precision (float16 or bfloat16) and computes in float32:
 *
 *     fc1.weight: float32[128, 784]          fc1.weight: float16[128, 784]
 *     h = Gemm(x, fc1.weight)                w = Cast(fc1.weight) {to=float32}
 *                                            h = Gemm(x, w)
 *
 * The runtime widens the weights once, when it loads the model. Vectors stay in float32: they are small, and some must be exact.
 */
import {
  allLayers,
  checkStored,
  excludesLayer,
  infer,
  maskingOf,
  parametersOf,
  selectLayers,
  unsupportedWeights,
} from "#analysis";
import type { Model, Value } from "#ir";
import {
  deferTensor,
  describeRole,
  elementCount,
  emitter,
  fromNumbers,
  Miss,
  replaceUses,
  toFloats,
  typeCodes,
} from "#ir";
import type { Change, Context, Outcome } from "#pass";
import { foldMask } from "../../rewrite/edit/mask.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import type { HalfSettings } from "./settings.ts";

/** The smallest value that float16 rounds to infinity: halfway between 65,504 and 65,536. */
export const smallestInfinite = 65_520;
/** The first opset whose Cast specifies its type by a number. */
export const castOpset = 6;
const bfloat16Opset = 13;
export const minElements = 64;
/** Maximum relative error. Rounding to 11 bits loses at most 2^-11 of a value, except below 6e-5 (subnormal in float16). */
const maxRelativeError = 0.01;

export async function quantizeToHalf(
  type: "float16" | "bfloat16",
  model: Model,
  options: HalfSettings,
  context: Context,
): Promise<Outcome> {
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const chosenValues = chosenTensors(model, options);
  if (chosenValues.size === 0) {
    const inference = infer(model);
    misses.push(...unsupportedWeights(model, inference, allLayers(model, inference), true));
  }
  for (const [index, [value, at]] of [...chosenValues].entries()) {
    context.progress(index, chosenValues.size);
    const miss = await storeAsHalf(model, value, type);
    if (miss === undefined) changes.push({ at, what: `stored as ${type}`, decidedBy: "global" });
    else misses.push(new Miss(miss, at));
  }
  context.progress(chosenValues.size, chosenValues.size);
  return { changes, misses };
}

function chosenTensors(model: Model, options: HalfSettings): ReadonlyMap<Value, string> {
  const chosenValues = new Map<Value, string>();
  const inference = infer(model);
  const all = allLayers(model, inference);
  for (const { name, weight } of selectLayers(all, options)) chosenValues.set(weight, name);
  if (options.layers !== undefined) return chosenValues;
  const excluded = new Set(all.filter((layer) => excludesLayer(options, layer)).map(({ weight }) => weight));
  for (const value of parametersOf(model, inference))
    if (value.tensor?.type === "float32" && isLargeMatrix(value) && !chosenValues.has(value) && !excluded.has(value))
      chosenValues.set(value, value.name);
  return chosenValues;
}

export const isLargeMatrix = ({ tensor }: Value): boolean =>
  tensor !== undefined && tensor.dims.length > 1 && elementCount(tensor.dims) >= minElements;

/** Returns the reason if a tensor is not stored in half precision. */
async function storeAsHalf(model: Model, value: Value, type: "float16" | "bfloat16"): Promise<string | undefined> {
  const { tensor, graph, role } = value;
  const miss = checkStored(value, { types: ["float32"], allowsSubgraphs: true }, "it");
  if (miss !== undefined || tensor === undefined) return miss?.reason;
  if (role !== undefined && role.kind !== "parameter" && role.kind !== "buffer") return `it is ${describeRole(role)}`;
  if (graph.isOutput(value)) return "it is an output of the model";
  const { dims } = tensor;
  const unfitReason = explainUnfitHalf(toFloats(await tensor.read()), type);
  if (unfitReason !== undefined) return `it ${unfitReason}`;
  raiseOpset(model, type === "float16" ? castOpset : bfloat16Opset);
  const masking = maskingOf(value);
  const source = masking === undefined ? tensor : ((await foldMask(model, masking)).tensor ?? tensor);
  const [firstNode] = graph.nodes();
  const emit = emitter(graph, {
    ...(firstNode === undefined ? {} : { before: firstNode }),
    by: "quantize",
    opsets: model.header.opsets,
  });
  const float32Value = emit.named(`${value.name}_float32`).Cast([value], { to: typeCodes.float32 });
  replaceUses(value, float32Value, float32Value.producer);
  // The closure must not hold the values: weights are read one at a time.
  const readNarrowed = async () => fromNumbers(type, dims, toFloats(await source.read()));
  value.tensor = await deferTensor(type, dims, readNarrowed);
  value.type = { type, dims };
  return undefined;
}

/** Returns why a half type cannot represent values, as the predicate of a sentence; undefined if it can. */
export function explainUnfitHalf(
  numbers: Float32Array | Float64Array,
  type: "float16" | "bfloat16",
): string | undefined {
  let [largest, signal] = [0, 0];
  for (let index = 0; index < numbers.length; index++) {
    const magnitude = Math.abs(numbers[index] ?? 0);
    if (magnitude > largest) largest = magnitude;
    signal += magnitude * magnitude;
  }
  if (type === "float16" && largest >= smallestInfinite)
    return `contains ${largest.toPrecision(3)}; the largest float16 is 65,504`;
  // Rounding moves x by at most 2^-11 |x| + 2^-25 in float16, and 2^-9 |x| + 2^-134 in bfloat16. So most tensors need not be rounded here.
  const [share, step] = type === "float16" ? [2 ** -11, 2 ** -25] : [2 ** -9, 2 ** -134];
  if (share + step * Math.sqrt(numbers.length / signal) <= maxRelativeError) return undefined;
  const relativeError = relativeRoundingError(numbers, toFloats(fromNumbers(type, [numbers.length], numbers)));
  return relativeError > maxRelativeError
    ? `is too small: ${type} would lose ${(100 * relativeError).toFixed(0)} % of it`
    : undefined;
}

/** Returns the relative rounding error |x − r| / |x|. */
function relativeRoundingError(numbers: ArrayLike<number>, rounded: ArrayLike<number>): number {
  let [noise, signal] = [0, 0];
  for (let index = 0; index < numbers.length; index++) {
    const number = numbers[index] ?? 0;
    noise += (number - (rounded[index] ?? 0)) ** 2;
    signal += number * number;
  }
  return signal === 0 ? 0 : Math.sqrt(noise / signal);
}
