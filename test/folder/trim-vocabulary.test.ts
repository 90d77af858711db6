/** Tests folders that are reduced to the tokens of given texts. */
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { trimFolder } from "../../src/app/folder/trim-vocabulary.ts";
import { open } from "../../src/core/onnx/index.ts";
import { folderOf, plain, root, written } from "./small-vocabulary.ts";

const json = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));

describe("trimFolder", () => {
  test("writes models, tokenizer and configurations for the tokens of the texts, and copies the rest", async () => {
    const out = join(root, "small");
    const result = await trimFolder(await folderOf("whole", plain), { texts: [await written()], out });
    expect(result).toMatchObject({
      kept: [0, 1, 2, 4, 5, 6, 7, 9],
      tokens: 10,
      models: [{ file: "onnx/model.onnx", compared: { texts: 2, difference: 0 } }],
    });
    expect(json(join(out, "config.json"))).toMatchObject({ vocab_size: 8, pad_token_id: 0, eos_token_id: 7 });
    expect(json(join(out, "tokenizer.json"))).toMatchObject({ model: { vocab: { blue: 3, "[SEP]": 7 } } });
    expect(readFileSync(join(out, "LICENSE"), "utf8")).toBe("free");
    expect((await open(join(out, "onnx", "model.onnx"))).graph.value("table")?.tensor?.dims).toEqual([8, 4]);
  });

  test("keeps no token for an id in config.json that is outside of the vocabulary", async () => {
    const [folder, out] = [await folderOf("larger", plain), join(root, "larger.small")];
    const config = json(join(folder, "config.json"));
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...Object(config), bos_token_id: 50256 }));
    const { kept } = await trimFolder(folder, { texts: [await written()], out });
    expect(kept).toEqual([0, 1, 2, 4, 5, 6, 7, 9]);
    expect(json(join(out, "config.json"))).toMatchObject({ vocab_size: 8, bos_token_id: 50256 });
  });

  test("removes missing variants from config.json", async () => {
    const [folder, out] = [await folderOf("variants", plain), join(root, "variants.small")];
    const config = Object(json(join(folder, "config.json")));
    const loaderConfig = { ...config, "transformers.js_config": { dtype: "q4", kv_cache_dtype: "float16" } };
    await writeFile(join(folder, "config.json"), JSON.stringify(loaderConfig));
    await trimFolder(folder, { texts: [await written()], out });
    expect(json(join(out, "config.json"))).toMatchObject({
      vocab_size: 8,
      "transformers.js_config": { dtype: { model: "fp32" }, kv_cache_dtype: "float16" },
    });
  });

  test("rejects a model that compares ids, and writes nothing", async () => {
    const [out, texts] = [join(root, "compares.small"), [await written()]];
    const nodes = `nine: int64[1] = [9]
  isLast = Equal(input_ids, nine)
  f = Cast(isLast) {to=1}
  axes: int64[1] = [2]
  g = Unsqueeze(f, axes)
  y = Add(h, g)`;
    await expect(trimFolder(await folderOf("compares", nodes), { texts, out })).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringMatching(/onnx\/model\.onnx gives different outputs: .* apart on 2 texts/),
    });
    expect(existsSync(out)).toBe(false);
  });

  test("fails if the texts contain every token", async () => {
    await writeFile(join(root, "all.txt"), "red greens blue a b grey\n");
    const all = trimFolder(await folderOf("all", plain), { texts: [join(root, "all.txt")], out: join(root, "none") });
    await expect(all).rejects.toMatchObject({ code: "E_UNSUPPORTED", message: expect.stringMatching(/All 10 tokens/) });
  });
});
