/** A weight as 8-bit codes in front of its layer: `fc1.weight` becomes `fc1.weight_quantized`, its scale and its zero point. */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers } from "../analysis/layers.ts";
import { type Selection, selectLayers } from "../analysis/selection.ts";
import { brokenNumbers, requireWeight, weightNeeds } from "../analysis/weight.ts";
import { Miss, PithError, stopIfAsked } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import {
  channelRanges,
  type QuantizationRange,
  type QuantizedTensor,
  quantizationParameters,
  quantizationRange,
  quantizeTensor,
  scaleAndZeroPoint,
  smallestScale,
} from "../math/index.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { readStoredValue, storedReader } from "../passes/stored.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { deferred } from "../tensor/deferred.ts";
import { type DataType, type Dense, type Tensor, typeCodes } from "../tensor/types.ts";
import { type ModelRoundings, noRoundings } from "./model-roundings.ts";

export interface WeightSettings {
  readonly type: "int8" | "uint8";
  readonly perChannel: boolean;
}

/** Why a layer's weight cannot be quantized, as far as the graph tells. */
export const weightMiss = (layer: Layer): Miss | undefined => requireWeight(layer, weightNeeds.quantize);

/**
 * Runs a scheme without the layers that `known` gives a reason for, and those whose numbers cannot be quantized: some are not finite, or all
 * are so small that no scale resolves them. Each is read before anything in the model changes.
 */
export async function withoutUnfit<O extends Selection>(
  model: Model,
  options: O,
  { engine, signal }: Pick<Context, "engine" | "signal">,
  scheme: (options: O) => Promise<Outcome>,
  known: ReadonlyMap<string, string> = new Map(),
): Promise<Outcome> {
  const reasons = new Map<Value, string | undefined>();
  const misses: Miss[] = [];
  for (const layer of selectLayers(layers(model, infer(model)), options)) {
    if (weightMiss(layer) !== undefined) continue;
    const { effective, name } = layer;
    stopIfAsked(signal);
    if (!known.has(name) && !reasons.has(effective))
      reasons.set(effective, whyUnfit(await readStoredValue(model, effective, engine)));
    const reason = known.get(name) ?? reasons.get(effective);
    if (reason !== undefined) misses.push(new Miss(reason, name));
  }
  if (misses.length === 0) return scheme(options);
  const outcome = await scheme({ ...options, unfit: new Set(misses.flatMap(({ at }) => at ?? [])) });
  return { ...outcome, misses: [...misses, ...outcome.misses] };
}

function whyUnfit(dense: Dense): string | undefined {
  const broken = brokenNumbers(toFloat32(dense));
  if (broken !== undefined) return `its weight ${broken}${dense.type === "float64" ? " in float32" : ""}`;
  const { min, max } = channelRanges(dense, undefined);
  const largest = Math.max(-(min[0] ?? 0), max[0] ?? 0);
  if (largest === 0 || largest >= 127 * smallestScale) return undefined;
  return `its weight is at most ${largest.toExponential(1)}: too small for a float32 scale`;
}

/**
 * The axis along which scales lie: the outputs of a product. Of a table its rows: each is read by itself, and where the table is a last layer, too,
 * they are the outputs of that.
 */
export const scaleAxis = ({ role }: Layer): number => (role.kind === "lookup" ? role.in : role.out);

/** How a weight becomes codes, as `quantizeTensor` takes it. */
export interface WeightRule {
  readonly type: "int8" | "uint8";
  readonly axis: number | undefined;
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  readonly range: QuantizationRange;
}

/**
 * One scale per output channel, or one for all: learned with the model, else from the range of the numbers. Several scales need equal zero
 * points (ONNX Runtime's integer kernels know one), so the range per channel is symmetric whatever the type: uint8 holds what int8 would
 * hold, plus 128. (ONNX Runtime's quantizer spreads ±max over 0 … 255 around 127.5, where no integer is the zero point.)
 */
export function weightRule(
  layer: Layer,
  dense: Dense,
  settings: WeightSettings,
  existing: ModelRoundings = noRoundings,
): WeightRule {
  const { type, perChannel } = settings;
  const known = existing.weights.get(layer.effective);
  if (known !== undefined) return symmetricRule(type, known, known.scale.length === 1 ? undefined : scaleAxis(layer));
  const axis = perChannel ? scaleAxis(layer) : undefined;
  const { min, max } = channelRanges(dense, axis);
  if (perChannel || type === "int8") {
    const scale = Array.from(min, (low, channel) => scaleAndZeroPoint(low, max[channel] ?? 0, { type: "int8" }).scale);
    return symmetricRule(type, { scale, ...quantizationRange({ type: "int8" }) }, axis);
  }
  const { scale, zeroPoint } = scaleAndZeroPoint(min[0] ?? 0, max[0] ?? 0, { type });
  return { type, axis, scale: [scale], zeroPoint: [zeroPoint], range: quantizationRange({ type }) };
}

/** Integers from `low` to `high` around 0, as int8, or as uint8 around 128. */
function symmetricRule(
  type: WeightSettings["type"],
  { scale, low, high }: { readonly scale: readonly number[]; readonly low: number; readonly high: number },
  axis: number | undefined,
): WeightRule {
  const zero = type === "int8" ? 0 : 128;
  return { type, axis, scale, zeroPoint: scale.map(() => zero), range: { low: low + zero, high: high + zero } };
}

/** A weight as integers, which are computed when they are read. */
export interface QuantizedWeight extends Omit<QuantizedTensor, "quantized"> {
  readonly quantized: Tensor;
}

/** Reads a layer's weight: whenever asked for where nothing must be run for it, else once. */
export async function weightReader(
  model: Model,
  { effective }: Layer,
  engine: Context["engine"],
): Promise<() => Promise<Dense>> {
  const read = storedReader(effective);
  if (read !== undefined) return read;
  const dense = await readStoredValue(model, effective, engine);
  return async () => dense;
}

/** A weight by a rule that was made of it. */
export async function quantizeWeight(
  layer: Layer,
  dims: readonly number[],
  read: () => Promise<Dense>,
  rule: WeightRule,
): Promise<QuantizedWeight> {
  const compute = async (): Promise<Dense> => {
    const dense = await read();
    return forLayer(layer, () => quantizeTensor(dense, rule).quantized);
  };
  return { quantized: await deferred(rule.type, dims, compute), ...quantizationParameters(rule) };
}

/** Of the schemes that compute in float or by QDQ, where nothing speaks for uint8. */
export function settingsOf(options: {
  readonly weights?: "int8" | "uint8" | undefined;
  readonly perChannel: boolean;
}): WeightSettings {
  return { type: options.weights ?? "int8", perChannel: options.perChannel };
}

/** Runs something that may refuse numbers, and says whose numbers they were. */
export function forLayer<T>(layer: Layer, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    throw new PithError(error.code, `Layer "${layer.name}": ${error.message}`, { cause: error });
  }
}

/** Stores codes, scale and zero point under the names that ONNX Runtime's own tools use and look for. */
export function storeQuantized(emit: Emit, name: string, tensor: QuantizedTensor | QuantizedWeight): StoredCodes {
  return {
    codes: emit.constant(tensor.quantized, `${name}_quantized`),
    scale: emit.constant(tensor.scale, `${name}_scale`),
    zeroPoint: emit.constant(tensor.zeroPoint, `${name}_zero_point`),
  };
}

/** Stored codes, and what makes numbers of them. */
export interface StoredCodes {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** The stored integers as numbers again, of the type that the layer reads. */
export function dequantized(
  emit: Emit,
  name: string,
  tensor: QuantizedTensor | QuantizedWeight,
  type: DataType = "float32",
): Value {
  return numbersOf(emit, name, storeQuantized(emit, name, tensor), tensor.axis, type);
}

/** Numbers of codes with one scale, or one for each index of an axis. */
export function numbersOf(
  emit: Emit,
  name: string,
  { codes, scale, zeroPoint }: StoredCodes,
  axis: number | undefined,
  type: DataType = "float32",
): Value {
  const along = axis === undefined ? {} : { axis };
  const numbers = emit.named(`${name}_DequantizeLinear_Output`).DequantizeLinear([codes, scale, zeroPoint], along);
  return type === "float32" ? numbers : emit.named(`${name}_${type}`).Cast([numbers], { to: typeCodes[type] });
}
