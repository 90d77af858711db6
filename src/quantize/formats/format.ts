/**
 * Forms in which a weight is stored. A format is a file here that says which layers it holds, and a line in the table of `plan.ts`; what writes
 * weights asks the form and knows none.
 */
import type { Inference } from "../../analysis/infer.ts";
import type { Layer } from "../../analysis/layers.ts";
import type { Miss } from "../../errors.ts";
import { type Emit, emitter } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { Change, Context } from "../../passes/pass.ts";
import type { BlockSettings } from "../grid.ts";
import type { WeightRounding } from "../model-roundings.ts";
import type { QuantizeSettings } from "../options.ts";
import type { Rounding, WeightSettings } from "../weight.ts";

/** The form that options ask for, why a layer cannot have it, or undefined where they do not ask for it. */
export interface Format {
  /** After "not": "blocks". */
  readonly what: string;
  /** @param learned the rounding of the weight that the model has. */
  formOf(
    layer: Layer,
    own: QuantizeSettings,
    inference: Inference,
    learned: WeightRounding | undefined,
  ): Form | Miss | undefined;
}

/** How one layer's weight is stored. */
export interface Form {
  readonly bits: number;
  /** The first operator set of ONNX that has it, where layers may be of an older one. */
  readonly opset?: number;
  /** The blocks in which its numbers share scales. */
  readonly blocks?: BlockSettings;
  text(layer: Layer, run: Writing): string;
  /** Called of all layers before the first is written. */
  begin?(planned: LayerPlan, run: Writing): Promise<void>;
  /** Writes a layer whose data and weight are in the graph before `emit`. */
  write(emit: Emit, planned: LayerPlan, run: Writing): Promise<void>;
  /**
   * Of a table: the form of a product that reads the same codes, why it cannot read them, or undefined where it keeps a form of its own.
   * @param wanted what the product would be without the table.
   */
  tied?(product: Layer, wanted: Form, inference: Inference): Form | Miss | undefined;
  /** Of a table, where a product cannot read its codes. */
  readonly otherwise?: Form;
  /** Of a product: its form on codes of 8 bits, those of a table, where it computes on integers. */
  onCodes?(settings: WeightSettings): Form | undefined;
}

/** The form of one layer's weight, who decided it, and why it is no other. */
export interface LayerPlan {
  readonly layer: Layer;
  readonly decidedBy: Change["decidedBy"];
  readonly form: Form;
  readonly why?: string | undefined;
  /** The table whose codes a product reads. */
  readonly table?: Layer;
  /** Of a table: products read its codes. */
  readonly isShared?: boolean;
}

/** What writing weights has at hand. */
export interface Writing {
  readonly model: Model;
  readonly inference: Inference;
  readonly rounding: Rounding;
  /** For slices, which know no zero points. */
  readonly plain: Rounding;
  readonly context: Context;
  /** Weights that graphs inside the one that holds them read. */
  readonly readInside: ReadonlySet<Value>;
}

/** Writes into the graph that holds a weight: what is stored of it is seen from all branches that read it. */
export const beside = ({ weight }: Layer, { model, inference }: Writing): Emit =>
  emitter(weight.graph, { by: "quantize", onNode: inference.visit, opsets: model.header.opsets });

/**
 * Writes what makes numbers of a weight's codes: before the layer, or in the graph that holds them where graphs inside read it. ONNX Runtime (1.30)
 * refuses a model with a MatMul in a branch behind a DequantizeLinear of codes from outside.
 */
export const around = (emit: Emit, layer: Layer, run: Writing): Emit =>
  run.readInside.has(layer.weight) ? beside(layer, run) : emit;

/** Makes once in a run what all layers read that have a weight in one form. */
export function oncePerRun<T>(): (run: Writing, weight: Value, form: unknown, make: () => Promise<T>) => Promise<T> {
  const runs = new WeakMap<Writing, Map<Value, Map<unknown, T>>>();
  return async (run, weight, form, make) => {
    const weights = runs.get(run) ?? new Map<Value, Map<unknown, T>>();
    runs.set(run, weights);
    const forms = weights.get(weight) ?? new Map<unknown, T>();
    weights.set(weight, forms);
    const found = forms.get(form) ?? (await make());
    forms.set(form, found);
    return found;
  };
}
