/**
 * Law: the cost of a walk grows with the size of the file, and not exponentially with the depth of nested graphs, the calls between functions,
 * or the length of a chain of nodes. A walk that visits a value twice at each level would never end on these models.
 */
import { describe, expect, test } from "vitest";
import { inspect } from "../../src/app/report/inspect/inspect.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { structureHash } from "../../src/core/graph/structure-hash.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { dimsText } from "../../src/core/tensor/dims.ts";
import { inlineFunctions } from "../../src/rewrite/clean-up/inline-functions.ts";
import { definition, doubling, withFunctions } from "../local-functions.ts";
import { branches, deep, loops, visits } from "./deep-models.ts";

describe("nested subgraphs", () => {
  test("branches are visited once at any nesting depth", () => {
    expect(visits(branches, deep)).toBe(1);
  });

  test("visits of nested loop bodies add up instead of multiplying", () => {
    // A loop at level n runs one iteration for each outer loop, and one more.
    expect(visits(loops, deep)).toBeLessThan(2 * deep * deep);
  });
});

describe("functions that call each other", () => {
  const call = (count: number, functions = doubling(count)): Promise<Model> =>
    withFunctions("graph (x: float32[n, 4]) -> (y) {\n  y = local.f0 (x)\n}", functions);

  test("are visited once for calls with equal types", async () => {
    const model = await call(40);
    const inference = infer(model);
    expect(dimsText(model.graph.outputs[0]?.type?.dims)).toBe("[n, 4]");
    expect(inference.misses).toEqual([]);
    expect((await inspect(model)).operators).toEqual({ "local.f0": 1 });
  });

  test("are not expanded beyond the node limit, and the error states the number of nodes", async () => {
    const model = await call(40);
    const before = structureHash(model);
    const expected = "expand to 1.1e12 nodes, at most 250,000 are possible";
    const { changes, misses } = await inlineFunctions(model);
    expect(changes).toEqual([]);
    expect(misses).toEqual([new Miss(`its functions ${expected}`, "the functions of the model")]);
    expect(structureHash(model)).toBe(before);
    await expect(createEngine().load(model)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringContaining(expected),
    });
    const [node] = model.graph.nodes();
    const bound = node === undefined ? undefined : infer(model).at(node);
    expect(bound).toMatchObject({ reason: expect.stringContaining("the function expands to 1.1e12 nodes") });
  });

  test("are expanded if the node limit allows it", async () => {
    const model = await call(8);
    await inlineFunctions(model);
    expect(model.graph.nodeCount).toBe(256);
    expect(verify(model)).toEqual([]);
  });

  test("are rejected if they call each other in a cycle", async () => {
    const circle = await call(1, [
      definition("f0", ["v"], ["w"], [{ op: "f0", domain: "local", inputs: ["v"], outputs: ["w"] }]),
    ]);
    expect((await inlineFunctions(circle)).misses[0]?.reason).toContain("expand without end: a function calls itself");
    await expect(createEngine().load(circle)).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
  });
});
