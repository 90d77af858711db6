import { afterEach, expect, it, vi } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { parseModel } from "../../core/graph/text.ts";
import { latency, relativeProcessorTime } from "./latency.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const models = ["a", "b"].map((name) =>
  parseModel(`opset 21 graph (x: float32[1]) -> (${name}: float32[1]) { ${name} = Identity(x) }`),
);

/** Returns an engine with simulated clocks. @param milliseconds duration of a run by model index and run number. @param work processor time. */
function engineTaking(
  milliseconds: (model: number, run: number) => number,
  work: typeof milliseconds = (model, run) => milliseconds(model, run) / 2,
): Engine {
  let [clock, worked] = [0, 0];
  vi.spyOn(performance, "now").mockImplementation(() => clock);
  vi.spyOn(process, "cpuUsage").mockImplementation(() => ({ user: 1000 * worked, system: 0 }));
  let loaded = 0;
  return {
    async load() {
      const model = loaded++;
      let runs = 0;
      return {
        async run() {
          clock += milliseconds(model, runs);
          worked += work(model, runs++);
          return {};
        },
        async release() {},
      };
    },
  };
}

it("occasional delays change neither time nor speed", async () => {
  const engine = engineTaking((model, run) => (run % 5 === 4 ? 100 : 0.5 / (1 + model)));
  const { models: times, repeats, unsteady } = await latency(engine, models, {}, { rounds: 10, threads: 1 });
  expect(repeats).toBeGreaterThan(5);
  expect(times.map(({ runs, milliseconds }) => [runs.p50, milliseconds.median].map((time) => time.toFixed(6)))).toEqual(
    [
      ["0.500000", "0.500000"],
      ["0.250000", "0.250000"],
    ],
  );
  expect(times[1]?.speedup.median).toBeCloseTo(2, 6);
  expect(times[0]?.runs.p90).toBeCloseTo(100, 6);
  expect(unsteady).toBe(false);
});

it("reports a machine as too busy if whole rounds take twice as long", async () => {
  const isUnsteady = async (slow: number): Promise<boolean> => {
    const engine = engineTaking((_, run) => (run % 3 === 0 ? slow : 12));
    return (await latency(engine, models, {}, { rounds: 12, threads: 1 })).unsteady;
  };
  expect(await isUnsteady(36)).toBe(true);
  expect(await isUnsteady(25)).toBe(true);
  expect(await isUnsteady(23)).toBe(false);
});

it("ends after its time limit but runs at least three rounds", async () => {
  const rounds = async (milliseconds: number, seconds?: number) =>
    (
      await latency(
        engineTaking(() => milliseconds),
        models,
        {},
        { rounds: 15, seconds, threads: 1 },
      )
    ).rounds;
  expect(await rounds(1000, 20)).toBe(11);
  expect(await rounds(60_000, 20)).toBe(3);
  expect(await rounds(60_000)).toBe(15);
  expect(await rounds(1, 20)).toBe(15);
});

it("loads large models one at a time, and runs each of them in at least three rounds", async () => {
  const largeModels = ["a", "b"].map((name) => {
    const model = parseModel(`opset 21 graph (x: float32[1]) -> (${name}: float32[1]) { ${name} = Identity(x) }`);
    const weight = { type: "float32", dims: [2 ** 27], bytes: 2 ** 29, small: undefined, stored: undefined } as const;
    model.graph.addTensor("weight", { ...weight, read: () => Promise.reject(new Error("The weight was read.")) });
    return model;
  });
  const openCounts: number[] = [];
  let open = 0;
  const engine: Engine = {
    async load() {
      openCounts.push(++open);
      return { run: async () => ({}), release: async () => void open-- };
    },
  };
  const { models: times, rounds } = await latency(engine, largeModels, {}, { rounds: 15, seconds: 20, threads: 1 });
  expect([Math.max(...openCounts), open]).toEqual([1, 0]);
  // Two for the warm-up, and one in each of three turns, which begin with the model that is loaded.
  expect(openCounts).toHaveLength(5);
  expect(rounds).toBe(15);
  expect(times).toHaveLength(2);
});

it("measures processor time per run without waiting", async () => {
  const engine = engineTaking(
    (_, run) => (run % 2 === 0 ? 500 : 20),
    (model) => 12 / (1 + model),
  );
  const { models: times } = await latency(engine, models, {}, { rounds: 4, threads: 1 });
  expect(times.map(({ processorTime }) => processorTime)).toEqual([expect.closeTo(12, 6), expect.closeTo(6, 6)]);
  expect(relativeProcessorTime(times, times[1])).toBeCloseTo(0.5, 6);
});

it("omits processor time if the clock is too coarse", async () => {
  const engine = engineTaking(
    () => 20,
    () => 0,
  );
  const { models: times } = await latency(engine, models, {}, { rounds: 4, threads: 1 });
  expect(relativeProcessorTime(times, times[1])).toBeUndefined();
  expect(relativeProcessorTime([{}], {})).toBeUndefined();
  expect(relativeProcessorTime([], undefined)).toBeUndefined();
});
