/** Tests variants that fail the check: with layers at higher precision, without a solution, or without a gain. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import type { Context } from "../../../src/core/pass/pass.ts";
import { decoder, withOutliers } from "../../outliers.ts";
import { temporaryFolder } from "../../temporary.ts";
import { writeVocabulary } from "./small-vocabulary.ts";

let root = "";

/** One of the two large layers tolerates neither 8 nor 4 bits; neither layer tolerates 8; both tolerate 8, but not 4. */
const [bearsOne, bearsNone, bears8] = [withOutliers(1000), withOutliers(1000, true), withOutliers(60, true)];

beforeEach(() => {
  root = temporaryFolder();
});

async function run(model: string, options: Partial<FolderOptions> = {}, context: Partial<Context> = {}) {
  const source = join(root, "model");
  await mkdir(join(source, "onnx"), { recursive: true });
  await save(parseModel(model), join(source, "onnx", "model.onnx"));
  return quantizeFolder(source, { dtypes: ["q8", "q4"], out: join(root, "out"), ...options }, context);
}

const written = (...names: readonly string[]): Promise<string> => readFile(join(root, "out", ...names), "utf8");

test("keeps layers at higher precision, and names them on the card and in the record", async () => {
  const rows = await run(bearsOne);
  const preciseLayers = [
    expect.stringMatching(/^fc2: kept in float; it causes [\d.]+ % of the error \(\+1\d\.\d kB\)$/),
  ];
  expect(rows).toMatchObject([
    { dtype: "q8", verdict: "kept", preciseLayers },
    { dtype: "q4", verdict: "kept", preciseLayers },
  ]);
  expect(await written("README.md")).toMatch(
    /^model_q4\.onnx meets the check only with 1 layer at higher precision than its dtype: fc2: kept in float; .*\.$/m,
  );
  const { files } = JSON.parse(await written("quantize_config.json"));
  expect(files["onnx/model_q4.onnx"]).toMatchObject({ preciseLayers });
});

test("omits a variant that no choice of layers repairs, with the reason", async () => {
  const rows = await run(bearsNone);
  const reason = expect.stringMatching(
    /signal to noise is −\d.* at least 3 dB are required.* no choice of layers keeps the goal/,
  );
  expect(rows).toMatchObject([
    { dtype: "q8", verdict: "rejected", reason },
    { dtype: "q4", verdict: "rejected", reason },
  ]);
  expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx"]);
});

test("omits a repaired variant that is not smaller than a higher-precision dtype, in any order", async () => {
  for (const dtypes of [["q8", "q4"], ["q4", "q8"], ["q4"]] as const) {
    const rows = await run(bears8, { dtypes });
    expect(rows.find(({ dtype }) => dtype === "q4")).toMatchObject({
      verdict: "rejected",
      reason: expect.stringMatching(
        /^After repair it takes 12\.\d kB, not less than q8 with 12\.\d kB: fc3: kept at 8 bits; .*; fc2: kept at 8 bits; .* kB\)\.$/,
      ),
    });
    expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx", "model_quantized.onnx"]);
    expect(await written("README.md")).not.toContain("repaired");
  }
  const [alone] = await run(bears8, { dtypes: ["q4"], out: join(root, "alone") });
  expect(alone).toMatchObject({ verdict: "kept", preciseLayers: [{}, {}].map(() => expect.any(String)) });
});

test("keeps a repaired variant that is not smaller, but clearly faster", async () => {
  const time: FolderOptions["time"] = ({ out }) => Promise.resolve({ work: out.endsWith("_q4.onnx") ? 0.7 : 1 });
  const rows = await run(bears8, { time });
  expect(rows.map(({ verdict }) => verdict)).toEqual(["kept", "kept"]);
});

test("a run that is stopped during the repair resumes to the same files", async () => {
  const stop = new AbortController();
  const progress: Context["progress"] = (_done, _total, text) => {
    if (text?.includes("at higher precision") === true) stop.abort();
  };
  await expect(run(bearsOne, {}, { signal: stop.signal, progress })).rejects.toMatchObject({ code: "E_STOPPED" });
  expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx"]);
  const rows = await run(bearsOne);
  const again = await run(bearsOne);
  expect(again.map(({ verdict }) => verdict)).toEqual(["there", "there"]);
  const continued = await Promise.all(rows.map(({ file }) => readFile(join(root, "out", file))));
  const uninterruptedRows = await run(bearsOne, { out: join(root, "whole") });
  expect(await Promise.all(uninterruptedRows.map(({ file }) => readFile(join(root, "whole", file))))).toEqual(
    continued,
  );
  expect(again.map(({ preciseLayers }) => preciseLayers)).toEqual(
    uninterruptedRows.map(({ preciseLayers }) => preciseLayers),
  );
});

describe("a variant that loses generated tokens, although its outputs are near,", () => {
  const texts = ["red greens a b", "blue reds", "grey"];
  beforeEach(() => writeVocabulary(join(root, "model")));

  test("is repaired with texts that are not test texts, also after a stop", async () => {
    const [plain] = await run(decoder, { dtypes: ["q8"], out: join(root, "plain") });
    expect(plain?.verdict).toBe("kept");
    expect(plain?.preciseLayers).toContainEqual(expect.stringMatching(/^head: kept in float/));
    expect(plain?.nearness?.value).toBeGreaterThan(0.5);
    const stop = new AbortController();
    const progress: Context["progress"] = (_done, _total, text) => {
      if (text?.includes("at higher precision") === true) stop.abort();
    };
    const stopped = run(decoder, { dtypes: ["q8"], texts }, { signal: stop.signal, progress });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    const [row] = await run(decoder, { dtypes: ["q8"], texts });
    expect(row).toMatchObject({ verdict: "kept", together: { tokens: 72 } });
    expect(row?.preciseLayers).toContainEqual(expect.stringMatching(/^head: kept in float/));
    expect(row?.together?.same).toBeGreaterThan(36);
    const [again] = await run(decoder, { dtypes: ["q8"], texts });
    expect(again).toMatchObject({ verdict: "there", preciseLayers: row?.preciseLayers, together: row?.together });
    const continued = await readFile(join(root, "out", "onnx", "model_quantized.onnx"));
    await run(decoder, { dtypes: ["q8"], texts, out: join(root, "whole") });
    expect(await readFile(join(root, "whole", "onnx", "model_quantized.onnx"))).toEqual(continued);
  });

  test("is rejected if it loses the test texts, or has no higher-precision format", async () => {
    const together: FolderOptions["compareEndToEnd"] = () => Promise.resolve({ tokens: 100, same: 1 });
    const lost = "Only 1 of 100 generated tokens equal the original's.";
    expect(await run(decoder, { dtypes: ["q8", "fp16"], texts, compareEndToEnd: together })).toMatchObject([
      { verdict: "rejected", reason: `${lost} This includes 2 layers at higher precision.` },
      { verdict: "rejected", reason: `${lost} None of its layers has a higher-precision form.` },
    ]);
    expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx"]);
  });
});
