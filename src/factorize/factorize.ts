/**
 * Low rank: a layer's matrix as the product of two thin ones.
 *
 *     W (outputs × inputs) = U S Vᵀ ≈ (U_r √S_r) · (√S_r V_rᵀ)
 *
 *     h = Gemm "fc1" (x, fc1.weight, fc1.bias)
 *  →  m = Gemm "fc1.down" (x, fc1.down.weight);  h = Gemm "fc1.up" (m, fc1.up.weight, fc1.bias)
 *
 * The truncated singular value decomposition is the best approximation of its rank (Eckart and Young 1936). It pays where
 * r · (outputs + inputs) < outputs · inputs; elsewhere the layer stays, with a Miss. Splitting √S evenly keeps both factors of one size,
 * which fine-tuning likes.
 */
import * as v from "valibot";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { ownOptions, selectLayers } from "../analysis/selection.ts";
import { brokenNumbers, requireWeight, weightNeeds } from "../analysis/weight.ts";
import { engineMultiply } from "../engine/multiply.ts";
import { Miss, stopIfAsked } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { substitute } from "../graph/replace.ts";
import {
  energyShares,
  fromDense,
  largestRankThatSaves,
  type Matrix,
  type Multiply,
  rankForEnergy,
  rankForRatio,
  scaleColumns,
  toDense,
  transpose,
  truncatedSvd,
} from "../math/index.ts";
import type { Factored } from "../ops/index.ts";
import { type Change, type Context, definePass, type Outcome, type Pass } from "../passes/index.ts";
import { described, overridesOption, selectionOptions } from "../passes/options.ts";
import { removeReplaced, usedTensors } from "../passes/remove-unused.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { readStoredValue } from "../passes/stored.ts";
import { inMemory } from "../tensor/dense.ts";

const fraction = v.pipe(v.number(), v.gtValue(0, "must be above 0"), v.maxValue(1, "must be at most 1"));

/** What `factorize` may be told: one of `rank`, `energy` and `ratio`, and which layers. */
export interface FactorizeOptions {
  /** Keep this many singular values. */
  readonly rank?: number | undefined;
  /** Keep this share of the squared singular values: 0.95. */
  readonly energy?: number | undefined;
  /** Leave this share of the weights: 0.5. */
  readonly ratio?: number | undefined;
  /** For single layers one of these: { "fc1": { rank: 8 }, "encoder*": { energy: 0.99 } }. */
  readonly overrides?: Record<string, Pick<FactorizeOptions, "rank" | "energy" | "ratio">> | undefined;
  /** Names or patterns of the layers to factorize; unless said, all. */
  readonly layers?: string | string[] | undefined;
  /** Names or patterns of layers to leave alone. */
  readonly except?: string | string[] | undefined;
}

const rank = v.optional(v.pipe(v.number(), v.integer(), v.minValue(1, "must be at least 1")));
const isOne = ({ rank, energy, ratio }: Pick<FactorizeOptions, "rank" | "energy" | "ratio">): boolean =>
  [rank, energy, ratio].filter((option) => option !== undefined).length === 1;

const factorizeOptions = v.pipe(
  v.strictObject({
    rank: described(rank, "keep this many singular values"),
    energy: described(v.optional(fraction), "keep this share of the squared singular values, for instance 0.95"),
    ratio: described(v.optional(fraction), "keep this share of the weights, for instance 0.5"),
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
 * Replaces matrices by products of two thinner ones, in place.
 *
 * Works on every layer whose weight is a stored matrix (Gemm, MatMul), also behind a mask, whose zeros go into the product, and behind a
 * transposition. What would not get smaller, and what is no plain matrix, comes back as a Miss.
 * @throws PithError E_OPTION unless exactly one of rank, energy and ratio is given, E_NAME for layers that do not exist.
 * @example
 * const { misses } = await factorize(net, { layers: "fc1", rank: 32 });
 */
export const factorize: Pass<v.GenericSchema<FactorizeOptions>> = definePass({
  id: "factorize",
  summary: "Replace weight matrices by products of two smaller ones (truncated SVD)",
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
  const factorizable = new Set(chosen.filter((layer) => !(factoredOf(layer) instanceof Miss)).map(({ node }) => node));
  for (const [index, layer] of chosen.entries()) {
    stopIfAsked(context.signal, `Stopped before layer "${layer.name}".`);
    context.progress(index, chosen.length);
    const factored = factoredOf(layer);
    if (factored instanceof Miss) {
      misses.push(factored);
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
    split(model, layer, factored, factors);
    const { rank, relativeError } = factors;
    const what = `${layer.outputs} × ${layer.inputs} → rank ${rank}, relative error ${relativeError.toFixed(3)}`;
    changes.push({ at: layer.name, what, decidedBy });
  }
  if (changes.length > 0) removeReplaced(model, before);
  context.progress(chosen.length, chosen.length);
  return { changes, misses };
}

interface Factors {
  /** The axis of the output channels in the layer that was factorized first. */
  readonly out: number;
  readonly rank: number;
  readonly relativeError: number;
  readonly down: Value;
  readonly up: Value;
}

function factoredOf(layer: Layer): Factored | Miss {
  const miss = requireWeight(layer, weightNeeds.factorize);
  return miss ?? layer.role.factored ?? new Miss("its operator cannot be written as two layers", layer.name);
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
  options: Options,
  multiply: Multiply,
  context: Context,
): Promise<Factors | Miss> {
  const { weight, effective, role, name, outputs, inputs } = layer;
  const limit = largestRankThatSaves(outputs, inputs);
  if (options.rank !== undefined && options.rank > limit) return tooLarge(options.rank, limit, name);
  if (options.ratio !== undefined && rankForRatio(outputs, inputs, options.ratio) < 1)
    return new Miss("no rank fits the ratio", name);
  const stored = fromDense(await readStoredValue(model, effective, context.engine));
  const broken = brokenNumbers(stored.data);
  if (broken !== undefined) return new Miss(`its weight ${broken}`, name);
  // Outputs first, and as it was.
  const turned = (matrix: Matrix): Matrix => (role.out === 0 ? matrix : transpose(matrix));
  const outFirst = turned(stored);
  const rank = await wantedRank(options, outFirst, multiply);
  if (rank > limit) return tooLarge(rank, limit, name);
  const truncated = await truncatedSvd(outFirst, rank, { multiply, seed: context.seed });
  const roots = truncated.s.map(Math.sqrt);
  const up = scaleColumns(truncated.u, roots);
  const down = transpose(scaleColumns(truncated.v, roots));
  const store = (matrix: Matrix, part: string): Value => {
    const laid = toDense(weight.tensor?.type === "float64" ? "float64" : "float32", turned(matrix));
    return model.graph.addTensor(`${name}.${part}.weight`, inMemory(laid), weight.role);
  };
  return {
    out: role.out,
    rank,
    relativeError: truncated.relativeError,
    down: store(down, "down"),
    up: store(up, "up"),
  };
}

async function wantedRank(options: Options, matrix: Matrix, multiply: Multiply): Promise<number> {
  if (options.rank !== undefined) return options.rank;
  if (options.ratio !== undefined) return rankForRatio(matrix.rows, matrix.columns, options.ratio);
  const shares = await energyShares(matrix, multiply);
  return Math.max(1, rankForEnergy(shares.map(Math.sqrt), options.energy ?? 1));
}

function tooLarge(rank: number, limit: number, at: string): Miss {
  return new Miss(
    limit === 0 ? "no rank makes it smaller" : `rank ${rank} does not make it smaller; up to ${limit} would`,
    at,
  );
}

/**
 * Puts two layers, as the operator's entry writes them, in the place of one. Where another layer has read the weight from the other side, its
 * factors serve the other way round: (U V)ᵀ = Vᵀ Uᵀ.
 */
function split(model: Model, { node, name, role }: Layer, factored: Factored, { out, down, up }: Factors): void {
  const [output] = node.outputs;
  if (output === undefined) return;
  const emit = emitInto(model, { before: node, by: "factorize" });
  const turned = role.out === out ? { down, up } : { down: up, up: down };
  const replacement = factored(emit, node.inputs, { ...turned, name });
  replacement.type = output.type;
  substitute(output, replacement);
}
