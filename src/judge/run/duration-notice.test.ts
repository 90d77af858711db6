import { afterEach, describe, expect, test, vi } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { parseModel } from "../../core/graph/text.ts";
import { type AnyPass, completeContext, type OptionValues } from "../../core/pass/pass.ts";
import { zeros } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { prune } from "../../techniques/prune/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { announceCalibration, announced } from "./duration-notice.ts";

interface Run {
  readonly samples: number;
  /** Seconds a sample; the first batch takes ten times as long. */
  readonly seconds: number;
}

/** What is said while samples are run, first in one run, then, after an hour of other work, in another. */
function said({ samples, seconds }: Run, passes: number, all = samples): string[] {
  const texts: string[] = [];
  let now = 0;
  const context = announced(
    { log: ({ text }) => texts.push(text), progress: (_done: number, _total?: number) => {} },
    all,
    passes,
    () => now,
  );
  for (let run = 0; run < 2; run++, now += 3600) {
    for (let from = 0; from < samples; from += 64) {
      const done = Math.min(samples, from + 64);
      now += (from === 0 ? 10 : 1) * (done - from) * seconds;
      context.progress(done, samples);
    }
  }
  return texts;
}

test("what takes long is told once, from the speed of warm batches, with what makes it shorter", () => {
  expect(said({ samples: 3392, seconds: 0.025 }, 2)).toEqual([
    "evaluation on all 3,392 samples takes about 3 minutes. Use fewer: `samples`",
  ]);
});

test("the speed of some is that of all", () => {
  expect(said({ samples: 512, seconds: 0.01 }, 2, 10_000)).toEqual([
    "evaluation on all 10,000 samples takes about 3 minutes. Use fewer: `samples`",
  ]);
});

test("what is over at once is not told", () => {
  expect(said({ samples: 3392, seconds: 0.001 }, 2)).toEqual([]);
});

test("what was over before its speed was known is not told either: what lies between two runs is no speed", () => {
  expect(said({ samples: 65, seconds: 0.02 }, 2)).toEqual([]);
  expect(said({ samples: 300, seconds: 0.0001 }, 2)).toEqual([]);
});

describe("the time of calibration", () => {
  const model = parseModel("opset 21\ngraph (x: float32[batch, 4]) -> (y) {\n  y = Relu(x)\n}");
  const samples = memory("rows", { x: zeros("float32", [300, 4]) });
  let [worked, batches] = [0, [] as number[]];
  afterEach(() => vi.restoreAllMocks());

  async function announcedFor(
    options: OptionValues,
    ofRun: number,
    ofSample: number,
    pass: AnyPass = quantize,
  ): Promise<string[]> {
    batches = [];
    vi.spyOn(process, "cpuUsage").mockImplementation(() => ({ user: 1000 * worked, system: 0 }));
    const engine: Engine = {
      ...completeContext().engine,
      load: async () => ({
        run: async ({ x }) => {
          const size = x?.dims[0] ?? 0;
          batches.push(size);
          worked += ofRun + size * ofSample;
          return {};
        },
        release: async () => {},
      }),
    };
    const texts: string[] = [];
    const context = completeContext({ engine, log: ({ text }) => texts.push(text) });
    await announceCalibration(pass, options, model, samples, context);
    return texts;
  }

  test("is estimated from the processor time of a batch, because calibration runs batches", async () => {
    expect(await announcedFor({ scheme: "static" }, 48, 2)).toEqual(["calibration and rounding take about 40 seconds"]);
    expect(batches).toEqual([1, 1, 16, 16]);
    expect(await announcedFor({ scheme: "weights", bits: 4 }, 48, 2)).toEqual([
      "calibration and rounding take about 2 minutes",
    ]);
  });

  test("is estimated from one sample of a slow model", async () => {
    expect(await announcedFor({ scheme: "static" }, 0, 500)).toEqual([
      "calibration and rounding take about 58 minutes",
    ]);
    expect(batches).toEqual([1, 1]);
  });

  test("of prune names the gradients, and only criteria that use them", async () => {
    expect(await announcedFor({ structured: 0.5, importance: "taylor" }, 480, 20, prune)).toEqual([
      expect.stringMatching(/^gradients for the scores take about \d+ (second|minute)s$/),
    ]);
    expect(await announcedFor({ amount: 0.5, importance: "wanda" }, 480, 20, prune)).toEqual([]);
  });

  test("is not estimated if no samples are used", async () => {
    for (const quick of [{ scheme: "dynamic" }, { scheme: "weights", bits: 4, rounder: "nearest" }])
      expect(await announcedFor(quick, 48, 2)).toEqual([]);
  });
});
