/**
 * Low rank: a layer as a chain of thinner ones.
 *
 *     h = Gemm "fc1" (x, fc1.weight, fc1.bias)
 *  →  m = Gemm "fc1.down" (x, fc1.down.weight);  h = Gemm "fc1.up" (m, fc1.up.weight, fc1.bias)
 *
 *     h = Conv "c" (x, c.weight, c.bias)
 *  →  m = Conv "c.down" (x, c.down.weight);  n = Conv "c.core" (m, c.core.weight);  h = Conv "c.up" (n, c.up.weight, c.bias)
 *
 * A decomposition (`decompositions.ts`) says which chains a weight can become and what each costs and loses, a rank rule (`ranks.ts`) or a budget
 * for all layers together (`budget.ts`) takes one, the operator's entry writes it. Where that would not be smaller the layer stays, with a Miss.
 */
import type * as v from "valibot";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { brokenNumbers, requireWeight, weightNeeds } from "../analysis/weight.ts";
import { engineMultiply } from "../engine/multiply.ts";
import { Miss, stopIfAsked } from "../errors.ts";
import { describe, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { snapshot } from "../graph/snapshot.ts";
import type { Multiply } from "../math/index.ts";
import type { ChainPart } from "../ops/index.ts";
import { type Change, type Context, definePass, type Given, type Outcome, type Pass } from "../passes/index.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { readStoredValue } from "../passes/stored.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { bitsOf } from "../tensor/types.ts";
import { type Inputs, inputsOf, weighings } from "./activations.ts";
import { allocate, choicesOf, type LayerChoices } from "./budget.ts";
import { factorType, problemOf, type Reading, readingOf, replaceByChain, storeParts } from "./chain.ts";
import { type Problem, wholeCost } from "./decomposition.ts";
import { decompositions, methodsFor } from "./decompositions.ts";
import { fourBitError, fourBitSize } from "./four-bits.ts";
import { joinLayers, selectingJoined } from "./joint.ts";
import { type FactorizeOptions, factorizeOptions, hasRule, type Options } from "./options.ts";
import { type Choice, choicesFor } from "./ranks.ts";
import { sensitivities } from "./sensitivity.ts";
import { createTimer, type Timer } from "./timing.ts";

/**
 * Replaces layers by chains of thinner ones, in place.
 *
 * Works on every layer whose weight is a stored matrix (Gemm, MatMul, Einsum), a kernel (Conv) or a table (Gather), also behind a mask, whose zeros
 * go into the product, and behind a transposition. Changes come with the largest relative error first. What would not get smaller, and what is none of
 * these, comes back as a Miss.
 * @throws PithError E_OPTION where more than one of rank, energy, ratio and budget is given, E_NAME for layers that do not exist.
 * @example
 * const { misses } = await factorize(net, { layers: "fc1", rank: 32 });
 */
export const factorize: Pass<v.GenericSchema<FactorizeOptions>> = definePass({
  id: "factorize",
  summary: "Replace layers by two or three thinner ones (truncated SVD, Tucker-2)",
  options: factorizeOptions,
  data: {
    when: ({ allocation, activations }: Given) =>
      allocation === "sensitivity"
        ? "the sensitivity of layers is measured on samples"
        : activations === undefined
          ? undefined
          : "the inputs of layers are measured on samples",
  },
  makesSmaller: "file",
  gentler: () => "Use a higher `rank`, `ratio`, `energy` or `budget`",
  command: {
    suffix: () => ".factorized",
    examples: [
      "factorize model.onnx --budget 60% --cost macs",
      "factorize model.onnx --layers fc1 --rank 32 --data mnist/ --max-drop 1%",
    ],
  },
  run: factorizeJoined,
});

/** Where joined layers are not factorized, the join is undone, and the pass runs again without it. */
async function factorizeJoined(model: Model, options: Options, context: Context): Promise<Outcome> {
  storeWeights(model);
  const apart = new Set<string>();
  for (;;) {
    const undo = snapshot(model);
    const before = layersOf(model, infer(model));
    const joined = options.joint ? await joinLayers(model, options, apart) : new Map<string, readonly string[]>();
    const { outcome } = await factorizeModel(model, selectingJoined(options, before, joined), context);
    const changed = new Set(outcome.changes.map(({ at }) => at));
    const left = [...joined].flatMap(([name, members]) => (changed.has(name) ? [] : members));
    if (left.length === 0) return outcome;
    undo();
    for (const name of left) apart.add(name);
  }
}

async function factorizeModel(
  model: Model,
  options: Options,
  context: Context,
): Promise<{ readonly outcome: Outcome; readonly lost: ReadonlyMap<string, number> }> {
  const inference = infer(model);
  const all = layersOf(model, inference);
  const chosen = selectLayers(all, options);
  const others = options.layers === undefined ? noLayers(model, inference, all) : [];
  const products = engineMultiply(context.engine);
  // Singular values of thousands of rows take minutes, and many products.
  const multiply: Multiply = (a, b) => {
    stopIfAsked(context.signal);
    return products.multiply(a, b);
  };
  const run: Run = {
    ...{ model, inference, options, context, multiply, lost: new Map() },
    inputs: await inputsOf(model, options, multiply, context),
    timer: options.timing ? createTimer(model, context.engine, context.signal) : undefined,
  };
  try {
    const { changes, misses } = await factorizeLayers(run, all, chosen);
    return { outcome: { changes, misses: [...misses, ...others] }, lost: run.lost };
  } finally {
    await run.inputs.release();
    await products.release();
  }
}

interface Run {
  readonly model: Model;
  readonly inference: Inference;
  readonly options: Options;
  readonly context: Context;
  readonly multiply: Multiply;
  readonly timer: Timer | undefined;
  /** The share of the squared norm that each layer has lost, by its name. */
  readonly lost: Map<string, number>;
  /** What the inputs of layers are weighed by, in the model as it is by then. */
  readonly inputs: Inputs;
}

async function factorizeLayers(run: Run, all: readonly Layer[], chosen: readonly Layer[]): Promise<Outcome> {
  const { model, options, context } = run;
  const changes: Change[] = [];
  const before = usedTensors(model);
  const { fit, misses } = fitting(chosen, run.inference);
  const plan = options.budget === undefined ? undefined : await planned(run, all, fit, options.budget);
  if (plan instanceof Miss) return { changes, misses: [...misses, plan] };
  const known = new Map<Value, Factors | Miss>();
  const done = plan?.size ?? 0;
  const lost = (change: Change): number => run.lost.get(change.at) ?? 0;
  for (const [index, layer] of fit.entries()) {
    stopIfAsked(context.signal, `Stopped before layer "${layer.name}".`);
    context.progress(done + index, done + fit.length, layer.name);
    const { decidedBy } = ownOptions(options, layer);
    const { source } = layer.reading;
    const first = known.get(source);
    const factors = first ?? (await factorsOf(run, layer, fit, plan));
    known.set(source, factors);
    if (factors instanceof Miss) {
      // Factors for this reader alone would stand beside the weight.
      const reason = `layer "${factors.at}", which reads the same weight, stays: ${factors.reason}`;
      misses.push(first === undefined || factors.at === layer.name ? factors : new Miss(reason, layer.name));
      continue;
    }
    run.lost.set(layer.name, factors.relativeError ** 2);
    replaceByChain(model, layer, factors.parts, layer.reading, factors.reading);
    changes.push({ at: layer.name, what: factors.what, decidedBy });
  }
  if (changes.length > 0) removeReplaced(model, before);
  context.progress(done + fit.length, done + fit.length);
  return { changes: changes.toSorted((a, b) => lost(b) - lost(a)), misses };
}

/** A layer that can be a chain. */
interface Candidate extends Layer {
  readonly reading: Reading;
}

/** The layers that can be chains, and why the others cannot. */
function fitting(chosen: readonly Layer[], inference: Inference) {
  const misses: Miss[] = [];
  const possible = chosen.flatMap((layer): Candidate | [] => {
    const refused = requireWeight(layer, weightNeeds.factorize);
    if (refused !== undefined) misses.push(refused);
    return refused === undefined ? { ...layer, reading: readingOf(layer, inference) } : [];
  });
  const fit = possible.filter((layer) => {
    // Factors of groups serve no other number of groups.
    const sharing = sharingWith(layer, possible).filter(({ role }) => role.groups === layer.role.groups);
    const other = otherReader(layer.weight, sharing, inference);
    if (other === undefined) return true;
    const reason = `${other} also reads its weight, so the file would need both the weight and the factors`;
    misses.push(new Miss(reason, layer.name));
    return false;
  });
  return { fit, misses };
}

/** The layers that read the weight of one, transposed or not: its factors serve all of them. */
function sharingWith({ reading }: Candidate, fit: readonly Candidate[]): readonly Candidate[] {
  return fit.filter((one) => one.reading.source === reading.source);
}

/** The options of a layer: one rule of its own takes the place of whichever the pass has. */
function rulesOf(options: Options, layer: Layer): Options {
  const { own } = ownOptions(
    { ...options, rank: undefined, energy: undefined, ratio: undefined, budget: undefined },
    layer,
  );
  return hasRule(own) ? own : { ...options, method: own.method };
}

interface Factors {
  readonly parts: readonly ChainPart[];
  /** How the layer that they were made for reads its weight. */
  readonly reading: Reading;
  readonly what: string;
  readonly relativeError: number;
}

/** What beyond these layers reads a stored value, or what stored values make of it. */
function otherReader(value: Value, known: readonly Layer[], inference: Inference): string | undefined {
  const { graph } = value;
  if (graph.isOutput(value)) return graph.parent === undefined ? `output "${value.name}"` : describe(graph.parent);
  for (const { node, input } of value.uses) {
    if (known.some((layer) => layer.node === node && layer.role.input === input)) continue;
    const made = node.outputs.filter((output) => output !== undefined);
    if (!made.every((output) => inference.operand(output)?.stored === true)) return describe(node);
    for (const output of made) {
      const other = otherReader(output, known, inference);
      if (other !== undefined) return other;
    }
  }
  return undefined;
}

interface LayerProblem extends Problem {
  readonly dims: readonly number[];
  /** How many inputs were seen, where that is fewer than each has numbers. */
  readonly fewInputs: number | undefined;
  /** Why the layer's inputs are not known, where they were asked for. */
  readonly whyNoInputs: string | undefined;
}

async function problemAt(
  { model, context, options, multiply, inputs }: Run,
  layer: Candidate,
  fit: readonly Candidate[],
): Promise<LayerProblem | Miss> {
  const stored = await readStoredValue(model, layer.effective, context.engine);
  const broken = brokenNumbers(toFloat64(stored));
  if (broken !== undefined) return new Miss(`its weight ${broken}`, layer.name);
  // One factorization serves all that read the weight from this side.
  const readers = sharingWith(layer, fit).filter(
    ({ reading, role }) => reading.out === layer.reading.out && role.kind === layer.role.kind,
  );
  const found = await inputs.of(readers);
  const known = found instanceof Miss ? undefined : found;
  const { multiple } = options;
  const problem = problemOf(layer, stored, { multiple, multiply, seed: context.seed, inputs: known?.roots });
  const isFew = known !== undefined && known.rows < (problem.matrices[0]?.columns ?? 0);
  return {
    ...problem,
    dims: stored.dims,
    fewInputs: isFew ? known.rows : undefined,
    whyNoInputs: found instanceof Miss ? found.reason : undefined,
  };
}

type Plan = ReadonlyMap<Value, Choice | undefined>;

/** What each layer becomes so that the model keeps within a share of what it costs, by inputs in the model before anything has changed. */
async function planned(
  run: Run,
  all: readonly Layer[],
  fit: readonly Candidate[],
  share: number,
): Promise<Plan | Miss> {
  const { model, options, context } = run;
  let total = 0;
  const counted = new Set<Value>();
  for (const layer of all) {
    const weights = elementCount(fixedDims(layer.effective.type?.dims) ?? []);
    const places = options.cost === "macs" ? placesOf(layer) : counted.has(layer.weight) ? 0 : 1;
    counted.add(layer.weight);
    total += layer.role.kind === "lookup" && options.cost === "macs" ? 0 : weights * places;
  }
  const own = fit.filter(
    (layer) => rulesOf(options, layer).budget !== undefined && sharingWith(layer, fit)[0] === layer,
  );
  const weighed = options.allocation === "sensitivity" ? await measured(run) : () => 1;
  if (weighed instanceof Miss) return weighed;
  const found: { readonly layer: Candidate; readonly choices: LayerChoices }[] = [];
  const few: string[] = [];
  const inputs = await inputsOf(model, options, run.multiply, context);
  try {
    for (const [index, layer] of own.entries()) {
      stopIfAsked(context.signal, `Stopped before layer "${layer.name}".`);
      context.progress(index, own.length + fit.length, `singular values of ${layer.name}`);
      const problem = await problemAt({ ...run, inputs }, layer, fit);
      if (problem instanceof Miss) continue;
      if (problem.fewInputs !== undefined) few.push(layer.name);
      const methods = methodsFor(problem, rulesOf(options, layer).method);
      if (methods instanceof Miss) continue;
      const sharing = sharingWith(layer, fit);
      const known = sharing.flatMap((one) => weighed(one) ?? []);
      if (known.length === 0) continue;
      const sensitivity = known.reduce((sum, one) => sum + one, 0);
      const uses = options.cost === "macs" ? sharing.reduce((sum, one) => sum + placesOf(one), 0) : 1;
      const choices: Choice[] = [];
      for (const method of methods) {
        const { steps } = await decompositions[method].spectrum(problem);
        choices.push(...steps.map((step) => ({ method, step })));
      }
      found.push({ layer, choices: choicesOf(choices, wholeCost(problem), options.cost, { uses, sensitivity }) });
    }
  } finally {
    await inputs.release();
  }
  if (few.length > 0) {
    const layers = few.length === 1 ? `layer "${few[0]}"` : `${few.length} layers, the first of them "${few[0]}"`;
    const text = `${layers}: fewer inputs were seen than each has numbers, so the budget takes their ranks for lower than they are. Use more \`samples\`.`;
    context.log({ id: "few-inputs", text, level: "warning" });
  }
  const layerChoices = found.map(({ choices }) => choices);
  const steps = allocate(layerChoices, { total, share, cost: options.cost });
  if (steps instanceof Miss) return steps;
  return new Map(found.map(({ layer }, index) => [layer.reading.source, steps[index]]));
}

/** How sensitive the model is to its layers. */
async function measured({ model, options, context }: Run): Promise<((layer: Layer) => number | undefined) | Miss> {
  const half = model.clone();
  const halving = {
    ...options,
    ...{ budget: undefined, ratio: 0.5, timing: false, overrides: undefined, activations: undefined },
  };
  const { lost } = await factorizeModel(half, halving, { ...context, progress: () => {} });
  return sensitivities(model, half, lost, options, context);
}

/** Places of the output, of one sample where its size is not known: a product has a multiply-accumulate for each weight at each of them. */
function placesOf({ node, outputs }: Layer): number {
  const dims = node.outputs[0]?.type?.dims ?? [];
  return elementCount(dims.map((dim) => (typeof dim === "number" ? dim : 1))) / outputs;
}

/** Without a rule: 95 % of the energy. */
const usualEnergy = 0.95;

/** A chain that is so much slower is slower beyond what times vary by. */
const slower = 0.97;

async function factorsOf(
  run: Run,
  layer: Candidate,
  fit: readonly Candidate[],
  plan: Plan | undefined,
): Promise<Factors | Miss> {
  const { model, options, timer } = run;
  const { name } = layer;
  const rules = rulesOf(options, layer);
  const problem = await problemAt(run, layer, fit);
  if (problem instanceof Miss) return problem;
  const whole = wholeCost(problem);
  const isAuto = !hasRule(rules);
  const planned = rules.budget === undefined ? undefined : plan?.get(layer.reading.source);
  if (rules.budget !== undefined && planned === undefined) return new Miss("the budget leaves it as it is", name);
  const methods = methodsFor(problem, rules.method);
  if (methods instanceof Miss) return new Miss(methods.reason, name);
  const rule = isAuto ? { energy: usualEnergy } : rules;
  const choices = planned === undefined ? await choicesFor(rule, methods, problem, options.cost) : [planned];
  if (choices instanceof Miss) return new Miss(choices.reason, name);
  let taken: Choice | undefined;
  let speed: number | undefined;
  for (const choice of choices) {
    speed = await timer?.speedup(layer, problem.dims, choice.step.parts);
    if (isAuto && speed !== undefined && speed < slower) continue;
    taken = choice;
    break;
  }
  if (taken === undefined) {
    const [{ step: best } = { step: undefined }] = choices;
    return new Miss(
      `${rankText(best?.ranks ?? [])} holds ${100 * usualEnergy} % of its energy, and is slower than the layer`,
      name,
    );
  }
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
  const fourBitNote = fourBits < relativeError ? ` (4 bits take fewer bytes, and lose ${fourBits.toFixed(3)})` : "";
  const what = `${sizes} → ${by}${rankText(taken.step.ranks)}, ${error}${fourBitNote}${time}`;
  return { parts: storeParts(model, layer, problem.dims, parts), reading: layer.reading, what, relativeError };
}

const rankText = (ranks: readonly number[]): string => `rank ${ranks.join(" × ")}`;
