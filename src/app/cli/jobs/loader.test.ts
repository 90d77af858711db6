import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../../test/temporary.ts";
import loaderJob from "./loader.ts";

const library = pathToFileURL(createRequire(import.meta.url).resolve("@huggingface/transformers")).href;
test.each([{}, "BertModel", [3], null])(
  "uses the model type if `architectures` in config.json is %j",
  async (architectures) => {
    const folder = temporaryFolder();
    const asked = { library, folder, dtypes: { model: "fp32" }, texts: [], forced: undefined, isLarge: false } as const;
    const load = async (kind: string) => {
      await writeFile(join(folder, "config.json"), JSON.stringify({ architectures, model_type: kind }));
      return loaderJob(asked);
    };
    expect(await load("strange")).toEqual({ failed: "class", reason: 'it has no class for models of type "strange"' });
    expect(await load("bert")).toMatchObject({ failed: "load", reason: expect.stringContaining("model.onnx") });
  },
);
