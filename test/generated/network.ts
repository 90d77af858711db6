/**
 * Random networks: a description (plain data, which can shrink) and the graph that is built from it.
 *
 * A network starts empty, or with an example of any operator or rule (`starts.ts`); blocks are added one after another, also in front of a rule.
 * The description determines the network including all weights.
 */
import { PithError } from "../../src/core/errors.ts";
import { allGraphs, type Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { type Dim, elementCount, isSymbolic, sameDims, symbol } from "../../src/core/tensor/dims.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { numberOf } from "../laws/harness.ts";
import fc from "../property.ts";
import { oldestFormat } from "../zoo/variants.ts";
import { layerBlocks } from "./blocks.ts";
import { type Begun, Grower, type Range, type Style, sizeAt } from "./grow.ts";
import { shapingBlocks } from "./shaping.ts";
import { plants, type Start, type Started, starts } from "./starts.ts";
import { weightOf } from "./weights.ts";

const blocks = { ...layerBlocks, ...shapingBlocks };

export interface Description {
  readonly opset: number;
  readonly batch: string | number;
  readonly names: "modules" | "numbers" | "odd";
  /** Whether to write the file as up to IR version 3. */
  readonly oldest: boolean;
  /** Title of the example to start with; undefined: none. */
  readonly start: string | undefined;
  /** Blocks in front of the example. Undefined: none. */
  readonly before?: readonly Step[];
  readonly steps: readonly Step[];
}

interface Step {
  readonly block: string;
  readonly choices: readonly number[];
}

export interface Network {
  readonly model: Model;
  /** Batch sizes that the network supports. */
  readonly batches: readonly number[];
  /** Whether an empty batch can be run: for some networks it crashes ONNX Runtime. */
  readonly takesNone: boolean;
  /** Returns random inputs for a batch size. */
  feeds(batch: number, seed?: number): Batch;
}

/** Blocks without support for empty batches: ONNX Runtime crashes in the first two, and returns means of the wrong size in the others. */
const notOverNone: ReadonlySet<string> = new Set([
  "recurrent",
  "largest and where",
  "reduction",
  "expand",
  "layer normalization in parts",
  "if",
]);

const opset = fc.constantFrom(21, 17, 13, 18, 23);
const batch = fc.oneof(
  { arbitrary: fc.constantFrom("batch", "N", "batch_size", "unk__12", "b 0", "?"), weight: 4 },
  { arbitrary: fc.constantFrom(1, 2), weight: 1 },
);
const names = fc.constantFrom("modules" as const, "numbers" as const, "odd" as const);
const oldest = fc.oneof({ arbitrary: fc.constant(false), weight: 7 }, { arbitrary: fc.constant(true), weight: 1 });
const step: fc.Arbitrary<Step> = fc.record({
  block: fc.constantFrom(...Object.keys(blocks)),
  choices: fc.array(fc.nat(999), { minLength: 24, maxLength: 24 }),
});

export const descriptions: fc.Arbitrary<Description> = fc.record({
  ...{ opset, batch, names, oldest },
  start: fc.oneof(
    { arbitrary: fc.constant(undefined), weight: 2 },
    { arbitrary: fc.constantFrom(...starts.map(({ title }) => title)), weight: 1 },
  ),
  steps: fc.array(step, { minLength: 1, maxLength: 7, size: "max" }),
});

/** Networks around one of the rules' examples. */
export function descriptionsAround(titles: readonly string[], hasFront: boolean): fc.Arbitrary<Description> {
  return fc.record({
    ...{ opset, batch, names, oldest, start: fc.constantFrom(...titles) },
    before: fc.array(step, { maxLength: hasFront ? 3 : 0, size: "max" }),
    steps: fc.array(step, { maxLength: 6, size: "max" }),
  });
}

/** Builds the network of a description. */
export function build(description: Description): Network {
  const start = [...starts, ...plants].find(({ title }) => title === description.start);
  const started = start === undefined ? undefined : write(start, description);
  const read = started?.model.graph.outputs.filter(({ uses }) => uses.size > 0);
  const kept = start !== undefined && "rule" in start ? read : undefined;
  const sizes = start?.sizes ?? {};
  const style = { ...description, opset: started?.model.opsets.get("") ?? description.opset };
  const g = new Grower(style, started && growFront(style, started, description.before ?? []));
  growBlocks(g, description.steps);
  const { model } = g;
  if (!g.values.some(({ producer }) => producer !== undefined)) g.add(g.emit.Neg([g.row()]));
  finish(model, g.values, kept);
  if (description.oldest && fitsOldest(model)) oldestFormat(model);
  return {
    model,
    batches: typeof description.batch === "number" ? [description.batch] : [1, 2, 3],
    takesNone:
      typeof description.batch === "string" &&
      start === undefined &&
      !description.steps.some(({ block }) => notOverNone.has(block)),
    feeds(batch, seed = 1) {
      const feeds = g.feeds(batch, seed);
      if (start === undefined) return feeds;
      // Inputs of the example have the sizes and contents that it lists.
      return Object.fromEntries(
        model.graph.feeds.map(({ name, type }) => {
          const exampleFeed = feeds[name];
          const dims = (type?.dims ?? []).map((dim) => {
            const size = numberOf(dim, sizes);
            return Number.isNaN(size) && isSymbolic(dim) ? g.size(dim.text, batch) : size;
          });
          const listed = start.feeds[name];
          if (exampleFeed === undefined) throw new Error(`"${name}" is not fed`);
          if (listed !== undefined && !("from" in listed))
            return [name, fromNumbers(exampleFeed.type as "float32", dims, listed)];
          return [name, resized(exampleFeed, dims, g.ranges.get(name), seed)];
        }),
      );
    },
  };
}

function growBlocks(g: Grower, steps: readonly Step[]): void {
  for (const { block, choices } of steps) {
    const { since = 13, grow } = blocks[block] ?? {};
    if (grow === undefined || g.opset < since) continue;
    g.begin(choices);
    try {
      grow(g);
    } catch (error) {
      // The opset does not support this form.
      if (!(error instanceof PithError && error.code === "E_UNSUPPORTED")) throw error;
    }
  }
}

/** Writes an example, whose batch axis gets the name of the description. */
function write(start: Start, { batch }: Description): Started {
  const started = start.write();
  if (typeof batch === "string" && "rule" in start)
    for (const input of started.model.graph.inputs) {
      if (input.type?.dims === undefined) continue;
      const { type, dims } = input.type;
      input.type = { type, dims: dims.map((dim) => (dim === symbol("batch") ? symbol(batch) : dim)) };
    }
  return started;
}

/** Grows blocks in front of an example, and connects its inputs to the newest values of the same dimensions, or to a product that has them. */
function growFront(style: Style, started: Started, steps: readonly Step[]): Begun {
  const { graph } = started.model;
  const before = graph.nodes().next().value;
  if (steps.length === 0 || before === undefined) return started;
  const inputs = graph.feeds.map((input) => ({ input, uses: [...input.uses] }));
  const g = new Grower(style, { ...started, before });
  growBlocks(g, steps);
  const front = g.values.filter(({ producer }) => producer !== undefined);
  for (const { input, uses } of inputs) {
    const value = g.isFloat(input) ? fitting(g, front, g.dims(input)) : undefined;
    if (value !== undefined) for (const { node, input: port } of uses) node.graph.setInput(node, port, value);
  }
  return { ...started, ranges: g.ranges, front };
}

/** Returns the newest value of the dimensions, or a product with the newest that differs only in the last one. */
function fitting(g: Grower, values: readonly Value[], dims: readonly Dim[]): Value | undefined {
  const newestFirst = values.toReversed().filter((value) => g.isFloat(value));
  const same = newestFirst.find((value) => sameDims(g.dims(value), dims));
  if (same !== undefined) return same;
  const [stack, last] = [dims.slice(0, -1), sizeAt(dims, -1)];
  if (stack.length === 0 || last === 0) return undefined;
  const near = newestFirst.find(
    (value) => sameDims(g.dims(value).slice(0, -1), stack) && sizeAt(g.dims(value), -1) > 0,
  );
  if (near === undefined) return undefined;
  const inputs = sizeAt(g.dims(near), -1);
  return g.named("MatMul").MatMul([near, g.weight("weight", [inputs, last], inputs)]);
}

/** Returns whether IR version 3 supports the model: it has no initializers in subgraphs, and no newer opsets. */
function fitsOldest(model: Model): boolean {
  return (model.opsets.get("") ?? 1) <= 13 && [...allGraphs(model.graph)].length === 1;
}

function resized(own: Batch[string], dims: readonly number[], range: Range | undefined, seed: number): Batch[string] {
  const { low, high } = range ?? { low: -1, high: 1 };
  const count = elementCount(dims);
  const drawn = weightOf([count], 0, `feeds ${seed}`, 1).data;
  const float = own.type.startsWith("float") || own.type === "bfloat16";
  const numbers = Array.from(drawn, (value) => {
    const part = ((Math.abs(value) * 997) % 1000) / 1000;
    return float ? low + (high - low) * part : low + Math.floor((high - low) * part);
  });
  return fromNumbers(own.type as "float32", dims, numbers);
}

/** Makes all values without a reader and the `kept` ones outputs, and one value in the middle if there are many. */
function finish(model: Model, values: readonly Value[], kept: readonly Value[] = []): void {
  const { graph } = model;
  const free = values.filter(
    (value) =>
      value.uses.size === 0 && value.producer !== undefined && !graph.isOutput(value) && value.type !== undefined,
  );
  const outputs = new Set([
    ...graph.outputs.filter(({ uses, producer }) => uses.size === 0 && producer !== undefined),
    ...kept,
    ...free,
  ]);
  if (outputs.size === 0) for (const value of values.slice(-1)) outputs.add(value);
  const middle = values.filter((value) => value.producer !== undefined && !outputs.has(value));
  if (middle.length > 4) for (const value of middle.slice(2, 3)) outputs.add(value);
  graph.setOutputs([...outputs]);
}
