import { expect, test } from "vitest";
import { isStored } from "../../core/analysis/stored-root.ts";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { readStored } from "./stored-values.ts";

const text = `opset 17
graph (x: float32[2]) -> (y: float32[2]) {
  w: float32[2] = [3, 4]
  m: float32[2] mask = [0, 1]
  p = Mul(w, m)
  q = Add(p, w)
  y = Add(x, q)
}`;

/** Returns an engine that counts sessions. @param fails makes all runs fail. */
function counting(fails = false): { readonly engine: Engine; loaded: number; open: number } {
  const real = createEngine();
  const counts = {
    loaded: 0,
    open: 0,
    engine: {
      load: async (...given: Parameters<Engine["load"]>) => {
        const session = await real.load(...given);
        counts.loaded++;
        counts.open++;
        return {
          run: fails ? () => Promise.reject(new Error("no memory")) : session.run.bind(session),
          release: async () => {
            counts.open--;
            await session.release();
          },
        };
      },
    },
  };
  return counts;
}

function values(model: Model, ...names: readonly string[]) {
  return names.flatMap((name) => model.graph.value(name) ?? []);
}

test("readStored evaluates several values in one session without changing the model", async () => {
  const model = parseModel(text);
  const before = structureHash(model);
  const counts = counting();
  const tensors = await readStored(model, values(model, "p", "q", "w"), counts.engine);
  expect([...tensors].map(([{ name }, dense]) => [name, toNumbers(dense)]).sort()).toEqual([
    ["p", [0, 4]],
    ["q", [3, 8]],
    ["w", [3, 4]],
  ]);
  expect(counts).toMatchObject({ loaded: 1, open: 0 });
  expect(structureHash(model)).toBe(before);
});

test("readStored evaluates a file of IR version 3, whose weights are also inputs", async () => {
  const model = parseModel(`ir 3, opset 8
graph (x: float32[2], w, s) -> (y: float32[1, 2]) {
  w: float32[2] = [3, 4]
  s: int64[2] = [1, 2]
  r = Reshape(w, s)
  y = Add(x, r)
}`);
  const [[, dense] = []] = await readStored(model, values(model, "r"), createEngine());
  expect(dense).toMatchObject({ dims: [1, 2], data: Float32Array.of(3, 4) });
  expect(model.header.irVersion).toBe(3);
});

test("readStored runs nothing for stored tensors and masked weights", async () => {
  const model = parseModel(text);
  const counts = counting();
  const tensors = await readStored(model, values(model, "w", "m", "p"), counts.engine);
  expect([...tensors.values()].map(toNumbers)).toEqual([
    [3, 4],
    [0, 1],
    [0, 4],
  ]);
  expect(counts.loaded).toBe(0);
});

test("readStored runs the multiplication with a mask of other dimensions", async () => {
  const model = parseModel(text.replace("m: float32[2] mask = [0, 1]", "m: float32[1] mask = [0.5]"));
  const counts = counting();
  const [[, dense] = []] = await readStored(model, values(model, "p"), counts.engine);
  expect(dense).toMatchObject({ dims: [2], data: Float32Array.of(1.5, 2) });
  expect(counts.loaded).toBe(1);
});

test("readStored releases the session if its run fails", async () => {
  const model = parseModel(text);
  const counts = counting(true);
  await expect(readStored(model, values(model, "q"), counts.engine)).rejects.toThrow("no memory");
  expect(counts).toMatchObject({ loaded: 1, open: 0 });
});

test.each(["y", "x"])("readStored rejects %s, which requires an input", async (name) => {
  const model = parseModel(text);
  expect(values(model, name, "q").map(isStored)).toEqual([false, true]);
  await expect(readStored(model, values(model, name), createEngine())).rejects.toMatchObject({
    code: "E_MODEL",
    message: expect.stringContaining('"x"'),
  });
});
