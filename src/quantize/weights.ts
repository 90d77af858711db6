/**
 * 8-bit weights, arithmetic in float. W ≈ (Q - zero point) · scale, with one scale per output channel or one for all:
 *
 *     fc1.weight: float32[128, 784]                       fc1.weight_quantized: int8[128, 784], _scale: float32[128], _zero_point
 *     h = Gemm(x, fc1.weight, fc1.bias)                   w = DequantizeLinear(fc1.weight_quantized, …) {axis=0}
 *                                                         h = Gemm(x, w, fc1.bias)
 *
 * A table keeps its rows as codes until they are picked (`formats/lookup.ts`). Where it is the weight of a last layer, too, both read the same codes.
 *
 * The file shrinks to a quarter. What the runtime makes of it is its own choice: ONNX Runtime turns MatMul with such a weight, read once,
 * into MatMulNBits, which by default also rounds the activations to 8 bits (session option `session.qdq_matmulnbits_accuracy_level`);
 * elsewhere it computes the float weight anew in every run.
 */
import { infer } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { plainName } from "../analysis/masks.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { type Miss, PithError } from "../errors.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Change, Context, Outcome } from "../passes/pass.ts";
import { raiseOpset } from "../passes/raise-opset.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { numbersOf, type StoredCodes, storeQuantized } from "./formats/dequantize-linear.ts";
import { biasFor } from "./formats/integer-operators.ts";
import { turnsTable, writeLookup } from "./formats/lookup.ts";
import { type StoredBlocks, storeBlocks, writeBlocks } from "./formats/matmul-nbits.ts";
import { removeRoundings, roundingsIn } from "./model-roundings.ts";
import type { QuantizeSettings } from "./options.ts";
import { planOf } from "./plan.ts";
import { tryOut } from "./prepare.ts";
import { nearest } from "./rounders/nearest.ts";
import { blocksText, codesText, type Evidence, roundedBlocks, roundedWeight, scaleAxis, weightMiss } from "./weight.ts";

export async function quantizeToWeights(
  model: Model,
  options: QuantizeSettings,
  context: Context,
  evidence: Evidence,
): Promise<Outcome> {
  const existing = await roundingsIn(model);
  const rounding = { ...evidence, existing };
  const plain = evidence.rounder.zeroPoints === true ? { ...rounding, rounder: nearest } : rounding;
  const misses: Miss[] = [];
  const changes: Change[] = [];
  const chosen = selectLayers(layers(model, infer(model)), options);
  const able = chosen.filter((layer) => weightMiss(layer) === undefined);
  // A model in which nothing can be done stays as it is, its operator set included.
  if (able.length > 0) {
    raiseFor(
      model,
      able.some((layer) => ownOptions(options, layer).own.perChannel),
    );
    const kept = existing.activations.size === 0 ? undefined : tryOut(model, options).kept;
    removeRoundings(model, existing, able, (value) => kept?.has(value) !== true);
  }
  const inference = infer(model);
  const all = layers(model, inference);
  misses.push(...noLayers(model, inference, all));
  const before = usedTensors(model.graph);
  const tables = selectLayers(all, options).filter(
    (layer) => layer.role.kind === "lookup" && weightMiss(layer) === undefined,
  );
  const done = new Map<Value, Map<string, Written>>();
  const inBlocks = new Map<Value, ReadonlyMap<string, StoredBlocks>>();
  let count = 0;
  for (const layer of selectLayers(all, options)) {
    context.progress(count++, chosen.length);
    const miss = weightMiss(layer);
    if (miss !== undefined) {
      misses.push(miss);
      continue;
    }
    const { node, role, effective } = layer;
    const table = tables.find((other) => turnsTable(layer, other, inference));
    const source = table ?? layer;
    // Layers may share a weight: it is quantized once for each axis that they need.
    const shared = done.get(source.effective) ?? new Map<string, Written>();
    done.set(source.effective, shared);
    const plan = planOf(source, options, inference);
    const emit = emitInto(model, { before: node, by: "quantize", onNode: inference.visit });
    const change = { at: layer.name, kind: "quantized", decidedBy: plan.decidedBy } as const;
    if (plan.form === "blocks") {
      const { settings, target } = plan;
      const key = `${Object.values(settings).join(" ")} ${role.out}`;
      const stored =
        inBlocks.get(source.effective)?.get(key) ??
        storeBlocks(emit, target, await roundedBlocks(model, source, settings, rounding, context.engine));
      inBlocks.set(source.effective, new Map([...(inBlocks.get(source.effective) ?? []), [key, stored]]));
      const data = node.inputs[role.data] ?? target.data;
      writeBlocks(emit, target, data, stored, await biasFor(model, target, context));
      changes.push({ ...change, what: blocksText(settings, rounding), bits: settings.bits });
      continue;
    }
    const { settings, why } = plan;
    const key = `${settings.type} ${settings.perChannel ? scaleAxis(source) : ""}`;
    let written = shared.get(key);
    if (written === undefined) {
      const tensor = await roundedWeight(model, source, settings, plain, context.engine);
      const codes = storeQuantized(emit, plainName(source.weight), tensor);
      written = { ...codes, axis: tensor.axis, numbers: undefined, turned: undefined };
      shared.set(key, written);
    }
    if (role.kind === "lookup") writeLookup(emit, layer, written, settings.type);
    else {
      const own = table === undefined ? written : turned(emit, written);
      const numbers = own.numbers ?? numbersOf(emit, plainName(layer.weight), own, own.axis, effective.type?.type);
      own.numbers = numbers;
      model.graph.setInput(node, role.input, numbers);
    }
    const what = codesText(layer, settings, plain);
    changes.push({ ...change, what: why === undefined ? what : `${what}, not blocks: ${why}`, bits: 8 });
  }
  for (const { zeroPoint } of [...done.values()].flatMap((written) => [...written.values()]))
    if (zeroPoint.uses.size === 0) model.graph.removeValue(zeroPoint);
  if (changes.length > 0) removeReplaced(model.graph, before);
  return { changes, misses };
}

/** A weight that is written, for all layers that read it. */
interface Written extends StoredCodes {
  readonly axis: number | undefined;
  /** What a layer multiplies with. */
  numbers: Value | undefined;
  turned: Written | undefined;
}

/** The codes of a table for a layer that reads it transposed: the runtime turns them once, when it loads the model. */
function turned(emit: Emit, written: Written): Written {
  written.turned ??= {
    ...written,
    numbers: undefined,
    codes: emit.Transpose([written.codes], { perm: [1, 0] }),
    axis: written.axis === undefined ? undefined : 1 - written.axis,
  };
  return written.turned;
}

/**
 * Raises the operator set to one in which DequantizeLinear has what is needed: per-channel scales since opset 13, one scale since 10.
 * @throws PithError E_UNSUPPORTED if that is not possible.
 */
function raiseFor(model: Model, perChannel: boolean): void {
  try {
    raiseOpset(model, perChannel ? 13 : 10);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    // What the next operator set cannot say a later one may.
    if (!perChannel) raiseOpset(model, 13);
    else if ((model.opsets.get("") ?? 0) < 10) throw error;
    else {
      const hint = "Per-channel scales need opset 13; one scale per weight (`perChannel: false`) needs opset 10 only.";
      throw error.reworded({ hint: [hint, ...error.advice] });
    }
  }
}
