/** Runs that overwrite the outputs of the previous run give the same values as runs that do not. */
import { expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { fromNumbers } from "../../../src/core/tensor/convert.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";
import { mapColumns } from "../../../src/data/batches/rows.ts";
import { createRunner } from "../../../src/runtime/run/runner.ts";
import { topologies } from "../../zoo/topologies.ts";

const engine = createEngine();
const copied = (batch: Batch): Batch => mapColumns(batch, (dense) => ({ ...dense, data: dense.data.slice() }) as Dense);

test.each(topologies)("overwrites no value before it is read: $name", async ({ text, inputs, integers = {} }) => {
  const model = parseModel(text);
  infer(model);
  const observed = [...model.graph.values()]
    .filter(({ type, tensor, name }) => type?.type === "float32" && tensor === undefined && name !== "")
    .map(({ name }) => name);
  const [plain, overwriting] = await Promise.all(
    [false, true].map((overwrites) => createRunner(engine, model, "inputs", { optimize: false, observed, overwrites })),
  );
  for (const seed of [1, 2, 3]) {
    const feeds = Object.entries(inputs).map(([name, dims]) => {
      const numbers = random(seed, name);
      const [low = 0, high = 0] = integers[name] ?? [];
      const next = () => (high > low ? low + numbers.integer(high - low) : numbers.normal());
      const data = Array.from({ length: elementCount(dims) }, next);
      return [name, fromNumbers(high > low ? "int64" : "float32", dims, data)] as const;
    });
    const batch = Object.fromEntries(feeds);
    expect(await overwriting?.run(batch)).toEqual(await plain?.run(batch).then((all) => copied(all)));
  }
  await plain?.release();
  await overwriting?.release();
});
