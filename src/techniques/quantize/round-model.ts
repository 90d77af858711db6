/** Runs one step of `quantize`: prepares a model, rounds its weights by the scheme of the step, and corrects biases. */
import { allLayers, findBuffers, infer, type Layer, type Selection, selectLayers, unsupportedWeights } from "#analysis";
import { groupBy, Miss, type Model, type Node, nodeText, PithError, removeUnusedEverywhere, type Value } from "#ir";
import type { Change, Context, Outcome } from "#pass";
import { foldWeights } from "../../rewrite/clean-up/fold-constants.ts";
import { moveAxesBehindSums } from "../../rewrite/clean-up/fuse-nodes.ts";
import { mergeAcrossBranches } from "../../rewrite/clean-up/merge-initializers.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { findQuantizationTargets } from "./coverage.ts";
import { findRoundings, noRoundings, removeRoundings } from "./fake-rounding.ts";
import { quantizeToHalf } from "./float16.ts";
import { floatCodes } from "./formats/dequantize-linear.ts";
import { chooseIntegerFormat } from "./formats/integer-operators.ts";
import { readsTableTransposed } from "./formats/lookup.ts";
import { quantizeToHalfArithmetic } from "./half-arithmetic.ts";
import { keepsFloatArithmetic, planLayer, planLayers, requiredOpset, weightFormatChoice, writePlan } from "./plan.ts";
import { prepareModel } from "./prepare.ts";
import { weightMiss } from "./quantizable.ts";
import { roundLayers } from "./round-layers.ts";
import {
  type DynamicSettings,
  isHalf,
  type QuantizeSettings,
  type RoundedSettings,
  type WeightsSettings,
} from "./settings.ts";
import type { Rounding, RoundingSource } from "./weights/rounding-source.ts";
import { staysFloat } from "./weights/weight-settings.ts";

export async function prepareWeights(model: Model, context: Context): Promise<void> {
  // Unused nodes must be removed before integer arithmetic is placed in them.
  removeUnusedEverywhere(model);
  storeWeights(model);
  await foldWeights(model, context);
  await mergeAcrossBranches(model, context);
}

export async function quantizeBy(options: QuantizeSettings, model: Model, context: Context): Promise<Outcome> {
  if (isHalf(options))
    return options.arithmetic === "float16"
      ? quantizeToHalfArithmetic(model, options, context)
      : quantizeToHalf(options.scheme, model, options, context);
  const migration = await equalizeModel(model, options, context);
  const { scheme } = options;
  const floatReaders = findFloatReaders(model, options);
  const inference = infer(model);
  const all = allLayers(model, inference);
  const fixedTensors = options.layers === undefined ? await findBuffers(selectLayers(all, options)) : new Set();
  const exclusions = new Map<string, string>();
  for (const layer of all) {
    const { name, role, weight } = layer;
    // A quantized copy of a matrix that another node reads in float makes the file larger. Products on integers are worth it.
    const reader = scheme === "weights" || role.kind === "lookup" ? floatReaders.get(name) : undefined;
    if (fixedTensors.has(weight)) exclusions.set(name, "its table contains fixed positions, which are not trained");
    else if (staysFloat(layer, options)) exclusions.set(name, "stays in float: set by an override");
    else if (reader !== undefined)
      exclusions.set(
        name,
        `${nodeText(reader)} also reads the matrix in float: an integer copy would make the file larger`,
      );
  }
  const blocksOf = (layer: Layer) => {
    if (options.scheme !== "weights") return undefined;
    const plan = planLayer(layer, options, weightFormatChoice(inference, noRoundings));
    return plan instanceof Miss ? undefined : plan.format.blocks;
  };
  context.phase?.(options.scheme === "static" ? "calibrate" : "round layers");
  const original = model.clone();
  const round = async (fit: RoundedSettings, source: RoundingSource): Promise<Outcome> =>
    roundByScheme(fit, { ...source, existing: await findRoundings(model) });
  const outcome = await roundLayers(model, options, context, round, exclusions, blocksOf);
  const roundingChanges = outcome.changes.map((change) => noteFloatReader(change, floatReaders.get(change.at)));
  const biasChanges = await correctBiases(model, original, options, context);
  return { ...outcome, changes: [...migration, ...roundingChanges, ...biasChanges] };
}

async function roundByScheme(options: RoundedSettings, rounding: Rounding): Promise<Outcome> {
  if (options.scheme === "weights") return quantizeToWeights(options, rounding);
  if (options.scheme === "dynamic") return quantizeDynamically(options, rounding);
  // Loaded on demand: other schemes do not need the code that reads data.
  return (await import("./static.ts")).quantizeStatically(options, rounding);
}

/** Equalizes before anything is rounded, so that rounding methods see samples of the equalized model. */
export async function equalizeModel(
  model: Model,
  options: RoundedSettings,
  context: Context,
): Promise<readonly Change[]> {
  if (!options.equalize) return [];
  context.phase?.("equalize");
  // Loaded on demand: weight-only rounding does not need the code that reads data.
  const { equalize } = await import("./equalize/index.ts");
  return equalize(model, options, quantizeBy, context);
}

async function correctBiases(
  model: Model,
  original: Model,
  options: RoundedSettings,
  context: Context,
): Promise<readonly Change[]> {
  if (options.data === undefined || options.biasCorrection === "none") return [];
  context.phase?.("correct biases");
  return (await import("./correct-biases.ts")).correctRoundedBiases(model, original, options, context);
}

function noteFloatReader(change: Change, reader: Node | undefined): Change {
  return reader === undefined
    ? change
    : { ...change, what: `${change.what}; its float matrix is kept as well, for ${nodeText(reader)}` };
}

/** Returns, by layer, the first node that reads its matrix in float and cannot share quantized values. */
function findFloatReaders(model: Model, selection: Selection): ReadonlyMap<string, Node> {
  const inference = infer(model);
  const all = allLayers(model, inference);
  const isTable = ({ role }: Layer): boolean => role.kind === "lookup";
  const selectedLayers = selectLayers(all, selection).filter((layer) => weightMiss(layer) === undefined);
  const chosenNodes = new Set(selectedLayers.map(({ node }) => node));
  const tableNodes = new Set(all.filter(isTable).map(({ node }) => node));
  const readersByWeight = groupBy(selectedLayers, ({ weight }) => weight);
  /** Returns whether all chosen readers of a matrix read the same quantized values. */
  const shareValues = (weight: Value): boolean => {
    const readers = readersByWeight.get(weight) ?? [];
    const tables = readers.filter(isTable);
    return readers.every((layer) =>
      tables.every((table) => layer.effective === table.effective || readsTableTransposed(layer, table, inference)),
    );
  };
  const weights = new Set(all.map(({ node, role }) => node.inputs[role.input]));
  const layerNodes = new Set(all.map(({ node }) => node));
  const isStored = (value: Value | undefined): value is Value =>
    value !== undefined && inference.operand(value)?.stored === true;
  const readerOf = (value: Value, isOfTable: boolean, isShared: boolean): Node | undefined => {
    for (const { node } of value.uses) {
      const isQuantized = tableNodes.has(node) === isOfTable || (isShared && chosenNodes.has(node));
      if (layerNodes.has(node) && weights.has(value) && isQuantized) continue;
      const [output] = node.outputs;
      const reader = isStored(output) ? readerOf(output, isOfTable, isShared) : node;
      if (reader !== undefined) return reader;
    }
    return undefined;
  };
  // Computed once for a weight that many layers share.
  const readers = [true, false].map((isOfTable) => {
    const values = new Set(selectedLayers.flatMap((layer) => (isTable(layer) === isOfTable ? layer.weight : [])));
    return new Map(Array.from(values, (weight) => [weight, readerOf(weight, isOfTable, shareValues(weight))]));
  });
  return new Map(
    selectedLayers.flatMap((layer) => {
      const reader = readers[isTable(layer) ? 0 : 1]?.get(layer.weight);
      return reader === undefined ? [] : [[layer.name, reader] as const];
    }),
  );
}

/** DynamicQuantizeLinear requires opset 11. */
const opset = 11;
/** Per-channel scales require opset 13. */
const perChannelOpset = 13;

/**
 * Writes integer arithmetic with ranges found at run time. With x ≈ (q - z) · s and W ≈ Q · w:
 *
 *     x · W ≈ s · w · Σ (q - z) · Q
 */
async function quantizeDynamically(options: DynamicSettings, rounding: Rounding): Promise<Outcome> {
  const { model, context, existing } = rounding;
  const { targets, otherActivations, misses: rejections } = findQuantizationTargets(model, options, true);
  const hasFloatLayers = selectLayers(allLayers(model, infer(model)), options).some(keepsFloatArithmetic);
  if (targets.length === 0 && !hasFloatLayers) return { changes: [], misses: rejections };
  raiseOpset(model, hasFloatLayers ? perChannelOpset : opset);
  removeRoundings(model, existing, targets, (value) => !otherActivations.has(value));
  const movedAxes = moveAxesBehindSums(model);
  const preparation = await prepareModel(model, targets, context);
  const inference = infer(model);
  const all = allLayers(model, inference);
  const plan = planLayers(selectLayers(all, options), options, inference, (layer, layerOptions) => {
    if (keepsFloatArithmetic(layer)) return { format: floatCodes(layer, layerOptions) };
    const format = chooseIntegerFormat(layer, layerOptions, inference);
    return format instanceof Miss ? format : { format };
  });
  const { changes, misses } = await writePlan(plan, inference, rounding);
  return {
    changes: [...movedAxes, ...preparation.changes, ...changes],
    misses: [...preparation.misses, ...unsupportedWeights(model, inference, all, true), ...misses],
  };
}

/**
 * Quantizes weights only. W ≈ (Q - zero point) · scale, with one scale per output channel or one per weight:
 *
 *     fc1.weight: float32[128, 784]                       fc1.weight_quantized: int8[128, 784], _scale: float32[128], _zero_point
 *     h = Gemm(x, fc1.weight, fc1.bias)                   w = DequantizeLinear(fc1.weight_quantized, …) {axis=0}
 *                                                         h = Gemm(x, w, fc1.bias)
 *
 * ONNX Runtime converts a MatMul with such a weight into MatMulNBits, which by default also rounds activations to 8 bits (session
 * option `session.qdq_matmulnbits_accuracy_level`).
 */
async function quantizeToWeights(options: WeightsSettings, rounding: Rounding): Promise<Outcome> {
  const { model, context, existing } = rounding;
  const supportedLayers = selectLayers(allLayers(model, infer(model)), options).filter(
    (layer) => weightMiss(layer) === undefined,
  );
  if (supportedLayers.length > 0) {
    const keptActivations =
      existing.activations.size === 0 ? undefined : findQuantizationTargets(model, options, true).otherActivations;
    removeRoundings(model, existing, supportedLayers, (value) => keptActivations?.has(value) !== true);
  }
  const planWeights = () => {
    const inference = infer(model);
    const all = allLayers(model, inference);
    const choose = weightFormatChoice(inference, existing);
    return { inference, all, plan: planLayers(selectLayers(all, options), options, inference, choose) };
  };
  let planResult = planWeights();
  // Raising the opset can replace nodes, to which a plan refers.
  if (raiseFor(model, requiredOpset(planResult.plan))) planResult = planWeights();
  const { inference, all, plan } = planResult;
  const unsupportedMisses = unsupportedWeights(model, inference, all, true);
  const { changes, misses } = await writePlan(plan, inference, rounding);
  const widerCount = changes.filter(({ bits = 0 }) => bits > options.bits).length;
  // The name of the file contains the requested bits, so a warning is needed if most layers have more.
  if (2 * widerCount > changes.length && options.overrides === undefined) {
    const text = `${widerCount} of ${changes.length} layers are kept at more than ${options.bits} bits, and the list says why`;
    context.log({ id: "wider", text, level: "warning" });
  }
  return { changes, misses: [...unsupportedMisses, ...misses] };
}

/** @returns whether the opset was raised. */
function raiseFor(model: Model, opset: number): boolean {
  const oldOpset = model.opsets.get("");
  try {
    raiseOpset(model, opset);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    // Operators that cannot be converted to this opset can have a form in a later one.
    if (opset < 13) raiseOpset(model, 13);
    else if (opset > 13 || (model.opsets.get("") ?? 0) < 10) throw error;
    else {
      const hint = "Per-channel scales need opset 13; one scale per weight (`perChannel: false`) needs opset 10 only.";
      throw error.reworded({ hint: [hint, ...error.advice] });
    }
  }
  return model.opsets.get("") !== oldOpset;
}
