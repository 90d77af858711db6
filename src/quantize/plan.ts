/**
 * How each layer's weight is stored, decided before anything is written: from the options of the pass, what is said of single layers over them, and
 * what a layer cannot have.
 */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { ownOptions } from "../analysis/selection.ts";
import { Miss } from "../errors.ts";
import { entryOf } from "../ops/index.ts";
import type { Change } from "../passes/pass.ts";
import { turnsTable } from "./formats/lookup.ts";
import type { QuantizeSettings } from "./options.ts";
import { rounderOf } from "./rounders/index.ts";
import { type Target, targetAt } from "./target.ts";
import { fastWeight } from "./targets.ts";
import { type BlockSettings, settingsOf, type WeightSettings, weightMiss } from "./weight.ts";

/** The form of one weight: that of `table`, where it is a table whose codes the layer shares. */
export type WeightPlan = {
  readonly layer: Layer;
  readonly decidedBy: Change["decidedBy"];
} & (
  | {
      readonly form: "codes";
      readonly settings: WeightSettings;
      readonly why?: string;
      readonly table?: Layer;
      readonly measured?: Measured;
    }
  | { readonly form: "blocks"; readonly settings: BlockSettings; readonly target: Target; readonly table?: Layer }
  | {
      readonly form: "rows";
      readonly settings: BlockSettings;
      readonly codes: WeightSettings;
      readonly isShared: boolean;
    }
  | { readonly form: "integer"; readonly settings: WeightSettings; readonly target: Target }
);

/** Of a layer that computes on integers with measured ranges: the type and the scale of what it reads. */
interface Measured {
  readonly target: Target;
  readonly type: QuantizeSettings["activations"];
  readonly scale: number;
}

const usualBlock = 32;

/** The plan of a layer that can be quantized, for the scheme that stores weights. */
export function planOf(layer: Layer, options: QuantizeSettings, inference: Inference): WeightPlan {
  const { own, decidedBy } = ownOptions(options, layer);
  const { bits, block = bits < 8 ? usualBlock : undefined } = own;
  const codes = { layer, decidedBy, form: "codes", settings: settingsOf(own) } as const;
  if (block === undefined) return codes;
  if (layer.role.kind === "lookup") {
    const width = layer.outputs;
    if (width % block > 0) return { ...codes, why: `rows of ${width} numbers are no whole blocks of ${block}` };
    // No released runtime reads rows of 2 bits. Their zero points are stored in any case: runtimes differ in what is meant without.
    const settings = { bits: bits === 2 ? 4 : bits, block, symmetric: false } as const;
    return { layer, decidedBy, form: "rows", settings, codes: codes.settings, isShared: false };
  }
  const target = blocksAt(layer, inference);
  if (target instanceof Miss) return { ...codes, why: target.reason };
  const symmetric = !own.zeroPoints && rounderOf(own.rounder).zeroPoints !== true;
  return { layer, decidedBy, form: "blocks", settings: { bits, block, symmetric }, target };
}

/** Whether a layer computes in float in the scheme that computes on integers, with its weight as codes: rows are picked of tables. */
export const storesCodes = (layer: Layer): boolean =>
  weightMiss(layer) === undefined && (layer.role.kind === "lookup" || entryOf(layer.node)?.manySteps === true);

/** The plan of a layer for the scheme that computes on integers. */
export function integerPlanOf(layer: Layer, options: QuantizeSettings, inference: Inference): WeightPlan | Miss {
  const { own, decidedBy } = ownOptions(options, layer);
  if (storesCodes(layer)) return { layer, decidedBy, form: "codes", settings: settingsOf(own) };
  const target = targetAt(layer, inference);
  if (target instanceof Miss) return target;
  const settings = { type: own.weights ?? fastWeight(target.rule), perChannel: own.perChannel };
  return { layer, decidedBy, form: "integer", settings, target };
}

/** The plan of a layer for the scheme with measured ranges; `scale` is that of its data. */
export function staticPlanOf(
  layer: Layer,
  target: Target | undefined,
  scale: number,
  options: QuantizeSettings,
): WeightPlan {
  const { own, decidedBy } = ownOptions(options, layer);
  const measured = target === undefined ? {} : { measured: { target, type: own.activations, scale } };
  return { layer, decidedBy, form: "codes", settings: settingsOf(own), ...measured };
}

/**
 * The plans with those of tables for the last layers that they are, too: both read the same codes. Blocks of a table stay where all of these can
 * read them.
 */
export function withTables(plans: readonly WeightPlan[], inference: Inference): readonly WeightPlan[] {
  const found = new Map(plans.map((plan) => [plan.layer, plan]));
  for (const plan of plans) {
    const { layer: table } = plan;
    if (plan.form === "integer" || table.role.kind !== "lookup") continue;
    const products = plans.filter(
      ({ form, layer }) => form !== "integer" && layer.role.kind !== "lookup" && readsTable(layer, table, inference),
    );
    const targets = products.map(({ layer }) => blocksAt(layer, inference));
    const miss = targets.find((target) => target instanceof Miss);
    const { decidedBy } = plan;
    const own =
      plan.form !== "rows"
        ? plan
        : miss instanceof Miss
          ? ({
              layer: table,
              decidedBy,
              form: "codes",
              settings: plan.codes,
              why: `it is the weight of "${miss.at}" too, where ${miss.reason}`,
            } as const)
          : { ...plan, isShared: products.length > 0 };
    found.set(table, own);
    products.forEach(({ layer }, at) => {
      const target = targets[at];
      if (own.form !== "rows") found.set(layer, { ...found.get(layer), ...own, layer, table });
      else if (target !== undefined && !(target instanceof Miss))
        found.set(layer, { layer, decidedBy, form: "blocks", settings: own.settings, target, table });
    });
  }
  return [...found.values()];
}

/** Whether a product's outputs are the rows of a table. */
const readsTable = (layer: Layer, table: Layer, inference: Inference): boolean =>
  layer.effective === table.effective ? layer.role.out === table.role.in : turnsTable(layer, table, inference);

/** The layer as a product with a matrix in blocks, or why it is none. */
function blocksAt(layer: Layer, inference: Inference): Target | Miss {
  const target = targetAt(layer, inference);
  if (target instanceof Miss) return target;
  const { rule, data } = target;
  const { dataAxis, packed, stack } = rule.weight;
  const rank = inference.operand(data)?.dims?.length;
  const isMatrix = layer.effective.type?.dims?.length === 2 && packed === undefined && stack === undefined;
  if (!isMatrix || rule.channelDims(1).length !== 1) return new Miss("blocks are for matrix products", layer.name);
  if (dataAxis !== -1 && dataAxis + 1 !== rank) return new Miss("its data is transposed", layer.name);
  return target;
}
