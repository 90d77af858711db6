/**
 * One training step, ready to run: the differentiated graph in a session, the parameters as arrays that are fed without a copy, and
 * buffers that the gradients are written into.
 */
import { infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { parametersOf } from "../analysis/parameters.ts";
import { isNamed, type Selection, selectLayers } from "../analysis/selection.ts";
import { storedRoot } from "../analysis/stored-root.ts";
import type { Session } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { parameter } from "../graph/role.ts";
import { type Context, completeContext, foldConstants, raiseOpset } from "../passes/index.ts";
import { fromNumbers, isHalf, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { typeCodes } from "../tensor/type-codes.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { differentiate, gradientOpset } from "./differentiate.ts";
import type { Loss } from "./loss.ts";
import { writeLoss } from "./loss-graph.ts";
import type { Floats, Trained } from "./optimizer.ts";
import { copyOfTied, tie } from "./ties.ts";

export interface StepOptions extends Selection {
  readonly loss: Loss;
  /** Train exactly these stored tensors, instead of the parameters of the selected layers. */
  readonly parameters?: readonly string[];
  /** Factors of the learning rate by patterns of layers or tensors; of several that fit, the last. */
  readonly rates?: Readonly<Record<string, number>> | undefined;
  readonly threads?: number | undefined;
  /** Let the graph add this factor of the gradient before to the gradient: an optimizer's `carry`. */
  readonly carry?: number | undefined;
}

export interface Step {
  readonly parameters: readonly Trained[];
  /** The loss on a batch; the gradients are in the parameters' arrays afterwards. */
  run(batch: Batch): Promise<number>;
  /** The parameters as they are now, or other numbers in their place, written into a model as tensors of its own. */
  store(model: Model, weights?: readonly Floats[]): void;
  release(): Promise<void>;
}

/**
 * Builds the loss on top of a copy of the model, differentiates it for batches like `example`, and loads it.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_NAME for layers that do not exist, E_DATA if the data does not fit the model.
 */
export async function createStep(
  model: Model,
  example: Batch,
  options: StepOptions,
  given: Partial<Context> = {},
): Promise<Step> {
  const context = completeContext(given);
  const { loss } = options;
  const working = model.clone();
  raiseOpset(working, gradientOpset);
  const groups = groupsOf(working, options);
  const selected = options.parameters === undefined ? trainedValues(working, options) : new Set(options.parameters);
  const ties = await tie(working, selected);
  const copies = new Set(ties.map(({ name }) => name));
  const wanted = new Set([...selected].filter((name) => !copies.has(name)));
  for (const { name, of } of ties)
    context.log({ id: "tied", text: `"${name}" and "${of}" are one matrix, trained as one` });
  // A role keeps what is trained from being folded into what is made of it: a transposed copy, a product with a mask.
  for (const name of wanted) {
    asParameter(working, name);
    await widen(working, name);
  }
  await foldConstants(working, {}, context);
  const written = await writeLoss(working, example, loss, context);
  const { value } = written;
  const { frozen, step, gradients, carried } = differentiate(working, {
    loss: value.name,
    wrt: (candidate) => wanted.has(candidate.name),
    ...(options.carry === undefined ? {} : { carry: options.carry }),
  });

  const owned = new Map<string, Dense<"float32" | "float64">>();
  const arrays: Arrays[] = [];
  for (const [name, gradient] of gradients) {
    const values = copyOf(await tensorOf(working, name).read(), name);
    owned.set(name, values);
    const input = carried.get(name);
    const before = input === undefined ? undefined : zerosLike(values);
    const group = groups(name, values.dims);
    arrays.push({ name, ...group, values: values.data, output: gradient, input, gradient: zerosLike(values), before });
  }
  const parameters = arrays.map(trainedView);
  const lossBuffer: Dense = { type: "float32", dims: [], data: new Float32Array(1) };

  const threads = options.threads === undefined ? {} : { threads: options.threads };
  const session = await context.engine.load(step, { optimize: false, ...threads });
  const frozenSession =
    frozen === undefined
      ? undefined
      : await context.engine.load(frozen, threads).catch(async (error: unknown) => {
          await session.release();
          throw error;
        });
  const stepInputs = new Set(step.graph.feeds.map((input) => input.name));
  const frozenInputs = frozen === undefined ? undefined : new Set(frozen.graph.feeds.map((input) => input.name));
  const fed = Object.fromEntries(owned);

  return {
    parameters,
    async run(batch) {
      const feeds = written.feeds(batch);
      const fixed = frozenSession === undefined ? {} : await frozenSession.run(only(feeds, frozenInputs ?? new Set()));
      // What is carried is the gradient before; the two buffers of a parameter take turns.
      for (const one of arrays) if (one.before !== undefined) [one.gradient, one.before] = [one.before, one.gradient];
      const carriedFeeds: Record<string, Dense> = {};
      const buffers: Record<string, Dense> = { [value.name]: lossBuffer };
      for (const { output, input, gradient, before } of arrays) {
        buffers[output] = gradient;
        if (input !== undefined && before !== undefined) carriedFeeds[input] = before;
      }
      await session.run({ ...only({ ...feeds, ...fixed }, stepInputs), ...fed, ...carriedFeeds }, buffers);
      return lossBuffer.data[0] ?? Number.NaN;
    },
    store(target, weights) {
      for (const [at, [name, { dims, data, type: own }]] of [...owned].entries()) {
        const numbers = weights?.[at] ?? data;
        put(target, name, own, dims, numbers);
        for (const { name: copy, transposed } of ties.filter(({ of }) => of === name))
          put(target, copy, own, transposed ? dims.toReversed() : dims, copyOfTied(numbers, dims, transposed));
      }
    },
    async release() {
      await releaseAll([session, frozenSession]);
    },
  };
}

/**
 * Names of the stored tensors to train. `layers` narrows to the weights and biases of those layers; `except` takes the weights and biases
 * of layers out of what is trained, normalization stays.
 */
function trainedValues(model: Model, { layers, except }: Selection): ReadonlySet<string> {
  const inference = infer(model);
  const parameters = parametersOf(model, inference);
  const all = layersOf(model, inference);
  const of = (selection: Selection): ReadonlySet<Value> =>
    new Set(selectLayers(all, selection).flatMap(({ weight, bias }) => [weight, ...rootOf(bias)]));
  if (parameters.size === 0) throw nothingToTrain(all.map(({ weight }) => weight));
  const chosen = layers === undefined ? undefined : of({ layers });
  const left = except === undefined ? undefined : of({ layers: except });
  return new Set(
    [...parameters]
      .filter((value) => (chosen?.has(value) ?? true) && !(left?.has(value) ?? false))
      .map((value) => value.name),
  );
}

/** In the type that the model stores it in: sixteen bits are rounded. */
function put(model: Model, name: string, own: "float32" | "float64", dims: readonly number[], numbers: Floats): void {
  const found = model.graph.value(name);
  if (found === undefined) return;
  const stored = found.tensor?.type ?? own;
  found.tensor = inMemory(fromNumbers(isHalf(stored) ? stored : own, dims, numbers));
}

/** What a parameter's steps depend on besides its gradient. */
type Group = Pick<Trained, "decays" | "rate">;

/**
 * The group of each stored tensor. Weights of layers and whatever else is a matrix decay; biases, and scales and shifts of normalizations,
 * which have one number a channel, do not (Goyal et al. 2017).
 */
function groupsOf(model: Model, { rates = {} }: StepOptions): (name: string, dims: readonly number[]) => Group {
  const all = layersOf(model, infer(model));
  const layerOf = new Map(
    all.flatMap(({ name, weight, bias }) => [weight, ...rootOf(bias)].map((value) => [value.name, name] as const)),
  );
  const weights = new Set(all.map(({ weight }) => weight.name));
  for (const pattern of Object.keys(rates)) {
    const known = [...layerOf.values(), ...[...model.graph.values()].filter(isStored).map(({ name }) => name)];
    if (known.some((name) => isNamed(pattern, name))) continue;
    throw new PithError("E_NAME", `No layer or tensor is called "${pattern}", for which there is a rate.`);
  }
  return (name, dims) => {
    const layer = layerOf.get(name);
    const fits = ([pattern]: readonly [string, number]): boolean =>
      isNamed(pattern, name) || (layer !== undefined && isNamed(pattern, layer));
    const [, rate = 1] = Object.entries(rates).findLast(fits) ?? [];
    return { decays: weights.has(name) || dims.filter((size) => size > 1).length > 1, rate };
  };
}

const isStored = (value: Value): boolean => value.tensor !== undefined;

/** The arrays of a parameter, and the names of the output and input that they belong to. */
interface Arrays extends Group {
  readonly name: string;
  readonly values: Floats;
  readonly output: string;
  readonly input: string | undefined;
  gradient: Dense<"float32" | "float64">;
  before: Dense<"float32" | "float64"> | undefined;
}

function trainedView(arrays: Arrays): Trained {
  return {
    name: arrays.name,
    values: arrays.values,
    carried: arrays.input !== undefined,
    decays: arrays.decays,
    rate: arrays.rate,
    get gradient() {
      return arrays.gradient.data;
    },
  };
}

function zerosLike(dense: Dense<"float32" | "float64">): Dense<"float32" | "float64"> {
  const { dims, data } = dense;
  return dense.type === "float32"
    ? { type: "float32", dims, data: new Float32Array(data.length) }
    : { type: "float64", dims, data: new Float64Array(data.length) };
}

function asParameter(model: Model, name: string): void {
  const value = model.graph.value(name);
  if (value !== undefined) value.role ??= parameter;
}

/**
 * A parameter of sixteen bits becomes float32, rounded where it is read: steps smaller than its last digit add up instead of being lost
 * (Micikevicius et al. 2018, "Mixed precision training").
 */
async function widen(model: Model, name: string): Promise<void> {
  const value = model.graph.value(name);
  const dense = await value?.tensor?.read();
  if (value === undefined || dense === undefined || !isHalf(dense.type)) return;
  const [before] = model.graph.nodes();
  const emit = emitInto(model, { by: "train", ...(before === undefined ? {} : { before }) });
  const rounded = emit.named(`${name}.rounded`).Cast([value], { to: typeCodes[dense.type] });
  replaceUses(value, rounded, rounded.producer);
  value.tensor = inMemory(fromNumbers("float32", dense.dims, toFloat64(dense)));
  value.type = { type: "float32", dims: dense.dims };
}

function nothingToTrain(weights: readonly Value[]): PithError {
  const types = new Set(weights.map(({ tensor }) => tensor?.type ?? "computed"));
  const found = types.size === 0 ? "no layer with a weight was found" : `its weights are ${[...types].join(" and ")}`;
  return new PithError("E_TYPE_MISMATCH", `The model has nothing to train: ${found}; floats can be trained.`);
}

/** The stored tensor behind a bias, which may be masked. */
function rootOf(bias: Value | undefined): readonly Value[] {
  const root = bias === undefined ? undefined : storedRoot(bias);
  return root === undefined ? [] : [root];
}

function tensorOf(model: Model, name: string): NonNullable<Value["tensor"]> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new PithError("E_NAME", `There is no stored tensor "${name}" to train.`);
  return tensor;
}

function copyOf(dense: Dense, name: string): Dense<"float32" | "float64"> {
  if (dense.type === "float32") return { type: "float32", dims: dense.dims, data: dense.data.slice() };
  if (dense.type === "float64") return { type: "float64", dims: dense.dims, data: dense.data.slice() };
  throw new PithError("E_TYPE_MISMATCH", `"${name}" is ${dense.type}; floats can be trained.`);
}

function only(batch: Batch, names: ReadonlySet<string>): Batch {
  return Object.fromEntries(Object.entries(batch).filter(([name]) => names.has(name)));
}

async function releaseAll(sessions: readonly (Session | undefined)[]): Promise<void> {
  for (const session of sessions) await session?.release();
}
