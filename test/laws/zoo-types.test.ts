/** Law over exported networks: the inferred types of inner values, with named dimensions, equal the types at run time. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import { type Dim, isSymbolic } from "../../src/core/tensor/dims.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { shared } from "../shared.ts";
import { readNpz } from "../zoo/npz.ts";
import { numberOf, run } from "./harness.ts";

const folder = shared("data/zoo");
const names =
  folder === undefined ? [] : Object.keys(JSON.parse(readFileSync(`${folder}/index.json`, "utf8")) as object);

/** Values inside the main graph whose elements JavaScript can receive. */
function observable(model: Model) {
  return [...model.graph.nodes()].flatMap((node) =>
    node.outputs.flatMap((value) => (value?.type?.dims === undefined || value.foreign !== undefined ? [] : [value])),
  );
}

function sizesOf(model: Model, feeds: Batch): Readonly<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const value of model.graph.feeds) {
    value.type?.dims?.forEach((dim: Dim, axis) => {
      if (isSymbolic(dim)) sizes[dim.text] = feeds[value.name]?.dims[axis] ?? 0;
    });
  }
  return sizes;
}

describe.skipIf(folder === undefined)("inferred types inside a network equal those of a run", () => {
  test.each(names)("%s", async (name) => {
    const model = await open(`${folder}/${name}.onnx`);
    const arrays = readNpz(`${folder}/${name}.npz`);
    const feeds = Object.fromEntries(
      model.graph.feeds.map((value) => [value.name, arrays[value.name] as Batch[string]]),
    );
    for (const value of model.graph.values()) if (value.producer !== undefined) value.type = undefined;
    const inference = infer(model);
    const sizes = sizesOf(model, feeds);
    const values = observable(model);
    const watched = model.clone();
    watched.graph.setOutputs([...new Set(values.flatMap((value) => watched.graph.ownValue(value.name) ?? []))]);
    for (const value of watched.graph.values()) if (value.producer !== undefined) value.type = undefined;
    const results = await run(watched, feeds);
    const wrong: string[] = [];
    for (const value of values) {
      const got = results[value.name];
      const dims = value.type?.dims?.map((dim) => numberOf(dim, sizes));
      if (`${value.type?.type}[${dims}]` !== `${got?.type}[${got?.dims}]`)
        wrong.push(`${value.name}: ${value.type?.type}[${dims}], not ${got?.type}[${got?.dims}]`);
      const elements = inference.operand(value)?.elements?.map((element) => numberOf(element, sizes));
      if (elements !== undefined && got !== undefined && String(elements) !== String(toNumbers(got)))
        wrong.push(`${value.name}: ${elements}, not ${toNumbers(got)}`);
    }
    expect(wrong).toEqual([]);
    expect(values.length).toBeGreaterThan(0);
  });
});
