/** Properties of recurrent layers that laws over single examples do not cover. */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { fromNumbers, toFloat64 } from "../../src/core/tensor/convert.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { expectSameAsSilenced } from "../techniques/prune/silenced.ts";
import { difference, engine, loweredModel, run } from "./harness.ts";

const gates = { RNN: 1, GRU: 3, LSTM: 4 } as const;
type Kind = keyof typeof gates;

/** Builds a bidirectional recurrent layer with initial states and sequence lengths. */
function network(kind: Kind, layout: 0 | 1): Model {
  const [g, cell] = [gates[kind], kind === "LSTM"];
  const state = layout === 0 ? "2, 3, 2" : "3, 2, 2";
  const first = cell ? `, h: float32[${state}], c: float32[${state}]` : `, h: float32[${state}]`;
  return parseModel(`opset 21
graph (x: float32[${layout === 0 ? "4, 3, 2" : "3, 4, 2"}], lengths: int32[3]${first}) -> () {
  w: float32[2, ${g * 2}, 2] = random(seed 1)
  r: float32[2, ${g * 2}, 2] = random(seed 2)
  b: float32[2, ${g * 4}] = random(seed 3)
  y, last${cell ? ", cell" : ""} = ${kind}(x, w, r, b, lengths, h${cell ? ", c" : ""}) {hidden_size=2, direction="bidirectional", layout=${layout}}
}`);
}

function swapped(dense: Dense): Dense {
  const [rows = 0, columns = 0, ...rest] = dense.dims;
  const inner = rest.reduce((count, size) => count * size, 1);
  const from = toFloat64(dense);
  const numbers = Array.from({ length: from.length }, (_, at) => {
    const [row, column] = [Math.floor(at / inner) % rows, Math.floor(at / (inner * rows))];
    return from[(row * columns + column) * inner + (at % inner)] ?? 0;
  });
  return fromNumbers("float32", [columns, rows, ...rest], numbers);
}

const numbers = (dims: readonly number[]): Dense =>
  fromNumbers(
    "float32",
    dims,
    Array.from({ length: dims.reduce((count, size) => count * size, 1) }, (_, at) => Math.sin(at + 1)),
  );

async function outputs(model: Model, feeds: Batch): Promise<readonly Dense[]> {
  const ownFeeds = Object.fromEntries(model.graph.feeds.map(({ name }) => [name, feeds[name] as Dense]));
  const results = await run(model, ownFeeds);
  return model.graph.outputs.map(({ name }) => results[name] as Dense);
}

describe.each(["RNN", "GRU", "LSTM"] as const)("%s in batch-first layout", (kind) => {
  test("computes, as primitives, the outputs of the kernel in steps-first layout", async () => {
    const feeds = {
      x: numbers([4, 3, 2]),
      h: numbers([2, 3, 2]),
      c: numbers([2, 3, 2]),
      lengths: fromNumbers("int32", [3], [4, 2, 3]),
    };
    const stepsFirst = network(kind, 0);
    const batchFirst = network(kind, 1);
    for (const model of [stepsFirst, batchFirst])
      model.graph.setOutputs([...model.graph.nodes()].flatMap((node) => node.outputs.flatMap((value) => value ?? [])));
    const [y, ...states] = await outputs(stepsFirst, feeds);
    const turned = { ...feeds, x: swapped(feeds.x), h: swapped(feeds.h), c: swapped(feeds.c) };
    const lowered = loweredModel(batchFirst);
    if (lowered === undefined || y === undefined) throw new Error("is not lowered");
    const [ownY, ...ownStates] = await outputs(lowered, turned);
    // steps × D × batch × H → batch × steps × D × H
    const [steps = 0, directions = 0, batch = 0, hidden = 0] = y.dims;
    const flat = fromNumbers("float32", [steps * directions, batch, hidden], toFloat64(y));
    const expected = { ...swapped(flat), dims: [batch, steps, directions, hidden] } as Dense;
    expect(ownY?.dims).toEqual(expected.dims);
    expect(difference(ownY as Dense, expected)).toBeLessThan(1e-6);
    states.forEach((state, index) => {
      expect(difference(ownStates[index] as Dense, swapped(state))).toBeLessThan(1e-6);
    });
  });
});

describe("the two weight matrices of a recurrent layer", () => {
  const model = (): Model =>
    parseModel(`opset 21
graph (x: float32[3, batch, 8]) -> (y: float32[3, 1, batch, 8]) {
  rnn.weight: float32[1, 32, 8] = random(seed 1)
  anonymous: float32[1, 32, 8] = random(seed 2)
  y = LSTM "/rnn/LSTM" (x, rnn.weight, anonymous) {hidden_size=8}
}`);
  const feeds = { x: numbers([3, 2, 8]) };

  test("are layers with different names", () => {
    const network = model();
    const layerList = layers(network, infer(network));
    expect(layerList.map(({ name, outputs, inputs }) => ({ name, outputs, inputs }))).toEqual([
      { name: "rnn", outputs: 32, inputs: 8 },
      { name: "rnn.recurrence", outputs: 32, inputs: 8 },
    ]);
  });

  test("are quantized separately with nearly equal outputs", async () => {
    const network = model();
    const [before] = await outputs(model(), feeds);
    const { changes, misses } = await quantize(network, { scheme: "weights", bits: 8 }, { engine });
    expect(misses).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual(["rnn", "rnn.recurrence"]);
    const [after] = await outputs(network, feeds);
    const gap = difference(after as Dense, before as Dense);
    expect(gap).toBeGreaterThan(0);
    expect(gap).toBeLessThan(0.02);
  });

  test("are masked separately", async () => {
    const network = model();
    const { changes } = await prune(network, { amount: 0.5, layers: "rnn" }, { engine });
    expect(changes.map(({ at }) => at)).toEqual(["rnn"]);
    const [masked] = await outputs(network, feeds);
    const [before] = await outputs(model(), feeds);
    expect(difference(masked as Dense, before as Dense)).toBeGreaterThan(0.01);
  });

  test.each(["RNN", "GRU", "LSTM"])("lose pruned hidden units of %s in all gates and both directions", async (kind) => {
    const gates = { RNN: 1, GRU: 3, LSTM: 4 }[kind] ?? 0;
    const open = async (): Promise<Model> =>
      parseModel(`opset 21
graph (x: float32[3, 2, 8]) -> (y: float32[3, 2, 5]) {
  rnn.weight: float32[2, ${gates * 6}, 8] = random(seed 1)
  recurrence: float32[2, ${gates * 6}, 6] = random(seed 2)
  bias: float32[2, ${gates * 12}] = random(seed 3)
  head.weight: float32[12, 5] = random(seed 4)
  whole: int64[3] = [0, 0, 12]
  h = ${kind} "/rnn" (x, rnn.weight, recurrence, bias) {direction="bidirectional", hidden_size=6}
  t = Transpose (h) {perm=[0, 2, 1, 3]}
  r = Reshape (t, whole)
  y = MatMul "/head" (r, head.weight)
}`);
    const cut = await open();
    const { misses } = await prune(cut, { structured: 0.5, except: "head", roundTo: 1 }, { engine });
    expect(misses.filter(({ at }) => at?.startsWith("rnn"))).toEqual([]);
    const [node] = cut.graph.nodes();
    expect(node?.attributes.get("hidden_size")).toEqual({ kind: "int", value: 3 });
    expect(node?.inputs.slice(1, 4).map((value) => value?.tensor?.dims)).toEqual([
      [2, gates * 3, 8],
      [2, gates * 3, 3],
      [2, gates * 6],
    ]);
    expect(await expectSameAsSilenced(open, { x: numbers([3, 2, 8]) }, 1, 0.5)).toBeGreaterThan(1e-4);
  });

  test("keep their hidden units if these are an output of the model", async () => {
    const network = model();
    const { changes, misses } = await prune(network, { structured: 0.5 }, { engine });
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason).join()).toContain("they are an output of the model");
  });
});
