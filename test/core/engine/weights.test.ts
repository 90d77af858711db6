/** Tests that edited models run with their unchanged weights read from the original files. */
import { copyFile, mkdir, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { handOverBuffers, handOverFiles } from "../../../src/core/engine/weight-handover.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { type Model, open, save } from "../../../src/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { columns, rows, writeHuge } from "./huge.ts";

const width = 2048;
/** Two products with 16 MiB of weights each, which stay in their file. The name precedes the weights, so that offsets are odd. */
const text = `opset 21
graph (x: float32[1, ${width}]) -> (y: float32[1, ${width}]) {
  first: float32[${width}, ${width}] = random(seed 1)
  second: float32[${width}, ${width}] = zeros
  bias: float32[${width}] = random(seed 3)
  a = MatMul(x, first)
  b = MatMul(a, second)
  y = Add(b, bias)
}
`;

let folder = "";
beforeAll(async () => {
  folder = temporaryFolder();
  await save(parseModel(text), join(folder, "inside.onnx"));
  await mkdir(join(folder, "sub"));
  const outside = await open(join(folder, "inside.onnx"));
  await save(outside, join(folder, "sub", "outside.onnx"), { externalData: true });
});

const x = float32(
  [1, width],
  Float32Array.from({ length: width }, (_, index) => Math.sin(index)),
);

async function answer(model: Model): Promise<Float32Array> {
  const session = await createEngine().load(model);
  try {
    const { y } = await session.run({ x });
    if (y?.type !== "float32") throw new Error("y is not float32");
    return y.data;
  } finally {
    await session.release();
  }
}

/** Returns the model with all weights in memory, so that the runtime reads nothing from files. */
async function inHand(model: Model): Promise<Model> {
  const copy = model.clone();
  for (const value of copy.graph.values()) {
    if (value.tensor !== undefined) value.tensor = inMemory(await value.tensor.read());
  }
  return copy;
}

async function edited(path: string, name: string): Promise<Model> {
  const model = await open(path);
  const value = model.graph.value(name);
  if (value?.tensor === undefined) throw new Error(`no first`);
  const dense = await value.tensor.read();
  if (dense.type !== "float32") throw new Error("not float32");
  value.tensor = inMemory({ ...dense, data: dense.data.map((number) => -2 * number) });
  return model;
}

describe("an edited model", () => {
  test("passes only the changed weight to the runtime, and computes the same outputs", async () => {
    const model = await edited(join(folder, "inside.onnx"), "first");
    const { bytes, folder: from, release } = await handOverFiles(model);
    const weightBytes = 4 * width * width;
    expect(from).toBe(folder);
    expect(bytes.length).toBeGreaterThan(weightBytes);
    expect(bytes.length).toBeLessThan(1.01 * weightBytes);
    await release();
    expect(await answer(model)).toEqual(await answer(await inHand(model)));
  });

  test("runs with its weights in another file", async () => {
    const model = await edited(join(folder, "sub", "outside.onnx"), "bias");
    const { bytes, folder: from } = await handOverFiles(model);
    expect(from).toBe(join(folder, "sub"));
    expect(bytes.length).toBeLessThan(100_000);
    expect(await answer(model)).toEqual(await answer(await inHand(model)));
  });

  test("runs from the target of a link", async () => {
    const link = join(folder, "sub", "link.onnx");
    await symlink(join(folder, "inside.onnx"), link);
    const model = await open(link);
    expect((await handOverFiles(model)).folder).toBe(folder);
    expect(await answer(model)).toEqual(await answer(await inHand(model)));
  });

  test("runs from the common folder if its weights are in several folders", async () => {
    const [model, other] = [await open(join(folder, "inside.onnx")), await open(join(folder, "sub", "outside.onnx"))];
    const second = model.graph.value("second");
    if (second === undefined) throw new Error("no second");
    second.tensor = other.graph.value("first")?.tensor;
    const { bytes, folder: from } = await handOverFiles(model);
    expect([from, bytes.length < 100_000]).toEqual([folder, true]);
    expect(await answer(model)).toEqual(await answer(await inHand(model)));
  });

  test("is passed as one buffer if its file belongs to another model", async () => {
    const path = join(folder, "gone.onnx");
    await copyFile(join(folder, "inside.onnx"), path);
    const model = await open(path);
    await rename(path, join(folder, "elsewhere.onnx"));
    const { bytes, folder: from } = await handOverFiles(model);
    expect(from).toBeUndefined();
    expect(bytes.length).toBeGreaterThan(8 * width * width);
    expect(await answer(model)).toEqual(await answer(await inHand(model)));
  });

  test("passes its weights as buffers in WebAssembly", async () => {
    const model = await edited(join(folder, "inside.onnx"), "first");
    const { bytes, files = [] } = await handOverBuffers(model);
    expect(bytes.length).toBeLessThan(100_000);
    expect(files.map(({ data }) => data.length)).toEqual([4 * width * width, 4 * width * width]);
  });
});

test("passes a small model as one buffer", async () => {
  const path = join(folder, "small.onnx");
  await save(parseModel(text.replaceAll(String(width), "256")), path);
  const model = await open(path);
  expect((await handOverFiles(model)).folder).toBeUndefined();
});

test("runs a model of 3 GiB with an edited weight without reading all other weights", async () => {
  const path = await writeHuge(folder);
  const model = await open(path);
  const bias = model.graph.value("bias");
  if (bias === undefined) throw new Error("no bias");
  bias.tensor = inMemory(float32([columns], new Float32Array(columns).fill(0.5)));
  const session = await createEngine().load(model, { optimize: false });
  const { y } = await session.run({ row: { type: "int64", dims: [1], data: BigInt64Array.of(BigInt(rows - 1)) } });
  await session.release();
  expect(y?.data.slice(0, 3)).toEqual(Float32Array.of(7.5, 0.5, 0.5));
});
