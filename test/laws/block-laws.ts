/** Law: blocks that run one after another return the outputs of the model, bit for bit. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Block, extractBlock, findBlocks, joinBlocks } from "../../src/core/analysis/blocks.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { extract } from "../../src/core/graph/extract.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { shared } from "../shared.ts";
import { readNpz } from "../zoo/npz.ts";

const engine = createEngine();
/** The folder of exported networks; undefined if it is missing. */
export const folder = shared("data/zoo");
export const networks =
  folder === undefined ? [] : Object.keys(JSON.parse(readFileSync(`${folder}/index.json`, "utf8")) as object);

/** Reads the inputs of a network from the folder. */
export async function inputsOf(name: string): Promise<Batch> {
  const arrays = readNpz(`${folder}/${name}.npz`);
  return Object.fromEntries(Object.entries(arrays).filter(([key]) => !/^(output|target)\./.test(key)));
}

export async function run(model: Model, known: Batch): Promise<Batch> {
  if (model.graph.outputs.length === 0) return {};
  const session = await engine.load(model, { optimize: false });
  const feeds = Object.fromEntries(
    model.graph.feeds.map(({ name }) => {
      const input = known[name];
      if (input === undefined) throw new Error(`${name} is not known yet`);
      return [name, input];
    }),
  );
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Computes the values outside of blocks first, then one block after another. */
async function inARow(model: Model, all: readonly Omit<Block, "structureId">[], feeds: Batch): Promise<Batch> {
  const blockOutputs = new Set(all.flatMap(({ outputs }) => outputs));
  const outside = new Set<Value>([
    ...all.flatMap(({ sideInputs: sides }) => sides),
    ...model.graph.outputs.filter((output) => !blockOutputs.has(output)),
  ]);
  const computed = [...outside].filter(({ producer }) => producer !== undefined);
  const computedValues: Record<string, Batch[string]> = { ...feeds, ...(await run(extract(model, computed), feeds)) };
  for (const block of all) Object.assign(computedValues, await run(extractBlock(model, block), computedValues));
  return computedValues;
}

/** @param together number of consecutive blocks to join into one. */
export async function expectSameInARow(name: string, together = 1): Promise<void> {
  const model = await open(`${folder}/${name}.onnx`);
  const feeds = await inputsOf(name);
  const all = findBlocks(model, infer(model)).blocks;
  const runs = Array.from({ length: Math.ceil(all.length / together) }, (_, at) =>
    all.slice(at * together, (at + 1) * together),
  );
  const actualValues = await inARow(
    model,
    together === 1 ? all : runs.map((run) => joinBlocks(model, run, all)),
    feeds,
  );
  const expectedValues = await run(model, feeds);
  for (const { name: output } of model.graph.outputs) {
    const [actual, expected] = [actualValues[output], expectedValues[output]];
    if (actual === undefined || expected === undefined) throw new Error(`${output} is missing`);
    expect(actual.dims).toEqual(expected.dims);
    expect(toFloat64(actual), output).toEqual(toFloat64(expected));
  }
}
