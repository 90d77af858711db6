/** Replaces trained values by random initial values. Running statistics become mean 0 and variance 1, with the role `state`. */
import { type Inference, infer, layersInside, parametersOf, weightShape } from "#analysis";
import type { FloatType, Model, Node, Tensor, Value } from "#ir";
import { elementCount, fixedDims, fromNumbers, inMemory, isFloat, Miss, random, toFloat64 } from "#ir";
import { type Change, type Context, definePass, noOptions, type Outcome } from "#pass";
import type { Bound, WeightRole } from "../../core/ops/define.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { declareRoles, quantizedWeights } from "./roles.ts";
import { logSeparated } from "./shared-constants.ts";
import { copyOfTied } from "./ties.ts";
import { isBiasOrScale, readingNodes, rolesOf } from "./trained-values.ts";

/**
 * Reinitializes all parameters in place, by the seed of the context, to train the network from scratch. Parameters of unknown kind and
 * quantized weights are not changed, and reported as misses. Source: He et al. 2015, "Delving deep into rectifiers"; Glorot and
 * Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks".
 * @example
 * await reinitialize(model, {}, { seed: 1 });
 * await train(model, { data, epochs: 20 });
 */
export const reinitialize = definePass({
  id: "reinitialize",
  summary: "Reinitialize all weights, to train a network from scratch",
  options: noOptions,
  beginsAnew: true,
  removesNotes: true,
  run: (model, _, context) => drawInitialValues(model, context),
});

async function drawInitialValues(model: Model, context: Context): Promise<Outcome> {
  const { seed, log } = context;
  storeWeights(model);
  const roles = await declareRoles(model, { batchStatistics: true });
  const inference = infer(model);
  const parameters = parametersOf(model, inference);
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const values = [...model.graph.values()];
  for (const value of values) {
    const { tensor, name, role } = value;
    const type = tensor?.type;
    if (tensor === undefined || type === undefined || !isFloat(type)) continue;
    if (!parameters.has(value) && role?.kind !== "state") continue;
    const initialization = initializationOf(value, inference);
    if (initialization === undefined) {
      misses.push(new Miss("no operator defines its initial value: it is not changed", name));
      continue;
    }
    value.tensor = drawTensor(type, tensor.dims, initialization, seed, name);
    const description =
      typeof initialization === "number"
        ? `all ${initialization}`
        : `normal, standard deviation ${Math.sqrt(initialization.variance).toPrecision(3)}`;
    changes.push({ at: name, what: description, decidedBy: "global" });
  }
  const reinitialized = new Set(changes.map(({ at }) => at));
  for (const value of values) {
    const { role, tensor } = value;
    if (role?.kind !== "tied" || tensor === undefined || !reinitialized.has(role.name)) continue;
    const first = model.graph.value(role.name)?.tensor;
    const { type } = tensor;
    if (first === undefined || !isFloat(type)) continue;
    const numbers = copyOfTied(toFloat64(await first.read()), first.dims, role.transposed);
    value.tensor = inMemory(fromNumbers(type, tensor.dims, numbers));
  }
  misses.push(...quantizedWeights(model, inference), ...layersInside(model, inference));
  if (changes.length > 0) logSeparated(roles.parted, context);
  const states = [...model.graph.values()].filter(({ role }) => role?.kind === "state").length;
  if (changes.length > 0 && states > 0) {
    const text = states === 1 ? "1 running statistic" : `${states} running statistics`;
    const mode = "with or without `batchStatistics`";
    log({ id: "states", text: `${text} will be updated from the batches in training, ${mode}` });
  }
  return { changes, misses };
}

function drawTensor(
  type: FloatType,
  dims: readonly number[],
  start: Initialization,
  seed: number,
  name: string,
): Tensor {
  const numbers = random(seed, "reinitialize", name);
  const deviation = typeof start === "number" ? 0 : Math.sqrt(start.variance);
  const entry = typeof start === "number" ? () => start : () => deviation * numbers.normal();
  return inMemory(fromNumbers(type, dims, Float64Array.from({ length: elementCount(dims) }, entry)));
}

// Initial values, by the definitions of the operators that read them:
//
// - Weights: variance 2 / inputs before an activation (perhaps after a bias or normalization; He et al. 2015), else 2 / (inputs +
//   outputs) (Glorot and Bengio 2010). Kernel taps count as inputs and outputs of their group.
// - Embedding tables: variance 1 / columns, so rows of length 1, whose products with vectors of variance 1 have variance 1.
// - Scales: 1. Biases and other vectors: 0.

type Initialization = number | { readonly variance: number };

/** Returns the initialization of a parameter; undefined if no operator defines its kind, as for quantization scales. */
function initializationOf(value: Value, inference: Inference): Initialization | undefined {
  const reads = [...readingNodes(value, inference)];
  for (const { node, bound, input } of reads) {
    const role = rolesOf(bound).find((role) => role.input === input && role.kind !== "lookup");
    if (role !== undefined) return { variance: weightVariance(node, role, inference) };
  }
  if (reads.some(({ bound, input }) => bound.scales().includes(input))) return 1;
  const [first] = reads;
  if (first === undefined) return undefined;
  const { node, bound, input } = first;
  const longAxes = (value.tensor?.dims ?? []).filter((size) => size > 1);
  return isBiasOrScale({ node, bound, input }) || longAxes.length < 2 ? 0 : { variance: 1 / (longAxes.at(-1) ?? 1) };
}

function weightVariance(node: Node, role: WeightRole, inference: Inference): number {
  const dims = fixedDims(node.inputs[role.input]?.type?.dims) ?? [];
  const { outputs, inputs, taps } = weightShape(role, dims);
  const isActivated = role.fused !== undefined || node.outputs.slice(0, 1).some((y) => reachesActivation(y, inference));
  return isActivated ? 2 / (taps * inputs) : 2 / (taps * (inputs + outputs));
}

/** Returns whether an element-wise function reads a value, perhaps after scaling and shifting. */
function reachesActivation(value: Value | undefined, inference: Inference): boolean {
  return [...(value?.uses ?? [])].some(({ node, input }) => {
    const bound = inference.at(node);
    if (bound instanceof Miss || node.inputs.some((other, index) => index !== input && isComputed(other, inference)))
      return false;
    if (bound.unchanged() !== undefined || !(bound.affine() instanceof Miss))
      return reachesActivation(node.outputs[0], inference);
    return isElementwise(bound, node.inputs[input]?.type?.dims?.length);
  });
}

function isComputed(value: Value | undefined, inference: Inference): boolean {
  return value !== undefined && inference.operand(value)?.stored !== true;
}

function isElementwise(bound: Bound, rank: number | undefined): boolean {
  const rule = bound.axes();
  if (rule instanceof Miss || rank === undefined) return false;
  const links = rule.links.filter((link) => "from" in link && link.from[0] === "in0" && link.to[0] === "out0");
  const identityLinks = links.filter((link) => "from" in link && link.from[1] === link.to[1] && link.map === undefined);
  const isRefused = rule.links.some((link) => "refuses" in link && link.refuses[0] === "in0");
  return !isRefused && links.length === rank && identityLinks.length === rank;
}
