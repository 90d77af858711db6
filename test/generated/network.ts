/**
 * Networks at random: a description (plain data, which shrinks) and the graph that follows from it.
 *
 * A network starts empty, or with an example of any operator (`test/ops/*.examples.ts`) between two layers; blocks are added one after another.
 * Same description, same network, to the last weight.
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
  /** Written as files were up to IR 3. */
  readonly oldest: boolean;
  /** The title of an example to start with. */
  readonly start: string | undefined;
  readonly steps: readonly { readonly block: string; readonly choices: readonly number[] }[];
}

export interface Network {
  readonly model: Model;
  /** Batch sizes that it is made for. */
  readonly batches: readonly number[];
  /** Whether an empty batch may be tried: over some, ONNX Runtime ends the process. */
  readonly takesNone: boolean;
  /** What it is fed, for batches of so many. */
  feeds(batch: number, seed?: number): Batch;
}

/** Over an empty batch ONNX Runtime ends the process in the first two, and gives means of the wrong size in the others. */
const notOverNone: ReadonlySet<string> = new Set([
  "recurrent",
  "largest and where",
  "reduction",
  "expand",
  "layer normalization in parts",
  "if",
]);

/** Operators that ONNX Runtime lets write over their first input before they read it, where nothing else reads that: then they give zeros. */
const overwriting: ReadonlySet<string> = new Set(["MoE"]);

/** Examples that a network can start with: ONNX Runtime runs them, and gives the same again. */
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

/** The network of a description. */
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
      // A form that this operator set does not have.
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
      // Sizes and contents are those of the example.
      return Object.fromEntries(
        model.graph.feeds.map(({ name, type }) => {
          const own = feeds[name];
          const dims = (type?.dims ?? []).map((dim) => {
            const size = numberOf(dim, example.sizes);
            return Number.isNaN(size) && isSymbolic(dim) ? g.size(dim.text, batch) : size;
          });
          const listed = example.feeds[name];
          if (own === undefined) throw new Error(`"${name}" is not fed`);
          if (listed !== undefined && !("from" in listed))
            return [name, fromNumbers(own.type as "float32", dims, listed)];
          return [name, resized(own, dims, g.ranges.get(name), seed)];
        }),
      );
    },
  };
}

/** Graphs inside nodes take no initializers there, and newer operator sets ask for a newer format. */
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

/** What nothing reads is an output, and so is one value in the middle where there are many. */
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

/** An example with a layer in front of each input that takes any numbers, and one behind it, where their sizes allow it. */
function between(example: Example): { readonly model: Model; readonly ranges: ReadonlyMap<string, Range> } {
  const model = symbolicModel(example);
  const { graph } = model;
  const ranges = new Map<string, Range>();
  for (const { name, type } of graph.feeds) {
    const given = example.feeds[name];
    const float = type?.type.startsWith("float") === true;
    ranges.set(
      name,
      given !== undefined && "from" in given
        ? { low: given.from, high: given.to }
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
    // Boxes and places are no numbers of a layer.
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
    const made = emit.named(`${input.name}.before`).MatMul([input, weight]);
    for (const { node, input: port } of uses) node.graph.setInput(node, port, made);
  }
  for (const output of [...graph.outputs]) {
    const known = inference.operand(output);
    const last = known?.dims?.at(-1);
    if (known?.type !== "float32" || (known.dims?.length ?? 0) < 2 || typeof last !== "number" || last === 0) continue;
    const emit = emitInto(model, { onNode: inference.visit });
    const weight = emit.constant(weightOf([last, 3], 0, `${output.name} behind`, last), `${output.name}.behind.weight`);
    const made = emit.named(`${output.name}.behind`).MatMul([output, weight]);
    graph.setOutputs(graph.outputs.map((other) => (other === output ? made : other)));
  }
  return { model, ranges };
}
