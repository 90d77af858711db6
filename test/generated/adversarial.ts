/**
 * Networks that try to break the rules of `simplify`: the example of a rule or clean-up, with edited constants and sizes, between random operators, on
 * inputs with NaN, infinities, zeros and empty axes. Networks that ONNX Runtime rejects are skipped.
 */
import { type Inference, infer } from "../../src/core/analysis/infer.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import type { Node, Value } from "../../src/core/graph/graph.ts";
import type { Attribute } from "../../src/core/graph/graph-elements.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { checkForm } from "../../src/core/graph/schema.ts";
import { parseModel, printModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { cpuRules, rulesById } from "../../src/core/ops/rules/index.ts";
import { fromNumbers, isFloat, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { type Dim, dimsText, elementCount, isSymbolic, sameDims } from "../../src/core/tensor/dims.ts";
import { type Random, random } from "../../src/core/tensor/random.ts";
import type { Batch, DataType, Dense } from "../../src/core/tensor/types.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { largestDifference } from "../../src/runtime/run/difference.ts";
import { cleanUpExamples } from "./clean-up-examples.ts";
import { answers, engine, ownRounding } from "./runs.ts";
import { plants, type Start, starts } from "./starts.ts";

/** Largest difference of an output, relative to its largest value, but at least to `minScale`: values near 1 can cancel each other out. */
const tolerance = 1e-5;
const minScale = 1e-2;

/** Clean-ups that are exact for finite numbers only, next to the rules that change the order of sums (`reorders`). */
const exactForFinite: ReadonlySet<string> = new Set(["fuse-affine", "drop-dead-channels"]);
const isExactForFinite = (id: string): boolean => exactForFinite.has(id) || rulesById.get(id)?.reorders === true;

/** A network as plain data. Shorter lists make simpler networks. */
export interface Adversary {
  /** Title of the example; undefined: only inputs. */
  readonly start: string | undefined;
  readonly seed: number;
  /** Choices of the edits of constants and sizes, of the operators in front of the example, and of the operators after it. */
  readonly edits: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Whether to simplify as for WebGPU: rules whose operator has no kernel there are skipped, so the rules of their arithmetic apply. */
  readonly forWebGpu?: boolean;
}

export interface Trial {
  readonly adversary: Adversary;
  /** Ids of the rules and clean-ups that changed the network; undefined if ONNX Runtime rejects it. */
  readonly applied: ReadonlySet<string> | undefined;
  /** How the result differs from the original. */
  readonly fault: string | undefined;
}

const examplesByTitle: ReadonlyMap<string, Start> = new Map(
  [...plants, ...cleanUpExamples, ...starts].map((start) => [start.title, start]),
);

/** Examples by the rule or clean-up that applies to them. Every sixth network starts with another example, or with none. */
const firing = [...plants.filter(({ fires }) => fires), ...cleanUpExamples];
const firingRules = [...new Set(firing.map(({ rule }) => rule))];
const otherPlants = [...plants.filter(({ fires }) => !fires), ...starts];

function adversaryAt(index: number, seed: number): Adversary {
  const numbers = random(seed, "adversary", index);
  const pick = <T>(items: readonly T[]): T | undefined => items[numbers.integer(items.length)];
  const list = (most: number): readonly number[] =>
    Array.from({ length: Math.max(0, numbers.integer(most + 2) - 1) }, () => numbers.integer(2 ** 30));
  const rule = firingRules[index % firingRules.length];
  const kind = numbers.integer(12);
  const start =
    kind < 10 ? pick(firing.filter((plant) => plant.rule === rule)) : kind < 11 ? pick(otherPlants) : undefined;
  const parts = { edits: list(2), before: list(2), after: list(4) };
  return { start: start?.title, seed: index, ...parts, forWebGpu: numbers.integer(3) === 0 };
}

/** Builds a network, and looks for a fault of its simplified form. */
async function tryAdversary(adversary: Adversary): Promise<Trial> {
  try {
    const built = buildAdversary(adversary);
    if (built === undefined) return { adversary, ...skipped };
    const trial = await trySimplify(built, adversary.forWebGpu === true ? cpuRules : []);
    return { adversary, ...(trial.fault !== undefined && joinsOtherSizes(built) ? skipped : trial) };
  } catch (error) {
    return { adversary, applied: new Set(), fault: `fails: ${error}` };
  }
}

const skipped = { applied: undefined, fault: undefined };

/** Returns whether a Concat joins empty values of other sizes on a batch. ONNX Runtime then leaves a part of its output uninitialized. */
export function joinsOtherSizes({ model, batches }: Built): boolean {
  return batches.some((batch) => {
    const copy = model.clone();
    for (const input of copy.graph.inputs) {
      const dense = batch[input.name];
      if (dense !== undefined) input.type = { type: dense.type, dims: dense.dims };
    }
    const inference = infer(copy);
    return [...copy.graph.nodes()].some(({ op, inputs, attributes }) => {
      const axis = attributes.get("axis");
      if (op !== "Concat" || axis?.kind !== "int") return false;
      const sizes = inputs.flatMap((input) => (input && inference.operand(input)?.dims) ?? []);
      const rank = sizes.length / inputs.length;
      const joinedAxis = (Number(axis.value) + rank) % rank;
      return sizes.some((size, position) => position % rank !== joinedAxis && size !== sizes[position % rank]);
    });
  });
}

/** Simplifies a model without the skipped rules, and compares its outputs with those of the original. */
export async function trySimplify(
  { model, batches }: Built,
  skippedRules: readonly string[] = [],
): Promise<Omit<Trial, "adversary">> {
  const expected = await runIfPossible(model, batches);
  if (expected === undefined) return skipped;
  const applied = new Set<string>();
  try {
    const result = model.clone();
    const { changes } = await simplify(result, { skip: [...skippedRules] }, { engine });
    for (const { rule } of changes) if (rule !== undefined) applied.add(rule);
    const [illegal] = verify(result);
    const fault = illegal ?? (await findDifference(model, result, batches, expected));
    const inexact = [...applied].filter(isExactForFinite);
    if (fault === undefined || illegal !== undefined || inexact.length === 0) return { applied, fault };
    // Sums of infinities depend on the order, and so do maxima with NaN: these rules are tried on finite numbers, the others without them.
    const finite = batches.map(withFiniteNumbers);
    const finiteOutputs = await runIfPossible(model, finite);
    const finiteRules = model.clone();
    await simplify(finiteRules, { skip: [...skippedRules, ...inexact] }, { engine });
    const staysFinite =
      holdsFinite(model) && finiteOutputs?.every((run) => Object.values(run).every(isFiniteDense)) === true;
    const finiteFault = staysFinite ? await findDifference(model, result, finite, finiteOutputs) : undefined;
    return { applied, fault: finiteFault ?? (await findDifference(model, finiteRules, batches, expected)) };
  } catch (error) {
    const isEngineError = error instanceof PithError && error.code === "E_ENGINE";
    // ONNX Runtime's optimizer can hide an error of the original. Some fused operators reject a named dimension of 0.
    const runsPlain = isEngineError && (await runIfPossible(model, batches, false)) !== undefined;
    const isEmpty = model.graph.feeds.some(({ name, type }) =>
      type?.dims?.some((dim, axis) => isSymbolic(dim) && batches.some((batch) => batch[name]?.dims[axis] === 0)),
    );
    return { applied, fault: isEngineError && (!runsPlain || isEmpty) ? undefined : `fails: ${error}` };
  }
}

async function runIfPossible(model: Model, batches: readonly Batch[], optimize = true) {
  return answers(model, batches, optimize).catch((error: unknown) => {
    if (error instanceof PithError) return undefined;
    throw error;
  });
}

const isFiniteDense = (dense: Dense): boolean =>
  dense.type === "string" || !isFloat(dense.type) || toFloat64(dense).every(Number.isFinite);

const holdsFinite = ({ graph }: Model): boolean =>
  [...graph.values()].every(({ tensor }) => tensor?.small === undefined || isFiniteDense(tensor.small));

const withFiniteNumbers = (batch: Batch): Batch =>
  Object.fromEntries(
    Object.entries(batch).map(([name, dense]) => {
      if (!isFloat(dense.type)) return [name, dense];
      const data = toFloat64(dense).map((value) => (Math.abs(value) <= 6 ? value : 1));
      return [name, fromNumbers(dense.type, dense.dims, data)];
    }),
  );

/**
 * Returns how the result differs from the original. ONNX Runtime's optimizer computes some elements differently, above all NaN and infinities: the
 * kernels that it fuses propagate them in another way. A result is therefore right if it agrees with the original as the optimizer leaves it, or
 * node by node. Elements count only if both runs of the original agree on them.
 *
 * For negative axes, ONNX Runtime's reductions of empty tensors return other sizes than the standard demands, and inference leaves them open ("?y.0").
 * Such empty outputs are not compared, and named dimensions of such networks are not 0.
 */
async function findDifference(
  model: Model,
  result: Model,
  batches: readonly Batch[],
  expected: readonly Batch[],
): Promise<string | undefined> {
  const differenceOf = (runs: readonly Batch[], got: readonly Batch[]): readonly [string, number] | undefined => {
    for (const [index, run] of runs.entries())
      for (const [name, dense] of Object.entries(run)) {
        const difference = largestDifference(dense, got[index]?.[name], minScale);
        if (!(difference <= tolerance)) return [`${name} of run ${index}`, difference];
      }
    return undefined;
  };
  const got = await answers(result, batches);
  if (differenceOf(expected, got) === undefined) return undefined;
  const plain = await answers(model, batches, false).catch(() => expected);
  if (differenceOf(plain, got) === undefined) return undefined;
  const stable = expected.map((run, index) => stableElements(run, plain[index] ?? run, got[index] ?? {}));
  const inferred = new Map(model.graph.outputs.map(({ name, inferred: type }) => [name, type?.dims]));
  const isWrongSize = (dense: Dense, dims: readonly Dim[] | undefined): boolean =>
    dense.data.length === 0 &&
    (dims === undefined ||
      dims.length !== dense.dims.length ||
      dims.some((dim, axis) => (isSymbolic(dim) ? dim.text.startsWith("?") : dim !== dense.dims[axis])));
  const comparable = expected.map((run) =>
    Object.fromEntries(Object.entries(run).filter(([name, dense]) => !isWrongSize(dense, inferred.get(name)))),
  );
  const deviation = differenceOf(comparable, stable);
  if (deviation === undefined) return undefined;
  const [at, difference] = deviation;
  if (Number.isFinite(difference)) {
    const moved = await ownRounding(model, batches);
    const [name = "", index = "0"] = at.split(" of run ");
    const dense = expected[Number(index)]?.[name];
    const explained = moved.map((runs) =>
      dense === undefined ? 0 : largestDifference(dense, runs[Number(index)]?.[name]),
    );
    if (difference <= 8 * Math.max(0, ...explained)) return undefined;
  }
  const [name = "", index = "0"] = at.split(" of run ");
  const text = (batch: Batch | undefined): string => denseText(batch?.[name]);
  return `${at} differs by ${difference}: ${text(expected[Number(index)])}, node by node ${text(plain[Number(index)])}, becomes ${text(got[Number(index)])}`;
}

/** Returns the result's outputs, with the original's elements where two runs of the original disagree. */
function stableElements(run: Batch, plain: Batch, got: Batch): Batch {
  return Object.fromEntries(
    Object.entries(got).map(([name, dense]) => {
      const [a, b] = [run[name], plain[name]];
      if (a === undefined || b === undefined || dense.type !== a.type || !sameDims(dense.dims, a.dims))
        return [name, dense];
      if (b.type !== a.type || !sameDims(b.dims, a.dims) || a.type === "string" || dense.type === "string")
        return [name, dense];
      const [first, second, tested] = [toFloat64(a), toFloat64(b), toFloat64(dense)];
      const isStable = (index: number): boolean => {
        const [x = 0, y = 0] = [first[index], second[index]];
        return Object.is(x, y) || Math.abs(x - y) <= tolerance * Math.max(1e-6, Math.abs(x));
      };
      const data = tested.map((value, index) => (isStable(index) ? value : (first[index] ?? 0)));
      return [name, fromNumbers(dense.type as "float32", dense.dims, data)];
    }),
  );
}

function denseText(dense: Dense | undefined): string {
  if (dense === undefined) return "nothing";
  return `${dense.type}${dimsText(dense.dims)} ${Array.from(dense.data as ArrayLike<unknown>)
    .slice(0, 12)
    .join(", ")}`;
}

/** Returns the simplest network with a fault, found by leaving out one choice after another. */
async function shrink(trial: Trial): Promise<Trial> {
  let smallest = trial;
  const shorter = ({ adversary }: Trial): readonly Adversary[] =>
    (["after", "before", "edits"] as const).flatMap((part) =>
      adversary[part].map((_, index) => ({ ...adversary, [part]: adversary[part].toSpliced(index, 1) })),
    );
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false;
    for (const adversary of shorter(smallest)) {
      const next = await tryAdversary(adversary);
      if (next.fault === undefined) continue;
      [smallest, isSmaller] = [next, true];
      break;
    }
  }
  return smallest;
}

export interface Built {
  readonly model: Model;
  readonly batches: readonly Batch[];
}

/** Numbers that rules and kernels treat in their own ways. */
const floats = [0, 1, -1, 0.5, 2, -3, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 6, 1e-7, 50, -0];
const integers = [0, 1, -1, 2, -2, 3, 4];

function buildAdversary({ start, seed, edits, before, after }: Adversary): Built | undefined {
  const numbers = random(seed, "build");
  const example = start === undefined ? undefined : examplesByTitle.get(start);
  const model = example === undefined ? blank(numbers) : example.write().model;
  for (const choice of edits) edit(model, random(choice, "edit"));
  const written = new Set<Value>();
  try {
    const inference = infer(model);
    const writer = new NodeWriter(model, inference, written);
    for (const choice of before) writer.putBefore(random(choice, "before"));
    for (const choice of after) writer.append(random(choice, "after"));
  } catch (error) {
    if (error instanceof PithError) return undefined;
    throw error;
  }
  const { graph } = model;
  const loose = [...graph.values()].filter(
    (value) => value.producer?.graph === graph && value.uses.size === 0 && !graph.isOutput(value),
  );
  graph.setOutputs([...graph.outputs, ...loose.filter((value) => written.has(value))]);
  if (graph.outputs.length === 0) return undefined;
  if (graph.outputs.some(({ foreign }) => foreign?.container !== undefined)) return undefined;
  if (canCrash(model, edits.length > 0) || graph.feeds.some(({ type }) => !numericTypes.has(type?.type ?? "")))
    return undefined;
  const batches = [0, 1].map((index) => drawFeeds(model, example, random(seed, "feeds", index)));
  return { model, batches };
}

/** Returns whether ONNX Runtime can crash: recurrent operators without samples or steps, pieces of length 0, edited operators of com.microsoft. */
function canCrash({ graph }: Model, isEdited: boolean): boolean {
  const isCrashing = (node: Node): boolean => {
    const [x, split] = node.inputs;
    const sizes = split?.tensor?.small;
    if (node.op === "SplitToSequence" && sizes !== undefined && toFloat64(sizes).some((size) => size < 1)) return true;
    if (!needsElements(node)) return false;
    return (node.domain !== "" && isEdited) || [x, split].some((value) => value?.type?.dims?.includes(0) === true);
  };
  return [...graph.nodes()].some(isCrashing);
}

const recurrent: ReadonlySet<string> = new Set(["LSTM", "GRU", "RNN"]);
/** Returns whether a node reduces along negative axes, for which ONNX Runtime ignores the axes of empty tensors. */
function reducesFromEnd({ op, attributes, inputs }: Node): boolean {
  if (!op.startsWith("Reduce")) return false;
  const listed = attributes.get("axes");
  const stored = inputs[1]?.tensor?.small;
  const axes = listed?.kind === "ints" ? listed.value : stored === undefined ? [] : toFloat64(stored);
  return axes.some((axis) => axis < 0);
}

const needsElements = ({ op, domain }: Node): boolean => recurrent.has(op) || domain !== "";

function blank(numbers: Random): Model {
  const opset = [9, 11, 13, 17, 18, 21][numbers.integer(6)];
  const shapes = ["n", "n, 3", "2, n", "n, 1, 4", "1, 1, 1", "", "0, 3", "2, 3, 4", "1, 3, 4, 4", "n, m"];
  const shape = () => shapes[numbers.integer(shapes.length)];
  return parseModel(`opset ${opset}\ngraph (x: float32[${shape()}], z: float32[${shape()}]) -> (y) {\n  y = Neg(x)\n}`);
}

/** Changes the elements or the dimensions of one stored tensor, or the size of one axis of an input. */
function edit({ graph }: Model, numbers: Random): void {
  const stored = [...graph.values()].filter(({ tensor, role }) => tensor?.small !== undefined && role === undefined);
  const kind = numbers.integer(4);
  if (kind === 0) {
    const inputs = graph.feeds.filter(({ type }) => (type?.dims?.length ?? 0) > 0);
    const input = inputs[numbers.integer(Math.max(1, inputs.length))];
    if (input?.type?.dims === undefined) return;
    const axis = numbers.integer(input.type.dims.length);
    const size = [0, 1, 1, 2][numbers.integer(4)] ?? 1;
    input.type = { type: input.type.type, dims: input.type.dims.map((dim, at) => (at === axis ? size : dim)) };
    return;
  }
  const value = stored[numbers.integer(Math.max(1, stored.length))];
  const small = value?.tensor?.small;
  if (value === undefined || small === undefined || small.type === "string") return;
  const data = Array.from(toFloat64(small));
  const options = isFloat(small.type) ? floats : integers;
  let dims = small.dims;
  if (kind === 3) {
    const { length } = dims;
    if (elementCount(dims) === 1) dims = length === 0 || numbers.integer(3) > 0 ? [1, ...dims] : dims.slice(1);
    else dims = numbers.integer(2) === 0 ? [1, ...dims] : dims.with(numbers.integer(Math.max(1, length)), 0);
    if (elementCount(dims) === 0) data.length = 0;
  } else {
    const every = numbers.integer(3) === 0;
    const special = options[numbers.integer(options.length)] ?? 0;
    const index = numbers.integer(Math.max(1, data.length));
    for (let at = 0; at < data.length; at++) if (every || at === index) data[at] = special;
  }
  try {
    const tensor = inMemory(fromNumbers(small.type as "float32", dims, data));
    value.type = { type: tensor.type, dims };
    value.tensor = tensor;
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
  }
}

/** Returns inputs. Some are plain numbers; others have a few special numbers, or only zeros. */
function drawFeeds({ graph }: Model, example: Start | undefined, numbers: Random): Batch {
  const isFilled = [...graph.nodes()].some((node) => needsElements(node) || reducesFromEnd(node));
  const sizes = new Map<string, number>();
  const sizeOf = (dim: Dim): number => {
    if (!isSymbolic(dim)) return dim;
    if (!sizes.has(dim.text)) {
      const size = [1, 2, 3, 2, 0][numbers.integer(isFilled ? 4 : 5)] ?? 1;
      sizes.set(dim.text, example?.sizes[dim.text] ?? size);
    }
    return sizes.get(dim.text) ?? 1;
  };
  const share = [0, 0, 0.1, 0.4][numbers.integer(4)] ?? 0;
  const isZero = numbers.integer(12) === 0;
  return Object.fromEntries(
    graph.feeds.map(({ name, type }): [string, Dense] => {
      const dims = (type?.dims ?? []).map(sizeOf);
      const element = type?.type ?? "float32";
      const listed = example?.feeds[name];
      const { from = isFloat(element) ? -2 : 0, to = element === "bool" ? 2 : 4 } =
        listed !== undefined && "from" in listed ? listed : {};
      const data = Array.from({ length: elementCount(dims) }, (_, index) => {
        if (listed !== undefined && !("from" in listed)) return listed[index % listed.length] ?? 0;
        if (!isFloat(element)) return Math.floor(numbers.uniform(from, to));
        const number = numbers.uniform(from, to);
        return isZero ? 0 : numbers.uniform() < share ? (floats[numbers.integer(floats.length)] ?? 0) : number;
      });
      return [name, fromNumbers(element as "float32", dims, data)];
    }),
  );
}

/** The types that operators are written after, and that inputs can have. */
const numericTypes: ReadonlySet<string> = new Set([
  ...["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool"],
]);
/** The largest axis that operators are written after. */
const maxSize = 64;

type Inputs = readonly (Value | undefined)[];

/** Writes random operators. Forms that the operator set of the model lacks are left out. */
class NodeWriter {
  readonly #model: Model;
  readonly #inference: Inference;
  readonly #written: Set<Value>;
  #before: Node | undefined;

  constructor(model: Model, inference: Inference, written: Set<Value>) {
    this.#model = model;
    this.#inference = inference;
    this.#written = written;
  }

  #operand(value: Value) {
    return this.#inference.operand(value);
  }

  /** Puts an operator that keeps type and dimensions between an input and its readers. */
  putBefore(numbers: Random): void {
    const { graph } = this.#model;
    const inputs = graph.feeds.filter((value) => value.type?.type === "float32" && value.uses.size > 0);
    const input = inputs[numbers.integer(Math.max(1, inputs.length))];
    const [first] = graph.nodes();
    if (input === undefined || first === undefined) return;
    const uses = [...input.uses];
    this.#before = first;
    const output = this.#keepsShape(input, numbers);
    this.#before = undefined;
    if (output === undefined) return;
    for (const { node, input: port } of uses) node.graph.setInput(node, port, output);
  }

  /** Writes an operator that reads a random value. */
  append(numbers: Random): void {
    const { graph } = this.#model;
    const values = [...graph.values()].filter((value) => {
      const operand = this.#operand(value);
      return value.graph === graph && operand?.dims !== undefined && numericTypes.has(operand.type);
    });
    const computed = values.filter(({ tensor }) => tensor === undefined);
    const newest = computed.at(-1 - numbers.integer(3));
    const from = numbers.integer(2) === 0 ? values : computed;
    const x = numbers.integer(3) > 0 ? (newest ?? from[0]) : from[numbers.integer(Math.max(1, from.length))];
    if (x === undefined || this.#operand(x)?.dims?.some((dim) => !isSymbolic(dim) && dim > maxSize) === true) return;
    const writers = [
      () => this.#keepsShape(x, numbers),
      () => this.#keepsShape(x, numbers),
      () => this.#reduce(x, numbers),
      () => this.#reshape(x, numbers),
      () => this.#reshape(x, numbers),
      () => this.#select(x, numbers),
      () => this.#combine(x, values, numbers),
      () => this.#measure(x, numbers),
      () => this.#layer(x, numbers),
    ];
    writers[numbers.integer(writers.length)]?.();
  }

  #rank(x: Value): number {
    return this.#operand(x)?.dims?.length ?? 0;
  }

  get #opset(): number {
    return this.#model.opsets.get("") ?? 1;
  }

  #write(
    op: string,
    inputs: Inputs,
    attributes: Readonly<Record<string, Attribute>> = {},
    outputs = 1,
  ): Value | undefined {
    const form = { inputs, outputs: new Array<boolean>(outputs).fill(true), attributes: Object.keys(attributes) };
    if (checkForm("", op, this.#opset, form) instanceof Miss) return undefined;
    const node = this.#model.graph.addNode({ op, inputs, attributes, outputs }, { before: this.#before });
    this.#inference.visit(node);
    for (const output of node.outputs) if (output !== undefined) this.#written.add(output);
    return node.outputs[0];
  }

  #constant(type: DataType, dims: readonly number[], data: readonly number[]): Value {
    return this.#model.graph.addTensor("constant", inMemory(fromNumbers(type as "float32", dims, data)));
  }

  #ints(...values: readonly number[]): Value {
    return this.#constant("int64", [values.length], values);
  }

  /** Returns a constant of a random form that broadcasts against x: a scalar, one element with axes, or a vector. */
  #number(x: Value, numbers: Random, isKeptShape: boolean): Value {
    const { type = "float32", dims = [] } = this.#operand(x) ?? {};
    const options = isFloat(type) ? floats : type === "bool" ? [0, 1] : integers;
    const last = dims.at(-1);
    const maxRank = isKeptShape ? dims.length : dims.length + 1;
    const shape: readonly number[] =
      numbers.integer(3) === 0 && typeof last === "number"
        ? [last]
        : new Array<number>(numbers.integer(maxRank + 1)).fill(1);
    const data = Array.from({ length: elementCount(shape) }, () => options[numbers.integer(options.length)] ?? 0);
    return this.#constant(type, shape, data);
  }

  #keepsShape(x: Value, numbers: Random): Value | undefined {
    const rank = this.#rank(x);
    const isReal = isFloat(this.#operand(x)?.type ?? "float32");
    const pick = <T>(items: readonly T[]): T => items[numbers.integer(items.length)] as T;
    const number = (): Value => this.#number(x, numbers, true);
    const either = (a: Value): Inputs => (numbers.integer(2) === 0 ? [x, a] : [a, x]);
    const int = (value: number): Attribute => ({ kind: "int", value });
    const float = (value: number): Attribute => ({ kind: "float", value });
    const bound = (): Value | undefined =>
      numbers.integer(3) === 0
        ? undefined
        : this.#constant(this.#operand(x)?.type ?? "float32", [], [pick([0, 0, 6, -1, 1])]);
    const order = [...numbers.permutation(rank)];
    const turned = (): Value | undefined => {
      const once = this.#write("Transpose", [x], { perm: { kind: "ints", value: order } });
      return (
        once &&
        this.#write("Transpose", [once], { perm: { kind: "ints", value: order.map((_, axis) => order.indexOf(axis)) } })
      );
    };
    const forms: readonly (() => Value | undefined)[] = [
      () => this.#write("Identity", [x]),
      () => this.#write("Neg", [x]),
      () => this.#write("Abs", [x]),
      () => (isReal ? this.#write("Relu", [x]) : this.#write("Sign", [x])),
      () => this.#write(pick(["Add", "Mul"]), either(number())),
      () =>
        this.#write(
          pick(["Sub", "Div"]),
          isReal ? either(number()) : [x, this.#constant(this.#operand(x)?.type ?? "int64", [], [pick([1, 2, 3])])],
        ),
      () => this.#write(pick(["Max", "Min"]), either(number())),
      () =>
        this.#opset < 11
          ? this.#write(
              "Clip",
              [x],
              pick([{}, { min: float(0) }, { max: float(6) }, { min: float(-1), max: float(1) }]),
            )
          : this.#write("Clip", [x, bound(), bound()]),
      () =>
        isReal
          ? this.#write(
              pick(["Sqrt", "Exp", "Log", "Sigmoid", "Tanh", "Reciprocal", "Floor", "Erf", "Softplus", "HardSigmoid"]),
              [x],
            )
          : undefined,
      () =>
        isReal && rank > 0
          ? this.#write(pick(["Softmax", "LogSoftmax"]), [x], { axis: int(pick([-1, 0])) })
          : undefined,
      () => (isReal ? this.#write("LeakyRelu", [x], { alpha: float(pick([0, 0.1, 1])) }) : undefined),
      () => (isReal ? this.#write("Dropout", [x]) : undefined),
      turned,
      () => this.#write("Reshape", [x, this.#ints(...new Array<number>(rank).fill(0))]),
      () => this.#write("Pow", [x, this.#constant(this.#operand(x)?.type ?? "float32", [], [pick([1, 2, 0, 0.5])])]),
    ];
    return pick(forms)();
  }

  #reduce(x: Value, numbers: Random): void {
    const rank = this.#rank(x);
    const pick = <T>(items: readonly T[]): T => items[numbers.integer(items.length)] as T;
    const int = (value: number): Attribute => ({ kind: "int", value });
    if (numbers.integer(5) === 0 && rank > 0) {
      this.#write(pick(["ArgMax", "ArgMin"]), [x], {
        axis: int(numbers.integer(rank)),
        keepdims: int(numbers.integer(2)),
      });
      return;
    }
    const op = pick([
      "ReduceSum",
      "ReduceMean",
      "ReduceMax",
      "ReduceMin",
      "ReduceL2",
      "ReduceL1",
      "ReduceProd",
      "ReduceSumSquare",
      "ReduceLogSumExp",
      "ReduceLogSum",
    ]);
    const axes = [...numbers.permutation(rank)]
      .slice(0, numbers.integer(rank + 1))
      .map((axis) => (numbers.integer(2) === 0 ? axis : axis - rank));
    const keeps = numbers.integer(3) === 0 ? {} : { keepdims: int(numbers.integer(2)) };
    const noop = numbers.integer(6) === 0 ? { noop_with_empty_axes: int(1) } : {};
    const hasAxes = axes.length > 0 || numbers.integer(3) === 0;
    if (this.#opset < (op === "ReduceSum" ? 13 : 18))
      this.#write(op, [x], { ...keeps, ...(axes.length > 0 ? { axes: { kind: "ints", value: axes } } : {}) });
    else this.#write(op, hasAxes ? [x, this.#ints(...axes)] : [x], { ...keeps, ...noop });
  }

  #reshape(x: Value, numbers: Random): void {
    const dims = this.#operand(x)?.dims ?? [];
    const rank = dims.length;
    const pick = <T>(items: readonly T[]): T => items[numbers.integer(items.length)] as T;
    const axes = (op: string, list: readonly number[]): void => {
      if (this.#opset < 13) this.#write(op, [x], { axes: { kind: "ints", value: list } });
      else this.#write(op, [x, this.#ints(...list)]);
    };
    const units = dims.flatMap((dim, axis) => (dim === 1 ? [numbers.integer(2) === 0 ? axis : axis - rank] : []));
    const forms = [
      () =>
        this.#write(
          "Transpose",
          [x],
          numbers.integer(3) === 0 ? {} : { perm: { kind: "ints", value: [...numbers.permutation(rank)] } },
        ),
      () =>
        this.#write("Reshape", [
          x,
          this.#ints(...pick([[-1], [0, -1], [1, -1], [-1, 1], [0, 0, -1], [1, 1, -1], [2, -1]])),
        ]),
      () => axes("Unsqueeze", pick([[0], [-1], [rank], [0, 1], [1].filter((axis) => axis <= rank)])),
      () =>
        units.length > 0
          ? axes("Squeeze", units.slice(0, 1 + numbers.integer(units.length)))
          : this.#write("Squeeze", [x]),
      () => this.#write("Flatten", [x], { axis: { kind: "int", value: numbers.integer(rank + 1) } }),
      () =>
        this.#write("Expand", [
          x,
          this.#ints(...pick([[1], [1, 1], new Array<number>(rank).fill(1), [2, ...new Array<number>(rank).fill(1)]])),
        ]),
      () => this.#write("Tile", [x, this.#ints(...Array.from({ length: rank }, () => pick([1, 1, 2])))]),
      () => this.#write("Cast", [x], { to: { kind: "int", value: pick([1, 1, 6, 7, 9, 7]) } }),
      () => this.#write("Pad", [x, this.#ints(...Array.from({ length: 2 * rank }, () => pick([0, 0, 0, 1])))]),
    ];
    pick(forms)();
  }

  #select(x: Value, numbers: Random): void {
    const rank = this.#rank(x);
    if (rank === 0) return;
    const pick = <T>(items: readonly T[]): T => items[numbers.integer(items.length)] as T;
    const axis = numbers.integer(rank) - (numbers.integer(2) === 0 ? rank : 0);
    const position = (): number => pick([0, 1, -1, 2, 0, 1, 2 ** 31 - 1, 1e9, -(2 ** 31), 3]);
    const forms = [
      () =>
        this.#write("Slice", [
          x,
          this.#ints(position()),
          this.#ints(position()),
          this.#ints(axis),
          ...(numbers.integer(2) === 0 ? [] : [this.#ints(pick([1, -1, 2, -2]))]),
        ]),
      () =>
        this.#write("Slice", [x, this.#ints(pick([0, 1])), this.#ints(pick([1, 2, 2 ** 31 - 1])), this.#ints(axis)]),
      () =>
        this.#write(
          "Gather",
          [
            x,
            pick([
              () => this.#ints(0),
              () => this.#constant("int64", [], [pick([0, -1])]),
              () => this.#ints(0, 0),
              () => this.#ints(-1, 0),
              () => this.#ints(),
            ])(),
          ],
          { axis: { kind: "int", value: axis } },
        ),
      () => this.#write("Concat", pick([[x], [x, x]]), { axis: { kind: "int", value: axis } }),
      () =>
        this.#write("Split", [x], {
          axis: { kind: "int", value: axis },
          ...(this.#opset < 18 ? {} : { num_outputs: { kind: "int", value: 1 } }),
        }),
      () => this.#write("CumSum", [x, this.#constant("int64", [], [axis])]),
    ];
    pick(forms)();
  }

  /** Combines x with another value or with a constant of more axes. */
  #combine(x: Value, values: readonly Value[], numbers: Random): void {
    const pick = <T>(items: readonly T[]): T => items[numbers.integer(items.length)] as T;
    const type = this.#operand(x)?.type;
    const sameType = values.filter((value) => this.#operand(value)?.type === type);
    const other =
      numbers.integer(2) === 0
        ? this.#number(x, numbers, false)
        : (sameType[numbers.integer(Math.max(1, sameType.length))] ?? x);
    const operands: Inputs = numbers.integer(2) === 0 ? [x, other] : [other, x];
    const condition = (): Value => this.#constant("bool", pick([[], [1], [1, 1]]), [numbers.integer(2)]);
    const forms = [
      () => this.#write(pick(["Add", "Sub", "Mul", "Div", "Max", "Min"]), operands),
      () => this.#write("Where", [condition(), ...operands]),
      () => this.#write("Equal", operands),
      () => this.#write("MatMul", operands),
      () => this.#write("PRelu", operands),
    ];
    pick(forms)();
  }

  /** Computes with the dimensions of x. */
  #measure(x: Value, numbers: Random): void {
    const shape = this.#write("Shape", [x]);
    if (shape === undefined) return;
    const float: Attribute = { kind: "int", value: 1 };
    const forms = [
      () => this.#write("Cast", [shape], { to: float }),
      () => this.#write("Reshape", [x, shape]),
      () => this.#write("ConstantOfShape", [shape]),
      () => this.#reduce(shape, numbers),
      () => this.#select(shape, numbers),
      () => this.#write("Expand", [x, shape]),
      () => this.#write("Size", [x]),
      () => this.#write("Shape", [shape]),
    ];
    forms[numbers.integer(forms.length)]?.();
  }

  #layer(x: Value, numbers: Random): void {
    const { type, dims = [] } = this.#operand(x) ?? {};
    const pick = <T>(items: readonly T[]): T => items[numbers.integer(items.length)] as T;
    const last = dims.at(-1);
    const channels = dims[1];
    if (type !== "float32") return;
    const vector = (count: number, options: readonly number[]): Value =>
      this.#constant(
        "float32",
        [count],
        Array.from({ length: count }, () => pick(options)),
      );
    if (typeof last === "number" && dims.length > 1 && numbers.integer(2) === 0) {
      const outputs = pick([1, 2, 3]);
      const weight = this.#constant(
        "float32",
        [last, outputs],
        Array.from({ length: last * outputs }, () => numbers.uniform(-1, 1)),
      );
      const product = this.#write("MatMul", [x, weight]);
      if (product !== undefined) this.#write(pick(["Add", "Mul"]), [product, this.#number(product, numbers, true)]);
    } else if (typeof channels === "number") {
      const norm = [
        vector(channels, [1, 2, 0]),
        vector(channels, [0, 1]),
        vector(channels, [0, 1]),
        vector(channels, [1, 0.5, 0]),
      ];
      this.#write("BatchNormalization", [x, ...norm], { epsilon: { kind: "float", value: pick([0, 1e-5]) } });
    }
  }
}

/** Results of trying many networks. */
export interface Survey {
  readonly ran: number;
  /** Number of networks by the rule or clean-up that applied. */
  readonly counts: ReadonlyMap<string, number>;
  /** Descriptions of faults, each with the simplest network that was found. */
  readonly faults: readonly string[];
}

/** Tries the given number of networks. @param start index of the first network. @param onNetwork receives the index of each network before it runs. */
export async function survey(
  networks: number,
  seed: number,
  start = 0,
  onNetwork: (index: number) => void = () => {},
): Promise<Survey> {
  const counts = new Map([...rulesById.keys(), ...cleanUpExamples.map(({ rule }) => rule)].map((id) => [id, 0]));
  const faults: string[] = [];
  let ran = 0;
  for (let index = start; index < start + networks; index++) {
    onNetwork(index);
    const trial = await tryAdversary(adversaryAt(index, seed));
    if (trial.applied === undefined) continue;
    ran++;
    for (const id of trial.applied) counts.set(id, (counts.get(id) ?? 0) + 1);
    if (trial.fault === undefined) continue;
    const { fault, adversary } = await shrink(trial);
    const model = buildAdversary(adversary)?.model;
    faults.push(
      `${fault}\n${JSON.stringify(adversary)}\n${model === undefined ? "" : printModel(model, { abbreviate: true })}`,
    );
  }
  return { ran, counts, faults };
}
