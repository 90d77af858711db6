import { decode } from "fast-png";
import { beforeAll, expect, test, vi } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { memory } from "../../src/data/index.ts";
import { type Compressed, runRecipe } from "../../src/judge/run/run.ts";
import { search } from "../../src/search/search.ts";
import { task, trained } from "../recipe/blobs.ts";

let net: Model;
let searchResult: Compressed;
const bests: Compressed[] = [];
/** Each test sample as a stored image: its brightness depends on its label. */
const brightnessOf = (label: number): number => 30 * label;
const pictures = memory("pictures", {
  image: {
    type: "uint8",
    dims: [800, 8, 8, 3],
    data: Uint8Array.from({ length: 800 * 192 }, (_, index) => brightnessOf(Math.floor(index / 192) % 8)),
  },
});
const quick = { steps: 12, purpose: "size", rounds: 0, goal: { maxDrop: 0.02 } } as const;

beforeAll(async () => {
  net = await trained();
  searchResult = await search(net, task, { ...quick, seen: pictures, onBest: async (best) => void bests.push(best) });
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

test("with a limit of candidates, tries the most promising formats, writes the best, and logs the limit", async () => {
  const files: (number | undefined)[] = [];
  const onBest = async ({ result }: Compressed): Promise<void> => void files.push(result?.bytes.length);
  const messages: string[] = [];
  // Any speed meets this goal.
  const { run } = await search(
    net,
    task,
    { steps: 2, faster: 0.01, rounds: 0, onBest },
    { log: ({ text }) => void messages.push(text) },
  );
  expect(run.goal?.stated).not.toBe(true);
  expect(run.search?.points.map(({ name }) => name)).toEqual(["int8 static", "int8 dynamic"]);
  expect(messages).toContain("the search ended at its limit of 2 candidates; others can be better");
  expect(files.length).toBeGreaterThan(0);
  expect(files).not.toContain(undefined);
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

test("names the candidate that the time limit stopped", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const engine = createEngine();
  const messages: string[] = [];
  let isLate = false;
  const late: typeof engine = {
    ...engine,
    load(...given) {
      if (isLate) vi.runAllTimers();
      return engine.load(...given);
    },
  };
  const onBest = async (): Promise<void> => {
    isLate = true;
  };
  const options = { ...quick, steps: undefined, minutes: 1, onBest };
  const log = ({ id, text }: { readonly id: string; readonly text: string }): void =>
    void messages.push(`${id}: ${text}`);
  const { run } = await search(net, task, options, { engine: late, log }).finally(() => vi.useRealTimers());
  expect(run.search?.points.map(({ name }) => name)).toEqual(["int8 dynamic"]);
  expect(messages).toContain(
    "late: palettes of 8 bits: stopped without a result, because the time for the search was over",
  );
});
