/** A handful of generated networks keep every promise; thousands do in `generated.slow.test.ts`. */
import { describe, expect, test } from "vitest";
import { allGraphs } from "../../src/core/graph/graph.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { operators } from "../../src/core/ops/index.ts";
import fc from "../property.ts";
import { expectKept, runs } from "./check.ts";
import { build, descriptions } from "./network.ts";
import { pastFailures } from "./past-failures.ts";
import { promises } from "./promises.ts";
import { starts } from "./starts.ts";

describe("generated networks", () => {
  test.each(promises.map((promised, at) => [promised.name, promised, at] as const))("%s", async (_, promised, seed) => {
    await expectKept(promised, { networks: 1, limit: 20_000, seed });
  });
});

test.each(pastFailures)(
  "$promise: keeps the promise for a network that once broke it",
  async ({ promise, network }) => {
    const standard = { opset: 21, batch: "batch", names: "modules", oldest: false, start: undefined } as const;
    const kept = promises.find(({ name }) => name === promise);
    if (kept === undefined) throw new Error(`There is no promise "${promise}".`);
    await kept.keep(build({ ...standard, ...network }));
  },
);

describe("the network generator", () => {
  test("builds the same network for the same description", async () => {
    for (const description of fc.sample(descriptions, 5)) {
      const [first, second] = [build(description), build(description)];
      expect(await encodeToBytes(first.model)).toEqual(await encodeToBytes(second.model));
      expect(first.feeds(2)).toEqual(second.feeds(2));
    }
  });

  test("builds networks that ONNX Runtime runs, with few exceptions", async () => {
    let running = 0;
    for (const description of fc.sample(descriptions, 40)) if (await runs(build(description))) running++;
    expect(running).toBeGreaterThanOrEqual(38);
  });

  test("starts with every operator that has a weight, a gradient or axes", () => {
    const started = new Set(
      starts.flatMap(({ title }) => {
        const { model } = build({
          opset: 21,
          batch: "batch",
          names: "modules",
          oldest: false,
          start: title,
          steps: [],
        });
        return [...allGraphs(model.graph)].flatMap((graph) =>
          [...graph.nodes()].map(({ domain, op }) => `${domain}.${op}`),
        );
      }),
    );
    const missing = [...operators].flatMap(({ domain, name, facets: { weight, gradient, axes } }) =>
      [weight, gradient, axes].includes(true) && !started.has(`${domain}.${name}`) ? [`${domain}.${name}`] : [],
    );
    // These give other numbers in each run.
    const random = [".Bernoulli", ".RandomNormalLike", ".RandomUniformLike"];
    expect(missing.sort()).toEqual(random);
  });
});
