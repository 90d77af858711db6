/**
 * Folds batch normalization with stored statistics into the preceding layer. For each output channel c:
 *   s_c = scale_c / √(variance_c + ε)
 *   (W_c · x + b_c - mean_c) · s_c + bias_c = (W_c · s_c) · x + (b_c - mean_c) · s_c + bias_c
 * Sums and products with stored vectors are the cases s_c = 1 and no shift. A mask on the weight stays: its product is linear in the weight.
 */
import { checkWeight, createRoundingTest, type Inference, infer, type Layer, layerAt, weightNeeds } from "#analysis";
import type { Dense, Model, Node, Tensor, Value } from "#ir";
import { describeRole, emitInto, float32, inMemory, Miss, nodeText, substitute, toFloat64 } from "#ir";
import { type Change, definePass, noOptions, type Outcome } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import type { Affine } from "../../core/ops/entry.ts";
import { keepLayerName } from "../edit/keep-layer-name.ts";
import { stored } from "../edit/mask.ts";
import { readStoredValue } from "../edit/stored-values.ts";
import { isChannelVector, removeIfUnused, scaleChannels, storeBias } from "./affine-weights.ts";
import { cleanUpChange } from "./clean-up.ts";
import { foldIntoReader } from "./fuse-into-reader.ts";
import { protectedValues } from "./protected-values.ts";

export const fuseBatchNorm = definePass({
  id: "fuse-batch-norm",
  summary: "Fold batch normalization into the layer before it",
  options: noOptions,
  run: (model, _, { engine }) => fuseBatchNorms(model, { trained: false, engine }),
});

/** Like `fuseBatchNorm`, and also folds sums and products with stored vectors. Layers whose outputs are quantized stay, because folding would change the rounding. */
export const fuseAffine = definePass({
  id: "fuse-affine",
  summary: "Fold batch normalization, and sums and products with stored vectors, into the layer before or after them",
  options: noOptions,
  run: (model, _, { engine }) =>
    fuseBatchNorms(model, { trained: false, into: requireNotRounded(model), arithmetic: true, engine }),
});

function requireNotRounded(model: Model): (layer: Layer) => true | Miss {
  const isRounded = createRoundingTest(model, infer(model));
  return ({ node }) => (isRounded(node) ? new Miss(roundedLater) : true);
}

const roundedLater = "its output is quantized later, and folding would change the rounding";

export async function fuseBatchNorms(
  model: Model,
  options: {
    /** Whether training is finished, so that parameters with roles are folded, too. */
    readonly trained: boolean;
    /** Returns whether a layer can change (default: all can), or a Miss to report. */
    readonly into?: (layer: Layer) => boolean | Miss;
    /** Whether sums and products with stored vectors are folded, too. */
    readonly arithmetic?: boolean;
    /** Evaluates computed biases, such as exported zeros. */
    readonly engine?: Engine;
  },
): Promise<Outcome> {
  const inference = infer(model);
  const isProtected = protectedValues(model, inference);
  const { engine } = options;
  const readBias: BiasReader = (bias) => {
    const { tensor } = bias;
    if (tensor !== undefined) return () => tensor.read();
    const isConstant = engine !== undefined && inference.operand(bias)?.stored === true && bias.role === undefined;
    return isConstant ? () => readStoredValue(model, bias, engine) : undefined;
  };
  const changes: Change[] = [];
  const misses = new Map<Node, Miss>();
  for (const node of model.graph.nodes()) {
    const bound = inference.at(node);
    const affine = bound instanceof Miss ? bound : bound.affine();
    if (affine instanceof Miss) {
      if (affine.kind === "normalization") misses.set(node, new Miss(affine.reason, nodeText(node)));
      continue;
    }
    const isNorm = affine.kind === "normalization";
    if (!isNorm && options.arithmetic !== true) continue;
    const layer = findLayerBefore(node.inputs[affine.dataInput], inference);
    const permission = layer instanceof Miss || (options.into?.(layer) ?? true);
    if (permission === false) continue;
    const targetLayer = permission instanceof Miss ? permission : layer;
    const match =
      targetLayer instanceof Miss ? targetLayer : matchOf(node, affine, targetLayer, { ...options, readBias });
    if (match instanceof Miss) {
      // Few sums are biases, so only failed normalizations are reported.
      if (isNorm) misses.set(node, new Miss(match.reason, nodeText(node)));
      continue;
    }
    if (!options.trained && !isNorm && hasProtected(match, node, isProtected)) continue;
    if (await fold(model, node, match, inference))
      changes.push(
        cleanUpChange(
          match.layer.name,
          `${isNorm ? "batch normalization" : "scale or shift"} merged into the weights of the layer`,
        ),
      );
  }
  if (options.arithmetic === true) {
    const { into = () => true } = options;
    const canChange = (layer: Layer): boolean => into(layer) === true;
    // In reverse order, so that a scale between a shift and a layer is folded before the shift.
    for (const node of [...model.graph.nodes()].reverse()) {
      const change = await foldIntoReader(model, node, { inference, isProtected, canChange });
      if (change === undefined) continue;
      changes.push(change);
      misses.delete(node);
    }
  }
  return { changes, misses: [...misses.values()] };
}

function hasProtected({ layer }: Match, node: Node, isProtected: (value: Value) => boolean): boolean {
  return [layer.weight, layer.bias, ...node.inputs].some((value) => value !== undefined && isProtected(value));
}

interface Match {
  readonly layer: Layer;
  readonly affine: Affine;
  readonly bias: (() => Promise<Dense>) | undefined;
  readonly vectors: readonly Tensor[];
}

type BiasReader = (bias: Value) => (() => Promise<Dense>) | undefined;

function findLayerBefore(value: Value | undefined, inference: Inference): Layer | Miss {
  const layer = value?.producer === undefined ? undefined : layerAt(value.producer, inference);
  return layer === undefined || layer instanceof Miss ? new Miss("no layer comes before it") : layer;
}

function matchOf(
  node: Node,
  affine: Affine,
  layer: Layer,
  { trained, readBias }: { readonly trained: boolean; readonly readBias: BiasReader },
): Match | Miss {
  const x = node.inputs[affine.dataInput];
  const values = affine.inputs.map((input) => node.inputs[input]);
  const vectors = values.flatMap((value) => value?.tensor ?? []);
  if (x === undefined) return new Miss("no layer comes before it");
  if (vectors.length < values.length) return new Miss("its statistics are computed");
  if (x.uses.size > 1 || node.graph.isOutput(x)) return new Miss("the layer's own output is used elsewhere");
  const { role, weight, bias } = layer;
  const miss = checkWeight(layer, weightNeeds.fuse);
  if (miss !== undefined) return new Miss(`"${layer.name}" before it: ${miss.reason}`);
  if (affine.axis !== undefined && role.outputAxis !== affine.axis)
    return new Miss("normalizes another axis than the layer's channels");
  const addedBias = role.biasInput === undefined ? undefined : layer.node.inputs[role.biasInput];
  if (addedBias !== bias) return new Miss("the layer's bias is computed");
  if (role.biasInput === undefined && role.bias !== undefined) return new Miss("the layer scales its bias");
  const storedBias = bias === undefined ? undefined : readBias(bias);
  if (bias !== undefined && storedBias === undefined) return new Miss("the layer's bias is computed");
  const operands = [weight, bias, ...values];
  const protectedOperand = operands.find(
    (value) => value?.role !== undefined && (!trained || value.role.kind === "tied"),
  );
  if (protectedOperand?.role !== undefined)
    return new Miss(
      `"${protectedOperand.name}" is ${describeRole(protectedOperand.role)}: run \`simplify finalize\` first`,
    );
  return { layer, affine, bias: storedBias, vectors };
}

/** Returns false if folding would not save a node, or if float32 cannot represent weight and bias. */
async function fold(model: Model, node: Node, match: Match, inference: Inference): Promise<boolean> {
  const { layer, affine, vectors } = match;
  const { scale, shift } = affine.of((await Promise.all(vectors.map((tensor) => tensor.read()))).map(toFloat64));
  const channels = layer.outputs;
  const elementOf = (values: Float64Array | undefined, channel: number): number =>
    values?.[values.length === 1 ? 0 : channel] ?? 0;
  const factors = Float64Array.from({ length: channels }, (_, channel) => elementOf(scale, channel));
  const dense = await match.bias?.();
  const oldBias = dense && toFloat64(dense);
  // Any other tensor is an added matrix.
  if (oldBias !== undefined && oldBias.length !== 1 && !isChannelVector(dense?.dims ?? [], channels)) return false;
  const bias = Float64Array.from(
    { length: channels },
    (_, channel) => elementOf(oldBias, channel) * elementOf(factors, channel) + elementOf(shift, channel),
  );
  const [x, y] = [node.inputs[affine.dataInput], node.outputs[0]];
  if (x === undefined || y === undefined) return false;
  // A variance of 0 without ε scales by infinity.
  if (![...factors, ...bias].every((number) => Number.isFinite(Math.fround(number)))) return false;
  const { biasInput } = layer.role;
  const hasShift = bias.some((value) => value !== 0);
  if (biasInput === undefined && hasShift && affine.kind === "arithmetic") return false;
  if (factors.some((factor) => factor !== 1)) {
    const weight = scaleChannels(await stored(layer.weight).read(), layer.role, factors, "outputs");
    if (weight === undefined) return false;
    layer.weight.tensor = inMemory(weight);
  }
  keepLayerName(layer);
  const result = biasInput === undefined && hasShift ? addBias(model, node, x, layer, bias, inference) : x;
  if (biasInput !== undefined && (hasShift || layer.bias !== undefined))
    model.graph.setInput(layer.node, biasInput, storeBias(model, layer, bias));
  if (result.stated !== undefined || model.graph.isOutput(y)) result.type = y.stated ?? y.type;
  const values = affine.inputs.map((input) => node.inputs[input]);
  substitute(y, result);
  for (const value of [...values, layer.bias]) if (value !== undefined) removeIfUnused(value);
  return true;
}

function addBias(model: Model, node: Node, x: Value, layer: Layer, bias: Float64Array, inference: Inference): Value {
  const rank = x.type?.dims?.length ?? 2;
  const emit = emitInto(model, { before: node, by: "fuse-batch-norm", onNode: inference.visit });
  const dims = [bias.length, ...new Array<number>(Math.max(0, rank - 2)).fill(1)];
  return emit.Add([x, emit.constant(float32(dims, bias), `${layer.name}.bias`, layer.weight.role)]);
}
