/**
 * How each layer's weight is stored, decided before anything is written: from the options of the pass, what is said of single layers over them, and
 * what a layer cannot have.
 */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { ownOptions } from "../analysis/selection.ts";
import { Miss } from "../errors.ts";
import { entryOf } from "../ops/index.ts";
import { inStandardBlocks } from "./formats/blocked-dequantize-linear.ts";
import { codesForm, inCodes } from "./formats/dequantize-linear.ts";
import { inFloat8 } from "./formats/float8.ts";
import type { Format, LayerPlan } from "./formats/format.ts";
import { inRowsOfBlocks } from "./formats/gather-block-quantized.ts";
import { inIntegers } from "./formats/integer-operators.ts";
import { readsTable } from "./formats/lookup.ts";
import { inBnb4 } from "./formats/matmul-bnb4.ts";
import { inBlocks } from "./formats/matmul-nbits.ts";
import { inPalette } from "./formats/palette.ts";
import type { ScaledType } from "./measure.ts";
import type { QuantizeSettings } from "./options.ts";
import type { Target } from "./target.ts";
import { settingsOf, weightMiss } from "./weight.ts";

/** The formats of the scheme that stores weights, in the order in which they are asked. */
const formats: readonly Format[] = [inPalette, inBnb4, inFloat8, inStandardBlocks, inRowsOfBlocks, inBlocks, inCodes];

/** The operator set that layers need for what their options ask for. */
export const opsetFor = (able: readonly Layer[], options: QuantizeSettings): number =>
  Math.max(...able.flatMap((layer) => formats.map(({ opset }) => opset?.(ownOptions(options, layer).own) ?? 0)));

/** The plan of a layer for the scheme that stores weights: the first format that holds what its options ask for. */
export function planOf(layer: Layer, options: QuantizeSettings, inference: Inference): LayerPlan | Miss {
  const miss = weightMiss(layer);
  if (miss !== undefined) return miss;
  const { own, decidedBy } = ownOptions(options, layer);
  let why: string | undefined;
  for (const { what, formOf } of formats) {
    const form = formOf(layer, own, inference);
    if (form instanceof Miss) why ??= `not ${what}: ${form.reason}`;
    else if (form !== undefined) return { layer, decidedBy, form, why };
  }
  return new Miss(why ?? "no format is for it", layer.name);
}

/** Whether a layer computes in float in the scheme that computes on integers, with its weight as codes: rows are picked of tables. */
export const keepsFloatArithmetic = (layer: Layer): boolean =>
  weightMiss(layer) === undefined && (layer.role.kind === "lookup" || entryOf(layer.node)?.manySteps === true);

/** The plan of a layer for the scheme that computes on integers. */
export function integerPlanOf(layer: Layer, options: QuantizeSettings, inference: Inference): LayerPlan | Miss {
  const { own, decidedBy } = ownOptions(options, layer);
  const form = (keepsFloatArithmetic(layer) ? inCodes : inIntegers).formOf(layer, own, inference);
  if (form === undefined) return new Miss("no format is for it", layer.name);
  return form instanceof Miss ? form : { layer, decidedBy, form };
}

/** The plan of a layer for the scheme with measured ranges; `data` is how its data is rounded. */
export function staticPlanOf(
  layer: Layer,
  target: Target | undefined,
  data: ScaledType | undefined,
  options: QuantizeSettings,
): LayerPlan {
  const { own, decidedBy } = ownOptions(options, layer);
  const settings = settingsOf(own);
  if (target === undefined || data === undefined) return { layer, decidedBy, form: codesForm(settings) };
  const weight = own.bits === 4 ? { ...settings, type: "int4" as const } : settings;
  return { layer, decidedBy, form: codesForm(weight, { target, ...data }) };
}

/**
 * The plans with those of tables for the last layers that they are, too: both read the same codes. A table keeps its form where all of these can
 * read it.
 */
export function withTables(plans: readonly LayerPlan[], inference: Inference): readonly LayerPlan[] {
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
            why: `not blocks: it is the weight of "${miss.at}" too, where ${miss.reason}`,
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
