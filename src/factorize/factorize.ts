/**
 * Low rank: a layer as a chain of thinner ones.
 *
 *     h = Gemm "fc1" (x, fc1.weight, fc1.bias)
 *  →  m = Gemm "fc1.down" (x, fc1.down.weight);  h = Gemm "fc1.up" (m, fc1.up.weight, fc1.bias)
 *
 *     h = Conv "c" (x, c.weight, c.bias)
 *  →  m = Conv "c.down" (x, c.down.weight);  n = Conv "c.core" (m, c.core.weight);  h = Conv "c.up" (n, c.up.weight, c.bias)
 *
 * A decomposition (`decompositions.ts`) says which chains a weight can become and what each costs and loses, a rank rule (`ranks.ts`) takes one,
 * the operator's entry writes it. Where that would not be smaller the layer stays, with a Miss.
 */
import * as v from "valibot";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { brokenNumbers, requireWeight, weightNeeds } from "../analysis/weight.ts";
import { engineMultiply } from "../engine/multiply.ts";
import { Miss, stopIfAsked } from "../errors.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Multiply } from "../math/index.ts";
import { type Change, type Context, definePass, type Outcome, type Pass } from "../passes/index.ts";
import { described, overridesOption, selectionOptions } from "../passes/options.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { readStoredValue } from "../passes/stored.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { problemOf, replaceByChain, type StoredChain, storeParts } from "./chain.ts";
import { decompositions, type Method, methods } from "./decompositions.ts";
import { type RankRule, stepFor } from "./ranks.ts";

const fraction = v.pipe(v.number(), v.gtValue(0, "must be above 0"), v.maxValue(1, "must be at most 1"));

/** What `factorize` may be told: one of `rank`, `energy` and `ratio`, how, and which layers. */
export interface FactorizeOptions extends RankRule {
  /** Which chain a layer becomes; "svd" unless said. */
  readonly method?: Method | undefined;
  /** For single layers one of these: { "fc1": { rank: 8 }, "encoder*": { energy: 0.99 } }. */
  readonly overrides?: Record<string, RankRule> | undefined;
  /** Names or patterns of the layers to factorize; unless said, all. */
  readonly layers?: string | string[] | undefined;
  /** Names or patterns of layers to leave alone. */
  readonly except?: string | string[] | undefined;
}

const rank = v.optional(v.pipe(v.number(), v.integer(), v.minValue(1, "must be at least 1")));
const isOne = ({ rank, energy, ratio }: RankRule): boolean =>
  [rank, energy, ratio].filter((option) => option !== undefined).length === 1;

const factorizeOptions = v.pipe(
  v.strictObject({
    rank: described(rank, "keep this many singular values"),
    energy: described(v.optional(fraction), "keep this share of the squared singular values, for instance 0.95"),
    ratio: described(v.optional(fraction), "keep this share of the weights, for instance 0.5"),
    method: described(
      v.optional(v.picklist(methods), "svd"),
      `which layers one becomes: ${methods.map((id) => `${id} (${decompositions[id].summary})`).join(", ")}`,
    ),
    ...selectionOptions("factorize"),
    overrides: overridesOption({ rank, energy: v.optional(fraction), ratio: v.optional(fraction) }),
  }),
  v.check(
    (given) => [given, ...Object.values(given.overrides ?? {})].every(isOne),
    "give exactly one of rank, energy and ratio",
  ),
);

type Options = v.InferOutput<typeof factorizeOptions>;

/**
 * Replaces layers by chains of thinner ones, in place.
 *
 * Works on every layer whose weight is a stored matrix (Gemm, MatMul, Einsum) or kernel (Conv), also behind a mask, whose zeros go into the
 * product, and behind a transposition. What would not get smaller, and what is neither, comes back as a Miss.
 * @throws PithError E_OPTION unless exactly one of rank, energy and ratio is given, E_NAME for layers that do not exist.
 * @example
 * const { misses } = await factorize(net, { layers: "fc1", rank: 32 });
 */
export const factorize: Pass<v.GenericSchema<FactorizeOptions>> = definePass({
  id: "factorize",
  summary: "Replace layers by two or three thinner ones (truncated SVD, Tucker-2)",
  options: factorizeOptions,
  makesSmaller: "file",
  gentler: () => "Use a higher `rank`, `ratio` or `energy`",
  command: {
    suffix: () => ".factorized",
    examples: [
      "factorize model.onnx --energy 0.95",
      "factorize model.onnx --layers fc1 --rank 32 --data mnist/ --max-drop 1%",
    ],
  },
  run(model, { overrides = {}, ...options }, context) {
    // One of a layer's own takes the place of whichever the pass has.
    const alone = { rank: undefined, energy: undefined, ratio: undefined };
    const own = Object.entries(overrides).map(([name, said]) => [name, { ...alone, ...said }]);
    return factorizeModel(model, { ...options, overrides: Object.fromEntries(own) }, context);
  },
});

async function factorizeModel(model: Model, options: Options, context: Context): Promise<Outcome> {
  storeWeights(model);
  const inference = infer(model);
  const all = layersOf(model, inference);
  const chosen = selectLayers(all, options);
  const others = options.layers === undefined ? noLayers(model, inference, all) : [];
  const products = engineMultiply(context.engine);
  try {
    const { changes, misses } = await factorizeLayers(model, inference, chosen, options, products.multiply, context);
    return { changes, misses: [...misses, ...others] };
  } finally {
    await products.release();
  }
}

async function factorizeLayers(
  model: Model,
  inference: Inference,
  chosen: readonly Layer[],
  options: Options,
  multiply: Multiply,
  context: Context,
): Promise<Outcome> {
  const changes: Change[] = [];
  const misses: Miss[] = [];
  const before = usedTensors(model);
  const known = new Map<Value, Factors>();
  const refused = new Map(chosen.map((layer) => [layer, requireWeight(layer, weightNeeds.factorize)]));
  const factorizable = new Set(chosen.flatMap((layer) => (refused.get(layer) === undefined ? layer.node : [])));
  for (const [index, layer] of chosen.entries()) {
    stopIfAsked(context.signal, `Stopped before layer "${layer.name}".`);
    context.progress(index, chosen.length);
    const refusal = refused.get(layer);
    if (refusal !== undefined) {
      misses.push(refusal);
      continue;
    }
    const other = otherReader(layer.weight, factorizable, inference);
    if (other !== undefined) {
      misses.push(
        new Miss(
          `${describe(other)} also reads its weight, so the file would need both the weight and the factors`,
          layer.name,
        ),
      );
      continue;
    }
    const { own, decidedBy } = ownOptions(options, layer);
    const factors = known.get(layer.effective) ?? (await factorsOf(model, layer, own, multiply, context));
    if (factors instanceof Miss) {
      misses.push(factors);
      continue;
    }
    known.set(layer.effective, factors);
    replaceByChain(model, layer, factors);
    changes.push({ at: layer.name, what: factors.what, decidedBy });
  }
  if (changes.length > 0) removeReplaced(model, before);
  context.progress(chosen.length, chosen.length);
  return { changes, misses };
}

interface Factors extends StoredChain {
  readonly what: string;
}

/** A node beyond these that reads a stored value, or what stored values make of it. */
function otherReader(value: Value, known: ReadonlySet<Node>, inference: Inference): Node | undefined {
  for (const { node } of value.uses) {
    if (known.has(node)) continue;
    const made = node.outputs.filter((output) => output !== undefined);
    if (!made.every((output) => inference.operand(output)?.stored === true)) return node;
    for (const output of made) {
      const other = otherReader(output, known, inference);
      if (other !== undefined) return other;
    }
  }
  return undefined;
}

async function factorsOf(
  model: Model,
  layer: Layer,
  { method, ...rule }: Options,
  multiply: Multiply,
  context: Context,
): Promise<Factors | Miss> {
  const { effective, name } = layer;
  const stored = await readStoredValue(model, effective, context.engine);
  const broken = brokenNumbers(toFloat64(stored));
  if (broken !== undefined) return new Miss(`its weight ${broken}`, name);
  const problem = problemOf(layer, stored, { multiply, seed: context.seed });
  const whole = { weights: stored.data.length, macs: stored.data.length };
  const prepared = await decompositions[method].prepare(problem);
  if (prepared instanceof Miss) return new Miss(prepared.reason, name);
  const step = stepFor(rule, prepared, whole);
  if (step instanceof Miss) return new Miss(step.reason, name);
  const { parts, relativeError } = await prepared.factors(step);
  const sizes = [layer.outputs, layer.inputs, ...problem.kernel].join(" × ");
  const by = method === "svd" ? "" : `${method}, `;
  const what = `${sizes} → ${by}rank ${step.ranks.join(" × ")}, relative error ${relativeError.toFixed(3)}`;
  return { ...storeParts(model, layer, stored.dims, parts), what };
}
