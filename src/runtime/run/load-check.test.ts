import { expect, test } from "vitest";
import type { Engine } from "../../core/engine/index.ts";
import { PithError } from "../../core/errors.ts";
import { parseModel } from "../../core/graph/text.ts";
import { requireLoads, watchLoads } from "./load-check.ts";

const net = () => parseModel("opset 21\ngraph (x: float32[n]) -> (y: float32[n]) {\n  y = Relu(x)\n}");

test("loads a model once with optimizations, and again after a change", async () => {
  const loads: (boolean | undefined)[] = [];
  const engine = watchLoads({
    load: async (_, options) => {
      loads.push(options?.optimize);
      return { run: async () => ({}), release: async () => {} };
    },
  });
  const model = net();
  await engine.load(model, { optimize: false });
  await requireLoads(engine, model, model);
  await requireLoads(engine, model, model);
  expect(loads).toEqual([false, undefined]);
  await requireLoads(engine, model.clone(), model);
  model.graph.touch();
  await requireLoads(engine, model, model);
  expect(loads).toHaveLength(4);
});

test("retries a failed load and skips a model with an operator that the runtime lacks", async () => {
  const createFailing = (cause: string): Engine => ({
    load: () => Promise.reject(new PithError("E_ENGINE", "No.", { cause: new Error(cause) })),
  });
  const engine = watchLoads(createFailing("out of luck"));
  for (let time = 0; time < 2; time++)
    await expect(requireLoads(engine, net(), net())).rejects.toThrow(
      "This runtime loads neither the original nor the result: No.",
    );
  const unknown = watchLoads(createFailing("custom:MyAct(-1) is not a registered function/op"));
  await requireLoads(unknown, net(), net());
});

test("distinguishes a broken result from a broken original", async () => {
  const [original, result] = [net(), net()];
  const engine = watchLoads({
    load: async (model) => {
      if (model === result) throw new PithError("E_ENGINE", "No.");
      return { run: async () => ({}), release: async () => {} };
    },
  });
  await expect(requireLoads(engine, result, original)).rejects.toThrow("The result does not load: No.");
});

test("keeps the sessions that were released last for loads with the same options, until the model changes", async () => {
  const events: string[] = [];
  const engine = watchLoads({
    load: async (_, options) => {
      events.push(`load ${options?.threads}`);
      return { run: async () => ({}), release: async () => void events.push("release") };
    },
  });
  const model = net();
  const loadAndRelease = async (threads: number): Promise<void> => {
    await (await engine.load(model, { threads })).release();
    events.push(";");
  };
  for (const threads of [1, 1, 2, 1]) await loadAndRelease(threads);
  model.graph.touch();
  await loadAndRelease(1);
  expect(events.join(" ")).toBe("load 1 ; ; load 2 ; ; load 1 release ;");
});

test("keeps a session that was loaded again while parts of the model are loaded once", async () => {
  let loads = 0;
  const engine = watchLoads({
    async load() {
      loads++;
      return { run: async () => ({}), release: async () => {} };
    },
  });
  const [model, result, ...parts] = [net(), net(), net(), net(), net()];
  const loadAndRelease = async (...models: (typeof model)[]): Promise<void> => {
    for (const each of models) await (await engine.load(each, { inPlace: false })).release();
  };
  await loadAndRelease(model);
  await (await engine.load(model)).release();
  expect(loads).toBe(1);
  await loadAndRelease(...parts, model);
  expect(loads).toBe(4);
  // The last session is kept, so that a new result is loaded once, too.
  await loadAndRelease(result, result);
  expect(loads).toBe(5);
});

test("a session that is being released is not used again", async () => {
  const released: number[] = [];
  let count = 0;
  const engine = watchLoads({
    async load() {
      const number = count++;
      return { run: async () => ({}), release: async () => void released.push(number) };
    },
  });
  const [a, b, c] = [net(), net(), net()];
  const sessions = [];
  for (const model of [a, b, c]) await (await engine.load(model)).release();
  for (const model of [a, b, c]) sessions.push(await engine.load(model));
  released.length = 0;
  await sessions[0]?.release();
  // Two releases and a load at once: the load must not take a session that one of the releases ends.
  const both = [sessions[1]?.release(), sessions[2]?.release()];
  await engine.load(a);
  await Promise.all(both);
  expect(released).toEqual([3]);
  expect(count).toBe(5);
});
