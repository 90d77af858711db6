/** Published models and data, the slower ones: what comes out is what other tools measured. */
import { describe, expect, test } from "vitest";
import {
  type Dataset,
  filesBeside,
  mapBatches,
  openDataset,
  openParts,
  parseStated,
  readingFor,
} from "../../src/data/index.ts";
import { createEngine } from "../../src/engine/index.ts";
import { createRunner } from "../../src/evaluate/index.ts";
import { open } from "../../src/onnx/index.ts";
import type { Batch, Dense } from "../../src/tensor/types.ts";
import { shared } from "../shared.ts";

async function outputs(path: string, dataset: Dataset): Promise<Batch[]> {
  const runner = await createRunner(createEngine(), await open(path), dataset.name);
  const found: Batch[] = [];
  for await (const batch of dataset.batches({ size: 64 })) found.push(await runner.run(batch));
  await runner.release();
  return found;
}

function numbers(dense: Dense | undefined): Float32Array {
  return dense?.type === "float32" ? dense.data : new Float32Array();
}

const llama = shared("data/models/llama_shakespeare/onnx/decoder_model.onnx");

describe.skipIf(llama === undefined)("running text", () => {
  test("is opened as windows for a language model, and as lines for any other", async () => {
    const model = await open(llama ?? "");
    const beside = await filesBeside(llama ?? "");
    expect(beside.architecture).toBe("LlamaForCausalLM");
    const reading = readingFor(model, beside, parseStated("length=64"));
    expect(reading.running?.length).toBe(64);
    const valid = shared("data/text/wikitext2-valid.txt") ?? "";
    const { train, test: part } = await openParts(valid, reading);
    const [first] = [
      await (async () => {
        for await (const batch of part.batches({ size: 2 })) return batch;
        return {};
      })(),
    ];
    expect([train, first.tokens?.dims, first.label?.dims]).toEqual([undefined, [2, 64], [2, 64]]);
    expect((await openDataset(valid)).count).toBeGreaterThan(2000);
  });
});

const wav = shared("data/audio/silero_test.wav");

describe.skipIf(wav === undefined)("Silero's voice detector", () => {
  test.each(["silero_vad", "silero_vad_16k_op15"])(
    "%s hears speech in 77.4 % of frames, its state carried from each to the next",
    async (name) => {
      const path = shared(`data/models/${name}.onnx`) ?? "";
      const model = await open(path);
      const reading = readingFor(model, await filesBeside(path), parseStated(""));
      expect(reading).toMatchObject({ frames: { frame: 512, context: 64, rate: 16000 }, inOrder: true });
      const sound = mapBatches(await openDataset(wav ?? "", reading), ({ audio, rate, begin }) => ({
        ...(audio === undefined ? {} : { input: audio }),
        ...(rate === undefined ? {} : { sr: rate }),
        ...(begin === undefined ? {} : { begin }),
      }));
      const speech = (await outputs(path, sound)).flatMap(({ output }) => Array.from(numbers(output)));
      expect(speech).toHaveLength(1875);
      expect(speech.filter((value) => value > 0.5)).toHaveLength(1452);
    },
  );
});
