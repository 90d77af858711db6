/** Variants and originals that their author changed are kept. */
import { mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { FolderFile } from "../../../src/app/folder/folder-run.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { authoredFolders, network, textOf } from "./authored-folders.ts";

const { source, out, given, run } = authoredFolders();

describe("a variant", () => {
  const listVerdicts = (rows: readonly FolderFile[]) => rows.map(({ verdict, reason = "" }) => `${verdict} ${reason}`);
  const kept = [
    expect.stringMatching(/^rejected (it|onnx\/model_q4\.onnx_data) stays as it is: Pith did not write it, or/),
  ];

  test.each(["changed since", "of somebody else"])(
    "is kept if it is %s, and its row states the reason",
    async (which) => {
      const file = out("onnx/model_q4.onnx");
      if (which === "changed since") await run();
      await mkdir(out("onnx"), { recursive: true });
      await save(network(7), file);
      const before = await readFile(file);
      for (const options of [{}, { keepSmallest: true }, { settings: { other: true } }]) {
        const { rows } = await run(options);
        expect(listVerdicts(rows)).toEqual(kept);
        expect(rows.find(({ verdict }) => verdict === "rejected")?.reason).toMatch(
          /\. Remove it, or write to another folder\.$/,
        );
        expect(await readFile(file)).toEqual(before);
        expect(await textOf(out("README.md"))).not.toContain("| q4 |");
      }
      await given(2);
      expect(listVerdicts((await run()).rows)).toEqual(kept);
      expect(await readFile(file)).toEqual(before);
      await rm(file);
      expect((await run()).rows).toMatchObject([{ verdict: "kept" }]);
    },
  );

  test("is kept if its weights have no model or were replaced", async () => {
    await mkdir(out("onnx"), { recursive: true });
    await writeFile(out("onnx/model_q4.onnx_data"), "by the author");
    expect(listVerdicts((await run()).rows)).toEqual(kept);
    expect(await textOf(out("onnx/model_q4.onnx_data"))).toBe("by the author");
    await rm(out("onnx/model_q4.onnx_data"));
    await run({ fileBytes: 5000 });
    const data = await readFile(out("onnx/model_q4.onnx_data"));
    await writeFile(out("onnx/model_q4.onnx_data"), data.fill(1));
    expect(listVerdicts((await run({ fileBytes: 5000 })).rows)).toEqual(kept);
  });

  test("is written again if it is truncated", async () => {
    await run();
    await truncate(out("onnx/model_q4.onnx"), 5000);
    expect((await run()).rows).toMatchObject([{ verdict: "kept" }]);
    await save(network(7), out("onnx/model_q4.onnx"));
    await truncate(out("onnx/model_q4.onnx"), 5000);
    expect((await run()).rows).toMatchObject([{ verdict: "kept" }]);
  });

  test("is written again if a killed run did not record it", async () => {
    const real = { make: undefined };
    await run({ ...real, dtypes: ["q8"] });
    const record = await textOf(out("quantize_config.json"));
    await run(real);
    await writeFile(out("quantize_config.json"), record);
    expect((await run(real)).rows).toMatchObject([{ verdict: "kept" }]);
    // Simulates a kill while the file is written again with other settings.
    let meanwhile = "";
    await run({
      fileBytes: 1000,
      make: async ({ out: to, dtype }) => {
        meanwhile = await textOf(out("quantize_config.json"));
        const other = await open(source("onnx/model.onnx"));
        await quantize(other, { dtype });
        await save(other, to, { fileBytes: 1000 });
        return { bytes: 1, measured: "" };
      },
    });
    await writeFile(out("quantize_config.json"), meanwhile);
    expect((await run(real)).rows).toMatchObject([{ verdict: "kept" }]);
  });
});

describe("the original", () => {
  test("is copied again if the source changed or the copy is truncated", async () => {
    await run();
    await given(2);
    await run();
    expect(await readFile(out("onnx/model.onnx"))).toEqual(await readFile(source("onnx/model.onnx")));
    await truncate(out("onnx/model.onnx"), 5000);
    await run();
    expect(await readFile(out("onnx/model.onnx"))).toEqual(await readFile(source("onnx/model.onnx")));
  });

  test("does not overwrite another model, and nothing else is written", async () => {
    await mkdir(out("onnx"), { recursive: true });
    await save(network(7), out("onnx/model.onnx"));
    const before = await readFile(out("onnx/model.onnx"));
    await expect(run()).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("Pith did not write it"),
    });
    expect(await readFile(out("onnx/model.onnx"))).toEqual(before);
    await expect(textOf(out("README.md"))).rejects.toThrow();
  });
});
