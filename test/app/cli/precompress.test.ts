import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { isCopy, wide } from "./precompressed.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at, folder } = smallModels();
const copies = ["--precompress", "gzip,br"];

describe("--precompress", () => {
  test("writes compressed copies next to the result, whose sizes are printed", async () => {
    await save(parseModel(wide), at("wide.onnx"));
    const out = at("codes.onnx");
    const words = ["quantize", at("wide.onnx"), "--scheme", "weights", "--force", ...copies, "-o", out];
    expect(await json(...words)).toMatchObject({
      code: 0,
      after: { gzip: statSync(`${out}.gz`).size, brotli: statSync(`${out}.br`).size, sampled: false },
      copies: [`${out}.gz`, `${out}.br`],
    });
    expect(isCopy(out)).toBe(true);
    const { out: text } = await pith(...words);
    expect(text).toMatch(/\nbytes .*\ngzip .*\nbrotli .*\n/);
    expect(text).toContain(`written: ${out} (replaced)  ${out}.gz (replaced)  ${out}.br (replaced)\n`);
    // Without copies, the sizes are the same.
    const { after } = (await json(...words.filter((word) => !copies.includes(word)))) as { after: object };
    expect(after).toMatchObject({ gzip: statSync(`${out}.gz`).size, brotli: statSync(`${out}.br`).size });
  });

  test("writes only the requested encoding, also for a simplified model", async () => {
    const out = at("simple.onnx");
    const { out: text } = await pith("simplify", at("right.onnx"), "--precompress", "br", "-o", out);
    expect(text).toContain(`written: ${out}  ${out}.br\n`);
    expect(brotliDecompressSync(readFileSync(`${out}.br`)).equals(readFileSync(out))).toBe(true);
    expect(existsSync(`${out}.gz`)).toBe(false);
  });

  test("rejects words that are not encodings, also for folders", async () => {
    expect(await pith("quantize", at("right.onnx"), "--scheme", "weights", "--precompress", "zip")).toMatchObject({
      code: 2,
      err: expect.stringContaining('--precompress: expected "gzip" or "br", got "zip".'),
    });
    await mkdir(at("variants/onnx"), { recursive: true });
    await save(parseModel(wide), at("variants/onnx/model.onnx"));
    expect(await pith("quantize", at("variants"), "--dtype", "q8", "--precompress", "zip")).toMatchObject({
      code: 2,
      err: expect.stringContaining('--precompress: expected "gzip" or "br", got "zip".'),
    });
    expect(existsSync(at("variants.quantized"))).toBe(false);
  });

  test("rejects a copy that would overwrite an input", async () => {
    const model = at("input.onnx.gz");
    await save(parseModel(wide), model);
    const out = at("input.onnx");
    expect(await pith("quantize", model, "--scheme", "weights", ...copies, "-o", out)).toMatchObject({
      code: 2,
      err: expect.stringContaining(`"${model}" is the model itself: the result would overwrite it.`),
    });
    expect(existsSync(out)).toBe(false);
  });

  test("warns of copies of an earlier model if the flag is missing", async () => {
    const out = at("stale.onnx");
    writeFileSync(`${out}.gz`, "old");
    const { err } = await pith("prune", at("right.onnx"), "--amount", "50%", "-o", out);
    expect(err).toContain(`copies of an earlier model stay, and servers send them instead of ${out}: ${out}.gz`);
    expect(readFileSync(`${out}.gz`, "utf8")).toBe("old");
  });

  test("leaves no temporary files", () => {
    expect(readdirSync(folder).filter((name) => basename(name).endsWith(".tmp"))).toEqual([]);
  });
});
