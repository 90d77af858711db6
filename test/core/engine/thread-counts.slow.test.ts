/** Results have the same bytes with 1, 2 and 4 threads of the runtime. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import type { Context } from "../../../src/core/pass/pass.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory } from "../../../src/data/index.ts";
import { search } from "../../../src/search/search.ts";
import { distill } from "../../../src/techniques/distill/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { recover } from "../../../src/techniques/recover/index.ts";
import { createTask, trained } from "../../judge/blobs.ts";
import { convolutions } from "../../techniques/recover/networks.ts";

const classes = 10;
/** The layers are large enough that the runtime divides their work between threads. */
const original = () => convolutions(64, 96, classes);

function images(name: string, count: number) {
  const draw = random(1, name);
  const pixels = Float32Array.from({ length: count * 3 * 6 * 6 }, () => draw.normal());
  const labels = BigInt64Array.from({ length: count }, (_, at) => BigInt(at % classes));
  return memory(name, { x: float32([count, 3, 6, 6], pixels), label: int64([count], labels) });
}

/** Sets the number of threads of each session for which the caller leaves it to the runtime. */
function contextWith(threads: number, seen: number[]): Partial<Context> {
  const engine = createEngine();
  return {
    seed: 3,
    engine: {
      load(model, options) {
        const used = options?.threads || threads;
        seen.push(used);
        return engine.load(model, { ...options, threads: used });
      },
    },
  };
}

type Job = (model: Model, context: Partial<Context>) => Promise<Model | Uint8Array>;

/** Each run has data of its own, because results of calibration are remembered per dataset. */
const jobs: Record<string, Job> = {
  async "quantize, static"(model, context) {
    await quantize(model, { scheme: "static", data: images("c", 256) }, context);
    return model;
  },
  async "quantize with rdoq"(model, context) {
    await quantize(model, { scheme: "static", rounder: "rdoq", data: images("c", 256) }, context);
    return model;
  },
  async recover(model, context) {
    await prune(model, { amount: 0.3, structured: true }, context);
    await recover(model, { original: original(), data: images("c", 256) }, context);
    return model;
  },
  async "prune with data"(model, context) {
    await prune(model, { amount: 0.5, solver: "sparsegpt", data: images("c", 256) }, context);
    return model;
  },
  async distill(_, context) {
    const student = convolutions(32, 48, classes);
    await distill(student, { teacher: original(), data: images("c", 256), epochs: 2, batch: 64 }, context);
    return student;
  },
  async compress(_, context) {
    const options = { steps: 6, purpose: "size", rounds: 0, goal: { maxDrop: 0.2 } } as const;
    const { result } = await search(await trained(), createTask(), options, context);
    if (result === undefined) throw new Error("The search has no result.");
    return result.bytes;
  },
};

describe("the same bytes with 1, 2 and 4 threads", () => {
  test.each(Object.entries(jobs))("%s", async (_, job) => {
    const results: Uint8Array[] = [];
    for (const threads of [1, 2, 4]) {
      const seen: number[] = [];
      const result = await job(original(), contextWith(threads, seen));
      expect(seen).toContain(threads);
      results.push(result instanceof Uint8Array ? result : await encodeToBytes(result));
    }
    const [ofOneThread = Uint8Array.of(), ofTwo = Uint8Array.of(), ofFour = Uint8Array.of()] = results.map((bytes) =>
      Buffer.from(bytes),
    );
    expect(ofOneThread.length).toBeGreaterThan(0);
    expect([Buffer.compare(ofOneThread, ofTwo), Buffer.compare(ofOneThread, ofFour)]).toEqual([0, 0]);
  });
});
