/** Tests `pith prune --vocabulary`. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { folderOf, plain, root, texts, written } from "../folder/small-vocabulary.ts";
import { pith } from "./run.ts";

describe("prune --vocabulary", () => {
  test("prints the number of kept tokens, and compares outputs", async () => {
    const [folder, out] = [await folderOf("told", plain), join(root, "told.out")];
    const { code, out: output } = await pith("prune", folder, "--vocabulary", await written(), "-o", out);
    expect(code).toBe(0);
    expect(output).toMatch(/tokens: 8 of 10 are kept/);
    expect(output).toMatch(/the same tokens for all of 2 texts/);
    expect(output).toMatch(/onnx\/model\.onnx: h; the same outputs as the original, on 2 texts/);
    const again = await pith("prune", folder, "--vocabulary", texts, "-o", out);
    expect(again).toMatchObject({ code: 2, err: expect.stringMatching(/already contains files/) });
  });

  test.each([
    [["--amount", "50%"], /accepts a folder and -o, but not --amount/],
    [["--data", "x.txt"], /accepts a folder and -o, but not --data/],
  ])("rejects %j", async (flags, message) => {
    const result = await pith("prune", await folderOf("flags", plain), "--vocabulary", await written(), ...flags);
    expect(result).toMatchObject({ code: 2, err: expect.stringMatching(message) });
  });

  test("reads each line as a text, also without a final line break", async () => {
    for (const [name, text] of [
      ["broken.txt", "red reds\n"],
      ["unbroken.txt", "red reds"],
    ] as const) {
      await writeFile(join(root, name), text);
      const out = join(root, `${name}.out`);
      const result = await pith(
        "prune",
        await folderOf(`of ${name}`, plain),
        "--vocabulary",
        join(root, name),
        "-o",
        out,
      );
      expect(result.out).toMatch(/the same tokens for all of 1 text$/m);
    }
  });

  test.each([
    ["missing.txt", undefined, /There is no data at/],
    ["notes.docx", "PK", /is not a data set in a known format/],
    ["numbers.csv", "a,b\n1,2\n", /holds none/],
  ])("rejects %s and lists the formats for texts", async (name, content, message) => {
    if (content !== undefined) await writeFile(join(root, name), content);
    const result = await pith("prune", await folderOf("sources", plain), "--vocabulary", join(root, name));
    expect(result).toMatchObject({ code: 1, err: expect.stringMatching(message) });
    expect(result.err).toMatch(/The texts of the vocabulary: .*\nhint: A \.txt file, a text per line; or a \.csv/);
  });

  test("rejects a file", async () => {
    const model = join(await folderOf("file", plain), "onnx", "model.onnx");
    const result = await pith("prune", model, "--vocabulary", await written());
    expect(result).toMatchObject({ code: 2, err: expect.stringMatching(/is for a folder, with tokenizer\.json/) });
  });

  test("rejects a folder without a tokenizer", async () => {
    const folder = join(root, "bare");
    await mkdir(join(folder, "onnx"), { recursive: true });
    await save(
      parseModel("opset 18\ngraph (x: float32[2]) -> (y) {\n  y = Tanh(x)\n}"),
      join(folder, "onnx", "model.onnx"),
    );
    const result = await pith("prune", folder, "--vocabulary", await written());
    expect(result).toMatchObject({ code: 1, err: expect.stringMatching(/has no tokenizer\.json/) });
  });
});
