/** A search whose candidates have another form. */
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { search } from "../../src/search/search.ts";
import { task, trained } from "./blobs.ts";
import { addClass, quick } from "./other-form.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("a result with another shape or without an output", () => {
  test("is not kept by the search, whose other candidates are", async () => {
    const engine = createEngine();
    const breaking: Engine = {
      ...engine,
      load: (model, ...rest) => {
        const isDynamic = [...model.graph.nodes()].some(({ op }) => op === "DynamicQuantizeLinear");
        if (!isDynamic) return engine.load(model, ...rest);
        const broken = model.clone();
        addClass(broken);
        return engine.load(broken, ...rest);
      },
    };
    const { run } = await search(net, task, { ...quick, steps: 2, purpose: "size" }, { engine: breaking });
    const [dynamic] = run.search?.points.filter(({ name }) => name === "int8 dynamic") ?? [];
    expect(dynamic).toMatchObject({ drop: 0, rejected: expect.stringMatching(/is \[\d+, 9\] instead of \[\d+, 8\]/) });
    expect(run.variants[run.chosen ?? -1]?.name).toMatch(/^palettes of \d bits$/);
  });
});
