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
import { infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { engineMultiply } from "../engine/multiply.ts";
import { Miss, stopIfAsked } from "../errors.ts";
import { isSlower, percent } from "../evaluate/numbers.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Multiply } from "../math/index.ts";
import type { ChainPart } from "../ops/index.ts";
import { type Change, type Context, definePass, type OptionValues, type Outcome, type Pass } from "../passes/index.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { bitsOf } from "../tensor/types.ts";
import { inputsOf, weighings } from "./activations.ts";
import { type Plan, planBudget } from "./budget.ts";
import { type Candidate, candidatesAmong, type Factorization, problemAt, rulesOf } from "./candidates.ts";
import { factorType, type Reading, replaceByChain, storeParts } from "./chain.ts";
import { wholeCost } from "./decomposition.ts";
import { decompositions, methodsFor } from "./decompositions.ts";
import { fourBitError, fourBitSize } from "./four-bits.ts";
import { factorizeMoves } from "./moves.ts";
import { type FactorizeOptions, factorizeOptions, hasRule, type Options, rules } from "./options.ts";
import { type Choice, choicesFor } from "./ranks.ts";
import { createTimer } from "./timing.ts";

/**
 * Replaces layers by chains of thinner ones, in place. Supports stored matrices (Gemm, MatMul, Einsum), kernels (Conv) and tables
 * (Gather), also with a mask, which is folded in, or a transposition. Changes are sorted by relative error, largest first. Layers
 * that would not get smaller, and unsupported ones, are returned as a Miss.
 * @throws PithError E_OPTION if more than one of rank, energy, ratio and budget is given, E_NAME for layers that do not exist.
 * @example
 * const { misses } = await factorize(net, { layers: "fc1", rank: 32 });
 */
export const factorize: Pass<v.GenericSchema<FactorizeOptions>> = definePass({
  id: "factorize",
  summary: "Replace layers by two or three thinner ones (truncated SVD, Tucker-2)",
  options: factorizeOptions,
  data: {
    when: ({ allocation, activations }: OptionValues) =>
      allocation === "sensitivity"
        ? "the sensitivity of layers is measured on samples"
        : activations === undefined
          ? undefined
          : "the inputs of layers are measured on samples",
  },
  makesSmaller: "file",
  moves: factorizeMoves,
  gentler: (given) => `Use a higher \`${rules.find((rule) => given[rule] !== undefined) ?? "energy"}\``,
  faster(given) {
    const rule = rules.find((name) => given[name] !== undefined);
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
    const { changes, misses } = await factorizeModel(model, options, context);
    return { changes, misses };
  },
});

interface FactorizeOutcome extends Outcome {
  /** Lost share of the squared norm by layer. */
  readonly lost: ReadonlyMap<string, number>;
}

async function factorizeModel(model: Model, options: Options, context: Context): Promise<FactorizeOutcome> {
  const inference = infer(model);
  const all = layersOf(model, inference);
  const chosen = selectLayers(all, options);
  const others = options.layers === undefined ? noLayers(model, inference, all) : [];
  const { candidates, misses } = candidatesAmong(chosen, all, inference);
  const products = engineMultiply(context.engine);
  // Singular values of thousands of rows take minutes, so an abort is checked between products.
  const multiply: Multiply = (a, b) => {
    stopIfAsked(context.signal);
    return products.multiply(a, b);
  };
  const inputs = await inputsOf(model, options, multiply, context);
  const timer = options.timing ? createTimer(model, context.engine, context.signal) : undefined;
  try {
    const found = await factorizeLayers({ model, options, context, multiply, timer, inputs }, all, candidates);
    return { ...found, misses: [...misses, ...found.misses, ...others] };
  } finally {
    await inputs.release();
    await products.release();
  }
}

async function factorizeLayers(
  run: Factorization,
  all: readonly Layer[],
  candidates: readonly Candidate[],
): Promise<FactorizeOutcome> {
  const { model, options, context } = run;
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const lost = new Map<string, number>();
  const before = usedTensors(model);
  const plan = options.budget === undefined ? undefined : await planBudget(run, all, candidates, factorizeModel);
  if (plan !== undefined && "length" in plan) return { changes, misses: plan, lost };
  const known = new Map<Value, Factors | Miss>();
  const done = plan?.size ?? 0;
  for (const [index, layer] of candidates.entries()) {
    stopIfAsked(context.signal, `Stopped before layer "${layer.name}".`);
    context.progress(done + index, done + candidates.length, layer.name);
    const { decidedBy } = ownOptions(options, layer);
    const { source } = layer.reading;
    const first = known.get(source);
    const factors = first ?? (await factorsOf(run, layer, candidates, plan));
    known.set(source, factors);
    if (factors instanceof Miss) {
      // Factors for this reader alone would be stored in addition to the weight.
      const reason = `layer "${factors.at}", which reads the same weight, stays: ${factors.reason}`;
      misses.push(first === undefined || factors.at === layer.name ? factors : new Miss(reason, layer.name));
      continue;
    }
    lost.set(layer.name, factors.relativeError ** 2);
    replaceByChain(model, layer, factors.parts, layer.reading, factors.reading);
    const { what, speed } = factors;
    changes.push({ at: layer.name, what, ...(speed === undefined ? {} : { speed }), decidedBy });
  }
  if (changes.length > 0) removeReplaced(model, before);
  context.progress(done + candidates.length, done + candidates.length);
  return { changes: changes.toSorted((a, b) => (lost.get(b.at) ?? 0) - (lost.get(a.at) ?? 0)), misses, lost };
}

interface Factors {
  readonly parts: readonly ChainPart[];
  readonly reading: Reading;
  readonly what: string;
  readonly relativeError: number;
  readonly speed: number | undefined;
}

/**
 * Without a rule: 95 % of the energy, with at most two thirds of the weights and no more time. Larger chains take about as long
 * as their layers, and measured ratios differ by 1 to 5 %, so the decision would be unstable. Of 41 smaller chains in nine
 * networks, 25 are faster (1.02 times and more), 16 slower (0.96 and less).
 */
const usualEnergy = 0.95;
const mostWeights = 2 / 3;

async function factorsOf(
  run: Factorization,
  layer: Candidate,
  candidates: readonly Candidate[],
  plan: Plan | undefined,
): Promise<Factors | Miss> {
  const { model, options, timer } = run;
  const { name } = layer;
  const rules = rulesOf(options, layer);
  const problem = await problemAt(run, layer, candidates);
  if (problem instanceof Miss) return problem;
  const whole = wholeCost(problem);
  const isAuto = !hasRule(rules);
  const choice = rules.budget === undefined ? undefined : plan?.get(layer.reading.source);
  if (rules.budget !== undefined && choice === undefined) return new Miss("the budget does not factorize it", name);
  const methods = methodsFor(problem, rules.method);
  if (methods instanceof Miss) return new Miss(methods.reason, name);
  const rule = isAuto ? { energy: usualEnergy } : rules;
  const found = choice === undefined ? await choicesFor(rule, methods, problem, options.cost) : [choice];
  if (found instanceof Miss) return new Miss(found.reason, name);
  const choices = isAuto ? found.filter(({ step }) => step.weights <= mostWeights * whole.weights) : found;
  const keeping = ({ step }: Choice): string =>
    `${rankText(step.ranks)} keeps ${100 * usualEnergy} % of the energy, but`;
  const [first] = found;
  if (choices.length === 0 && first !== undefined) {
    const share = percent(first.step.weights / whole.weights);
    return new Miss(`${keeping(first)} takes ${share} of its weights, more than two thirds`, name);
  }
  let taken: Choice | undefined;
  let speed: number | undefined;
  // Chooses the first that is not slower, else the fastest.
  for (const one of choices) {
    const measured = await timer?.speedup(layer, problem.dims, one.step.parts);
    if (taken === undefined || measured === undefined || measured > (speed ?? 0)) [taken, speed] = [one, measured];
    if (!isAuto || !isSlower(measured ?? 1)) break;
  }
  if (taken === undefined || (isAuto && isSlower(speed ?? 1)))
    return new Miss(`${taken && keeping(taken)} is slower (${speed?.toFixed(2)} × as fast)`, name);
  const { parts, relativeError } = await decompositions[taken.method].factors(problem, taken.step);
  const sizes = [layer.outputs, layer.inputs, ...problem.kernel].join(" × ");
  const by = taken.method === "svd" ? "" : `${taken.method}, `;
  const of = problem.inputs && options.activations ? `of ${weighings[options.activations].errorOf} ` : "";
  const columns = problem.matrices[0]?.columns ?? 0;
  const { fewInputs, whyNoInputs } = problem;
  const fewInputsNote = fewInputs === undefined ? "" : ` on ${fewInputs} inputs, fewer than their ${columns} numbers`;
  const weightAloneNote = whyNoInputs === undefined ? "" : ` of its weight alone (${whyNoInputs})`;
  const error = `relative error ${of}${relativeError.toFixed(3)}${fewInputsNote}${weightAloneNote}`;
  const time = speed === undefined ? "" : `, ${speed.toFixed(2)} × as fast`;
  const areFewerBytes = taken.step.weights * bitsOf[factorType(layer)] >= fourBitSize * whole.weights;
  const fourBits = areFewerBytes ? await fourBitError(problem) : Number.POSITIVE_INFINITY;
  const fourBitNote =
    fourBits < relativeError ? ` (4-bit quantization: fewer bytes, relative error ${fourBits.toFixed(3)})` : "";
  const what = `${sizes} → ${by}${rankText(taken.step.ranks)}, ${error}${fourBitNote}${time}`;
  return { parts: storeParts(model, layer, problem.dims, parts), reading: layer.reading, what, relativeError, speed };
}

const rankText = (ranks: readonly number[]): string => `rank ${ranks.join(" × ")}`;
