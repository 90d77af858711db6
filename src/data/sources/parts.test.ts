import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { type Dataset, openDataset } from "../index.ts";
import { openParts, type Parts, type PartsOptions } from "./parts.ts";

const root = temporaryFolder();

/** Writes rows with distinct numbers, sorted by ten classes. */
function sorted(count: number, first = 0): string {
  const rows = Array.from({ length: count }, (_, row) => `${first + row},${Math.floor((10 * row) / count)}`);
  return `x,label\n${rows.join("\n")}\n`;
}

async function folder(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const path = join(root, name);
  await mkdir(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
  return path;
}

async function column(dataset: Dataset | undefined, name = "features"): Promise<number[]> {
  const values: number[] = [];
  for await (const batch of dataset?.batches({ size: 7 }) ?? []) {
    const cells = batch[name];
    if (cells !== undefined) values.push(...toFloat64(cells));
  }
  return values;
}

const all = async ({ train, calibrate, test }: Parts) => ({
  train: await column(train),
  calibrate: await column(calibrate),
  test: await column(test),
});

describe("openParts on a table without splits", () => {
  const rows = Array.from({ length: 100 }, (_, row) => row);

  test("uses all samples for testing if nothing is trained or calibrated", async () => {
    const path = await folder("table", { "rows.csv": sorted(100), "three.csv": sorted(3) });
    const parts = await openParts(join(path, "rows.csv"));
    expect([parts.train, parts.calibrate, parts.totalCount, await column(parts.test)]).toEqual([
      undefined,
      undefined,
      undefined,
      rows,
    ]);
    expect((await openParts(join(path, "three.csv"))).test.count).toBe(3);
    expect((await openParts(join(path, "rows.csv"), { test: 90 })).test.count).toBe(90);
    expect(await column((await openParts(join(path, "rows.csv"), { part: "all" })).test)).toEqual(rows);
  });

  test("uses all samples for testing except those for calibration", async () => {
    const parts = await openParts(join(await folder("table", { "rows.csv": sorted(100) }), "rows.csv"), {
      calibrate: 20,
    });
    const { calibrate, test: judged } = await all(parts);
    expect([parts.train, calibrate.length, judged.length, parts.totalCount]).toEqual([undefined, 20, 80, 100]);
    expect([...calibrate, ...judged].toSorted((a, b) => a - b)).toEqual(rows);
  });

  test("splits 80 : 20 reproducibly for training, and either part can be tested on", async () => {
    const path = join(await folder("table", { "rows.csv": sorted(100) }), "rows.csv");
    const parts = await openParts(path, { trains: true, calibrate: 10, seed: 3 });
    const { train, calibrate, test: judged } = await all(parts);
    expect([train.length, calibrate.length, judged.length, parts.totalCount]).toEqual([70, 10, 20, 100]);
    expect([...train, ...calibrate, ...judged].toSorted((a, b) => a - b)).toEqual(rows);
    expect(await column((await openParts(path, { part: "test" })).test)).toEqual(judged);
    const rest = await column((await openParts(path, { part: "train" })).test);
    expect(rest.toSorted((a, b) => a - b)).toEqual([...train, ...calibrate].toSorted((a, b) => a - b));
  });

  test("rejects calibration with one sample", async () => {
    const path = join(await folder("single", { "one.csv": sorted(1) }), "one.csv");
    await expect(openParts(path, { calibrate: 5 })).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringContaining("one.csv has 1 sample, too few to set some aside for calibration."),
      hint: expect.stringContaining("Give 32 or more"),
    });
  });

  test("rejects training with two samples", async () => {
    const path = await folder("tiny", { "two.csv": sorted(2) });
    const message = "two.csv has 2 samples, too few to split into training and test samples.";
    await expect(openDataset(join(path, "two.csv"), { part: "train" })).rejects.toThrow(message);
    await expect(openParts(join(path, "two.csv"), { trains: true })).rejects.toThrow(message);
  });

  test.each([
    ["train", { calibrate: 5 }],
    ["train", { trains: true }],
    ["all", { calibrate: 5 }],
    ["all", { unlabeledTraining: 5 }],
  ] as const)("rejects part %s as test samples if training or calibration uses them: %o", async (part, options) => {
    const path = join(await folder("table", { "rows.csv": sorted(100) }), "rows.csv");
    await expect(openParts(path, { part, ...options })).rejects.toMatchObject({
      code: "E_OPTION",
      message: `\`part: "${part}"\`: the result would be tested on samples that it is trained or calibrated on.`,
      hint: expect.stringContaining('choose options that need no samples, for example `importance: "magnitude"`'),
    });
  });
});

test("openParts tests on either existing split, but not on both", async () => {
  const path = await folder("both", { "train.csv": sorted(6), "test.csv": sorted(4, 6) });
  const tested = async (part?: PartsOptions["part"]) => column((await openParts(path, { part })).test);
  expect(await tested()).toEqual([6, 7, 8, 9]);
  expect(await tested("test")).toEqual([6, 7, 8, 9]);
  expect(await tested("train")).toEqual([0, 1, 2, 3, 4, 5]);
  await expect(tested("all")).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringMatching(/`part: "all"`: .*both is already split into "train" and "test"\.$/),
  });
});

describe("openParts on train and test splits sorted by class", () => {
  const files = { "train.csv": sorted(1000), "test.csv": sorted(500, 1000) };

  test("takes the requested calibration samples from the training samples, with every class", async () => {
    const parts = await openParts(await folder("sorted", files), { calibrate: 300 });
    const { train, calibrate, test: judged } = await all(parts);
    expect([train.length, calibrate.length, judged.length]).toEqual([700, 300, 500]);
    expect(new Set([...train, ...calibrate, ...judged]).size).toBe(1500);
    const counts = new Array<number>(10).fill(0);
    for (const label of await column(parts.calibrate, "label")) counts[label] = (counts[label] ?? 0) + 1;
    expect(Math.min(...counts)).toBeGreaterThan(15);
    // A pass that needs fewer samples uses the first ones.
    expect(new Set((await column(parts.calibrate, "label")).slice(0, 60)).size).toBe(10);
  });

  test("tests on samples of every class if only some are used", async () => {
    const { test: judged } = await openParts(await folder("sorted", files), { test: 60 });
    expect(judged.count).toBe(60);
    expect(new Set(await column(judged, "label")).size).toBe(10);
  });

  test("gives equal parts for equal seeds, and other calibration but the same test samples for another seed", async () => {
    const path = await folder("sorted", files);
    const partsOf = async (seed: number) => all(await openParts(path, { calibrate: 50, test: 50, seed }));
    const [first, again, other] = [await partsOf(1), await partsOf(1), await partsOf(2)];
    expect(again).toEqual(first);
    expect(other.calibrate).not.toEqual(first.calibrate);
    expect(other.test).toEqual(first.test);
  });

  test.each([
    ["a limit", { test: 60 }],
    ["calibration", { calibrate: 30 }],
    ["calibration and a limit", { calibrate: 30, test: 60 }],
    ["training", { trains: true, calibrate: 30, test: 20 }],
    ["training without labels", { unlabeledTraining: 100, calibrate: 30 }],
    ["samples of an earlier training", { heldOut: true, calibrate: 10, test: 15 }],
  ])("never changes the test samples of a single split by the seed, with %s", async (_, options) => {
    const path = join(await folder("single", { "rows.csv": sorted(300) }), "rows.csv");
    const testOf = async (seed: number) => column((await openParts(path, { ...options, seed })).test, "features");
    expect(await testOf(7)).toEqual(await testOf(1));
  });

  test("uses all training samples for training without calibration", async () => {
    const { train, calibrate, test: judged } = await openParts(await folder("sorted", files));
    expect([train?.count, calibrate, judged.count]).toEqual([1000, undefined, 500]);
  });
});

describe("openParts on a file named by its split", () => {
  const files = {
    "a_train.csv": sorted(30),
    "a_dev.csv": sorted(10, 30),
    "a_test.csv": sorted(5, 40),
    "b_dev.csv": sorted(3),
  };

  test("uses only the test file, whatever files are next to it", async () => {
    const dev = join(await folder("named", files), "a_dev.csv");
    const parts = await openParts(dev, { calibrate: 2 });
    expect([parts.train, parts.calibrate?.count, parts.test.count]).toEqual([undefined, 2, 8]);
    expect(await column((await openParts(dev)).test)).toEqual(Array.from({ length: 10 }, (_, row) => 30 + row));
    await expect(openDataset(dev, { part: "train" })).rejects.toThrow("has no train part, only test");
  });

  test("tests a training file with the test file next to it", async () => {
    const { train, test: judged } = await openParts(join(await folder("named", files), "a_train.csv"));
    expect([train?.count, judged.count]).toEqual([30, 5]);
    expect(judged.name).toContain("a_test.csv");
  });
});

test("openParts leaves half of few training samples for training, in disjoint parts", async () => {
  const path = await folder("few", { "train.csv": sorted(30), "test.csv": sorted(10, 30) });
  const { train, calibrate, test: judged } = await all(await openParts(path, { calibrate: 200 }));
  expect([train.length, calibrate.length, judged.length]).toEqual([15, 15, 10]);
  expect(new Set([...train, ...calibrate, ...judged]).size).toBe(40);
});

test("openParts sets aside at most a fifth of a single split, without training samples", async () => {
  const path = await folder("one", { "test.csv": sorted(200) });
  const parts = await openParts(path, { calibrate: 200 });
  const { calibrate, test: judged } = await all(parts);
  expect([parts.train, calibrate.length, judged.length]).toEqual([undefined, 40, 160]);
  expect(new Set([...calibrate, ...judged]).size).toBe(200);
  expect((await openParts(path)).test.count).toBe(200);
  expect((await openParts(path, { unlabeledTraining: 5 })).train?.count).toBe(5);
  const divided = await openParts(path, { unlabeledTraining: Number.POSITIVE_INFINITY, calibrate: 30 });
  expect([divided.train?.count, divided.calibrate?.count, divided.test.count]).toEqual([130, 30, 40]);
  const samples = await all(divided);
  expect(new Set(Object.values(samples).flat()).size).toBe(200);
});

test.each([
  [2000, 400],
  [500, 200],
  [300, 150],
  [5, 3],
])("openParts with minTestSamples splits %i samples so that %i are for testing", async (count, tested) => {
  const path = await folder(`learnt-${count}`, { "test.csv": sorted(count) });
  const parts = await openParts(path, {
    unlabeledTraining: Number.POSITIVE_INFINITY,
    calibrate: 200,
    minTestSamples: 200,
  });
  expect(parts.test.count).toBe(tested);
  expect((parts.train?.count ?? 0) + (parts.calibrate?.count ?? 0)).toBe(count - tested);
});

test("openParts with minTestSamples splits a table, and includes the default test samples", async () => {
  const path = await folder("learnt-table", { "reviews.csv": sorted(400) });
  const parts = await openParts(path, { trains: true, minTestSamples: 200, calibrate: 50 });
  const { train, calibrate, test: judged } = await all(parts);
  expect([train.length, calibrate.length, judged.length]).toEqual([150, 50, 200]);
  const usual = await column((await openParts(path, { part: "test" })).test);
  expect(usual).toHaveLength(80);
  expect(judged).toEqual(expect.arrayContaining(usual));
});

test.each([
  ["200 samples", { unlabeledTraining: Number.POSITIVE_INFINITY }, 160],
  ["30 samples", { unlabeledTraining: 30 }, 30],
  ["500 samples, with 20 test samples", { unlabeledTraining: 500, test: 20 }, 160],
  ["500 samples, with at least 100 test samples", { unlabeledTraining: 500, minTestSamples: 100 }, 100],
])("openParts never trains on the last fifth of a single split, for any seed: %s", async (_, options, count) => {
  const path = await folder("last-fifth", { "test.csv": sorted(200) });
  const parts = await openParts(path, { ...options, seed: 5 });
  const heldOut = await openParts(path, { heldOut: true, seed: 6, calibrate: 20 });
  const [trained, last] = [await column(parts.train), await all(heldOut)];
  expect([trained.length, last.test.length, last.calibrate.length]).toEqual([count, 40, 20]);
  expect(new Set([...trained, ...last.test]).size).toBe(count + 40);
  expect(new Set([...last.test, ...last.calibrate]).size).toBe(60);
});

test.each([
  [500, 350, 150],
  [400, 250, 150],
  [200, 100, 100],
  [5000, 512, 4488],
])("openParts trains on most of %i samples without parts: on %i", async (count, trained, tested) => {
  const path = await folder(`most-${count}`, { "test.csv": sorted(count) });
  const parts = await openParts(path, { unlabeledTraining: 512 });
  expect([parts.train?.count, parts.test.count]).toEqual([trained, tested]);
});

test("openParts tests on the same samples of a single split with or without calibration", async () => {
  const path = await folder("same", { "test.csv": sorted(200) });
  const tested = async (options: PartsOptions) => column((await openParts(path, { test: 20, ...options })).test);
  const alone = await tested({});
  expect(alone).toHaveLength(20);
  expect(await tested({ calibrate: 150 })).toEqual(alone);
  const { calibrate, test: judged } = await all(await openParts(path, { test: 20, calibrate: 150 }));
  expect(new Set([...calibrate, ...judged]).size).toBe(170);
});

test.each([
  [1000, 200],
  [100, 32],
  [46, 23],
  [2, 1],
])("openParts of a split of %i samples sets %i aside, at most half", async (count, aside) => {
  const path = await folder("some", { "test.csv": sorted(count) });
  const { calibrate, test: judged } = await openParts(path, { calibrate: 256 });
  expect([calibrate?.count, judged.count]).toEqual([aside, count - aside]);
});

test("openParts rejects too few samples with E_DATA", async () => {
  const path = await folder("single", { "train.csv": sorted(1), "test.csv": sorted(5) });
  await expect(openParts(path, { calibrate: 10 })).rejects.toMatchObject({ code: "E_DATA" });
  await expect(openParts(join(root, "nowhere"))).rejects.toMatchObject({ code: "E_FILE" });
});

describe("openParts on a module", () => {
  const rows = (values: string, count: number): string =>
    `{ x: { type: "float32", dims: [${count}, 1], data: Float32Array.from(${values}) } }`;

  test("calibrates with the first samples of a stream and excludes them from training", async () => {
    const source = `export async function* train() {
      for (let start = 0; start < 40; start += 8) yield ${rows("{ length: 8 }, (_, row) => start + row", 8)};
    }
    export async function* test() { yield ${rows("[100, 101]", 2)}; }`;
    const path = join(await folder("stream", { "data.mjs": source }), "data.mjs");
    const { train, calibrate, test: judged } = await openParts(path, { calibrate: 12 });
    expect(await column(calibrate, "x")).toEqual(Array.from({ length: 12 }, (_, row) => row));
    expect(await column(train, "x")).toEqual(Array.from({ length: 28 }, (_, row) => 12 + row));
    expect(await column(judged, "x")).toEqual([100, 101]);
  });

  test("splits a module's single dataset", async () => {
    const source = `const at = (positions) => (${rows("positions", 0).replace("[0, 1]", "[positions.length, 1]")});
    export default {
      name: "whole", count: 50, gather: at,
      async *batches({ size }) {
        for (let start = 0; start < 50; start += size)
          yield at(Uint32Array.from({ length: Math.min(size, 50 - start) }, (_, row) => start + row));
      },
    };`;
    const path = join(await folder("whole", { "data.mjs": source }), "data.mjs");
    const { train, calibrate, test: judged } = await openParts(path, { calibrate: 10, trains: true });
    const parts = [await column(train, "x"), await column(calibrate, "x"), await column(judged, "x")];
    expect(parts.map((part) => part.length)).toEqual([30, 10, 10]);
    expect(new Set(parts.flat()).size).toBe(50);
    expect((await openParts(path)).test.count).toBe(50);
  });

  test("splits a dataset that a function returns for either part", async () => {
    const source = `const at = (positions) => (${rows("positions", 0).replace("[0, 1]", "[positions.length, 1]")});
    const all = { name: "all", count: 50, gather: at, async *batches() { yield at(Uint32Array.from({ length: 50 }, (_, row) => row)); } };
    export default () => all;`;
    const path = join(await folder("function", { "data.mjs": source }), "data.mjs");
    const { train, test: judged } = await openParts(path, { trains: true });
    const parts = [await column(train, "x"), await column(judged, "x")];
    expect(parts.map((part) => part.length)).toEqual([40, 10]);
    expect(new Set(parts.flat()).size).toBe(50);
  });
});
