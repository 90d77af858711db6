/** A decoder whose layers are operators of the runtime generates the tokens of its original in transformers.js. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { runWithProcesses } from "../app/cli/run.ts";
import { realModel, shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { type Answers, answers } from "./answers.ts";

const out = temporaryFolder();
const promptCount = 50;

/** Returns the first words of long lines: 2 words of the first line, 3 of the next one, … up to 7. */
async function readPrompts(file: string): Promise<readonly string[]> {
  const lines = (await readFile(file, "utf8")).split("\n").map((text) => text.trim().split(/\s+/));
  return lines
    .filter((words) => words.length > 7)
    .slice(0, promptCount)
    .map((words, index) => words.slice(0, 2 + (index % 6)).join(" "));
}

const models = [
  ["llama_shakespeare", shared("data/models/llama_shakespeare"), shared("data/text/tinyshakespeare.txt")],
  ["smollm2-135m", realModel("smollm2-135m"), shared("data/text/wikitext2-valid.txt")],
] as const;

describe.each(models)("%s", (name, folder = "", file = "") => {
  const isPresent = folder !== "" && file !== "";
  const generateWith = async (parent: string, dtype: "fp32" | "q4" | "q4f16", steps: number) => {
    const texts = await readPrompts(file);
    expect(texts).toHaveLength(promptCount);
    const asked = { models: `${parent}/`, name, task: "text-generation", device: "cpu", texts, steps } as const;
    const { [dtype]: result = { alone: [], batch: [] } } = await answers({ ...asked, dtypes: [dtype] });
    return result;
  };
  let original: Answers = { alone: [], batch: [] };
  beforeAll(async () => {
    if (isPresent) original = await generateWith(dirname(folder), "fp32", 16);
  });

  test.skipIf(!isPresent).each([["node,wasm"], ["webgpu"]])(
    "generates the same tokens for 50 prompts, alone and in a padded batch, with the operators of %s",
    async (target) => {
      const parent = join(out, target);
      const { code, err } = await runWithProcesses("simplify", folder, "--target", target, "-o", join(parent, name));
      expect({ code, err }).toMatchObject({ code: 0 });
      expect(await generateWith(parent, "fp32", 16)).toEqual(original);
    },
  );

  test.skipIf(!isPresent).each(["q4", "q4f16"] as const)("%s begins as the original does", async (dtype) => {
    const parent = join(out, dtype);
    const { code, err } = await runWithProcesses("quantize", folder, "--dtype", dtype, "-o", join(parent, name));
    expect({ code, err }).toMatchObject({ code: 0 });
    const { alone } = await generateWith(parent, dtype, 1);
    const sameCount = alone.filter((text, index) => original.alone[index]?.startsWith(text)).length;
    expect(sameCount).toBeGreaterThanOrEqual(0.8 * promptCount);
  });
});
