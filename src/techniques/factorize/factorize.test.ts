import { expect, it } from "vitest";
import { value } from "../../../test/find.ts";
import {
  dims,
  errorIn,
  factorize,
  inputsOf,
  listStoredNames,
  mlp,
  run,
} from "../../../test/techniques/factorize/models.ts";
import { topologies, topology } from "../../../test/zoo/topologies.ts";
import { infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { createEngine } from "../../core/engine/index.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";

const engine = createEngine();

it("replaces a layer by two low-rank layers", async () => {
  const model = mlp();
  const { changes, misses } = await factorize(model, { layers: "fc1", rank: 32 });
  expect(misses).toEqual([]);
  expect(changes.map(({ at }) => at)).toEqual(["fc1"]);
  expect(dims(model, "fc1.down.weight")).toEqual([32, 784]);
  expect(dims(model, "fc1.up.weight")).toEqual([128, 32]);
  expect(model.graph.value("fc1.weight")).toBeUndefined();
  expect(layers(model, infer(model)).map(({ name }) => name)).toEqual(["fc1.down", "fc1.up", "fc2"]);
  expect(verify(model)).toEqual([]);
});

it("gives the factors of a parameter the role parameter", async () => {
  const model = mlp();
  await factorize(model, { layers: "fc1", rank: 8 });
  expect(model.graph.value("fc1.down.weight")?.role).toEqual({ kind: "parameter" });
});

it.each(topologies.map(({ name }) => name))("writes a valid, runnable model: %s", async (name) => {
  const model = parseModel(topology(name).text);
  await factorize(model, { budget: 0.6 });
  expect(verify(model)).toEqual([]);
  if (topology(name).integers === undefined)
    expect((await run(model, inputsOf(name))).every(Number.isFinite)).toBe(true);
});

it("changes the outputs little at nearly full rank, with transposed weights, too", async () => {
  for (const name of ["matmul-chain", "transposed-weights"]) {
    const model = parseModel(topology(name).text);
    const feeds = inputsOf(name);
    const before = await run(model, feeds);
    const { changes } = await factorize(model, { budget: 0.99 });
    expect(changes.length, name).toBeGreaterThan(0);
    const after = await run(model, feeds);
    const change = Math.hypot(...after.map((value, index) => value - (before[index] ?? 0))) / Math.hypot(...before);
    expect(change, name).toBeLessThan(0.9);
    expect(change, name).toBeGreaterThan(0);
  }
});

it("reports the current layer and stops inside it", async () => {
  const stop = new AbortController();
  const named: (string | undefined)[] = [];
  const progress = (_: number, __?: number, figures?: string): void => {
    named.push(figures);
    stop.abort();
  };
  const stopped = factorize(mlp(), { layers: "fc1" }, { progress, signal: stop.signal });
  await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  expect(named).toEqual(["fc1"]);
});

it("changes nothing if every layer is rejected, even if constants could be folded", async () => {
  const model = parseModel(`opset 17
graph (x: float32[1, 4]) -> (y: float32[1, 4]) {
  stored: float32[4, 4] = random(seed 1)
  unused: float32[3] = zeros
  w = Transpose(stored)
  y = MatMul "fc" (x, w)
}`);
  const before = structureHash(model);
  const { changes, misses } = await factorize(model, { rank: 4 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at }) => at)).toEqual(["fc"]);
  expect(structureHash(model)).toBe(before);
});

it("factorizes the product of weight and mask, and removes the mask", async () => {
  const masked = `opset 17
graph (x: float32[2, 8]) -> (y: float32[2, 8]) {
  fc.weight_orig: float32[8, 8] parameter = random(seed 1)
  fc.weight_mask: float32[8, 8] mask = [${Array.from({ length: 8 }, (_, row) => `[${row < 2 ? "1, 1, 1, 1, 1, 1, 1, 1" : "0, 0, 0, 0, 0, 0, 0, 0"}]`).join(", ")}]
  fc.weight = Mul(fc.weight_orig, fc.weight_mask)
  y = Gemm(x, fc.weight) {transB=1}
}`;
  const model = parseModel(masked);
  const feeds = {
    x: float32(
      [2, 8],
      Float32Array.from({ length: 16 }, (_, index) => Math.sin(index)),
    ),
  };
  const before = await run(model, feeds);
  const { changes, misses } = await factorize(model, { rank: 2 });
  expect(misses).toEqual([]);
  expect(changes.map(({ at, what }) => [at, what.includes("rank 2")])).toEqual([["fc", true]]);
  expect(verify(model)).toEqual([]);
  expect(
    [...model.graph.values()].filter(({ tensor }) => tensor !== undefined).map(({ name, role }) => [name, role?.kind]),
  ).toEqual([
    ["fc.down.weight", "parameter"],
    ["fc.up.weight", "parameter"],
  ]);
  (await run(model, feeds)).forEach((value, index) => {
    expect(value).toBeCloseTo(before[index] ?? Number.NaN, 4);
  });
});

it("removes a factorized matrix from the inputs of the graph", async () => {
  const model = parseModel(topology("gemm-chain").text);
  const plain = parseModel(topology("gemm-chain").text);
  model.graph.setInputs([...model.graph.inputs, value(model, "fc1.weight")]);
  await factorize(model, { layers: "fc1", rank: 2 });
  await factorize(plain, { layers: "fc1", rank: 2 });
  expect(listStoredNames(model)).toEqual(listStoredNames(plain));
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
});

it("releases its sessions", async () => {
  let open = 0;
  const counted = {
    load: async (...given: Parameters<typeof engine.load>) => {
      const session = await engine.load(...given);
      open++;
      return { run: session.run.bind(session), release: () => session.release().then(() => void open--) };
    },
  };
  await factorize(mlp(), { layers: "fc1", rank: 8 }, { engine: counted });
  expect(open).toBe(0);
});

it.each([
  [{ rank: 3, budget: 0.5 }],
  [{ rank: "noise" }],
  [{ budget: 0 }],
  [{ rank: 3, overrides: { fc1: { rank: 2, budget: 0.5 } } }],
  [{ rank: 3, method: "cp" }],
  [{ budget: 1.1 }],
  [{ rank: 0 }],
  [{ rank: 2.5 }],
  [{ rang: 3 }],
])("rejects the options %j", async (options) => {
  await expect(factorize(mlp(), options as object)).rejects.toMatchObject({ code: "E_OPTION" });
});

it("rejects an unknown layer and lists the layers", async () => {
  await expect(factorize(mlp(), { layers: "fc3", rank: 3 })).rejects.toMatchObject({
    code: "E_NAME",
    hint: expect.stringContaining("fc1, fc2"),
  });
});

it("applies the last of two overrides that match a layer", async () => {
  const [both, last] = [mlp(), mlp()];
  await factorize(both, { layers: "fc1", overrides: { "fc*": { rank: 1 }, fc1: { budget: 0.9 } } });
  await factorize(last, { layers: "fc1", overrides: { fc1: { budget: 0.9 } } });
  expect(dims(last, "fc1.down.weight")?.[0]).toBeGreaterThan(1);
  expect(dims(both, "fc1.down.weight")).toEqual(dims(last, "fc1.down.weight"));
});

it("lists the layer with the largest error first", async () => {
  const { changes } = await factorize(mlp(), { overrides: { fc1: { budget: 0.9 }, fc2: { rank: 1 } } });
  expect(changes.map(({ at }) => at)).toEqual(["fc2", "fc1"]);
});

it("stores the factors of a float16 weight in float16", async () => {
  const model = parseModel(`opset 17
graph (x: float16[3, 32]) -> (y) {
  w: float16[24, 32] parameter = random(seed 1)
  b: float16[24] = random(seed 2)
  y = Gemm "fc" (x, w, b) {transB=1}
}`);
  const x = fromNumbers(
    "float16",
    [3, 32],
    Array.from({ length: 96 }, (_, index) => Math.sin(index)),
  );
  const before = await run(model, { x });
  const { changes } = await factorize(model, { layers: "fc", rank: 13 });
  expect(changes[0]?.what).toContain("rank 13, relative error");
  expect(["fc.down.weight", "fc.up.weight"].map((name) => model.graph.value(name)?.tensor?.type)).toEqual([
    "float16",
    "float16",
  ]);
  expect(verify(model)).toEqual([]);
  const error = errorIn(changes[0]?.what);
  const after = await run(model, { x });
  const distance = Math.hypot(...after.map((value, index) => value - (before[index] ?? 0))) / Math.hypot(...before);
  expect(distance).toBeGreaterThan(0);
  expect(distance).toBeLessThan(1.5 * error);
});

it("advises a higher value of the given option, or a budget by default", () => {
  expect(factorize.gentler?.({ budget: 0.5, method: "svd" })).toBe("Use a higher `budget`");
  expect(factorize.gentler?.({ layers: "fc1" })).toBe("Use a `budget` that keeps more of the weights");
});
