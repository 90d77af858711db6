/** Computes loss and gradients of a batch. Sessions share the arrays of parameters and gradients without copies; each batch size has a graph. */
import type { Batch, Dense, Model, Tensor } from "#ir";
import {
  emitInto,
  fromNumbers,
  inMemory,
  isHalf,
  nodeText,
  PithError,
  parameter,
  random,
  replaceUses,
  toFloat64,
  typeCodes,
} from "#ir";
import { type Context, completeContext } from "#pass";
import { foldConstants } from "../../rewrite/clean-up/fold-constants.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { gradientOpset } from "./differentiate.ts";
import { denseOf, type Floats, zerosLike } from "./floats.ts";
import { cacheBytes } from "./frozen-cache.ts";
import type { OptimizedParameter } from "./optimizer.ts";
import { declareRoles } from "./roles.ts";
import { applyCopies } from "./shared-constants.ts";
import { loadStepGraph, releaseStepGraph, type StepOptions } from "./step-graph.ts";
import { copyOfTied, type Tie, tieMatrices } from "./ties.ts";
import { decaysOf, trainedValues } from "./trained-values.ts";
import { cacheBySizes } from "./validation-loss.ts";

export interface Step {
  readonly parameters: readonly OptimizedParameter[];
  /** Values that a step updates without gradients: running statistics. */
  readonly states: readonly StateArray[];
  /**
   * Computes the loss of a batch, and writes the gradients and the next states into their arrays.
   * @param drawKey Numbers that, with the seed, determine random draws (default: the count of runs).
   */
  run(batch: Batch, drawKey?: readonly number[]): Promise<number>;
  /** Writes parameters and states (or `weights` in this order) into a model, also for weights in Constant nodes. */
  store(model: Model, weights?: readonly Floats[]): void;
  release(): Promise<void>;
}

export interface StateArray {
  readonly name: string;
  readonly values: Floats;
}

/**
 * Adds the loss to a copy of the model, differentiates it for batches like `example`, and loads it.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_NAME for layers that do not exist, E_DATA if the data does not fit the model.
 */
export async function createStep(
  model: Model,
  example: Batch,
  options: StepOptions,
  context: Partial<Context> = {},
): Promise<Step> {
  const preparedModel = model.clone();
  // The model is prepared as in `train`, so that the same tensors are trained.
  storeWeights(preparedModel);
  const { separatedStatistics: ownStatistics, separatedParameters: parted } = await declareRoles(preparedModel);
  const step = await stepOf(preparedModel, example, options, completeContext(context));
  return {
    ...step,
    store(target, weights) {
      storeWeights(target);
      applyCopies(target, [...ownStatistics, ...parted]);
      step.store(target, weights);
    },
  };
}

export async function stepOf(model: Model, example: Batch, options: StepOptions, context: Context): Promise<Step> {
  const { model: trainedModel, trained, ties, decays } = await trainableCopy(model, options, context);
  const { cachesFrozen = false, samples } = options;
  const budget = cachesFrozen ? { bytesLeft: cacheBytes, samples } : undefined;
  let { log } = context;
  const load = (batch: Batch) => loadStepGraph(trainedModel, batch, trained, options, budget, { ...context, log });
  const graphs = cacheBySizes(load, releaseStepGraph);
  const firstGraph = await graphs.of(example);
  // Graphs for other batch sizes make the same decisions.
  log = () => {};
  for (const [name, node] of firstGraph.stopped) {
    const text = `"${name}" is not trained: the loss depends on it only through ${nodeText(node)}, which passes no gradient on`;
    context.log({ id: "untrained", text, level: "warning" });
  }
  const tensors = [...firstGraph.gradients.keys(), ...firstGraph.states.keys()].map(
    (name) => [name, tensorOf(trainedModel, name)] as const,
  );
  const stored = await storedArrays(tensors);
  const states = stored.splice(firstGraph.gradients.size).map((state) => ({ ...state, next: emptyLike(state.values) }));
  const arrays = stored.map(
    ({ name, values }): TrainedArrays => ({
      name,
      decays: decays(name, values.dims),
      values,
      gradient: emptyLike(values),
      carried: firstGraph.carried.has(name),
    }),
  );
  const arrayFeeds = Object.fromEntries([...arrays, ...states].map(({ name, values }) => [name, values]));
  let runs = 0;
  const lossBuffer: Dense = { type: "float32", dims: [], data: new Float32Array(1) };

  return {
    parameters: arrays.map(({ values, gradient, ...rest }) => ({
      ...rest,
      values: values.data,
      gradient: gradient.data,
    })),
    states: states.map(({ name, values }) => ({ name, values: values.data })),
    async run(batch, place = [runs++]) {
      const graph = await graphs.of(batch);
      // The previous gradient is fed from the buffer of the next one, which is safe because only one node reads it.
      const carriedFeeds: Record<string, Dense> = {};
      const buffers: Record<string, Dense> = { [graph.loss]: lossBuffer };
      for (const { name, gradient } of arrays) {
        const [output, input] = [graph.gradients.get(name), graph.carried.get(name)];
        if (output !== undefined) buffers[output] = gradient;
        if (input !== undefined) carriedFeeds[input] = gradient;
      }
      for (const { name, next } of states) {
        const output = graph.states.get(name);
        if (output !== undefined) buffers[output] = next;
      }
      const oddNumber = random(context.seed, "draw", ...place).integer(2 ** 30) * 2 + 1;
      const feeds = await graph.feeds(batch, oddNumber);
      await graph.session.run({ ...feeds, ...arrayFeeds, ...carriedFeeds }, buffers);
      for (const { values, next } of states) values.data.set(next.data);
      return lossBuffer.data[0] ?? Number.NaN;
    },
    store: (target, weights) => storeArrays(target, [...arrays, ...states], ties, weights),
    release: graphs.release,
  };
}

/** Returns a copy of the model and its trained tensors (the first of tied ones). @throws PithError E_NAME for unknown layers, E_TYPE_MISMATCH for none. */
async function trainableCopy(original: Model, options: StepOptions, context: Context) {
  const model = original.clone();
  raiseOpset(model, gradientOpset);
  const decays = decaysOf(model);
  const selectedNames = options.parameters === undefined ? trainedValues(model, options) : new Set(options.parameters);
  const ties = tieMatrices(model, selectedNames);
  for (const { name, original: source } of ties)
    context.log({ id: "tied", text: `"${name}" and "${source}" hold the same matrix and are trained as one` });
  const tiedNames = new Set(ties.map(({ name }) => name));
  const trained = new Set([...selectedNames].filter((name) => !tiedNames.has(name)));
  for (const name of trained) {
    const value = model.graph.value(name);
    // The role prevents folding of trained tensors into computed ones, such as a transposed copy or a masked product.
    if (value !== undefined) value.role ??= parameter;
    await convertToFloat32(model, name);
  }
  await foldConstants(model, {}, context);
  return { model, trained, ties, decays };
}

/** Converts 16-bit parameters to float32 so that small steps add up (Micikevicius et al. 2018, "Mixed precision training"). */
async function convertToFloat32(model: Model, name: string): Promise<void> {
  const value = model.graph.value(name);
  const dense = await value?.tensor?.read();
  if (value === undefined || dense === undefined || !isHalf(dense.type)) return;
  const [firstNode] = model.graph.nodes();
  const emit = emitInto(model, { by: "train", before: firstNode });
  const roundedValue = emit.named(`${name}.rounded`).Cast([value], { to: typeCodes[dense.type] });
  replaceUses(value, roundedValue, roundedValue.producer);
  value.tensor = inMemory(fromNumbers("float32", dense.dims, toFloat64(dense)));
  value.type = { type: "float32", dims: dense.dims };
}

type Floating = Dense<"float32" | "float64">;

interface NamedWeight {
  readonly name: string;
  readonly values: Floating;
}

interface TrainedArrays extends NamedWeight {
  readonly decays: boolean;
  readonly gradient: Floating;
  readonly carried: boolean;
}

/** Copies stored tensors. @throws PithError E_TYPE_MISMATCH if a tensor is not of floats. */
async function storedArrays(tensors: readonly (readonly [name: string, tensor: Tensor])[]): Promise<NamedWeight[]> {
  const arrays: NamedWeight[] = [];
  for (const [name, tensor] of tensors) {
    const dense = await tensor.read();
    if (dense.type !== "float32" && dense.type !== "float64")
      throw new PithError("E_TYPE_MISMATCH", `"${name}" is ${dense.type}; floats can be trained.`);
    arrays.push({ name, values: denseOf(dense.data.slice(), dense.dims) });
  }
  return arrays;
}

function emptyLike({ data, dims }: Floating): Floating {
  return denseOf(zerosLike(data), dims);
}

function storeArrays(
  model: Model,
  arrays: readonly NamedWeight[],
  ties: readonly Tie[],
  weights: readonly Floats[] | undefined,
): void {
  for (const [index, { name, values }] of arrays.entries()) {
    const { type, dims } = values;
    const numbers = weights?.[index] ?? values.data;
    storeValues(model, name, type, dims, numbers);
    for (const { name: copy, transposed } of ties.filter((tie) => tie.original === name))
      storeValues(model, copy, type, transposed ? dims.toReversed() : dims, copyOfTied(numbers, dims, transposed));
  }
}

function storeValues(
  model: Model,
  name: string,
  type: Floating["type"],
  dims: readonly number[],
  numbers: Floats,
): void {
  const value = model.graph.value(name);
  if (value === undefined) return;
  const storedType = value.tensor?.type ?? type;
  value.tensor = inMemory(fromNumbers(isHalf(storedType) ? storedType : type, dims, numbers));
}

function tensorOf(model: Model, name: string): Tensor {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new PithError("E_NAME", `There is no stored tensor "${name}" to train.`);
  return tensor;
}
