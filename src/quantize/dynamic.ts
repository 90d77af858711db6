/**
 * Integer arithmetic with ranges found at run time. x ≈ (q - z) · s with q, s, z of the very tensor, W ≈ Q · w; then
 *
 *     x · W ≈ s · w · Σ (q - z) · Q
 *
 * written as `formats/integer-operators.ts` says. Sums of integers are exact, so their order does not matter.
 */
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { Miss } from "../errors.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { raiseOpset } from "../passes/raise-opset.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import {
  biasFor,
  type Integers,
  integersOf,
  type StoredWeight,
  storeWeight,
  writeInteger,
} from "./formats/integer-operators.ts";
import { removeRoundings, roundingsIn } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { prepare, tryOut } from "./prepare.ts";
import { type Target, targetAt } from "./target.ts";
import { fastWeight } from "./targets.ts";
import { codesText, type Evidence, type Rounding, roundedWeight, type WeightSettings } from "./weight.ts";

/** DynamicQuantizeLinear came with opset 11. */
const opset = 11;

export async function quantizeDynamically(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  evidence: Evidence,
): Promise<Outcome> {
  const existing = await roundingsIn(model);
  const rounding = { ...evidence, existing };
  const { targets: wanted, kept, misses: refused } = tryOut(model, options);
  if (wanted.length === 0) return { changes: [], misses: refused };
  raiseOpset(model, opset);
  removeRoundings(model, existing, wanted, (value) => !kept.has(value));
  const prepared = await prepare(model, wanted, context);
  const changes = [...prepared.changes];
  const misses = [...prepared.misses];
  const inference = infer(model);
  const all = layers(model, inference);
  misses.push(...noLayers(model, inference, all));
  const before = usedTensors(model.graph);
  const inputs = new Map<Value, Integers>();
  const weights = new Map<Value, Map<string, StoredWeight>>();
  const targets = selectLayers(all, options).map((layer) => targetAt(layer, inference));
  for (const [index, target] of targets.entries()) {
    context.progress(index, targets.length);
    if (target instanceof Miss) {
      misses.push(target);
      continue;
    }
    const { layer } = target;
    const emit = emitInto(model, { before: layer.node, by: "quantize", onNode: inference.visit });
    const { own, decidedBy } = ownOptions(options, layer);
    const settings = { type: own.weights ?? fastWeight(target.rule), perChannel: own.perChannel };
    const weight = await weightFor(model, emit, target, settings, context, rounding, weights);
    const bias = await biasFor(model, target, context);
    // Asked for now: the layer before may have been rewritten meanwhile.
    const data = layer.node.inputs[target.rule.weight.data] ?? target.data;
    writeInteger(emit, target, integersOf(emit, data, inputs), weight, bias);
    changes.push({
      at: layer.name,
      what: `integer arithmetic, ${codesText(layer, settings, rounding)}`,
      kind: "quantized",
      bits: own.bits,
      decidedBy,
    });
  }
  if (changes.length > 0) removeReplaced(model.graph, before);
  return { changes, misses };
}

/** Layers may share a weight: it is stored once for each form that they need. */
async function weightFor(
  model: Model,
  emit: Emit,
  target: Target,
  settings: WeightSettings,
  context: Context,
  rounding: Rounding,
  made: Map<Value, Map<string, StoredWeight>>,
): Promise<StoredWeight> {
  const { layer, rule } = target;
  const { effective } = layer;
  const channelDims = rule.channelDims(layer.outputs);
  const key = `${settings.type} ${settings.perChannel} ${layer.role.out} ${rule.integerTransposed} ${channelDims.join()}`;
  const forms = made.get(effective) ?? new Map<string, StoredWeight>();
  made.set(effective, forms);
  const known = forms.get(key);
  if (known !== undefined) return known;

  const tensor = await roundedWeight(model, layer, settings, rounding, context.engine, {
    transposed: rule.integerTransposed,
  });
  const stored = storeWeight(emit, target, tensor);
  forms.set(key, stored);
  return stored;
}
