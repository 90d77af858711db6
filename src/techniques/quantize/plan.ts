/** Decides how each layer's weight is stored, before anything is written, and writes the weights as planned. */
import { type Inference, type Layer, optionsOfLayer, type Selection } from "#analysis";
import { elementCount, emitInto, getOrAdd, Miss, removeReplaced, usedTensors, type Value } from "#ir";
import { type Change, type Outcome, quantizedKind } from "#pass";
import { entryOf } from "../../core/ops/index.ts";
import type { ModelRoundings } from "./fake-rounding.ts";
import { standardBlocksFor } from "./formats/blocked-dequantize-linear.ts";
import { codesFor, learnedCodesFor } from "./formats/dequantize-linear.ts";
import type { Format, FormatFactory, LayerPlan } from "./formats/format.ts";
import { rowBlocksFor } from "./formats/gather-block-quantized.ts";
import { readsTable } from "./formats/lookup.ts";
import { blocksFor } from "./formats/matmul-nbits.ts";
import { paletteFor } from "./formats/palette.ts";
import { weightMiss } from "./quantizable.ts";
import type { WeightsSettings } from "./settings.ts";
import { existingRounding, type Rounding } from "./weights/rounding-source.ts";

/** The formats of the weight-only scheme in the order of preference. The name completes the message "not …". */
const weightFormats: readonly (readonly [name: string, formatOf: FormatFactory])[] = [
  ["a palette", paletteFor],
  ["codes", learnedCodesFor],
  ["blocks", standardBlocksFor],
  ["blocks", rowBlocksFor],
  ["blocks", blocksFor],
  ["codes", codesFor],
];

/** Chooses the format of a layer. `why` says why it is not the requested format. */
type FormatChoice<O> = (
  layer: Layer,
  options: O,
) => { readonly format: Format; readonly why?: string | undefined } | Miss;

export interface Plan {
  readonly layers: readonly LayerPlan[];
  readonly misses: readonly Miss[];
}

export const requiredOpset = ({ layers }: Plan): number =>
  Math.max(0, ...layers.map(({ format }) => format.opset ?? 0));

/** @param choose receives the options of each layer, with its overrides. */
export function planLayers<O extends Selection>(
  selectedLayers: readonly Layer[],
  options: O,
  inference: Inference,
  choose: FormatChoice<O>,
): Plan {
  const plans = selectedLayers.map((layer) => planLayer(layer, options, choose));
  const layers = plans.flatMap((plan) => (plan instanceof Miss ? [] : plan));
  return { layers: withTables(layers, inference), misses: plans.flatMap((plan) => (plan instanceof Miss ? plan : [])) };
}

export function planLayer<O extends Selection>(layer: Layer, options: O, choose: FormatChoice<O>): LayerPlan | Miss {
  const miss = weightMiss(layer);
  if (miss !== undefined) return miss;
  const { options: layerOptions, decidedBy } = optionsOfLayer(options, layer);
  const choice = choose(layer, layerOptions);
  return choice instanceof Miss ? choice : { layer, decidedBy, ...choice };
}

export const weightFormatChoice =
  (inference: Inference, existing: ModelRoundings): FormatChoice<WeightsSettings> =>
  (layer, options) => {
    const learnedRounding = existingRounding(layer, { existing });
    let reason: string | undefined;
    for (const [name, formatOf] of weightFormats) {
      const format = formatOf(layer, options, inference, learnedRounding);
      if (format instanceof Miss) reason ??= `not ${name}: ${format.reason}`;
      else if (format !== undefined) return { format, why: reason };
    }
    return new Miss(reason ?? "no format supports it", layer.name);
  };

/** Returns whether a layer of an integer scheme stores its weight in 8 bits but computes in float. */
export const keepsFloatArithmetic = (layer: Layer): boolean =>
  weightMiss(layer) === undefined &&
  (layer.role.kind === "lookup" || entryOf(layer.node)?.facets.quantize instanceof Miss);

/** Plans layers that share the quantized values of an embedding table. */
function withTables(plans: readonly LayerPlan[], inference: Inference): readonly LayerPlan[] {
  const planByLayer = new Map(plans.map((plan) => [plan.layer, plan]));
  for (const plan of plans) {
    const { layer: table } = plan;
    if (table.role.kind !== "lookup") continue;
    const products = plans.filter(({ layer }) => layer.role.kind !== "lookup" && readsTable(layer, table, inference));
    const tiedFormats = ({ format }: LayerPlan) =>
      products.map((product) => format.tied?.(product.layer, product.format, inference));
    const planFormats = tiedFormats(plan);
    const miss = planFormats.find((format) => format instanceof Miss);
    const tablePlan =
      miss instanceof Miss && plan.format.fallback !== undefined
        ? {
            ...plan,
            format: plan.format.fallback,
            why: `not blocks: it is also the weight of "${miss.at}", where ${miss.reason}`,
          }
        : plan;
    const formats = tablePlan === plan ? planFormats : tiedFormats(tablePlan);
    const sharedPlans = products.flatMap(({ layer }, index) => {
      const format = formats[index];
      return format === undefined || format instanceof Miss ? [] : [{ ...tablePlan, layer, format, table }];
    });
    planByLayer.set(table, { ...tablePlan, isShared: sharedPlans.length > 0 });
    for (const product of sharedPlans) planByLayer.set(product.layer, product);
  }
  return [...planByLayer.values()];
}

/** Writes each weight once for all layers that read it in the same format. */
export async function writePlan(
  { layers: plans, misses }: Plan,
  inference: Inference,
  rounding: Rounding,
): Promise<Outcome> {
  const { model, context } = rounding;
  const oldTensors = usedTensors(model);
  const readInside = new Set(
    plans.flatMap(({ layer }) => (layer.node.graph === layer.weight.graph ? [] : layer.weight)),
  );
  const run = { model, inference, rounding, context, readInside };
  for (const plan of plans) await plan.format.begin?.(plan, run);
  const changes: Change[] = [];
  const writtenFormats = new Map<Value, Map<Layer["effective"], LayerPlan>>();
  for (const [index, plan] of plans.entries()) {
    context.progress(index, plans.length);
    const { layer, format, why, decidedBy } = plan;
    const text = format.text(layer, run);
    const formats = getOrAdd(writtenFormats, layer.weight, () => new Map());
    const earlierPlan = [...formats.values()].find(({ layer: { effective } }) => effective !== layer.effective);
    getOrAdd(formats, layer.effective, () => plan);
    const largeTensorsBefore = earlierPlan === undefined ? 0 : countLargeTensors(plan);
    await format.write(emitInto(model, { before: layer.node, by: "quantize", onNode: inference.visit }), plan, run);
    const note =
      earlierPlan !== undefined && countLargeTensors(plan) > largeTensorsBefore
        ? `stored a second time: "${earlierPlan.layer.name}" reads the same matrix in another form`
        : undefined;
    const details = [text, why, note].filter((part) => part !== undefined).join(", ");
    changes.push({ at: layer.name, kind: quantizedKind, what: details, bits: format.bits, decidedBy });
  }
  for (const graph of new Set([...readInside].map((weight) => weight.graph))) graph.sort();
  if (changes.length > 0) removeReplaced(model, oldTensors);
  return { changes, misses };
}

/** Returns the number of stored tensors that are at least as large as the quantized weight. */
function countLargeTensors({ layer: { weight }, format }: LayerPlan): number {
  const minBytes = (elementCount(weight.tensor?.dims ?? []) * format.bits) / 8;
  return [...weight.graph.values()].filter(({ tensor }) => tensor !== undefined && tensor.bytes >= minBytes).length;
}
