/** Decides how each layer's weight is stored, before anything is written. */
import type { Inference } from "../../core/analysis/infer.ts";
import type { Layer } from "../../core/analysis/layers.ts";
import { ownOptions } from "../../core/analysis/selection.ts";
import { Miss } from "../../core/errors.ts";
import { entryOf } from "../../core/ops/index.ts";
import { inStandardBlocks } from "./formats/blocked-dequantize-linear.ts";
import { asLearned, inCodes } from "./formats/dequantize-linear.ts";
import type { Format, LayerPlan } from "./formats/format.ts";
import { inRowsOfBlocks } from "./formats/gather-block-quantized.ts";
import { readsTable } from "./formats/lookup.ts";
import { inBnb4 } from "./formats/matmul-bnb4.ts";
import { inBlocks } from "./formats/matmul-nbits.ts";
import { inPalette } from "./formats/palette.ts";
import type { ModelRoundings } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { existingRounding, weightMiss } from "./weight.ts";

const weightFormats: readonly Format[] = [
  inPalette,
  inBnb4,
  asLearned,
  inStandardBlocks,
  inRowsOfBlocks,
  inBlocks,
  inCodes,
];

export const opsetOf = ({ layers }: Plan): number => Math.max(0, ...layers.map(({ form }) => form.opset ?? 0));

export interface Plan {
  readonly layers: readonly LayerPlan[];
  readonly misses: readonly Miss[];
}

/** @param formatsFor formats to try in order; by default those of the weight-only scheme. */
export function planOf(
  chosen: readonly Layer[],
  options: QuantizeSettings,
  inference: Inference,
  existing: ModelRoundings,
  formatsFor?: (layer: Layer) => readonly Format[],
): Plan {
  const found = chosen.map((layer) => layerPlan(layer, options, inference, existing, formatsFor?.(layer)));
  const layers = found.flatMap((plan) => (plan instanceof Miss ? [] : plan));
  return {
    layers: withTables(layers, inference),
    misses: found.flatMap((plan) => (plan instanceof Miss ? plan : [])),
  };
}

export function layerPlan(
  layer: Layer,
  options: QuantizeSettings,
  inference: Inference,
  existing: ModelRoundings,
  formats: readonly Format[] = weightFormats,
): LayerPlan | Miss {
  const miss = weightMiss(layer);
  if (miss !== undefined) return miss;
  const { own, decidedBy } = ownOptions(options, layer);
  const learned = existingRounding(layer, { existing });
  let why: string | undefined;
  for (const { what, formOf } of formats) {
    const form = formOf(layer, own, inference, learned);
    if (form instanceof Miss && formats.length === 1) return form;
    if (form instanceof Miss) why ??= `not ${what}: ${form.reason}`;
    else if (form !== undefined) return { layer, decidedBy, form, why };
  }
  return new Miss(why ?? "no format supports it", layer.name);
}

/** Returns whether a layer of an integer scheme stores quantized weights but computes in float, as embedding lookups do. */
export const keepsFloatArithmetic = (layer: Layer): boolean =>
  weightMiss(layer) === undefined && (layer.role.kind === "lookup" || entryOf(layer.node)?.manySteps === true);

/** Adds the plans of last layers that share a table's codes. The table keeps its format only if all of them can read it. */
function withTables(plans: readonly LayerPlan[], inference: Inference): readonly LayerPlan[] {
  const found = new Map(plans.map((plan) => [plan.layer, plan]));
  for (const plan of plans) {
    const { layer: table } = plan;
    if (table.role.kind !== "lookup") continue;
    const products = plans.filter(({ layer }) => layer.role.kind !== "lookup" && readsTable(layer, table, inference));
    const tiedTo = ({ form }: LayerPlan) =>
      products.map((product) => form.tied?.(product.layer, product.form, inference));
    const first = tiedTo(plan);
    const miss = first.find((form) => form instanceof Miss);
    const own =
      miss instanceof Miss && plan.form.otherwise !== undefined
        ? {
            ...plan,
            form: plan.form.otherwise,
            why: `not blocks: it is also the weight of "${miss.at}", where ${miss.reason}`,
          }
        : plan;
    const forms = own === plan ? first : tiedTo(own);
    const shares = products.flatMap((product, at) => {
      const form = forms[at];
      return form === undefined || form instanceof Miss ? [] : [{ ...own, layer: product.layer, form, table }];
    });
    found.set(table, { ...own, isShared: shares.length > 0 });
    for (const product of shares) found.set(product.layer, product);
  }
  return [...found.values()];
}
