/** Finds transformers.js in the current project or next to Pith, and checks a folder's results by loading them with it. */
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { realPath } from "#platform";
import { root } from "#root";
import { Miss, PithError } from "../../../core/errors.ts";
import { readSettings } from "../../../data/text/tokenizer.ts";
import { dataFileCounts } from "../../folder/layout.ts";
import type { Loader } from "../../folder/loader.ts";
import { defaultTexts } from "../../folder/text-search.ts";
import type { Session } from "../command.ts";
import type loaderJob from "../jobs/loader.ts";

const packageName = "@huggingface/transformers";
/** Maximum number of the user's texts that a check runs. */
const maxTexts = 4;
/** Maximum bytes of all originals at which they are loaded, too, to compare the results with them. */
const maxComparedBytes = 2 ** 29;

/** @param out folder of the results. @returns a Miss with the reason if transformers.js cannot load the folder. */
export async function openLoader(
  folder: string,
  out: string,
  texts: readonly string[],
  originalBytes: number,
  session: Session,
): Promise<Loader | Miss> {
  const config = await readSettings(join(folder, "config.json"));
  if (config?.model_type === undefined) return new Miss("config.json does not say which kind of model it is");
  // A model's folder can come from a stranger, so a copy in it does not run.
  const foreign = (await realPath(folder)) + sep;
  const library = [process.cwd(), fileURLToPath(root())]
    .map(libraryFrom)
    .find((path) => path?.startsWith(foreign) === false);
  if (library === undefined) return new Miss(`it is not installed here (npm install ${packageName})`);
  // The config.json of the originals may not state the number of their external data files.
  const chunks = Object.fromEntries(dataFileCounts(await readdir(join(folder, "onnx"))));
  const { version } = JSON.parse(await readFile(join(dirname(library), "..", "package.json"), "utf8"));
  return {
    version,
    judges: texts.length > 0,
    compares: originalBytes <= maxComparedBytes,
    async ask(dtypes, forced) {
      const isLarge = originalBytes > maxComparedBytes;
      const areOriginals = Object.values(dtypes).every((dtype) => dtype === "fp32");
      const dtypeEntries = Object.entries(dtypes).map(
        ([base, dtype]) => [base, dtype === "searched" ? "fp32" : dtype] as const,
      );
      const filesFolder = areOriginals ? { folder, chunks } : { folder: out };
      const files = { ...filesFolder, dtypes: Object.fromEntries(dtypeEntries) };
      const input = { library: pathToFileURL(library).href, ...files, forced, isLarge };
      const lines = texts.length > 0 ? texts.slice(0, maxTexts) : defaultTexts;
      const name = `try ${[...new Set(Object.values(dtypes))].join(", ")} in transformers.js`;
      try {
        return await session.job<typeof loaderJob>("loader", { ...input, texts: lines }, name);
      } catch (error) {
        if (error instanceof PithError && error.code === "E_ENGINE") return { failed: "load", reason: error.message };
        throw error;
      }
    },
  };
}

function libraryFrom(folder: string): string | undefined {
  try {
    return createRequire(join(folder, "_")).resolve(packageName);
  } catch {
    return undefined;
  }
}
