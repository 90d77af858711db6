/** Memory of training steps, measured as the peak of separate processes. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { open } from "../../src/core/onnx/index.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { parseNpz } from "../../src/data/files/npy.ts";
import { meanSquaredError } from "../../src/learn/train/index.ts";
import { createStep } from "../../src/learn/train/step.ts";
import { shared } from "../shared.ts";

interface Measured {
  readonly before: number;
  readonly peak: number;
  readonly gradients: string;
}

function measure(checkpointing: boolean): Measured {
  const script = fileURLToPath(new URL("checkpointing.script.ts", import.meta.url));
  const words = ["--conditions=pith-source", "--import", "tsx", script, String(checkpointing)];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: "utf8" })) as Measured;
}

test("48 layers need less than half the activation memory, with bit-equal gradients", () => {
  const [plain, again] = [measure(false), measure(true)];
  expect(again.gradients).toBe(plain.gradients);
  const [kept, recomputed] = [plain, again].map(({ peak, before }) => peak - before);
  expect(recomputed).toBeLessThan(0.5 * (kept ?? 0));
});

const folder = shared("data/zoo");

test
  .skipIf(folder === undefined)
  .each(["resnet_a", "mobilenet_v2", "hf_bert", "hf_llama_gqa", "clip", "unet_bilinear"])(
  "exported networks have gradients equal bit for bit: %s",
  async (name) => {
    const model = await open(`${folder}/${name}.onnx`);
    const arrays = await parseNpz(new Uint8Array(readFileSync(`${folder}/${name}.npz`)), name);
    const output = model.graph.outputs[0]?.name ?? "";
    const feeds = Object.fromEntries(Object.entries(arrays).filter(([key]) => !/^(output|target)\./.test(key)));
    const label = arrays[`output.${output}`];
    if (label === undefined) throw new Error(`${name} has no ${output}`);
    // The outputs in reverse order, so that the loss is not zero.
    const batch = { ...feeds, label: { ...label, data: label.data.slice().reverse() } as typeof label };
    const gradients: unknown[] = [];
    for (const checkpointing of [false, true]) {
      const step = await createStep(
        model,
        batch,
        { loss: meanSquaredError({ output, label: "label" }), checkpointing },
        completeContext(),
      );
      await step.run(batch);
      gradients.push(step.parameters.map((parameter) => [parameter.name, Array.from(parameter.gradient)]));
      await step.release();
    }
    expect(gradients[1]).toEqual(gradients[0]);
  },
);
