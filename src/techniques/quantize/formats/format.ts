/** Interfaces of the formats in which weights are stored, and helpers that formats share. `plan.ts` lists the formats in order of preference. */
import type { Inference, Layer } from "#analysis";
import { type Emit, emitter, type Graph, type Miss, type Model, type Value } from "#ir";
import type { Change, Context } from "#pass";
import type { BlockSettings } from "../grid.ts";
import type { WeightRounding } from "../rounding.ts";
import type { WeightsSettings } from "../settings.ts";
import type { Rounding, WeightSettings } from "../weight.ts";

/** Returns a layer's form, the reason against this format, or undefined if not asked for. @param learned existing fake quantization. */
export type Format = (
  layer: Layer,
  options: WeightsSettings,
  inference: Inference,
  learned: WeightRounding | undefined,
) => Form | Miss | undefined;

export interface Form {
  readonly bits: number;
  /** Minimum opset, if the layers do not require it anyway. */
  readonly opset?: number;
  readonly blocks?: BlockSettings;
  text(layer: Layer, writing: Writing): string;
  /** Called for all layers before the first is written. */
  begin?(planned: LayerPlan, writing: Writing): Promise<void>;
  /** Writes a layer; its data and weight are in the graph before `emit`. */
  write(emit: Emit, planned: LayerPlan, writing: Writing): Promise<void>;
  /**
   * For a table: returns the form of a product that shares the table's values, a Miss if it cannot share them, or undefined if it should
   * not. @param requested the product's form with separate values.
   */
  tied?(product: Layer, requested: Form, inference: Inference): Form | Miss | undefined;
  /** The form that replaces this form of a table if a product that shares the table's values cannot read them. */
  readonly otherwise?: Form;
  /** For an integer product: returns its form with the 8-bit values of a table as its weight; undefined if it cannot read them. */
  onCodes?(settings: WeightSettings): Form | undefined;
}

export interface LayerPlan {
  readonly layer: Layer;
  readonly decidedBy: Change["decidedBy"];
  readonly form: Form;
  /** Why the form is not the requested one. */
  readonly why?: string | undefined;
  /** The embedding table whose quantized values the layer shares. */
  readonly table?: Layer;
  /** Whether another layer shares the quantized values of this table. */
  readonly isShared?: boolean;
}

export interface Writing {
  readonly model: Model;
  readonly inference: Inference;
  readonly rounding: Rounding;
  readonly context: Context;
  readonly readInside: ReadonlySet<Value>;
}

/** Returns an emitter for the graph that contains a weight, so that all subgraphs can read the result. */
export const emitBeside = ({ weight }: Layer, { model, inference }: Writing): Emit =>
  emitter(weight.graph, { by: "quantize", onNode: inference.visit, opsets: model.header.opsets });

/** Returns an emitter before the layer, or in the weight's graph if subgraphs read it (quirk "weight-in-branch"). */
export const emitAround = (emit: Emit, layer: Layer, writing: Writing): Emit =>
  writing.readInside.has(layer.weight) ? emitBeside(layer, writing) : emit;

export function oncePerRun<T>(): (
  writing: Writing,
  source: Value | Graph,
  form: unknown,
  make: () => Promise<T>,
) => Promise<T> {
  const runs = new WeakMap<Writing, Map<Value | Graph, Map<unknown, T>>>();
  return async (writing, source, form, make) => {
    const sources = runs.get(writing) ?? new Map<Value | Graph, Map<unknown, T>>();
    runs.set(writing, sources);
    const forms = sources.get(source) ?? new Map<unknown, T>();
    sources.set(source, forms);
    const result = forms.get(form) ?? (await make());
    forms.set(form, result);
    return result;
  };
}
