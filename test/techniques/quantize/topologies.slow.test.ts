/** Tests every scheme on every topology. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { type Topology, topologies } from "../../zoo/topologies.ts";
import { difference, layerNames, reopened } from "./networks.ts";

function feedsOf({ inputs, integers = {} }: Topology): Batch {
  const numbers = random(5);
  return Object.fromEntries(
    Object.entries(inputs).map(([name, dims]): [string, Dense] => {
      const [from, to] = integers[name] ?? [0, 0];
      const count = elementCount(dims);
      const draw = () => (name in integers ? from + numbers.integer(to - from) : numbers.normal());
      return [name, fromNumbers(name in integers ? "int64" : "float32", dims, Array.from({ length: count }, draw))];
    }),
  );
}

async function outputs(
  model: ReturnType<typeof parseModel>,
  feeds: Batch,
): Promise<Readonly<Record<string, Float64Array>>> {
  const session = await createEngine().load(model);
  try {
    const results = await session.run(feeds);
    return Object.fromEntries(Object.entries(results).map(([name, dense]) => [name, toFloat64(dense).slice()]));
  } finally {
    await session.release();
  }
}

describe.each(topologies)("$name", (topology) => {
  test.each(["weights", "dynamic", "static"] as const)("is near float in the scheme %s", async (scheme) => {
    const float = parseModel(topology.text);
    const feeds = feedsOf(topology);
    const names = layerNames(float);
    const model = float.clone();
    const data = memory("feeds", feeds);
    const rows = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
    // Inputs with different sample counts cannot be rows of one data set.
    if (scheme === "static" && rows.size > 1) return;
    const { changes, misses } = await quantize(model, scheme === "static" ? { scheme, data } : { scheme });
    assertValid(model);
    expect(layerNames(model)).toEqual(names);
    for (const name of names)
      expect(
        [...changes, ...misses].some(({ at }) => at?.includes(name)),
        `${name} is accounted for`,
      ).toBe(true);
    const [expected, got] = [await outputs(float, feeds), await outputs(model, feeds)];
    expect(Object.keys(got)).toEqual(Object.keys(expected));
    for (const [name, values] of Object.entries(expected))
      expect(difference(values, got[name] ?? new Float64Array()), name).toBeLessThan(0.1);
    expect(await outputs(await reopened(model), feeds)).toEqual(got);
  });
});
