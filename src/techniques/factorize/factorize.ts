/**
 * Low rank: a layer becomes a chain of thinner ones.
 *
 *     h = Gemm "fc1" (x, fc1.weight, fc1.bias)
 * → m = Gemm "fc1.down" (x, fc1.down.weight); h = Gemm "fc1.up" (m, fc1.up.weight, fc1.bias)
 *
 *     h = Conv "c" (x, c.weight, c.bias)
 * → m = Conv "c.down" (x, c.down.weight); n = Conv "c.core" (m, c.core.weight); h = Conv "c.up" (n, c.up.weight, c.bias)
 *
 * A rank rule (`ranks.ts`) or budget (`budget.ts`) selects among the chains of each decomposition (`decompositions.ts`).
 */
import type * as v from "valibot";
import { infer } from "../../core/analysis/infer.ts";
import { type Layer, layers as layersOf } from "../../core/analysis/layers.ts";
import { unsupportedWeights } from "../../core/analysis/no-layers.ts";
import { optionsOfLayer, selectLayers } from "../../core/analysis/selection.ts";
import { engineMultiply } from "../../core/engine/multiply.ts";
import { Miss, throwIfAborted } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import { removeReplaced, usedTensors } from "../../core/graph/remove-unused.ts";
import type { Multiply } from "../../core/math/matrix.ts";
import { isSlower, percent } from "../../core/numbers.ts";
import type { ChainPart } from "../../core/ops/entry.ts";
import { type Change, definePass, type OptionValues, type Outcome, type Pass } from "../../core/pass/pass.ts";
import { bitsOf } from "../../core/tensor/types.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { inputsOf } from "./activations.ts";
import { type Plan, planBudget } from "./budget.ts";
import { type Candidate, type Factorization, findCandidates, readProblem, ruleOf } from "./candidates.ts";
import { factorType, type Reading, replaceByChain, storeParts } from "./chain.ts";
import { wholeCost } from "./decomposition.ts";
import { decompositions, selectMethods } from "./decompositions.ts";
import { fourBitError, fourBitSize } from "./four-bits.ts";
import { factorizeMoves } from "./moves.ts";
import { type FactorizeOptions, factorizeOptions, rules } from "./options.ts";
import { type Choice, chooseSteps, keptEnergy } from "./ranks.ts";
import { createTimer } from "./timing.ts";

/**
 * Replaces layers by chains of thinner ones, in place. Supports stored matrices (Gemm, MatMul, Einsum), kernels (Conv) and tables
 * (Gather), also with a mask, which is folded in, or a transposition. Changes are sorted by relative error, largest first. Layers
 * that would not get smaller, and unsupported ones, are returned as a Miss.
 * @throws PithError E_OPTION if both rank and budget are given, E_NAME for layers that do not exist.
 * @example
 * const { misses } = await factorize(net, { layers: "fc1", rank: 32 });
 */
export const factorize: Pass<v.GenericSchema<FactorizeOptions>> = definePass({
  id: "factorize",
  summary: "Replace layers by two or three thinner ones (truncated SVD, Tucker-2)",
  options: factorizeOptions,
  data: {
    when: ({ activations }: OptionValues) =>
      activations === undefined ? undefined : "the inputs of layers are measured on samples",
  },
  makesSmaller: "file",
  moves: factorizeMoves,
  gentler(options) {
    const rule = ruleNameOf(options);
    return rule === undefined ? "Use a `budget` that keeps more of the weights" : `Use a higher \`${rule}\``;
  },
  faster(options) {
    const rule = ruleNameOf(options);
    return rule && `Omit \`${rule}\`, so that only layers that do not become slower are factorized`;
  },
  command: {
    suffix: () => ".factorized",
    examples: [
      "factorize model.onnx --budget 60% --cost macs",
      "factorize model.onnx --layers fc1 --rank 32 --data mnist/ --max-drop 1%",
    ],
  },
  async run(model, options, context) {
    storeWeights(model);
    const inference = infer(model);
    const all = layersOf(model, inference);
    const chosen = selectLayers(all, options);
    const unsupported = options.layers === undefined ? unsupportedWeights(model, inference, all) : [];
    const { candidates, misses } = findCandidates(chosen, all, inference);
    const products = engineMultiply(context.engine);
    // Singular values of thousands of rows take minutes, so an abort is checked between products.
    const multiply: Multiply = (a, b) => {
      throwIfAborted(context.signal);
      return products.multiply(a, b);
    };
    const inputs = await inputsOf(model, options, multiply, context);
    const timer = options.timing ? createTimer(model, context.engine, context.signal) : undefined;
    try {
      const outcome = await factorizeLayers({ model, options, context, multiply, timer, inputs }, all, candidates);
      return { ...outcome, misses: [...misses, ...outcome.misses, ...unsupported] };
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
  const before = usedTensors(model);
  const plan = options.budget === undefined ? undefined : await planBudget(run, all, candidates);
  if (plan !== undefined && "length" in plan) return { changes, misses: plan };
  const factorsBySource = new Map<Value, Factors | Miss>();
  const plannedCount = plan?.size ?? 0;
  for (const [index, layer] of candidates.entries()) {
    throwIfAborted(context.signal, `Stopped before layer "${layer.name}".`);
    context.progress(plannedCount + index, plannedCount + candidates.length, layer.name);
    const { decidedBy } = optionsOfLayer(options, layer);
    const { source } = layer.reading;
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
    replaceByChain(model, layer, factors.parts, layer.reading, factors.reading);
    const { what, speed } = factors;
    changes.push({ at: layer.name, what, ...(speed === undefined ? {} : { speed }), decidedBy });
  }
  if (changes.length > 0) removeReplaced(model, before);
  context.progress(plannedCount + candidates.length, plannedCount + candidates.length);
  return { changes: changes.toSorted((a, b) => (errors.get(b.at) ?? 0) - (errors.get(a.at) ?? 0)), misses };
}

interface Factors {
  readonly parts: readonly ChainPart[];
  readonly reading: Reading;
  readonly what: string;
  readonly relativeError: number;
  readonly speed: number | undefined;
}

/**
 * Without a rule, a chain has at most two thirds of the weights and takes no more time. Larger chains take about as long as
 * their layers, and measured ratios differ by 1 to 5 %, so the decision would be unstable. Of 41 smaller chains in nine
 * networks, 25 are faster (1.02 times and more), 16 slower (0.96 and less).
 */
const maxWeights = 2 / 3;

async function factorsOf(
  run: Factorization,
  layer: Candidate,
  candidates: readonly Candidate[],
  plan: Plan | undefined,
): Promise<Factors | Miss> {
  const { model, options, timer } = run;
  const { name } = layer;
  const rule = ruleOf(options, layer);
  const problem = await readProblem(run, layer, candidates);
  if (problem instanceof Miss) return problem;
  const layerCost = wholeCost(problem);
  const isAuto = !rule.inBudget && rule.rank === undefined && rule.share === undefined;
  const choice = rule.inBudget ? plan?.get(layer.reading.source) : undefined;
  if (rule.inBudget && choice === undefined) return new Miss("the budget does not factorize it", name);
  const methods = selectMethods(problem, rule.method);
  if (methods instanceof Miss) return new Miss(methods.reason, name);
  const possible = choice === undefined ? await chooseSteps(rule, methods, problem, options.cost) : [choice];
  if (possible instanceof Miss) return new Miss(possible.reason, name);
  const choices = isAuto ? possible.filter(({ step }) => step.weights <= maxWeights * layerCost.weights) : possible;
  const keeping = ({ step }: Choice): string =>
    `${rankText(step.ranks)} keeps ${100 * keptEnergy} % of the energy, but`;
  const [first] = possible;
  if (choices.length === 0 && first !== undefined) {
    const share = percent(first.step.weights / layerCost.weights);
    return new Miss(`${keeping(first)} takes ${share} of its weights, more than two thirds`, name);
  }
  let best: Choice | undefined;
  let speed: number | undefined;
  // The first candidate that is not slower is chosen, or else the fastest.
  for (const candidate of choices) {
    const measured = await timer?.speedup(layer, problem.dims, candidate.step.parts);
    if (best === undefined || measured === undefined || measured > (speed ?? 0)) [best, speed] = [candidate, measured];
    if (!isAuto || !isSlower(measured ?? 1)) break;
  }
  if (best === undefined || (isAuto && isSlower(speed ?? 1)))
    return new Miss(`${best && keeping(best)} is slower (${speed?.toFixed(2)} × as fast)`, name);
  const { parts, relativeError } = await decompositions[best.method].factors(problem, best.step);
  const sizes = [layer.outputs, layer.inputs, ...problem.kernel].join(" × ");
  const method = best.method === "svd" ? "" : `${best.method}, `;
  const measure = problem.inputs === undefined ? "" : "of outputs ";
  const columns = problem.matrices[0]?.columns ?? 0;
  const { fewInputs, whyNoInputs } = problem;
  const fewInputsNote = fewInputs === undefined ? "" : ` on ${fewInputs} inputs, fewer than their ${columns} numbers`;
  const weightAloneNote = whyNoInputs === undefined ? "" : ` of its weight alone (${whyNoInputs})`;
  const error = `relative error ${measure}${relativeError.toFixed(3)}${fewInputsNote}${weightAloneNote}`;
  const time = speed === undefined ? "" : `, ${speed.toFixed(2)} × as fast`;
  const areFewerBytes = best.step.weights * bitsOf[factorType(layer)] >= fourBitSize * layerCost.weights;
  const fourBits = areFewerBytes ? await fourBitError(problem) : Number.POSITIVE_INFINITY;
  const fourBitNote =
    fourBits < relativeError ? ` (4-bit quantization: fewer bytes, relative error ${fourBits.toFixed(3)})` : "";
  const text = `${sizes} → ${method}${rankText(best.step.ranks)}, ${error}${fourBitNote}${time}`;
  return {
    parts: storeParts(model, layer, problem.dims, parts),
    reading: layer.reading,
    what: text,
    relativeError,
    speed,
  };
}

const rankText = (ranks: readonly number[]): string => `rank ${ranks.join(" × ")}`;
