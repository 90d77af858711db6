/** Models that are compared. */
import { join } from "node:path";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";

/** Saves models into a folder of the test file. */
export function comparedModels() {
  const folder = temporaryFolder();

  async function saved(name: string, text: string): Promise<string> {
    const path = join(folder, name);
    await save(parseModel(text), path);
    return path;
  }
  return { folder, saved };
}
