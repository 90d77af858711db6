/**
 * Training steps: the differentiated graph in a session, the parameters as arrays that are fed without a copy, and buffers that the
 * gradients are written into.
 *
 * Gradients are written for the sizes of a batch. A batch of other sizes (longer texts) gets a graph of its own when it comes, around the same
 * arrays.
 */

import type { Selection } from "../analysis/selection.ts";
import type { Session } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { replaceUses } from "../graph/replace.ts";
import { parameter } from "../graph/role.ts";
import { type Context, completeContext, foldConstants, fuseForStep, raiseOpset } from "../passes/index.ts";
import { fromNumbers, isHalf, toFloat64 } from "../tensor/convert.ts";
import { inMemory, int64 } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import { typeCodes } from "../tensor/type-codes.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { runtimeBlock } from "./blocks.ts";
import { differentiate, gradientOpset } from "./differentiate.ts";
import { denseOf, type Floats, zerosLike } from "./floats.ts";
import { type Group, groupsOf, trainedValues } from "./groups.ts";
import type { Loss } from "./loss.ts";
import { sizesOf, writeLoss } from "./loss-graph.ts";
import type { Trained } from "./optimizer.ts";
import { declareRoles } from "./roles.ts";
import { copyOfTied, tie } from "./ties.ts";
import { writeTrainingForms } from "./training-forms.ts";

export interface StepOptions extends Selection {
  readonly loss: Loss;
  /** Train exactly these stored tensors, instead of the parameters of the selected layers. */
  readonly parameters?: readonly string[];
  /** Factors of the learning rate by patterns of layers or tensors; of several that fit, the last. */
  readonly rates?: Readonly<Record<string, number>> | undefined;
  readonly threads?: number | undefined;
  /** Let the graph add this factor of the gradient before to the gradient: an optimizer's `carry`. */
  readonly carry?: number | undefined;
  /** Compute activations again in the backward pass instead of keeping them: less memory, a third more time. */
  readonly checkpointing?: boolean | undefined;
}

export interface Step {
  readonly parameters: readonly Trained[];
  /** What is carried from step to step without gradients: running statistics. */
  readonly states: readonly State[];
  /** Whether something is drawn anew in each run (dropout). */
  readonly draws: boolean;
  /**
   * The loss on a batch; the gradients are in the parameters' arrays afterwards, and the states are those of the next step.
   * @param place What is random (dropout) is drawn by the seed and these numbers; the count of runs, unless told.
   */
  run(batch: Batch, place?: readonly number[]): Promise<number>;
  /** The parameters, then the states, as they are now, or other numbers in their place, written into a model as tensors of its own. */
  store(model: Model, weights?: readonly Floats[]): void;
  release(): Promise<void>;
}

export interface State {
  readonly name: string;
  readonly values: Floats;
}

/** Graphs that are kept for the sizes of batches: the data of a text model comes in a few lengths again and again. */
const mostGraphs = 16;

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
  const working = model.clone();
  raiseOpset(working, gradientOpset);
  await declareRoles(working);
  const groups = groupsOf(working, options.rates);
  const selected = options.parameters === undefined ? trainedValues(working, options) : new Set(options.parameters);
  const ties = tie(working, selected);
  for (const { name, of } of ties)
    context.log({ id: "tied", text: `"${name}" and "${of}" are one matrix, trained as one` });
  const copies = new Set(ties.map(({ name }) => name));
  const wanted = new Set([...selected].filter((name) => !copies.has(name)));
  // A role keeps what is trained from being folded into what is made of it: a transposed copy, a product with a mask.
  for (const name of wanted) {
    asParameter(working, name);
    await widen(working, name);
  }
  await foldConstants(working, {}, context);

  const compiled = new Map<string, Compiled>();
  const first = await compile(working, example, wanted, options, context);
  compiled.set(sizesOf(example), first);
  for (const [name, node] of first.stopped) {
    const text = `"${name}" is not trained: the loss depends on it only through ${describe(node)}, which hands no gradient on`;
    context.log({ id: "untrained", text, level: "warning" });
  }
  const arrays: Arrays[] = [];
  for (const name of first.gradients.keys()) {
    const values = copyOf(await tensorOf(working, name).read(), name);
    const gradient = denseOf(zerosLike(values.data), values.dims);
    arrays.push({ name, ...groups(name, values.dims), values, gradient, carried: first.carried.has(name) });
  }
  const states: Stored[] = [];
  for (const name of first.states.keys())
    states.push({ name, values: copyOf(await tensorOf(working, name).read(), name) });
  const fed = Object.fromEntries([...arrays, ...states].map(({ name, values }) => [name, values]));
  let runs = 0;
  const lossBuffer: Dense = { type: "float32", dims: [], data: new Float32Array(1) };

  return {
    parameters: arrays.map(trainedView),
    states: states.map(({ name, values }) => ({ name, values: values.data })),
    draws: first.draws,
    async run(batch, place = [runs++]) {
      const sizes = sizesOf(batch);
      const graph = compiled.get(sizes) ?? (await compile(working, batch, wanted, options, context));
      // The one that was used last is the last that goes.
      compiled.delete(sizes);
      compiled.set(sizes, graph);
      const [oldest] = compiled;
      if (compiled.size > mostGraphs && oldest !== undefined) {
        compiled.delete(oldest[0]);
        await release(oldest[1]);
      }
      // What is carried is the gradient before, and the next takes its place in the same buffer: one node reads it, and what that makes, or
      // is made of it, is the next.
      const carriedFeeds: Record<string, Dense> = {};
      const buffers: Record<string, Dense> = { [graph.loss]: lossBuffer };
      for (const { name, gradient } of arrays) {
        const [output, input] = [graph.gradients.get(name), graph.carried.get(name)];
        if (output !== undefined) buffers[output] = gradient;
        if (input !== undefined) carriedFeeds[input] = gradient;
      }
      const next = states.map(({ values }) => denseOf(zerosLike(values.data), values.dims));
      states.forEach(({ name }, at) => {
        const [output, buffer] = [graph.states.get(name), next[at]];
        if (output !== undefined && buffer !== undefined) buffers[output] = buffer;
      });
      // Odd, and below 2³¹.
      const drawn = random(context.seed, "draw", ...place).integer(2 ** 30) * 2 + 1;
      const feeds = await graph.feeds(batch, drawn);
      await graph.session.run({ ...feeds, ...fed, ...carriedFeeds }, buffers);
      for (const [at, { values }] of states.entries()) values.data.set(next[at]?.data ?? []);
      return lossBuffer.data[0] ?? Number.NaN;
    },
    store(target, weights) {
      for (const [at, { name, values }] of [...arrays, ...states].entries()) {
        const { type, dims } = values;
        const numbers = weights?.[at] ?? values.data;
        put(target, name, type, dims, numbers);
        for (const { name: copy, transposed } of ties.filter(({ of }) => of === name))
          put(target, copy, type, transposed ? dims.toReversed() : dims, copyOfTied(numbers, dims, transposed));
      }
    },
    async release() {
      for (const graph of compiled.values()) await release(graph);
      compiled.clear();
    },
  };
}

/** A step graph for batches of certain sizes. */
interface Compiled {
  readonly loss: string;
  /** Parameter → name of the output with its gradient. */
  readonly gradients: ReadonlyMap<string, string>;
  /** Parameter → name of the input with what is carried. */
  readonly carried: ReadonlyMap<string, string>;
  /** Parameter → the node that keeps it from being trained. */
  readonly stopped: ReadonlyMap<string, Node>;
  /** State → name of the output with the next. */
  readonly states: ReadonlyMap<string, string>;
  readonly draws: boolean;
  readonly session: Session;
  readonly frozen: Session | undefined;
  /** What the session is fed with for a batch, besides the parameters; `drawn` is the step's random number. */
  feeds(batch: Batch, drawn: number): Promise<Batch>;
}

async function compile(
  prepared: Model,
  example: Batch,
  wanted: ReadonlySet<string>,
  { loss, carry, threads, checkpointing = false }: StepOptions,
  context: Context,
): Promise<Compiled> {
  const working = prepared.clone();
  // Not a teacher, which the loss brings along.
  const own = new Set(working.graph.nodes());
  const written = await writeLoss(working, example, loss, context);
  const { states, draw } = writeTrainingForms(working, own, wanted);
  const block = await runtimeBlock(context.engine);
  fuseForStep(working);
  const { frozen, step, gradients, carried, stopped } = differentiate(working, {
    loss: written.value.name,
    wrt: (candidate) => wanted.has(candidate.name),
    states,
    checkpoint: checkpointing,
    block,
    ...(carry === undefined ? {} : { carry }),
  });
  const limit = threads === undefined ? {} : { threads };
  const session = await context.engine.load(step, { optimize: false, ...limit });
  const frozenSession =
    frozen === undefined
      ? undefined
      : await context.engine.load(frozen, limit).catch(async (error: unknown) => {
          await session.release();
          throw error;
        });
  const stepInputs = new Set(step.graph.feeds.map(({ name }) => name));
  const frozenInputs = new Set(frozen?.graph.feeds.map(({ name }) => name));
  return {
    loss: written.value.name,
    gradients,
    carried,
    stopped,
    states,
    draws: draw !== undefined,
    session,
    frozen: frozenSession,
    async feeds(batch, drawn) {
      const feeds = { ...written.feeds(batch), ...(draw === undefined ? {} : { [draw]: int64([], [drawn]) }) };
      const fixed = frozenSession === undefined ? {} : await frozenSession.run(only(feeds, frozenInputs));
      return only({ ...feeds, ...fixed }, stepInputs);
    },
  };
}

async function release({ session, frozen }: Compiled): Promise<void> {
  await session.release();
  await frozen?.release();
}

type Floating = Dense<"float32" | "float64">;

interface Stored {
  readonly name: string;
  readonly values: Floating;
}

/** The arrays of a parameter. */
interface Arrays extends Stored, Group {
  readonly gradient: Floating;
  readonly carried: boolean;
}

function trainedView(arrays: Arrays): Trained {
  return {
    name: arrays.name,
    values: arrays.values.data,
    gradient: arrays.gradient.data,
    carried: arrays.carried,
    decays: arrays.decays,
    rate: arrays.rate,
  };
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

/** In the type that the model stores it in: sixteen bits are rounded. */
function put(model: Model, name: string, own: Floating["type"], dims: readonly number[], numbers: Floats): void {
  const found = model.graph.value(name);
  if (found === undefined) return;
  const stored = found.tensor?.type ?? own;
  found.tensor = inMemory(fromNumbers(isHalf(stored) ? stored : own, dims, numbers));
}

function tensorOf(model: Model, name: string): NonNullable<Value["tensor"]> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new PithError("E_NAME", `There is no stored tensor "${name}" to train.`);
  return tensor;
}

function copyOf(dense: Dense, name: string): Floating {
  if (dense.type === "float32" || dense.type === "float64") return denseOf(dense.data.slice(), dense.dims);
  throw new PithError("E_TYPE_MISMATCH", `"${name}" is ${dense.type}; floats can be trained.`);
}

function only(batch: Batch, names: ReadonlySet<string>): Batch {
  return Object.fromEntries(Object.entries(batch).filter(([name]) => names.has(name)));
}
