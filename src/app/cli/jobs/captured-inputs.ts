/** Job of `pith compress` on a folder with several models: runs them jointly to continue texts, and saves the inputs of each. */
import { type Batch, bytesFor, elementCount, type Model, toFloat64, unsupportedError } from "#ir";
import { type Context, completeContext } from "#pass";
import { joinPath, makeFolder, writeFileAtomically } from "#platform";
import { createEngine, type Engine } from "../../../core/engine/index.ts";
import { npzBytes } from "../../../data/files/npy.ts";
import type { Settings } from "../../../judge/task/constant-inputs.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { generate, generatorOf } from "../../../runtime/run/generate.ts";
import { generatedTokens, openFolderModels, promptsOf } from "../../folder/end-to-end.ts";
import type { FolderModule } from "../../folder/folder-run.ts";
import { textsForFallback } from "../../folder/joint-judge.ts";

export interface CaptureRequest {
  readonly folder: string;
  readonly modules: readonly Pick<FolderModule, "base" | "source">[];
  readonly texts: readonly string[];
  readonly out: string;
}

export interface CapturedFile {
  readonly path: string;
  readonly set: Settings;
}

/** Returns the file with the inputs of each model, by the model's name. */
export default async function capturedInputsJob(
  { folder, modules, texts, out }: CaptureRequest,
  { signal, stage }: JobContext,
): Promise<Readonly<Record<string, CapturedFile>>> {
  stage("run the originals");
  const inputs = await capturedInputs(folder, modules, texts, completeContext({ engine: createEngine(), signal }));
  if (inputs === undefined)
    throw unsupportedError("The models do not continue texts, so the inputs of each model are unknown.");
  const files: Record<string, CapturedFile> = {};
  for (const [base, { samples, constants }] of inputs) {
    const path = joinPath(out, base, "inputs.npz");
    await makeFolder(joinPath(out, base));
    await writeFileAtomically(path, [await npzBytes(samples)]);
    files[base] = {
      path,
      set: Object.fromEntries(Object.entries(constants).map(([name, dense]) => [name, [...toFloat64(dense)]])),
    };
  }
  return files;
}

interface CapturedInputs {
  readonly samples: Batch;
  readonly constants: Batch;
}

/** Maximum bytes of a model's samples. The number of texts is reduced until they fit. */
const maxBytes = 2 ** 26;

/** Returns for each model the inputs of the run with the most bytes. @param texts first those that evaluate results, which are not used here. */
export async function capturedInputs(
  folder: string,
  modules: readonly Pick<FolderModule, "base" | "source">[],
  texts: readonly string[],
  { engine, signal }: Context,
): Promise<ReadonlyMap<string, CapturedInputs> | undefined> {
  const paths = modules.map(({ base, source }) => ({ base, original: source, result: source }));
  const { originals, tokenizer, startToken = 0 } = await openFolderModels(folder, paths);
  const generator = generatorOf(originals);
  if (generator === undefined || tokenizer === undefined) return undefined;
  const options = { steps: generatedTokens, padding: tokenizer.padding, startToken, signal };
  let prompts = promptsOf(tokenizer, textsForFallback(texts), texts.length);
  for (;;) {
    const largest = new Map<string, Batch>();
    await generate(watchFeeds(engine, originals, largest), generator, prompts, options);
    const maxFoundBytes = Math.max(...Array.from(largest.values(), bytesIn));
    if (maxFoundBytes <= maxBytes || prompts.length === 1) {
      const count = prompts.length;
      return new Map(Array.from(largest, ([base, feeds]) => [base, divideFeeds(feeds, count)]));
    }
    prompts = prompts.slice(0, Math.max(1, Math.floor((prompts.length * maxBytes) / maxFoundBytes)));
  }
}

function watchFeeds(engine: Engine, models: ReadonlyMap<string, Model>, largest: Map<string, Batch>): Engine {
  return {
    async load(model, options) {
      const session = await engine.load(model, options);
      const base = [...models].find(([, candidate]) => candidate === model)?.[0];
      return {
        run(feeds, fetch) {
          const largestSoFar = base === undefined ? undefined : largest.get(base);
          if (base !== undefined && bytesIn(feeds) >= (largestSoFar === undefined ? 0 : bytesIn(largestSoFar)))
            largest.set(base, feeds);
          return session.run(feeds, fetch);
        },
        release: () => session.release(),
      };
    },
  };
}

const bytesIn = (batch: Batch): number =>
  Object.values(batch).reduce(
    (sum, { type, dims }) => sum + (type === "string" ? 0 : bytesFor(type, elementCount(dims))),
    0,
  );

function divideFeeds(feeds: Batch, count: number): CapturedInputs {
  const entries = Object.entries(feeds);
  const isSample = ([, { dims }]: (typeof entries)[number]): boolean => dims[0] === count;
  return {
    samples: Object.fromEntries(entries.filter(isSample)),
    constants: Object.fromEntries(entries.filter((entry) => !isSample(entry))),
  };
}
