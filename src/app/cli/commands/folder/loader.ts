/** Runs the files of a folder in transformers.js, in a job. */
import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Miss, PithError } from "#ir";
import { realPath } from "#platform";
import { root } from "#root";
import { hasSounds } from "../../../../data/sources/utterances.ts";
import { readSettings } from "../../../../data/text/tokenizer.ts";
import { largeBytes, maxTimedBytes } from "../../../../runtime/run/size-limits.ts";
import { bytesOfModels } from "../../../folder/description-files.ts";
import { dataFileCounts } from "../../../folder/file-names.ts";
import { fileOf } from "../../../folder/folder-run.ts";
import { defaultTexts } from "../../../folder/joint-judge.ts";
import type { Loader } from "../../../folder/loader-check.ts";
import type { Session } from "../../command.ts";
import type { DataRequest } from "../../flags/data.ts";
import type loaderJob from "../../jobs/loader.ts";
import { resolvePackage } from "../../jobs/parts/resolve-package.ts";

const packageName = "@huggingface/transformers";
const maxTexts = 4;

/** @param out folder of the results. @returns a Miss with the reason if transformers.js cannot load the folder. */
export async function openLoader(
  folder: string,
  out: string,
  { texts, data }: { readonly texts: readonly string[]; readonly data?: DataRequest | undefined },
  originalBytes: number,
  session: Session,
): Promise<Loader | Miss> {
  const config = await readSettings(join(folder, "config.json"));
  if (config?.model_type === undefined) return new Miss("config.json does not say which kind of model it is");
  // A model's folder can come from a stranger, so a copy in it does not run.
  const foreign = (await realPath(folder)) + sep;
  const library = [process.cwd(), fileURLToPath(root())]
    .map((from) => resolvePackage(from, packageName))
    .find((path) => path?.startsWith(foreign) === false);
  if (library === undefined) return new Miss(`it is not installed here (npm install ${packageName})`);
  // The config.json of the originals need not state the number of their external data files.
  const chunks = Object.fromEntries(dataFileCounts(await readdir(join(folder, "onnx"))));
  const sounds = data !== undefined && (await hasSounds(data.path)) ? data.path : undefined;
  const { version } = JSON.parse(await readFile(join(dirname(library), "..", "package.json"), "utf8"));
  return {
    version,
    hasUserInputs: texts.length > 0 || sounds !== undefined,
    canCompare: originalBytes <= maxTimedBytes,
    async run(dtypes, forcedRows) {
      const areOriginals = Object.values(dtypes).every((dtype) => dtype === "fp32");
      const dtypeEntries = Object.entries(dtypes).map(
        ([base, dtype]) => [base, dtype === "searched" ? "fp32" : dtype] as const,
      );
      const filesFolder = areOriginals ? { folder, chunks } : { folder: out };
      const loadedBases = dtypeEntries.map(([base, dtype]) =>
        dtype === "fp32" ? base : basename(fileOf(base, dtype), ".onnx"),
      );
      const loadedBytes = [...(await bytesOfModels(filesFolder.folder, loadedBases)).values()];
      const isLarge = loadedBytes.reduce((sum, size) => sum + size, 0) >= largeBytes;
      const files = { ...filesFolder, dtypes: Object.fromEntries(dtypeEntries) };
      const input = { library: pathToFileURL(library).href, ...files, forcedTokens: forcedRows, isLarge, areOriginals };
      const lines = texts.length > 0 ? texts.slice(0, maxTexts) : defaultTexts;
      const name = `try ${[...new Set(Object.values(dtypes))].join(", ")} in transformers.js`;
      try {
        return await session.runJob<typeof loaderJob>("loader", { ...input, texts: lines, sounds }, name);
      } catch (error) {
        if (error instanceof PithError && error.code === "E_ENGINE") return { failed: "load", reason: error.message };
        throw error;
      }
    },
  };
}
