import { describe, expect, test } from "vitest";
import { value } from "../../../test/find.ts";
import { shared } from "../../../test/shared.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { open } from "../../core/onnx/index.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { float32, inMemory, zeros } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { gelu, linear, network, residual, sequential } from "../../learn/nn/index.ts";
import { keepLayers } from "./index.ts";
import type { KeptLayers } from "./keep-layers.ts";

const engine = createEngine();

async function run(model: Model, feeds: Batch): Promise<Batch> {
  const session = await engine.load(model);
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Returns a network of a stem, `count` residual layers and a head. */
function tower(count: number): Model {
  const layer = () => residual(sequential({ up: linear(6, 12), gelu: gelu(), down: linear(12, 6) }));
  const layers = Object.fromEntries(Array.from({ length: count }, (_, index) => [`${index}`, layer()]));
  const parts = { stem: linear(4, 6), layers: sequential(layers), head: linear(6, 3) };
  return network(parts, { input: ["batch", 4], seed: 3 });
}

const remainingLayers = (model: Model): readonly number[] => [
  ...new Set(
    [...model.graph.values()].flatMap(({ name }) => /layers\.(\d+)\.\w+\.weight/.exec(name)?.[1] ?? []).map(Number),
  ),
];

/** A decoder with one value per token. Each layer adds h to its cache and outputs h + w · sum of the cache. */
const decoder = `opset 21
graph (x: float32[batch, seq], past.0: float32[batch, past], past.1: float32[batch, past], past.2: float32[batch, past], past.3: float32[batch, past])
  -> (y: float32[batch, seq], present.0: float32[batch, all], present.1: float32[batch, all], present.2: float32[batch, all], present.3: float32[batch, all]) {
  axes: int64[1] = [1]
  sizes = Shape(past.1) {start=0, end=1}
  minus: int64[1] = [-1]
  places = Concat(sizes, minus) {axis=0}
  stem.w: float32[1] parameter = [1]
  stem = Mul(x, stem.w)
  h0 = Reshape(stem, places)
  ${[0, 1, 2, 3]
    .map(
      (index) => `
  layers.${index}.w: float32[1] parameter = [${index + 2}]
  present.${index} = Concat(past.${index}, h${index}) {axis=1}
  sum${index} = ReduceSum(present.${index}, axes) {keepdims=1}
  told${index} = Mul(sum${index}, layers.${index}.w)
  h${index + 1} = Add(h${index}, told${index})`,
    )
    .join("")}
  head.w: float32[1] parameter = [0.5]
  y = Mul(h4, head.w)
}`;

describe("keepLayers", () => {
  test.each<[KeptLayers, readonly number[]]>([
    [3, [0, 3, 6]],
    [2, [0, 6]],
    [1, [0]],
    [4, [0, 2, 4, 6]],
    [
      [1, 2, 5],
      [1, 2, 5],
    ],
    [
      ["layers.0", "layers.4"],
      [0, 4],
    ],
    [["layers.*"], [0, 1, 2, 3, 4, 5, 6]],
  ])("of seven layers, keep: %j selects layers %j", async (keep, expected) => {
    const net = tower(7);
    await keepLayers(net, { keep });
    expect(remainingLayers(net)).toEqual(expected);
    expect(verify(net)).toEqual([]);
  });

  test("computes the same as with an identity for each removed layer", async () => {
    const [original, net] = [tower(4), tower(4)];
    await keepLayers(net, { keep: [0, 3] });
    // A residual layer with a zero last product is the identity.
    for (const name of ["layers.1.down.weight", "layers.1.down.bias", "layers.2.down.weight", "layers.2.down.bias"]) {
      const { tensor } = value(original, name);
      value(original, name).tensor = inMemory(zeros("float32", tensor?.dims ?? []));
    }
    const [input = ""] = net.graph.feeds.map(({ name }) => name);
    const feeds = { [input]: float32([2, 4], [1, -2, 3, 0.5, 0, 1, -1, 2]) };
    expect(Object.values(await run(net, feeds)).map(toNumbers)).toEqual(
      Object.values(await run(original, feeds)).map(toNumbers),
    );
  });

  test("removes the cache of a removed layer and reads its size from another cache", async () => {
    const net = parseModel(decoder);
    const { changes } = await keepLayers(net, { keep: 2 });
    expect(verify(net)).toEqual([]);
    expect(net.graph.feeds.map(({ name }) => name)).toEqual(["x", "past.0", "past.1"]);
    expect(net.graph.outputs.map(({ name }) => name)).toEqual(["y", "present.0", "present.1"]);
    expect(
      changes
        .filter(({ kind }) => kind !== undefined)
        .map(({ at }) => at)
        .sort(),
    ).toEqual(["past.1", "past.2", "past.3", "present.1", "present.2", "present.3"]);
    const past = float32([1, 1], [1]);
    const { y } = await run(net, { x: float32([1, 1], [3]), "past.0": past, "past.1": past });
    // h1 = 3 + 2 · (1 + 3), h4 = h1 + 5 · (1 + h1), y = h4 / 2
    expect(y === undefined ? [] : toNumbers(y)).toEqual([(11 + 5 * 12) / 2]);
  });

  test("keeps the requested number of layers in each stack", async () => {
    const path = shared("data/models/resnet56.onnx");
    if (path === undefined) return;
    const net = await open(path);
    await keepLayers(net, { keep: 1 });
    const blocks = new Set(
      [...net.graph.values()].flatMap(({ name }) => /^(layer\d\.\d)\.conv1\.weight/.exec(name)?.[1] ?? []),
    );
    expect([...blocks]).toEqual(["layer1.0", "layer2.0", "layer2.1", "layer3.0", "layer3.1"]);
  });

  test.each([
    [8, "E_OPTION", /8 layers cannot be kept: the network repeats 7 \(layers\.0 to layers\.6\)\.$/],
    [[7], "E_OPTION", /no repeated layer 7: they count from 0 to 6/],
    [["layer.1"], "E_NAME", /No repeated layer is called "layer\.1"/],
  ] as const)("rejects keep: %j with %s", async (keep, code, message) => {
    const refused = keepLayers(tower(7), { keep: typeof keep === "number" ? keep : [...keep] });
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test("changes nothing if all layers are kept, and rejects a network without repeated layers", async () => {
    const net = tower(3);
    expect(await keepLayers(net, { keep: 3 })).toMatchObject({
      changes: [],
      misses: [{ reason: "all repeated layers are kept" }],
    });
    const plain = network({ fc1: linear(4, 3), fc2: linear(3, 2) }, { input: ["batch", 4], seed: 1 });
    await expect(keepLayers(plain, { keep: 1 })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: /The network has no repeated layers/,
    });
  });
});
