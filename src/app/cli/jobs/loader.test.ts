import { stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { shared } from "../../../../test/shared.ts";
import { temporaryFolder } from "../../../../test/temporary.ts";
import loaderJob from "./loader.ts";

const library = pathToFileURL(createRequire(import.meta.url).resolve("@huggingface/transformers")).href;
test.each([{}, "BertModel", [3], null])(
  "uses the model type if `architectures` in config.json is %j",
  async (architectures) => {
    const folder = temporaryFolder();
    const asked = {
      library,
      folder,
      dtypes: { model: "fp32" },
      texts: [],
      forcedTokens: undefined,
      isLarge: false,
    } as const;
    const load = async (kind: string) => {
      await writeFile(join(folder, "config.json"), JSON.stringify({ architectures, model_type: kind }));
      return loaderJob(asked);
    };
    expect(await load("strange")).toEqual({ failed: "class", reason: 'it has no class for models of type "strange"' });
    expect(await load("bert")).toMatchObject({ failed: "load", reason: expect.stringContaining("model.onnx") });
  },
);

const decoder = shared("data/models/llama_shakespeare");

test.skipIf(decoder === undefined)("maps the weights of large originals, which give the same answers", async () => {
  const [folder, temporary] = [decoder ?? "", temporaryFolder()];
  const asked = {
    library,
    folder,
    dtypes: { model: "fp32" },
    texts: ["ROMEO:"],
    forcedTokens: undefined,
    isLarge: true,
  } as const;
  const expected = await loaderJob(asked, { temporary });
  expect(expected).toMatchObject({ sessions: ["model"] });
  expect(await loaderJob({ ...asked, areOriginals: true }, { temporary })).toEqual(expected);
  const [mapped, original] = await Promise.all(
    [join(temporary, "mapped"), folder].map(async (at) => (await stat(join(at, "onnx/model.onnx"))).size),
  );
  expect(mapped).toBeLessThan((original ?? 0) / 4);
});

test("fails if the folder of mapped weights cannot be written", async () => {
  const temporary = join(temporaryFolder(), "file");
  await writeFile(temporary, "");
  const input = {
    library,
    folder: temporaryFolder(),
    dtypes: { model: "fp32" },
    texts: [],
    forcedTokens: undefined,
  } as const;
  await expect(loaderJob({ ...input, isLarge: true, areOriginals: true }, { temporary })).rejects.toThrow("ENOTDIR");
});
