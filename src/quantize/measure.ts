/** Scales of activations: learned with the model, or from ranges measured on data. */
import type { Inference } from "../analysis/infer.ts";
import { type Dataset, isIndexed, openDataset } from "../data/index.ts";
import { Miss, PithError } from "../errors.ts";
import { observeRanges, type ValueRange } from "../evaluate/observe.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fullRange, type ScaleAndZeroPoint, scaleAndZeroPoint } from "../math/index.ts";
import type { Context } from "../passes/pass.ts";
import type { ModelRoundings } from "./model-roundings.ts";
import type { Placement } from "./placement.ts";

export interface MeasureOptions {
  readonly activations: "uint8" | "int8";
  readonly data?: Dataset | undefined;
  readonly samples: number;
}

/** Scale and zero point of every quantized activation, from its own range or that of the value it shares with. */
export async function measure(
  model: Model,
  inference: Inference,
  { activations }: Placement,
  options: MeasureOptions,
  context: Context,
  existing: ModelRoundings,
): Promise<ReadonlyMap<Value, ScaleAndZeroPoint>> {
  const own = [...activations].flatMap(([value, from]) =>
    from === undefined && !existing.activations.has(value) ? [value] : [],
  );
  const ranges = own.length === 0 ? undefined : await observe(model, own, options, context);
  const scales = new Map<Value, ScaleAndZeroPoint>();
  const scaleOf = (value: Value): ScaleAndZeroPoint => {
    const known = scales.get(value);
    if (known !== undefined) return known;
    const from = activations.get(value);
    const found = from === undefined ? ownScale(value) : scaleOf(from);
    scales.set(value, found);
    return found;
  };
  const ownScale = (value: Value): ScaleAndZeroPoint => {
    const found = existing.activations.get(value);
    if (found !== undefined) return { scale: found.scale, zeroPoint: fullRange(options.activations).low - found.low };
    const { min, max } = ranges?.get(value.name) ?? { min: 0, max: 0 };
    const bound = value.producer === undefined ? undefined : inference.at(value.producer);
    const setting = { type: options.activations, symmetric: false } as const;
    if (bound === undefined || bound instanceof Miss) return scaleAndZeroPoint(min, max, setting);
    // Where the next layer rounds probabilities, ONNX Runtime computes them on integers, and is right over this range alone.
    if (bound.distribution()?.form === "probabilities") return scaleAndZeroPoint(0, 1, setting);
    const [input] = value.producer?.inputs ?? [];
    const rule = bound.quantize();
    const finest = rule instanceof Miss || rule.kind !== "activation" ? undefined : rule.finest;
    if (finest === undefined || input === undefined || !activations.has(input))
      return scaleAndZeroPoint(min, max, setting);
    const { low, high } = fullRange(options.activations);
    return scaleAndZeroPoint(min, max, { ...setting, minimumRange: scaleOf(input).scale * finest * (high - low) });
  };
  for (const value of activations.keys()) scaleOf(value);
  return scales;
}

async function observe(
  model: Model,
  values: readonly Value[],
  { data, samples }: MeasureOptions,
  context: Context,
): Promise<ReadonlyMap<string, ValueRange>> {
  if (data === undefined) throw missingData("quantize");
  return observeRanges(
    context.engine,
    model,
    data,
    values.map((value) => value.name),
    {
      samples,
      ...(isIndexed(data) ? { shuffle: context.seed } : {}),
      signal: context.signal,
      progress: context.progress,
    },
  );
}

/** Options with the data set opened, if there is one: before anything in the model changes. Of a path the train part. */
export async function withData<O extends { readonly data?: Dataset | string | undefined }>(
  options: O,
): Promise<Omit<O, "data"> & { readonly data?: Dataset | undefined }> {
  const { data, ...rest } = options;
  return { ...rest, data: typeof data === "string" ? await openDataset(data, { part: "train" }) : data };
}

export function missingData(owner: "quantize" | "fake-quantize"): PithError {
  return new PithError("E_OPTION", `${owner}: "data": the static scheme measures ranges on data, and got none.`, {
    hint: `Give a data set, or choose another scheme: "weights"${owner === "quantize" ? ' and "dynamic" need' : " needs"} none.`,
  });
}
