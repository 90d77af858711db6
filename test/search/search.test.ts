import { decode } from "fast-png";
import { beforeAll, expect, test } from "vitest";
import type { Model } from "../../src/core/graph/model.ts";
import { type Compressed, runRecipe } from "../../src/judge/run/compress.ts";
import { search } from "../../src/search/search.ts";
import { task, trained } from "../judge/blobs.ts";
import { bests, brightnessOf, pictures, quick } from "./searches.ts";

let net: Model;
let searchResult: Compressed;

beforeAll(async () => {
  net = await trained();
  searchResult = await search(
    net,
    { ...task, shownSamples: pictures },
    { ...quick, onBest: async (best) => void bests.push(best) },
  );
});

test("shows the stored images of the samples that the final candidates were evaluated on", () => {
  const { disagreements } = searchResult.run;
  expect(disagreements.length).toBeGreaterThan(0);
  for (const { label = 0, shown } of disagreements) {
    if (shown?.kind !== "image") throw new Error("The sample has no image.");
    const { data } = decode(Buffer.from(shown.address.split(",")[1] ?? "", "base64"));
    expect(data[0]).toBe(brightnessOf(label));
  }
});

test("tries number formats first, then pruning with recovery", () => {
  expect(searchResult.run.search?.points.filter((point) => "brotli" in point)).toEqual([]);
  const names = (searchResult.run.search?.points ?? []).map(({ name }) => name);
  // The cheapest formats, which need no samples, come first. Formats of the same size come later.
  expect(names.slice(0, 2)).toEqual(["int8 dynamic", "palettes of 8 bits"]);
  expect(names).not.toContain("int8 static");
  expect(names.indexOf("4 bits")).toBeLessThan(names.findIndex((name) => /^(channels|low rank)/.test(name)));
  expect(names).toHaveLength(12);
  expect(names.some((name) => /^(channels|low rank)/.test(name))).toBe(true);
});

test("reports each new best candidate with its file", async () => {
  const sizes = bests.map(({ result }) => result?.bytes.length ?? Number.NaN);
  expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  expect(new Set(sizes).size).toBe(sizes.length);
  const { result, candidates, run } = bests.at(-1) ?? expect.fail();
  expect(run.variants.map(({ name }) => name)).toEqual(candidates.map(({ name }) => name));
  const [candidate] = candidates;
  const again = await runRecipe(net, candidate?.recipe ?? expect.fail(), task, { rounds: 0, force: true });
  expect(again.bytes).toEqual(result?.bytes);
});

test("keeps a candidate within the goal on held-out samples", () => {
  const { run } = searchResult;
  const chosen = run.variants[run.chosen ?? -1];
  expect(run.goal).toMatchObject({ maxDrop: 0.02, stated: true });
  expect(chosen?.verdict?.drop.value).toBeLessThanOrEqual(0.02);
  expect(chosen?.verdict?.met).toBe(true);
  expect(run.data.test.count).toBe(Math.ceil((task.test.count ?? 0) / 2));
  expect(run.data.validation).toBeUndefined();
});

test("keeps a file no larger than the smallest number format alone", () => {
  const formats = (searchResult.run.search?.points ?? []).filter(
    ({ name, drop = 1 }) => !name.includes(",") && drop <= 0.02,
  );
  const smallest = Math.min(...formats.map(({ bytes = Number.POSITIVE_INFINITY }) => bytes));
  const { variants, chosen = -1 } = searchResult.run;
  expect(variants[chosen]?.result?.bytes).toBeLessThanOrEqual(smallest);
});
