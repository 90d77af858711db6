/** Decides which layers can be quantized: by their weight, and for integer schemes by the rule of their operator. */
import { checkWeight, type Inference, type Layer, weightNeeds } from "#analysis";
import { Miss, type Node, type Value } from "#ir";
import type { QuantizeRule } from "../../core/ops/entry.ts";

export type WeightedRule = Extract<QuantizeRule, { readonly kind: "weighted" }>;

export function ruleOf(node: Node | undefined, inference: Inference): QuantizeRule | undefined {
  const bound = node === undefined ? undefined : inference.at(node);
  const rule = bound === undefined || bound instanceof Miss ? undefined : bound.quantize();
  return rule instanceof Miss ? undefined : rule;
}

/** A layer that integer schemes can quantize, and the activation that it reads. */
export interface Target {
  readonly layer: Layer;
  readonly rule: WeightedRule;
  readonly data: Value;
}

export const weightMiss = (layer: Layer): Miss | undefined => checkWeight(layer, weightNeeds.quantize);

export function findTarget(layer: Layer, inference: Inference): Target | Miss {
  const miss = weightMiss(layer);
  if (miss !== undefined) return miss;
  const bound = inference.at(layer.node);
  const rule = bound instanceof Miss ? bound : bound.quantize();
  if (rule instanceof Miss) return new Miss(rule.reason, layer.name);
  if (rule.kind !== "weighted") return new Miss("its operator has no quantized form", layer.name);
  const { data, input, bias } = rule.weight;
  const x = layer.node.inputs[data];
  if (x === undefined) return new Miss("its data input is missing", layer.name);
  const type = x.type?.type;
  if (type === undefined) return new Miss("the type of its data is not known", layer.name);
  if (type !== "float32")
    return new Miss(
      `its data is ${type}; integer arithmetic needs float32 (the scheme "weights" does not)`,
      layer.name,
    );
  const expected = new Set([data, input, bias]);
  const unexpectedInput = layer.node.inputs.findIndex((value, index) => value !== undefined && !expected.has(index));
  if (unexpectedInput >= 0) return new Miss(`its input ${unexpectedInput} is computed at run time`, layer.name);
  return { layer, rule, data: x };
}
