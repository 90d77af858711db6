/** Tests that every opened session is released, also after a failure, because native memory is not garbage-collected. */
import { InferenceSession } from "onnxruntime-node";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createEngine, type Engine, type Session } from "../../../src/core/engine/index.ts";
import { engineMultiply } from "../../../src/core/engine/multiply.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { type Dataset, memory } from "../../../src/data/index.ts";
import type { Model } from "../../../src/index.ts";
import { accuracy, compare, evaluate, latency } from "../../../src/judge/index.ts";
import { linear, network, relu } from "../../../src/learn/nn/index.ts";
import { train } from "../../../src/learn/train/index.ts";
import { foldConstants } from "../../../src/rewrite/clean-up/fold-constants.ts";
import { observe, valueRange } from "../../../src/techniques/calibrate/observe.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";

let opened = 0;
let released = 0;
beforeEach(() => {
  opened = 0;
  released = 0;
  const create = InferenceSession.create.bind(InferenceSession) as (...given: unknown[]) => Promise<InferenceSession>;
  vi.spyOn(InferenceSession, "create").mockImplementation(async (...given: unknown[]) => {
    const session = await create(...given);
    opened++;
    const release = session.release.bind(session);
    session.release = () => {
      released++;
      return release();
    };
    return session;
  });
});
afterEach(() => vi.restoreAllMocks());

const count = 24;
function points(): Dataset {
  const numbers = random(1, "points");
  const x = Float32Array.from({ length: 8 * count }, () => numbers.normal());
  const label = BigInt64Array.from({ length: count }, (_, sample) => BigInt((x[8 * sample] ?? 0) > 0 ? 1 : 0));
  return memory("points", {
    input: { type: "float32", dims: [count, 8], data: x },
    label: { type: "int64", dims: [count], data: label },
  });
}
const net = (): Model =>
  network({ fc1: linear(8, 64), relu: relu(), fc2: linear(64, 2) }, { input: ["batch", 8], seed: 1 });

/** Works until run `last`, then fails. */
function failing(last: number): Engine {
  const engine = createEngine();
  let runs = 0;
  return {
    async load(model, options) {
      const session = await engine.load(model, options);
      const run: Session["run"] = (feeds, fetch) => {
        if (runs++ === last) throw new Error("the run failed");
        return session.run(feeds, fetch);
      };
      return { run, release: () => session.release() };
    },
  };
}

const works: [name: string, work: (engine: Engine) => Promise<unknown>][] = [
  ["evaluate", (engine) => evaluate(engine, net(), points(), accuracy())],
  ["compare", (engine) => compare(engine, net(), net(), points(), accuracy())],
  ["observe", (engine) => observe(engine, net(), points(), ["input"], valueRange)],
  [
    "latency",
    (engine) =>
      latency(engine, [net(), net()], { input: { type: "float32", dims: [1, 8], data: new Float32Array(8) } }),
  ],
  ["train", (engine) => train(net(), { data: points(), epochs: 1, batch: 8 }, { engine })],
  ["quantize", (engine) => quantize(net(), { scheme: "static", data: points() }, { engine })],
  [
    "engineMultiply",
    async (engine) => {
      const { multiply, release } = engineMultiply(engine);
      const matrix = { rows: 64, columns: 64, data: new Float64Array(64 * 64) };
      await multiply(matrix, matrix).finally(release);
    },
  ],
  [
    "foldConstants",
    (engine) =>
      foldConstants(
        parseModel(
          "opset 21\ngraph () -> (y: float32[2]) {\n  a: float32[2] = [1, 2]\n  b = Exp(a)\n  y = Neg(b)\n}\n",
        ),
        {},
        { engine },
      ),
  ],
];

describe("sessions are released", () => {
  test.each(works)("by %s", async (_, work) => {
    await work(createEngine());
    expect(opened).toBeGreaterThan(0);
    expect(released).toBe(opened);
  });

  test.each(works)("by %s, if a run fails", async (_, work) => {
    for (const last of [0, 1, 2]) {
      await work(failing(last)).catch((error: Error) => expect(error.message).toContain("the run failed"));
      expect(released).toBe(opened);
    }
  });

  test("if the second of two models is rejected", async () => {
    const broken = parseModel("opset 21\ngraph (input: float32[batch, 8]) -> (y) {\n  y = Frobnicate(input)\n}\n");
    const feeds = { input: { type: "float32", dims: [1, 8], data: new Float32Array(8) } } as const;
    await expect(latency(createEngine(), [net(), broken], feeds)).rejects.toMatchObject({ code: "E_ENGINE" });
    await expect(compare(createEngine(), net(), broken, points(), accuracy())).rejects.toMatchObject({
      code: "E_ENGINE",
    });
    expect([opened, released]).toEqual([2, 2]);
  });

  test("once, even if release is called repeatedly", async () => {
    const session = await createEngine().load(net());
    await Promise.all([session.release(), session.release()]);
    await session.release();
    expect([opened, released]).toEqual([1, 1]);
  });
});
