/** Files of a folder that are split or have low entropy, and dtypes that fail together. */
import { stat } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { smallFolders } from "./small-folders.ts";

const { at, source, write, modules, run, loaderOf } = smallFolders();

describe("a folder with one model", () => {
  test("splits weights into files of the requested size, which config.json names", async () => {
    await modules("model");
    const device_config = { webgpu: { use_external_data_format: true }, wasm: { dtype: "q8" } };
    const loaderConfig = { device: "webgpu", use_external_data_format: { model: true }, device_config };
    await write("config.json", JSON.stringify({ "transformers.js_config": loaderConfig }));
    await run({ dtypes: ["q8", "q4"], fileBytes: 5000 });
    const chunks = { "model.onnx": 0, "model_q4.onnx": 2, "model_quantized.onnx": 2 };
    expect(await loaderOf()).toEqual({
      device: "webgpu",
      use_external_data_format: { model: true, ...chunks },
      device_config: { webgpu: { use_external_data_format: chunks }, wasm: { dtype: "q8" } },
    });
    for (const name of ["model_quantized.onnx_data", "model_quantized.onnx_data_1", "model_q4.onnx_data_1"])
      expect((await stat(at("out", "onnx", name))).size).toBeLessThanOrEqual(5000);
    await open(at("out", "onnx", "model_quantized.onnx"));
  });
});

test.each([
  ["the encoder if it loses most", { encoder: 0.004, decoder: 0.001 }, 50, "encoder"],
  ["the decoder if it loses most", { encoder: 0.001, decoder: 0.004 }, 50, "decoder"],
  ["the smaller file of equal losses", { encoder: 0.001, decoder: 0.001 }, 40, "encoder"],
] as const)(
  "combines the dtypes of fewest bits, and rejects %s if they fail together",
  async (_, losses, q4, replaced) => {
    await modules("encoder_model", "decoder_model_merged");
    await write("config.json", "{}");
    const sizes = { q8: 60, q4: 50, fp16: 80 };
    const combinations: string[] = [];
    const rows = await run({
      dtypes: ["q8", "q4", "fp16"],
      keepSmallest: true,
      makesTogether: true,
      make: async ({ source: from, out: to, dtype }) => {
        await save(await open(from), to);
        const name = from.includes("encoder") ? "encoder" : "decoder";
        const loss = dtype === "q4" ? losses[name] : 0;
        const nearness = { metric: "word error rate", unit: "share", value: 0.1 + loss, difference: loss } as const;
        const bytes = dtype === "q4" && name === "encoder" ? q4 : Number(Reflect.get(sizes, dtype));
        return { bytes, measured: "", nearness };
      },
      compareEndToEnd: (models) => {
        const dtypes = models.map(({ result }) => /_(quantized|q4|fp16)/.exec(result)?.[1] ?? "fp32");
        combinations.push(dtypes.join(" + "));
        return Promise.resolve(dtypes.every((dtype) => dtype === "q4") ? { lost: "Both lose too much." } : {});
      },
    });
    const isEncoder = replaced === "encoder";
    expect(combinations).toEqual(["q4 + q4", isEncoder ? "q4 + quantized" : "quantized + q4"]);
    expect(rows.filter(({ verdict }) => verdict === "kept").map(({ file }) => file)).toEqual(
      isEncoder
        ? ["onnx/decoder_model_merged_q4.onnx", "onnx/encoder_model_quantized.onnx"]
        : ["onnx/encoder_model_q4.onnx", "onnx/decoder_model_merged_quantized.onnx"],
    );
  },
);

describe("low-entropy values", () => {
  const x = float32(
    [64, 64],
    Array.from({ length: 64 * 64 }, (_, at) => Math.sin(at * at)),
  );

  test("are written into the 8-bit files only, which become smaller downloads", async () => {
    await modules("model");
    const plain = await run();
    const quantize = { data: memory("x", { x }), rounder: "rdoq", distortion: 0.05 } as const;
    const [q8, q4] = await quantizeFolder(source(), { dtypes: ["q8", "q4"], out: at("low"), quantize });
    expect([q8, q4]).toMatchObject([{ verdict: "kept" }, { verdict: "kept" }]);
    expect(q8?.brotli).toBeLessThan(0.7 * (plain[0]?.brotli ?? 0));
    expect(q8?.bytes).toBeGreaterThan(0.8 * (plain[0]?.bytes ?? 0));
  });

  test.each<[string, Partial<FolderOptions>, string]>([
    ["dtype has 8 bits", { dtypes: ["q4", "fp16"], quantize: { rounder: "rdoq" } }, "q4, fp16"],
    [
      "dtype has integers, as q8 for WebGPU",
      { dtypes: ["q8"], quantize: { rounder: "rdoq", target: ["webgpu"] } },
      "q8",
    ],
  ])("are rejected if no %s", async (_, options, names) => {
    await modules("model");
    await expect(run(options)).rejects.toMatchObject({
      code: "E_OPTION",
      message: `quantize: \`rounder\`: rdoq is for the dtypes q8, int8 and uint8, and not for q8 with the target webgpu alone, got ${names}.`,
    });
  });
});
