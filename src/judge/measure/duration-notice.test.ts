import { afterEach, describe, expect, test, vi } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { parseModel } from "../../core/graph/text.ts";
import type { AnyPass, OptionValues } from "../../core/pass/pass.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { zeros } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { prune } from "../../techniques/prune/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { announceCalibration, announceDuration } from "./duration-notice.ts";

interface Run {
  readonly samples: number;
  /** Seconds a sample; the first batch takes ten times as long. */
  readonly seconds: number;
}

/** Returns the notices during two runs over the samples, with an hour of other work between them. */
function noticesOf({ samples, seconds }: Run, passes: number, all = samples): string[] {
  const texts: string[] = [];
  let now = 0;
  const context = announceDuration(
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

test("logs the time of a long evaluation once, from warm batches, with advice", () => {
  expect(noticesOf({ samples: 3392, seconds: 0.025 }, 2)).toEqual([
    "evaluation on all 3,392 samples takes about 3 minutes. To shorten it, set `samples`",
  ]);
});

test("estimates the time of all samples if some are run", () => {
  expect(noticesOf({ samples: 512, seconds: 0.01 }, 2, 10_000)).toEqual([
    "evaluation on all 10,000 samples takes about 3 minutes. To shorten it, set `samples`",
  ]);
});

test("logs nothing for a short evaluation", () => {
  expect(noticesOf({ samples: 3392, seconds: 0.001 }, 2)).toEqual([]);
});

test("ignores the time between two runs", () => {
  expect(noticesOf({ samples: 65, seconds: 0.02 }, 2)).toEqual([]);
  expect(noticesOf({ samples: 300, seconds: 0.0001 }, 2)).toEqual([]);
});

describe("announceCalibration", () => {
  const model = parseModel("opset 21\ngraph (x: float32[batch, 4]) -> (y) {\n  y = Relu(x)\n}");
  const samples = memory("rows", { x: zeros("float32", [300, 4]) });
  let [worked, batches] = [0, [] as number[]];
  afterEach(() => vi.restoreAllMocks());

  async function estimate(
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

  test("estimates from the processor time of a batch", async () => {
    expect(await estimate({ scheme: "static" }, 48, 2)).toEqual(["calibration and rounding take about 40 seconds"]);
    expect(batches).toEqual([1, 1, 16]);
    expect(await estimate({ scheme: "weights", bits: 4 }, 48, 2)).toEqual([
      "calibration and rounding take about 2 minutes",
    ]);
  });

  test("estimates from one sample if the model is slow", async () => {
    expect(await estimate({ scheme: "static" }, 0, 500)).toEqual(["calibration and rounding take about 58 minutes"]);
    expect(batches).toEqual([1, 1]);
  });

  test("times no batch if single samples are fast", async () => {
    expect(await estimate({ scheme: "static" }, 0, 1)).toEqual([]);
    expect(batches).toEqual([1, 1]);
  });

  test("names gradients only if the criterion of prune uses them", async () => {
    expect(await estimate({ structured: 0.5, importance: "taylor" }, 480, 20, prune)).toEqual([
      expect.stringMatching(/^gradients for the scores take about \d+ (second|minute)s$/),
    ]);
    expect(await estimate({ amount: 0.5, importance: "wanda" }, 480, 20, prune)).toEqual([]);
  });

  test("estimates nothing if no samples are used", async () => {
    for (const quick of [{ scheme: "dynamic" }, { scheme: "weights", bits: 4, rounder: "nearest" }])
      expect(await estimate(quick, 48, 2)).toEqual([]);
  });
});
