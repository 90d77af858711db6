import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { openLoader } from "../../../src/app/cli/commands/folder/loader.ts";
import { Miss } from "../../../src/core/errors.ts";
import { temporaryFolder } from "../../temporary.ts";

test("does not run a copy of transformers.js in the folder of the model, also if it is the current folder", async () => {
  const folder = temporaryFolder();
  const library = join(folder, "node_modules/@huggingface/transformers");
  for (const path of [join(library, "dist"), join(folder, "onnx")]) mkdirSync(path, { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "bert" }));
  writeFileSync(join(library, "package.json"), JSON.stringify({ version: "0.0.0", main: "dist/index.js" }));
  writeFileSync(join(library, "dist/index.js"), "");
  vi.spyOn(process, "cwd").mockReturnValue(folder);
  const loader = await openLoader(folder, folder, { texts: [] }, 0, {} as never);
  if (!(loader instanceof Miss)) expect(loader.version).not.toBe("0.0.0");
  vi.restoreAllMocks();
  const other = await openLoader(join(folder, "onnx", ".."), folder, { texts: [] }, 0, {} as never);
  expect(other instanceof Miss).toBe(loader instanceof Miss);
});
