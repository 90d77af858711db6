/** Compares slower results on published models and data with measurements by other tools. */
import { describe, expect, test } from "vitest";
import { open } from "../../src/core/onnx/index.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { contentHash } from "../../src/data/batches/content-hash.ts";
import { mapBatches, openDataset } from "../../src/data/index.ts";
import { parsePreprocessingSpec } from "../../src/data/sidecars/preprocessing-spec.ts";
import { datasetOptionsFor, readSidecars } from "../../src/data/sidecars/sidecars.ts";
import { openParts } from "../../src/data/sources/parts.ts";
import { shared } from "../shared.ts";
import { floats, outputs } from "./outputs.ts";

const llama = shared("data/models/llama_shakespeare/onnx/decoder_model.onnx");
const prose = shared("data/text/wikitext2-valid.txt");

test.skipIf(llama === undefined || prose === undefined)(
  "text is read as token windows for a language model, and as lines otherwise",
  async () => {
    const beside = await readSidecars(llama ?? "");
    expect(beside.architecture).toBe("LlamaForCausalLM");
    const reading = datasetOptionsFor(await open(llama ?? ""), beside, parsePreprocessingSpec("length=64"));
    expect(reading.runningText?.length).toBe(64);
    const { train, test: part } = await openParts(prose ?? "", reading);
    let first: Batch = {};
    for await (const batch of part.batches({ size: 2 })) {
      first = batch;
      break;
    }
    expect([train, first.tokens?.dims, first.label?.dims]).toEqual([undefined, [2, 64], [2, 64]]);
    expect((await openDataset(prose ?? "")).count).toBeGreaterThan(2000);
  },
);

const wav = shared("data/audio/silero_test.wav");

describe.skipIf(wav === undefined)("Silero's voice detector", () => {
  test.each(["silero_vad", "silero_vad_16k_op15"])(
    "%s detects speech in 77.4 % of frames, with its state carried between frames",
    async (name) => {
      const path = shared(`data/models/${name}.onnx`) ?? "";
      const reading = datasetOptionsFor(
        await open(path),
        await readSidecars(path),
        parsePreprocessingSpec("frame=512 context=64 rate=16000"),
      );
      expect(reading).toMatchObject({ frames: { frame: 512, context: 64, rate: 16000 }, inOrder: true });
      const sound = mapBatches(await openDataset(wav ?? "", reading), ({ audio, rate, begin }) => ({
        ...(audio === undefined ? {} : { input: audio }),
        ...(rate === undefined ? {} : { sr: rate }),
        ...(begin === undefined ? {} : { begin }),
      }));
      const speech = (await outputs(path, sound)).flatMap(({ output }) => Array.from(floats(output)));
      expect(speech).toHaveLength(1875);
      expect(speech.filter((value) => value > 0.5)).toHaveLength(1452);
    },
  );
});

describe.skipIf(shared("data/mnist") === undefined)("published images", () => {
  const part = (name: string, of: "train" | "test") => openDataset(shared(`data/${name}`) ?? "", { part: of });

  test.each([
    ["mnist", 60_000, 10_000, [1, 28, 28], [7, 2, 1, 0, 4, 1, 4, 9]],
    ["cifar10", 20_000, 1000, [3, 32, 32], [3, 8, 8, 0, 6, 6, 1, 6]],
  ])("%s has %i training samples and %i test samples", async (name, most, few, dims, labels) => {
    const [train, test] = [await part(name, "train"), await part(name, "test")];
    expect([train.count, test.count]).toEqual([most, few]);
    for await (const { image, label } of test.batches({ size: labels.length })) {
      expect(image?.dims).toEqual([labels.length, ...dims]);
      expect(Array.from(label?.data ?? [], Number)).toEqual(labels);
      break;
    }
    expect(await contentHash(test)).not.toBe(await contentHash(train));
  });
});
