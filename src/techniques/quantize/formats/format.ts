/** Interfaces of the formats in which weights are stored, and helpers that formats share. */
import type { Inference, Layer } from "#analysis";
import { type Emit, emitter, type Graph, type Miss, type Model, type Value } from "#ir";
import type { Change, Context } from "#pass";
import type { WeightRounding } from "../fake-rounding.ts";
import type { BlockSettings } from "../grid.ts";
import type { WeightsSettings } from "../settings.ts";
import type { Rounding } from "../weights/rounding-source.ts";
import type { WeightSettings } from "../weights/weight-settings.ts";

/** Returns a layer's format, the reason against it, or undefined if not asked for. @param learned existing fake quantization. */
export type FormatFactory = (
  layer: Layer,
  options: WeightsSettings,
  inference: Inference,
  learnedRounding: WeightRounding | undefined,
) => Format | Miss | undefined;

export interface Format {
  readonly bits: number;
  readonly opset?: number;
  readonly blocks?: BlockSettings;
  text(layer: Layer, run: WriteRun): string;
  /** Called for all layers before the first is written. */
  begin?(plan: LayerPlan, run: WriteRun): Promise<void>;
  /** Writes a layer; its data and weight are in the graph before `emit`. */
  write(emit: Emit, plan: LayerPlan, run: WriteRun): Promise<void>;
  /** For a table: returns the format of a product that shares its values; a Miss if it cannot, undefined if it should not. */
  tied?(product: Layer, ownFormat: Format, inference: Inference): Format | Miss | undefined;
  /** For an embedding table: the format to use instead if the output layer that shares its values cannot read this format. */
  readonly fallback?: Format;
  /** For an integer product: returns its format with the 8-bit values of a table as its weight; undefined if it cannot read them. */
  onCodes?(settings: WeightSettings): Format | undefined;
}

export interface LayerPlan {
  readonly layer: Layer;
  readonly decidedBy: Change["decidedBy"];
  readonly format: Format;
  /** Why the format is not the requested one. */
  readonly why?: string | undefined;
  /** The embedding table whose quantized values the layer shares. */
  readonly table?: Layer;
  readonly isShared?: boolean;
}

export interface WriteRun {
  readonly model: Model;
  readonly inference: Inference;
  readonly rounding: Rounding;
  readonly context: Context;
  readonly readInside: ReadonlySet<Value>;
}

/** Returns an emitter for the graph that contains a weight, so that all subgraphs can read the result. */
export const emitBeside = ({ weight }: Layer, { model, inference }: WriteRun): Emit =>
  emitter(weight.graph, { by: "quantize", onNode: inference.visit, opsets: model.header.opsets });

/** Returns an emitter before the layer, or in the weight's graph if subgraphs read it (quirk "weight-in-branch"). */
export const emitAround = (emit: Emit, layer: Layer, run: WriteRun): Emit =>
  run.readInside.has(layer.weight) ? emitBeside(layer, run) : emit;

export function oncePerRun<T>(): (
  run: WriteRun,
  source: Value | Graph,
  format: unknown,
  make: () => Promise<T>,
) => Promise<T> {
  const runs = new WeakMap<WriteRun, Map<Value | Graph, Map<unknown, T>>>();
  return async (run, source, format, make) => {
    const sources = runs.get(run) ?? new Map<Value | Graph, Map<unknown, T>>();
    runs.set(run, sources);
    const formats = sources.get(source) ?? new Map<unknown, T>();
    sources.set(source, formats);
    const result = formats.get(format) ?? (await make());
    formats.set(format, result);
    return result;
  };
}
