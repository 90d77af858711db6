/** Tests folders whose variants keep layers at higher precision. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { quantizeFolder } from "../../src/app/folder/quantize-folder.ts";
import type { FolderFile } from "../../src/app/folder/run.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { writeVocabulary } from "../folder/small-vocabulary.ts";
import { decoder, outliers, withOutliers } from "../outliers.ts";
import { given } from "./model-folders.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at, folder } = smallModels();
beforeAll(async () => {
  await save(parseModel(outliers), at("outliers.onnx"));
});

describe("a layer that quantization ruins", () => {
  test("stays at higher precision in compress of a folder if the result is the smallest", async () => {
    const model = await given(folder, "compressed", withOutliers(60), "config.json");
    const out = join(folder, "smallest");
    const { files } = await json("compress", model, "--for", "size", "-o", out);
    const rows = files as readonly FolderFile[];
    expect(rows.filter(({ verdict }) => verdict === "kept")).toEqual([
      expect.objectContaining({
        dtype: "bnb4",
        preciseLayers: [expect.stringMatching(/^fc2: kept at 8 bits; it causes/)],
      }),
    ]);
    expect(readFileSync(join(out, "README.md"), "utf8")).toMatch(
      /^model_bnb4\.onnx meets the check only with .* fc2: kept at 8 bits; it causes/m,
    );
  });
});

test("keeps layers at higher precision if generated tokens are lost, unless --no-fallback", async () => {
  const model = await given(folder, "decoder", decoder);
  await writeVocabulary(model);
  writeFileSync(join(model, "config.json"), "{}");
  writeFileSync(at("lines.txt"), "red greens a b\nblue reds\ngrey\n");
  const line = ["quantize", model, "--dtype", "q8", "--text", at("lines.txt"), "-o", join(folder, "decoder.web")];
  const { code, out, err } = await pith(...line);
  expect(code, err).toBe(0);
  expect(err).toContain(
    "the models of the folder lose too much together: looking for the layers with the largest error",
  );
  expect(out).toMatch(/^model_quantized\.onnx meets the check only with 1 layer .* head: kept in float; /m);
  const rejected = await pith(...line, "--no-fallback");
  expect(rejected).toMatchObject({
    code: 1,
    out: expect.stringMatching(/rejected: model_quantized\.onnx: Only \d+ of 72 generated tokens equal/),
  });
});

describe("a layer that quantization ruins", () => {
  test("stays in float in a folder's variant, which is then written", async () => {
    const model = await given(folder, "folder", outliers);
    const [row] = await quantizeFolder(model, { dtypes: ["q4"], out: join(folder, "made") });
    expect(row).toMatchObject({
      verdict: "kept",
      preciseLayers: [expect.stringMatching(/^fc2: kept in float; it causes/)],
    });
    const { out } = await pith("quantize", model, "--dtype", "q8", "-o", join(folder, "printed"));
    expect(out).toMatch(
      /^model_quantized\.onnx meets the check only with 1 layer at higher precision than its dtype: fc2: kept in float/m,
    );
    expect(readdirSync(join(folder, "printed", "onnx"))).toContain("model_quantized.onnx");
  });
});
