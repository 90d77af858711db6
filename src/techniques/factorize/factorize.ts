/**
 * Low rank: a layer becomes a chain of two low-rank layers.
 *
 *     h = Gemm "fc1" (x, fc1.weight, fc1.bias)
 * → m = Gemm "fc1.down" (x, fc1.down.weight); h = Gemm "fc1.up" (m, fc1.up.weight, fc1.bias)
 */
import type * as v from "valibot";
import { infer, type Layer, layers as layersOf, optionsOfLayer, selectLayers, unsupportedWeights } from "#analysis";
import {
  bitsOf,
  counted,
  elementCount,
  fixedDims,
  groupBy,
  integer,
  Miss,
  percent,
  removeReplaced,
  throwIfAborted,
  usedTensors,
  type Value,
} from "#ir";
import { type Change, definePass, type OptionValues, type Outcome, type Pass } from "#pass";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { allocate, type Item, type Offer } from "../../core/math/allocate.ts";
import { frobenius, type Matrix, type Multiply, matrix, subtract } from "../../core/math/matrix.ts";
import type { ChainPart } from "../../core/ops/entry.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { blockScale } from "../shared/blocks.ts";
import { inputStatisticsOf } from "./activations.ts";
import { type Candidate, type Factorization, findCandidates, findSharing, readProblem, ruleOf } from "./candidates.ts";
import { factorType, replaceByChain, storeParts, type WeightView } from "./chain.ts";
import { applyInputWeights, type Problem, wholeCost } from "./decomposition.ts";
import { decompositions, selectMethods } from "./decompositions.ts";
import { type FactorizeOptions, factorizeOptions, type Options, rules } from "./options.ts";
import { chooseSteps, keptEnergy, type MethodStep } from "./ranks.ts";

/**
 * Replaces layers by chains of two low-rank layers, in place. Supports stored matrices (Gemm, MatMul, Einsum), kernels (Conv) and tables
 * (Gather), also with a mask, which is folded in, or a transposition. Changes are sorted by relative error, largest first. Layers
 * that would not get smaller, and unsupported ones, are returned as a Miss.
 * @throws PithError E_OPTION if both rank and budget are given, E_NAME for layers that do not exist.
 * @example
 * const { misses } = await factorize(net, { layers: "fc1", rank: 32 });
 */
export const factorize: Pass<v.GenericSchema<FactorizeOptions>> = definePass({
  id: "factorize",
  summary: "Replace a layer by two smaller ones whose product is nearly its weight (low rank)",
  options: factorizeOptions,
  data: {
    when: ({ activations }: OptionValues) =>
      activations === undefined ? undefined : "the inputs of layers are measured on samples",
  },
  makesSmaller: "file",
  moves: ({ samples }) =>
    [0.8, 0.6, 0.4].map((budget) => ({
      name: `low rank ${Math.round(100 * budget)} %`,
      options: { budget, ...(samples.calibrate > 0 ? { activations: "whitening" } : {}) },
      kind: "structure",
      family: "low rank",
      left: budget,
      runs: samples.calibrate,
    })),
  gentler(options) {
    const rule = ruleNameOf(options);
    return rule === undefined ? "Use a `budget` that keeps more of the weights" : `Use a higher \`${rule}\``;
  },
  removesNotes: true,
  async run(model, options, context) {
    storeWeights(model);
    const inference = infer(model);
    const all = layersOf(model, inference);
    const selectedLayers = selectLayers(all, options);
    const unsupportedMisses = options.layers === undefined ? unsupportedWeights(model, inference, all) : [];
    const { candidates, misses } = findCandidates(selectedLayers, all, inference);
    const products = engineMultiply(context.engine);
    // Singular values of thousands of rows take minutes, so an abort is checked between products.
    const multiply: Multiply = (a, b) => {
      throwIfAborted(context.signal);
      return products.multiply(a, b);
    };
    const inputs = await inputStatisticsOf(model, options, multiply, context);
    try {
      const outcome = await factorizeLayers({ model, options, context, multiply, inputs }, all, candidates);
      return { ...outcome, misses: [...misses, ...outcome.misses, ...unsupportedMisses] };
    } finally {
      await inputs.release();
      await products.release();
    }
  },
});

const ruleNameOf = (options: OptionValues): string | undefined => rules.find((rule) => options[rule] !== undefined);

async function factorizeLayers(
  run: Factorization,
  all: readonly Layer[],
  candidates: readonly Candidate[],
): Promise<Outcome> {
  const { model, options, context } = run;
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const errors = new Map<string, number>();
  const fourBitErrors: number[] = [];
  const before = usedTensors(model);
  const plan = options.budget === undefined ? undefined : await planBudget(run, all, candidates);
  if (plan !== undefined && "length" in plan) return { changes, misses: plan };
  const factorsBySource = new Map<Value, Factors | Miss>();
  const plannedCount = plan?.size ?? 0;
  for (const [index, layer] of candidates.entries()) {
    throwIfAborted(context.signal, `Stopped before layer "${layer.name}".`);
    context.progress(plannedCount + index, plannedCount + candidates.length, layer.name);
    const { decidedBy } = optionsOfLayer(options, layer);
    const { source } = layer.view;
    const first = factorsBySource.get(source);
    const factors = first ?? (await factorsOf(run, layer, candidates, plan));
    factorsBySource.set(source, factors);
    if (factors instanceof Miss) {
      // Factors for this reader alone would be stored in addition to the weight.
      const reason = `layer "${factors.at}", which reads the same weight, stays: ${factors.reason}`;
      misses.push(first === undefined || factors.at === layer.name ? factors : new Miss(reason, layer.name));
      continue;
    }
    errors.set(layer.name, factors.relativeError);
    if (factors.fourBits < factors.relativeError) fourBitErrors.push(factors.fourBits);
    replaceByChain(model, layer, factors.parts, layer.view, factors.view);
    changes.push({ at: layer.name, what: factors.what, decidedBy });
  }
  if (changes.length > 0) removeReplaced(model, before);
  context.progress(plannedCount + candidates.length, plannedCount + candidates.length);
  if (fourBitErrors.length > 0) {
    const countText = `${fourBitErrors.length} of ${counted(changes.length, "changed layer")}`;
    const text = `for ${countText}, quantize --scheme weights --bits 4 has fewer bytes and less error (at most ${Math.max(...fourBitErrors).toFixed(3)})`;
    context.log({ id: "four-bits", text });
  }
  return { changes: changes.toSorted((a, b) => (errors.get(b.at) ?? 0) - (errors.get(a.at) ?? 0)), misses };
}

interface Factors {
  readonly parts: readonly ChainPart[];
  readonly view: WeightView;
  readonly what: string;
  readonly relativeError: number;
  /** The relative error in 4 bits; infinite if these take more bytes. */
  readonly fourBits: number;
}

/** Without a rule, a chain has at most this share of the weights: larger ones take about as long as their layers. */
const maxWeights = 2 / 3;

async function factorsOf(
  run: Factorization,
  layer: Candidate,
  candidates: readonly Candidate[],
  plan: Steps | undefined,
): Promise<Factors | Miss> {
  const { model, options } = run;
  const { name } = layer;
  const rule = ruleOf(options, layer);
  const problem = await readProblem(run, layer, candidates);
  if (problem instanceof Miss) return problem;
  const layerCost = wholeCost(problem);
  const isAuto = !rule.inBudget && rule.rank === undefined && rule.share === undefined;
  const choice = rule.inBudget ? plan?.get(layer.view.source) : undefined;
  if (rule.inBudget && choice === undefined) return new Miss("not needed for the budget", name);
  const methods = selectMethods(problem, rule.method);
  if (methods instanceof Miss) return new Miss(methods.reason, name);
  const possible = choice === undefined ? await chooseSteps(rule, methods, problem, options.cost) : [choice];
  if (possible instanceof Miss) return new Miss(possible.reason, name);
  const [first] = possible;
  const best = possible.find(({ step }) => !isAuto || step.weights <= maxWeights * layerCost.weights);
  if (best === undefined) {
    const share = percent((first?.step.weights ?? 0) / layerCost.weights);
    const keeping = `rank ${first?.step.rank} keeps ${100 * keptEnergy} % of the energy`;
    return new Miss(`${keeping}, but takes ${share} of its weights, more than two thirds: set a budget or rank`, name);
  }
  const { parts, relativeError } = await decompositions[best.method].factors(problem, best.step);
  const sizes = [layer.outputs, layer.inputs, ...problem.kernel].join(" × ");
  const rankText = `rank ${best.step.rank}`;
  const layersText = best.method === "svd" ? rankText : `two layers of ${rankText} (--method ${best.method})`;
  const measure = problem.inputs === undefined ? "weights" : "outputs";
  const columns = problem.matrices[0]?.columns ?? 0;
  const { fewInputs, whyNoInputs } = problem;
  const fewInputsNote = fewInputs === undefined ? "" : ` on ${fewInputs} inputs, fewer than their ${columns} numbers`;
  const weightAloneNote = whyNoInputs === undefined ? "" : ` (${whyNoInputs})`;
  const error = `relative error of ${measure} ${relativeError.toFixed(3)}${fewInputsNote}${weightAloneNote}`;
  const areFewerBytes = best.step.weights * bitsOf[factorType(layer)] >= fourBitSize * layerCost.weights;
  const fourBits = areFewerBytes ? await fourBitError(problem) : Number.POSITIVE_INFINITY;
  const text = `${sizes} → ${layersText}, ${error}`;
  return {
    parts: storeParts(model, layer, problem.dims, parts),
    view: layer.view,
    what: text,
    relativeError,
    fourBits,
  };
}

const blockSize = 32;

/** Bits per value, including its share of the scale. */
const fourBitSize = 4 + 32 / blockSize;

/** Returns ‖W - Ŵ‖ / ‖W‖ over all groups, with input weights if known. */
async function fourBitError(problem: Problem): Promise<number> {
  let [signal, noise] = [0, 0];
  for (const [group, weight] of problem.matrices.entries()) {
    signal += frobenius(await applyInputWeights(weight, group, problem)) ** 2;
    noise += frobenius(await applyInputWeights(subtract(weight, roundBlocks(weight)), group, problem)) ** 2;
  }
  return signal === 0 ? 0 : Math.sqrt(noise / signal);
}

function roundBlocks({ rows, columns, data }: Matrix): Matrix {
  const result = matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    for (let from = row * columns; from < (row + 1) * columns; from += blockSize) {
      const block = data.subarray(from, Math.min(from + blockSize, (row + 1) * columns));
      const { scale } = blockScale(Math.min(0, ...block), Math.max(0, ...block), { bits: 4, symmetric: true });
      for (const [index, value] of block.entries())
        result.data[from + index] = scale === 0 ? 0 : scale * Math.min(7, Math.max(-8, Math.round(value / scale)));
    }
  }
  return result;
}

interface LayerChoices extends Item<MethodStep> {
  readonly source: Value;
}

/** Maps each weight to its decomposition method and ranks; undefined if the weight is not factorized. */
type Steps = ReadonlyMap<Value, MethodStep | undefined>;

/** Chooses ranks by input statistics of the unchanged model. Returns Misses if the lowest ranks exceed the budget. */
async function planBudget(
  run: Factorization,
  all: readonly Layer[],
  candidates: readonly Candidate[],
): Promise<Steps | readonly Miss[]> {
  const { options, context } = run;
  const { cost } = options;
  const isMacs = cost === "macs";
  const positionsOf = (layer: Layer): number => (isMacs ? outputPositions(layer) : 1);
  const costedLayers = isMacs
    ? all.filter(({ role }) => role.kind !== "lookup")
    : Array.from(groupBy(all, ({ weight }) => weight).values(), ([first]) => first);
  const total = costedLayers.reduce(
    (sum, layer) => sum + elementCount(fixedDims(layer.effective.type?.dims) ?? []) * positionsOf(layer),
    0,
  );
  const budgetedLayers = candidates.filter(
    (layer) => ruleOf(options, layer).inBudget && findSharing(layer, candidates)[0] === layer,
  );
  const items: LayerChoices[] = [];
  const fewInputs: string[] = [];
  const misses: Miss[] = [];
  const inputs = await inputStatisticsOf(run.model, options, run.multiply, context);
  try {
    for (const [index, layer] of budgetedLayers.entries()) {
      throwIfAborted(context.signal, `Stopped before layer "${layer.name}".`);
      context.progress(index, budgetedLayers.length + candidates.length, `singular values of ${layer.name}`);
      const problem = await readProblem({ ...run, inputs }, layer, candidates);
      if (problem instanceof Miss) {
        misses.push(problem);
        continue;
      }
      if (problem.fewInputs !== undefined) fewInputs.push(layer.name);
      const methods = selectMethods(problem, ruleOf(options, layer).method);
      if (methods instanceof Miss) {
        misses.push(new Miss(methods.reason, layer.name));
        continue;
      }
      const sharing = findSharing(layer, candidates);
      // A weight is stored once, but each reader computes products.
      const uses = isMacs ? sharing.reduce((sum, layer) => sum + outputPositions(layer), 0) : 1;
      const layerCost = wholeCost(problem);
      const offers: Offer<MethodStep>[] = [];
      for (const method of methods) {
        for (const step of await decompositions[method].spectrum(problem)) {
          if (step.weights >= layerCost.weights || step[cost] >= layerCost[cost]) continue;
          offers.push({ cost: step[cost] * uses, loss: (step.lost ?? 0) * sharing.length, choice: { method, step } });
        }
      }
      items.push({ source: layer.view.source, unchangedCost: layerCost[cost] * uses, offers });
    }
  } finally {
    await inputs.release();
  }
  if (fewInputs.length > 0) {
    const [first, { length }] = [`"${fewInputs[0]}"`, fewInputs];
    const layers = length === 1 ? `layer ${first}` : `${length} layers, the first of them ${first}`;
    const text = `${layers}: fewer inputs were seen than each has numbers, so the budget underestimates their ranks. Use more calibration samples.`;
    context.log({ id: "few-inputs", text, level: "warning" });
  }
  const plan = allocateBudget(items, total, options);
  return plan instanceof Miss ? [plan, ...misses] : plan;
}

/** Returns the number of output positions, at each of which every weight is multiplied once. Unknown sizes count as 1. */
function outputPositions({ node, outputs }: Layer): number {
  const dims = node.outputs[0]?.type?.dims ?? [];
  return outputs === 0 ? 0 : elementCount(dims.map((dim) => (typeof dim === "number" ? dim : 1))) / outputs;
}

/** @param total cost of all layers before factorization, of which the share `budget` can remain. */
function allocateBudget(layers: readonly LayerChoices[], total: number, { budget = 1, cost }: Options): Steps | Miss {
  const maxCost = budget * total;
  const fixedCost = total - layers.reduce((sum, { unchangedCost }) => sum + unchangedCost, 0);
  const { taken, cost: remaining } = allocate(layers, maxCost, fixedCost);
  if (remaining <= maxCost) return new Map(layers.map(({ source }, layer) => [source, taken[layer]?.choice]));
  const unit = cost === "macs" ? "multiply-accumulates" : "weights";
  const figures = `${integer(remaining)} of ${integer(total)} ${unit}, and ${integer(maxCost)} are allowed`;
  const min = Math.ceil((1000 * remaining) / total) / 1000;
  const hint = min < 1 ? `the smallest possible \`budget\` is ${min}` : "no layer can be made smaller";
  return new Miss(`the lowest ranks keep ${figures}: ${hint}`, "budget");
}
