/** Distributes one budget over all layers so that the total loss is minimal (`core/math/allocate.ts`). */
import type { Layer } from "../../core/analysis/layers.ts";
import { Miss, throwIfAborted } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import { allocate, type Item, type Offer } from "../../core/math/allocate.ts";
import { integer } from "../../core/numbers.ts";
import { elementCount, fixedDims } from "../../core/tensor/dims.ts";
import { groupBy } from "../../core/tensor/group-by.ts";
import { inputsOf } from "./activations.ts";
import { type Candidate, type Factorization, findSharing, readProblem, ruleOf } from "./candidates.ts";
import { wholeCost } from "./decomposition.ts";
import { decompositions, selectMethods } from "./decompositions.ts";
import type { Options } from "./options.ts";
import type { Choice } from "./ranks.ts";

interface LayerChoices extends Item<Choice> {
  readonly source: Value;
}

/** Maps each weight to its decomposition method and ranks; undefined if the weight is not factorized. */
export type Plan = ReadonlyMap<Value, Choice | undefined>;

/** Chooses ranks by input statistics of the unchanged model. Returns Misses if the lowest ranks exceed the budget. */
export async function planBudget(
  run: Factorization,
  all: readonly Layer[],
  candidates: readonly Candidate[],
): Promise<Plan | readonly Miss[]> {
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
  const planned = candidates.filter(
    (layer) => ruleOf(options, layer).inBudget && findSharing(layer, candidates)[0] === layer,
  );
  const items: LayerChoices[] = [];
  const fewInputs: string[] = [];
  const misses: Miss[] = [];
  const inputs = await inputsOf(run.model, options, run.multiply, context);
  try {
    for (const [index, layer] of planned.entries()) {
      throwIfAborted(context.signal, `Stopped before layer "${layer.name}".`);
      context.progress(index, planned.length + candidates.length, `singular values of ${layer.name}`);
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
      const offers: Offer<Choice>[] = [];
      for (const method of methods) {
        for (const step of await decompositions[method].spectrum(problem)) {
          if (step.weights >= layerCost.weights || step[cost] >= layerCost[cost]) continue;
          offers.push({ cost: step[cost] * uses, loss: (step.lost ?? 0) * sharing.length, choice: { method, step } });
        }
      }
      items.push({ source: layer.reading.source, unchangedCost: layerCost[cost] * uses, offers });
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
function allocateBudget(layers: readonly LayerChoices[], total: number, { budget = 1, cost }: Options): Plan | Miss {
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
