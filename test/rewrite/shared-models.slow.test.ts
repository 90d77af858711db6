/** Tests that simplified models compute the original outputs: shared models on random inputs, and ONNX's backend tests. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import { allGraphs } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { open } from "../../src/core/onnx/index.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import { checkEquivalence } from "../../src/judge/compare/equivalence.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { largestDifference } from "../../src/runtime/run/difference.ts";
import { type BackendTest, backendTests } from "../laws/archive.ts";
import { shared } from "../shared.ts";

const engine = createEngine();
const nodesIn = (model: Model): number => [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);

const files = ["data/models", "data/zoo"].flatMap((folder) => {
  const path = shared(folder);
  if (path === undefined) return [];
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".onnx"))
    .map((name) => join(path, name));
});

describe.skipIf(files.length === 0)("simplify on real models", () => {
  test.each(files.map((path) => [basename(path), path]))(
    "keeps the outputs of %s with no more nodes",
    async (_, path) => {
      const model = await open(path);
      const original = model.clone();
      await simplify(model, {}, { engine });
      expect(verify(model)).toEqual([]);
      expect(nodesIn(model)).toBeLessThanOrEqual(nodesIn(original));
      const comparison = await checkEquivalence(engine, original, model, {
        sizes: new Map(),
        set: {},
        seed: 2,
        signal: new AbortController().signal,
        progress: () => {},
      });
      expect(comparison).toMatchObject({ inputs: 4 });
      if (typeof comparison !== "string") expect(comparison.difference).toBeLessThan(1e-5);
    },
  );

  test("reduces a voice detector with a fixed rate to one branch with fewer nodes", async () => {
    const path = shared("data/models/silero_vad.onnx");
    if (path === undefined) return;
    const model = await open(path);
    const before = nodesIn(model);
    await simplify(model, { set: { sr: 16000 } }, { engine });
    expect(before).toBe(689);
    expect(nodesIn(model)).toBeLessThan(80);
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["input", "state"]);
  });
});

/** Returns a model and its inputs. @param stored whether to store all inputs except the first. */
async function prepared(given: BackendTest, stored: boolean): Promise<{ model: Model; feeds: Batch } | undefined> {
  const model = await given.model();
  const { graph, header } = model;
  const inputs = await given.inputs();
  const feeds: Record<string, Dense> = {};
  for (const [index, input] of [...graph.feeds].entries()) {
    const dense = inputs[index];
    if (dense === undefined) return undefined;
    if (!stored || index === 0) {
      feeds[input.name] = dense;
      continue;
    }
    graph.setInputs(graph.inputs.filter((other) => other !== input));
    input.tensor = inMemory(dense);
    input.type = { type: dense.type, dims: dense.dims };
    header.irVersion = Math.max(header.irVersion, 4);
  }
  return { model, feeds };
}

async function run(model: Model, feeds: Batch, times: number): Promise<readonly Batch[]> {
  const session = await engine.load(model, { threads: 1 });
  try {
    const results: Batch[] = [];
    for (let time = 0; time < times; time++) results.push(await session.run(feeds));
    return results;
  } finally {
    await session.release();
  }
}

/** Returns the faults of a simplified model; undefined if the runtime does not run the original, or its outputs are random. */
async function judge(given: BackendTest, stored: boolean): Promise<readonly string[] | undefined> {
  const trial = await prepared(given, stored);
  if (trial === undefined) return undefined;
  const { model, feeds } = trial;
  const original = model.clone();
  const [expected, again] = await run(original, feeds, 2).catch((error: unknown) => {
    if (error instanceof PithError) return [];
    throw error;
  });
  if (
    expected === undefined ||
    Object.entries(expected).some(([name, dense]) => largestDifference(dense, again?.[name]) > 0)
  )
    return undefined;
  await simplify(model, {}, { engine });
  const [got] = await run(model, feeds, 1);
  const half = [...original.graph.values()].some(({ type }) => type?.type === "float16" || type?.type === "bfloat16");
  const faults = verify(original).length > 0 ? [] : verify(model);
  const wrong = Object.entries(expected).flatMap(([name, dense]) => {
    const gap = largestDifference(dense, got?.[name]);
    return gap <= (half ? 2e-3 : 1e-5) ? [] : [`${name} is ${gap} apart`];
  });
  return [...faults, ...wrong];
}

const tests = backendTests()?.filter(({ name }) => !name.startsWith("light_"));

describe.skipIf(tests === undefined)("simplify on ONNX's backend tests", () => {
  test.each([
    ["unchanged", false],
    ["if all inputs except the first are stored", true],
  ])("keeps the outputs: %s", async (_, stored) => {
    const wrong: string[] = [];
    let ran = 0;
    for (const backendTest of tests ?? []) {
      const faults = await judge(backendTest, stored);
      if (faults !== undefined) ran++;
      for (const fault of faults ?? []) wrong.push(`${backendTest.name}: ${fault}`);
    }
    expect(wrong).toEqual([]);
    expect(ran).toBeGreaterThan(1200);
  });
});
