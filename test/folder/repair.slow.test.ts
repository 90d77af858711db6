/** Variants of a folder that do not hold: those that are repaired, those that cannot be, and those that are not worth it. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { quantizeFolder } from "../../src/app/folder/quantize-folder.ts";
import type { FolderOptions } from "../../src/app/folder/run.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import type { Context } from "../../src/core/pass/pass.ts";
import { decoder, withOutliers } from "../outliers.ts";
import { temporaryFolder } from "../temporary.ts";
import { writeVocabulary } from "./small-vocabulary.ts";

let root = "";

/** One of its two large layers bears neither 8 bits nor 4; none of both bears 8; both bear 8, and not 4. */
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

test("what loses too much is repaired, and card and record say which layers stay in what form", async () => {
  const rows = await run(bearsOne);
  const spared = [expect.stringMatching(/^fc2: kept in float; it causes [\d.]+ % of the error \(\+1\d\.\d kB\)$/)];
  expect(rows).toMatchObject([
    { dtype: "q8", verdict: "kept", spared },
    { dtype: "q4", verdict: "kept", spared },
  ]);
  expect(await written("README.md")).toMatch(
    /^model_q4\.onnx meets the check only with 1 layer at higher precision than its dtype: fc2: kept in float; .*\.$/m,
  );
  const { files } = JSON.parse(await written("quantize_config.json"));
  expect(files["onnx/model_q4.onnx"]).toMatchObject({ spared });
});

test("what no layers repair is left out, and the reason says what was lost and tried", async () => {
  const rows = await run(bearsNone);
  const reason = expect.stringMatching(
    /signal to noise is −\d.* at least 3 dB are required.* no choice of layers keeps the goal and makes the file smaller: with \d layers? at higher precision/,
  );
  expect(rows).toMatchObject([
    { dtype: "q8", verdict: "refused", reason },
    { dtype: "q4", verdict: "refused", reason },
  ]);
  expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx"]);
});

test("what is repaired and then no smaller than a milder dtype is left out, whichever was made first", async () => {
  for (const dtypes of [["q8", "q4"], ["q4", "q8"], ["q4"]] as const) {
    const rows = await run(bears8, { dtypes });
    expect(rows.find(({ dtype }) => dtype === "q4")).toMatchObject({
      verdict: "refused",
      reason: expect.stringMatching(
        /^After repair it takes 12\.\d kB, not less than q8 with 12\.\d kB: fc3: kept at 8 bits; .*; fc2: kept at 8 bits; .* kB\)\.$/,
      ),
    });
    expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx", "model_quantized.onnx"]);
    expect(await written("README.md")).not.toContain("repaired");
  }
  const [alone] = await run(bears8, { dtypes: ["q4"], out: join(root, "alone") });
  expect(alone).toMatchObject({ verdict: "kept", spared: [{}, {}].map(() => expect.any(String)) });
});

test("what is repaired, no smaller, and clearly faster stays", async () => {
  const time: FolderOptions["time"] = ({ out }) => Promise.resolve({ work: out.endsWith("_q4.onnx") ? 0.7 : 1 });
  const rows = await run(bears8, { time });
  expect(rows.map(({ verdict }) => verdict)).toEqual(["kept", "kept"]);
});

test("a run that is stopped while layers are spared, and continued, writes the files of one that is not", async () => {
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
  expect(again.map(({ spared }) => spared)).toEqual(uninterruptedRows.map(({ spared }) => spared));
});

describe("what loses the tokens of texts, though it is near on random inputs,", () => {
  const texts = ["red greens a b", "blue reds", "grey"];
  beforeEach(() => writeVocabulary(join(root, "model")));

  test("is repaired by other texts, the same after a stop", async () => {
    const [plain] = await run(decoder, { dtypes: ["q8"] });
    expect(plain).toMatchObject({ verdict: "kept", nearness: { value: expect.closeTo(48.8, 0) } });
    expect(plain?.spared).toBeUndefined();
    const stop = new AbortController();
    const progress: Context["progress"] = (_done, _total, text) => {
      if (text?.includes("at higher precision") === true) stop.abort();
    };
    const stopped = run(decoder, { dtypes: ["q8"], texts }, { signal: stop.signal, progress });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    const [row] = await run(decoder, { dtypes: ["q8"], texts });
    expect(row).toMatchObject({
      verdict: "kept",
      spared: [expect.stringMatching(/^head: kept in float/)],
      together: { tokens: 72 },
    });
    expect(row?.together?.same).toBeGreaterThan(36);
    const [again] = await run(decoder, { dtypes: ["q8"], texts });
    expect(again).toMatchObject({ verdict: "there", spared: row?.spared, together: row?.together });
    const continued = await readFile(join(root, "out", "onnx", "model_quantized.onnx"));
    await run(decoder, { dtypes: ["q8"], texts, out: join(root, "whole") });
    expect(await readFile(join(root, "whole", "onnx", "model_quantized.onnx"))).toEqual(continued);
  });

  test("stays refused where it loses those that judge, or has no milder forms", async () => {
    const together: FolderOptions["together"] = () => Promise.resolve({ tokens: 100, same: 1 });
    const lost = "Only 1 of 100 generated tokens equal the original's.";
    expect(await run(decoder, { dtypes: ["q8", "fp16"], texts, together })).toMatchObject([
      { verdict: "refused", reason: `${lost} This includes 1 layer at higher precision.` },
      { verdict: "refused", reason: `${lost} None of its layers has a higher-precision form.` },
    ]);
    expect(await readdir(join(root, "out", "onnx"))).toEqual(["model.onnx"]);
  });
});
