/**
 * Random networks: a description (plain data, which can shrink) and the graph that is built from it.
 *
 * A network starts empty, or with an example of any operator (`test/ops/*.examples.ts`) between two layers; blocks are added one after another.
 * The description determines the network including all weights.
 */
import { infer, isRandom } from "../../src/core/analysis/infer.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import { allGraphs, type Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { elementCount, isSymbolic } from "../../src/core/tensor/dims.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { examples } from "../laws/examples.ts";
import { numberOf, symbolicModel } from "../laws/harness.ts";
import type { Example } from "../ops/define.examples.ts";
import fc from "../property.ts";
import { oldestFormat } from "../zoo/variants.ts";
import { layerBlocks } from "./blocks.ts";
import { Grower, type Range } from "./grow.ts";
import { shapingBlocks } from "./shaping.ts";
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
  readonly steps: readonly { readonly block: string; readonly choices: readonly number[] }[];
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

/** Operators that return zeros, because ONNX Runtime reuses the buffer of their first input for the output if no other node reads it. */
const overwriting: ReadonlySet<string> = new Set(["MoE"]);

/** Examples that a network can start with: ONNX Runtime runs them with reproducible outputs. */
export const starts: readonly Example[] = examples.filter(
  (example) =>
    example.except.run === undefined &&
    example.except.sequence === undefined &&
    example.misses.read === undefined &&
    ![...symbolicModel(example).graph.nodes()].some((node) => isRandom(node) || overwriting.has(node.op)),
);

export const descriptions: fc.Arbitrary<Description> = fc.record({
  opset: fc.constantFrom(21, 17, 13, 18, 23),
  batch: fc.oneof(
    { arbitrary: fc.constantFrom("batch", "N", "batch_size", "unk__12", "b 0", "?"), weight: 4 },
    { arbitrary: fc.constantFrom(1, 2), weight: 1 },
  ),
  names: fc.constantFrom("modules", "numbers", "odd"),
  oldest: fc.oneof({ arbitrary: fc.constant(false), weight: 7 }, { arbitrary: fc.constant(true), weight: 1 }),
  start: fc.oneof(
    { arbitrary: fc.constant(undefined), weight: 2 },
    { arbitrary: fc.constantFrom(...starts.map(({ title }) => title)), weight: 1 },
  ),
  steps: fc.array(
    fc.record({
      block: fc.constantFrom(...Object.keys(blocks)),
      choices: fc.array(fc.nat(999), { minLength: 24, maxLength: 24 }),
    }),
    { minLength: 1, maxLength: 7, size: "max" },
  ),
});

/** Builds the network of a description. */
export function build(description: Description): Network {
  const example = starts.find(({ title }) => title === description.start);
  const started = example === undefined ? undefined : between(example);
  const style = { ...description, opset: example?.opset ?? description.opset };
  const g = new Grower(style, started);
  for (const { block, choices } of description.steps) {
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
  const { model } = g;
  if (!g.values.some(({ producer }) => producer !== undefined)) g.add(g.emit.Neg([g.row()]));
  finish(model, g.values);
  if (description.oldest && fitsOldest(model)) oldestFormat(model);
  return {
    model,
    batches: typeof description.batch === "number" ? [description.batch] : [1, 2, 3],
    takesNone:
      typeof description.batch === "string" &&
      example === undefined &&
      !description.steps.some(({ block }) => notOverNone.has(block)),
    feeds(batch, seed = 1) {
      const feeds = g.feeds(batch, seed);
      if (example === undefined) return feeds;
      // Inputs of the example have the sizes and contents that it lists.
      return Object.fromEntries(
        model.graph.feeds.map(({ name, type }) => {
          const exampleFeed = feeds[name];
          const dims = (type?.dims ?? []).map((dim) => {
            const size = numberOf(dim, example.sizes);
            return Number.isNaN(size) && isSymbolic(dim) ? g.size(dim.text, batch) : size;
          });
          const listed = example.feeds[name];
          if (exampleFeed === undefined) throw new Error(`"${name}" is not fed`);
          if (listed !== undefined && !("from" in listed))
            return [name, fromNumbers(exampleFeed.type as "float32", dims, listed)];
          return [name, resized(exampleFeed, dims, g.ranges.get(name), seed)];
        }),
      );
    },
  };
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

/** Makes all values without a reader outputs, and one value in the middle if there are many. */
function finish(model: Model, values: readonly Value[]): void {
  const { graph } = model;
  const free = values.filter(
    (value) =>
      value.uses.size === 0 && value.producer !== undefined && !graph.isOutput(value) && value.type !== undefined,
  );
  const outputs = new Set([
    ...graph.outputs.filter(({ uses, producer }) => uses.size === 0 && producer !== undefined),
    ...free,
  ]);
  if (outputs.size === 0) for (const value of values.slice(-1)) outputs.add(value);
  const middle = values.filter((value) => value.producer !== undefined && !outputs.has(value));
  if (middle.length > 4) for (const value of middle.slice(2, 3)) outputs.add(value);
  graph.setOutputs([...outputs]);
}

/** Returns an example with a layer before each input that accepts any numbers, and one after each output, if the sizes are known. */
function between(example: Example): { readonly model: Model; readonly ranges: ReadonlyMap<string, Range> } {
  const model = symbolicModel(example);
  const { graph } = model;
  const ranges = new Map<string, Range>();
  for (const { name, type } of graph.feeds) {
    const exampleFeed = example.feeds[name];
    const float = type?.type.startsWith("float") === true;
    ranges.set(
      name,
      exampleFeed !== undefined && "from" in exampleFeed
        ? { low: exampleFeed.from, high: exampleFeed.to }
        : float
          ? { low: -1, high: 1 }
          : { low: 0, high: type?.type === "bool" ? 2 : 4 },
    );
  }
  const inference = infer(model);
  for (const input of graph.feeds) {
    const dims = input.type?.dims;
    const last = dims?.at(-1);
    if (
      input.type?.type !== "float32" ||
      dims === undefined ||
      dims.length < 2 ||
      typeof last !== "number" ||
      last === 0
    )
      continue;
    const [first] = [...graph.nodes()];
    if (first === undefined || example.feeds[input.name] !== undefined) continue;
    const uses = [...input.uses];
    // A layer cannot compute boxes and positions.
    const isWanted = uses.some(({ node, input: port }) => {
      const bound = inference.at(node);
      return !(bound instanceof Miss) && bound.wants([]).some((wanted) => wanted.input === port);
    });
    if (isWanted) continue;
    const emit = emitInto(model, { before: first, onNode: inference.visit });
    const weight = emit.constant(
      weightOf([last, last], 0, `${input.name} before`, last),
      `${input.name}.before.weight`,
    );
    const product = emit.named(`${input.name}.before`).MatMul([input, weight]);
    for (const { node, input: port } of uses) node.graph.setInput(node, port, product);
  }
  for (const output of [...graph.outputs]) {
    const outputType = inference.operand(output);
    const last = outputType?.dims?.at(-1);
    if (outputType?.type !== "float32" || (outputType.dims?.length ?? 0) < 2 || typeof last !== "number" || last === 0)
      continue;
    const emit = emitInto(model, { onNode: inference.visit });
    const weight = emit.constant(weightOf([last, 3], 0, `${output.name} behind`, last), `${output.name}.behind.weight`);
    const product = emit.named(`${output.name}.behind`).MatMul([output, weight]);
    graph.setOutputs(graph.outputs.map((other) => (other === output ? product : other)));
  }
  return { model, ranges };
}
