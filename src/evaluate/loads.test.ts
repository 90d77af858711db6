import { expect, test } from "vitest";
import type { Engine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { parseModel } from "../graph/text.ts";
import { requireLoads, watchLoads } from "./loads.ts";

const net = () => parseModel("opset 21\ngraph (x: float32[n]) -> (y: float32[n]) {\n  y = Relu(x)\n}");

test("a model is loaded once, with all optimizations, and again once it has changed", async () => {
  const loads: (boolean | undefined)[] = [];
  const engine = watchLoads({
    load: async (_, options) => {
      loads.push(options?.optimize);
      return { run: async () => ({}), release: async () => {} };
    },
  });
  const model = net();
  await engine.load(model, { optimize: false });
  await requireLoads(engine, model);
  await requireLoads(engine, model);
  expect(loads).toEqual([false, undefined]);
  await requireLoads(engine, model.clone());
  engine.forget();
  await requireLoads(engine, model);
  expect(loads).toHaveLength(4);
});

test("one that failed to load was not loaded; one with an operator that the runtime lacks cannot be tried", async () => {
  const failing = (cause: string): Engine => ({
    load: () => Promise.reject(new PithError("E_ENGINE", "No.", { cause: new Error(cause) })),
  });
  const engine = watchLoads(failing("out of luck"));
  for (let time = 0; time < 2; time++)
    await expect(requireLoads(engine, net())).rejects.toThrow("The result does not load: No.");
  await requireLoads(watchLoads(failing("custom:MyAct(-1) is not a registered function/op")), net());
});
