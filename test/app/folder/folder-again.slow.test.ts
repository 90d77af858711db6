/** Tests second runs on a folder, rejections, compressed copies, and the choice of variants per module. */
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { PithError } from "../../../src/core/errors.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { files, network, smallFolders } from "./small-folders.ts";

const { at, source, out, write, modules, run, loaderOf, recordOf } = smallFolders();

const speedOf = (factor: number) =>
  ({ target: "node", where: "Node", factor, low: factor, high: factor, milliseconds: 1 }) as const;

describe("the kept variant of a module", () => {
  /** Returns variants with the given bytes, speed factors, and processor times as a share of the original's. */
  const weighing =
    (
      bytes: Readonly<Record<string, number>>,
      factors: Readonly<Record<string, number>> = {},
      work: Readonly<Record<string, number>> = {},
    ): FolderOptions["make"] =>
    async ({ source: from, out: to, dtype }) => {
      await save(await open(from), to);
      const key = from.includes("encoder") ? `encoder ${dtype}` : dtype;
      const factor = factors[dtype];
      const speeds = factor === undefined ? undefined : [speedOf(factor)];
      return { bytes: bytes[key] ?? bytes[dtype] ?? 0, measured: "", speeds, work: work[dtype] };
    };

  test("is the smallest without more processor time than the original, or as requested", async () => {
    await modules("model");
    const work = { q8: 0.9, q4: 2.3, int8: 0.1 };
    const make = weighing({ q8: 104, q4: 100, int8: 200 }, { q8: 3, q4: 1, int8: 9 }, work);
    const verdicts = async (purpose?: FolderOptions["purpose"]) =>
      (await run({ dtypes: ["q8", "q4", "int8"], make, keepSmallest: true, purpose })).map(({ verdict }) => verdict);
    expect(await verdicts()).toEqual(["kept", "passed over", "passed over"]);
    expect(await readdir(at("out", "onnx"))).toEqual(["model.onnx", "model_quantized.onnx"]);
    const card = await readFile(at("out", "README.md"), "utf8");
    expect(card).toContain("| 3.00 × (3.00–3.00) |");
    expect(card).toContain("Speed in Node: compared with the original, for one sample; in parentheses: most runs.");
    expect(card).not.toContain("WebGPU");
    expect(card).toContain(": the smallest that is about as fast as the original, or faster.");
    expect(await verdicts("size")).toEqual(["passed over", "kept", "passed over"]);
    expect(await verdicts("speed")).toEqual(["passed over", "passed over", "kept"]);
    expect(await readFile(at("out", "README.md"), "utf8")).toContain(": the fastest.");
  });

  test("is the smallest without processor times, and the card mentions no speed", async () => {
    await modules("model");
    await run({ make: weighing({ q8: 104, q4: 100 }), keepSmallest: true });
    expect(await readFile(at("out", "README.md"), "utf8")).toContain("of q8, q4: the smallest.\n");
    expect(await readFile(at("out", "README.md"), "utf8")).not.toContain("asked for");
  });

  test.each([
    [{ q8: 0.65 }, "`q4` is the smallest download.\n"],
    [{ q8: 0.65, q4: 0.8 }, "`q4` is the smallest download; none was faster than fp32 in Node.\n"],
    [{ q8: 2, q4: 0.8 }, "`q4` is the smallest download; `q8` was the fastest in Node.\n"],
  ])("with the speeds %j, the card claims only what they show", async (factors, line) => {
    await modules("model");
    await run({ make: weighing({ q8: 104, q4: 100 }, factors) });
    expect(await readFile(at("out", "README.md"), "utf8")).toContain(line);
  });

  test("is one that works with the kept variants of the other modules", async () => {
    await modules("encoder_model", "decoder_model_merged");
    await write("config.json", "{}");
    const together: FolderOptions["compareEndToEnd"] = async (paths) => {
      const resultOf = (base: string) => paths.find((one) => one.base === base)?.result ?? "";
      const isLost =
        resultOf("decoder_model_merged").includes("_q4") && resultOf("encoder_model").includes("_quantized");
      return { tokens: 100, same: isLost ? 1 : 100, blamed: 'The largest error comes from layer "a"' };
    };
    const make = weighing({ q8: 200, q4: 100, "encoder q4": 300 });
    const rows = await run({ make, compareEndToEnd: together, keepSmallest: true });
    expect(rows.find(({ verdict }) => verdict === "rejected")).toMatchObject({
      file: "onnx/decoder_model_merged_q4.onnx",
      reason: expect.stringMatching(
        /^Only 1 of \d+ generated tokens equal the original's\. The largest error comes from layer "a"\.$/,
      ),
    });
    expect(await loaderOf()).toEqual({ dtype: { decoder_model_merged: "q8", encoder_model: "q8", model: "q8" } });
    expect(await readFile(at("out", "README.md"), "utf8")).toContain('{ dtype: "q8" }');
  });
});

describe("a second run", () => {
  test("repeats variants that are missing, truncated or made with other settings", async () => {
    await modules("model");
    const verdicts = async (options?: Partial<FolderOptions>) => (await run(options)).map(({ verdict }) => verdict);
    expect(await verdicts()).toEqual(["kept", "kept"]);
    expect(await verdicts()).toEqual(["there", "there"]);
    await rm(at("out", "onnx", "model_q4.onnx"));
    expect(await verdicts()).toEqual(["there", "kept"]);
    await writeFile(at("out", "onnx", "model_quantized.onnx"), "half");
    expect(await verdicts()).toEqual(["kept", "there"]);
    expect(await verdicts({ quantize: { perChannel: false } })).toEqual(["kept", "kept"]);
    await save(network(9), at("model", "onnx", "model.onnx"));
    expect(await verdicts()).toEqual(["kept", "kept"]);
    expect(await readFile(at("out", "onnx", "model.onnx"))).toEqual(await readFile(at("model", "onnx", "model.onnx")));
  });

  test("removes variants of a changed original and of a missing module", async () => {
    await modules("model", "other");
    await run();
    await save(network(9), at("model", "onnx", "model.onnx"));
    await rm(at("model", "onnx", "other.onnx"));
    await run({ dtypes: ["q4"] });
    expect(Object.keys((await recordOf()).files)).toEqual(["onnx/model_q4.onnx"]);
    expect(await readdir(at("out", "onnx"))).toEqual(["model.onnx", "model_q4.onnx"]);
  });

  test("reads metric values and their samples from the record", async () => {
    await modules("model");
    const [first] = await run({ dtypes: ["q4"] });
    expect(await run({ dtypes: ["q4"] })).toEqual([{ ...first, verdict: "there" }]);
  });

  test("discards metric values on other samples, and repeats the variants", async () => {
    await modules("model");
    const figures = async () => (await recordOf()).files["onnx/model_quantized.onnx"];
    await run({ judgedBy: "first" });
    expect(await figures()).toHaveProperty("nearness");
    expect((await run({ dtypes: ["q4"], judgedBy: "second" })).map(({ verdict }) => verdict)).toEqual(["kept"]);
    expect(await figures()).not.toHaveProperty("nearness");
    expect((await recordOf()).files).toMatchObject({
      "onnx/model_quantized.onnx": { measured: "" },
      "onnx/model_q4.onnx": { measured: expect.stringContaining("signal to noise") },
    });
  });

  test("times variants that could not be timed before", async () => {
    await modules("model");
    const times = [{}, { work: 0.5 }, { speeds: [speedOf(2)], work: 0.6 }];
    const time: FolderOptions["time"] = async () => times.shift() ?? {};
    expect(await run({ dtypes: ["q4"], time })).toMatchObject([{ verdict: "kept" }]);
    expect(await run({ dtypes: ["q4"], time })).toMatchObject([{ verdict: "there", work: 0.5 }]);
    const timed = { verdict: "there", speeds: [{ factor: 2 }], work: 0.6 };
    expect(await run({ dtypes: ["q4"], time })).toMatchObject([timed]);
    expect(await run({ dtypes: ["q4"], time })).toMatchObject([timed]);
  });

  test("resumes a stopped run", async () => {
    await modules("model");
    const stop = new AbortController();
    const make: FolderOptions["make"] = async ({ source: from, out: to }) => {
      await save(await open(from), to);
      stop.abort();
      return { bytes: 1, measured: "" };
    };
    const stopped = quantizeFolder(source(), { dtypes: ["q8", "q4"], out: out(), make }, { signal: stop.signal });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    expect((await run({ make })).map(({ verdict }) => verdict)).toEqual(["there", "kept"]);
  });
});

describe("a rejection", () => {
  test("writes nothing if a model of the folder is broken or lacks its weights", async () => {
    await modules("model");
    await write("onnx/broken.onnx", "no model at all");
    await expect(run({ dtypes: ["q4"] })).rejects.toMatchObject({ message: expect.stringContaining("broken.onnx") });
    await rm(at("model", "onnx", "broken.onnx"));
    await save(network(5), at("model", "onnx", "other.onnx"), { externalData: true });
    await rm(at("model", "onnx", "other.onnx_data"));
    await expect(run({ dtypes: ["q4"] })).rejects.toMatchObject({
      message: expect.stringContaining("other.onnx_data"),
    });
    expect(await readdir(at())).toEqual(["model"]);
  });

  test("removes an older file that transformers.js would load, and unused weights", async () => {
    await modules("model");
    await run({ dtypes: ["q8", "q4"], fileBytes: 5000 });
    await run({
      dtypes: ["q8", "q4"],
      make: async ({ source: from, out: to, dtype }) => {
        if (dtype === "q4") throw new PithError("E_ACCURACY_LOST", "It is lost.");
        await save(await open(from), to);
        return { bytes: 1, measured: "" };
      },
    });
    expect(await readdir(at("out", "onnx"))).toEqual(["model.onnx", "model_quantized.onnx"]);
    expect(await loaderOf()).toBeUndefined();
  });

  test.each([
    ["model.onnx", /"model\.onnx" is not in a folder "onnx"/, /^mkdir .*onnx && mv /],
    ["onnx/model_q4.onnx", /has only variants \(model_q4\.onnx\)/, /in float32, as onnx\/model\.onnx/],
    ["model.safetensors", /contains no ONNX model/, /optimum-cli export onnx/],
    ["config.json", /contains no ONNX model/, /looks for onnx\/model\.onnx/],
  ])("of a folder with only %s has a hint", async (name, message, hint) => {
    await write(name, "");
    const error = await run().catch((error: unknown) => error);
    expect(error).toMatchObject({ code: "E_FILE" });
    expect(String(error).replaceAll(`${source()}/`, "")).toMatch(message);
    expect(error instanceof PithError && error.hint).toMatch(hint);
    expect(await readdir(at())).toEqual(["model"]);
  });

  test("is caused by settings that contradict a dtype", async () => {
    await modules("model");
    await expect(run({ quantize: { bits: 2 } })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});

describe("compressed copies", () => {
  const copied = async (name: string): Promise<readonly Buffer[]> => [
    gunzipSync(await readFile(at("out", "onnx", `${name}.gz`))),
    brotliDecompressSync(await readFile(at("out", "onnx", `${name}.br`))),
  ];
  const inOnnx = (): Promise<readonly string[]> => files(at("out", "onnx"));

  test("are written next to each file, with their sizes in the record and card", async () => {
    await modules("model");
    const rows = await run({ fileBytes: 1000, dtypes: ["q4"], precompress: ["gzip", "br"] });
    const names = ["model_q4.onnx", "model_q4.onnx_data", "model_q4.onnx_data_1"];
    expect(await inOnnx()).toEqual(
      ["model.onnx", ...names.flatMap((name) => [name, `${name}.br`, `${name}.gz`])].toSorted(),
    );
    for (const name of names) {
      const content = await readFile(at("out", "onnx", name));
      expect(await copied(name)).toEqual([content, content]);
    }
    const bytesOf = async (ending: string): Promise<number> => {
      const all = await Promise.all(names.map((name) => stat(at("out", "onnx", `${name}${ending}`))));
      return all.reduce((sum, { size }) => sum + size, 0);
    };
    const sizes = { gzip: await bytesOf(".gz"), brotli: await bytesOf(".br"), copies: ["gzip", "br"] };
    expect(rows).toMatchObject([sizes]);
    expect((await recordOf()).files).toMatchObject({ "onnx/model_q4.onnx": sizes });
    expect(await readFile(at("out", "README.md"), "utf8")).toContain("Compressed copies for servers: ");
  });

  test("are written by a later run without quantizing the model again", async () => {
    await modules("model");
    await run({ dtypes: ["q8"] });
    const { mtimeMs } = await stat(at("out", "onnx", "model_quantized.onnx"));
    expect(await run({ dtypes: ["q8"], precompress: ["br"] })).toMatchObject([{ verdict: "there", copies: ["br"] }]);
    expect(await run({ dtypes: ["q8"], precompress: ["gzip"] })).toMatchObject([{ copies: ["gzip", "br"] }]);
    const content = await readFile(at("out", "onnx", "model_quantized.onnx"));
    expect(await copied("model_quantized.onnx")).toEqual([content, content]);
    expect((await stat(at("out", "onnx", "model_quantized.onnx"))).mtimeMs).toBe(mtimeMs);
    // A missing copy is written again.
    await rm(at("out", "onnx", "model_quantized.onnx.gz"));
    await run({ dtypes: ["q8"], precompress: ["gzip"] });
    expect(await copied("model_quantized.onnx")).toEqual([content, content]);
  });

  test("are removed if a run without them writes the model again", async () => {
    await modules("model");
    await run({ dtypes: ["q8"], precompress: ["gzip", "br"] });
    const rows = await run({ dtypes: ["q8"], quantize: { perChannel: false } });
    expect(rows).toMatchObject([{ verdict: "kept" }]);
    expect(rows[0]?.copies).toBeUndefined();
    expect(await inOnnx()).toEqual(["model.onnx", "model_quantized.onnx"]);
  });

  test("do not overwrite a file of the user, with a warning", async () => {
    await modules("model");
    await mkdir(at("out", "onnx"), { recursive: true });
    await writeFile(at("out", "onnx", "model_quantized.onnx.gz"), "of the user");
    const logged: string[] = [];
    const log = ({ text }: { readonly text: string }): void => void logged.push(text);
    await quantizeFolder(source(), { dtypes: ["q8"], out: out(), precompress: ["gzip", "br"] }, { log });
    expect(await readFile(at("out", "onnx", "model_quantized.onnx.gz"), "utf8")).toBe("of the user");
    expect(logged).toContainEqual(expect.stringContaining("copies of an earlier model stay"));
    expect(logged).toContainEqual(
      expect.stringContaining("model_quantized.onnx.gz stays as it is: Pith did not write it"),
    );
  });

  test("are replaced after a run that was killed while it wrote them", async () => {
    await modules("model");
    await run({ dtypes: ["q8"] });
    // The record names the copy before it is written.
    const record = await recordOf();
    const copy = "onnx/model_quantized.onnx.gz";
    const written = { ...Object(Reflect.get(record, "written")), [copy]: [] };
    await writeFile(at("out", "quantize_config.json"), JSON.stringify({ ...record, written }));
    await writeFile(at("out", copy), "another copy");
    await run({ dtypes: ["q8"], precompress: ["gzip", "br"] });
    const content = await readFile(at("out", "onnx", "model_quantized.onnx"));
    expect(await copied("model_quantized.onnx")).toEqual([content, content]);
  });
});
