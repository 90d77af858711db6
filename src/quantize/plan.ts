/**
 * How each layer's weight is stored, decided before anything is written: from the options of the pass, what is said of single layers over them, and
 * what a layer cannot have.
 */
import type { Inference } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { ownOptions } from "../analysis/selection.ts";
import { Miss } from "../errors.ts";
import type { Change } from "../passes/pass.ts";
import type { QuantizeSettings } from "./options.ts";
import { rounderOf } from "./rounders/index.ts";
import { type Target, targetAt } from "./target.ts";
import { fastWeight } from "./targets.ts";
import { type BlockSettings, settingsOf, type WeightSettings, weightMiss } from "./weight.ts";

/** The form of one weight. */
export type WeightPlan = {
  readonly layer: Layer;
  readonly decidedBy: Change["decidedBy"];
} & (
  | { readonly form: "codes"; readonly settings: WeightSettings; readonly why?: string }
  | { readonly form: "blocks"; readonly settings: BlockSettings; readonly target: Target }
  | { readonly form: "integer"; readonly settings: WeightSettings; readonly target: Target }
);

const usualBlock = 32;

/** The plan of a layer that can be quantized, for the scheme that stores weights. */
export function planOf(layer: Layer, options: QuantizeSettings, inference: Inference): WeightPlan {
  const { own, decidedBy } = ownOptions(options, layer);
  const { bits, block = bits < 8 ? usualBlock : undefined } = own;
  const codes = { layer, decidedBy, form: "codes", settings: settingsOf(own) } as const;
  if (block === undefined) return codes;
  const target = blocksAt(layer, inference);
  if (target instanceof Miss) return { ...codes, why: target.reason };
  const symmetric = !own.zeroPoints && rounderOf(own.rounder).zeroPoints !== true;
  return { layer, decidedBy, form: "blocks", settings: { bits, block, symmetric }, target };
}

/** The plan of a layer for the scheme that computes on integers: tables are codes of which rows are picked. */
export function integerPlanOf(layer: Layer, options: QuantizeSettings, inference: Inference): WeightPlan | Miss {
  const { own, decidedBy } = ownOptions(options, layer);
  if (layer.role.kind === "lookup")
    return weightMiss(layer) ?? { layer, decidedBy, form: "codes", settings: settingsOf(own) };
  const target = targetAt(layer, inference);
  if (target instanceof Miss) return target;
  const settings = { type: own.weights ?? fastWeight(target.rule), perChannel: own.perChannel };
  return { layer, decidedBy, form: "integer", settings, target };
}

/** The layer as a product with a matrix in blocks, or why it is none. */
function blocksAt(layer: Layer, inference: Inference): Target | Miss {
  if (layer.role.kind === "lookup") return new Miss("it is a table", layer.name);
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
