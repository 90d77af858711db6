/** What a search of `pith compress` needs, in each of its processes. */
import { basename } from "node:path";
import { availableMemory } from "#platform";
import { moduleOf } from "#root";
import { createEngine } from "../../engine/index.ts";
import { refusalIn } from "../../errors.ts";
import type { RunTarget, TargetName } from "../../evaluate/run-target.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { runJob } from "../../job/run.ts";
import type { Context } from "../../passes/index.ts";
import type { Recipe } from "../../recipe/index.ts";
import type { Bucket } from "../../run/bucket-store.ts";
import { type Ahead, candidatesFor, Pool, type SearchOptions } from "../../search/index.ts";
import type { MetricName } from "../../task/index.ts";
import { version } from "../../version.ts";
import type { DataRequest } from "../data.ts";
import { openBucket } from "../queue/bucket.ts";
import type { OpenedQueue } from "../queue/queue.ts";
import { tokensTimed } from "./bench.ts";
import type combinationJob from "./combination.ts";
import type { CombinationInput } from "./combination.ts";
import { contextOf, openModel } from "./open-model.ts";
import { openStepsTask, type StepsTask } from "./task.ts";

export interface SearchInput {
  readonly model: string;
  /** Where steps that are done are kept. */
  readonly resumeFolder: string;
  /** Address of the bucket with which this folder is shared. */
  readonly bucket?: string | undefined;
  readonly data: DataRequest;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly targets: readonly TargetName[];
  readonly goal: { readonly maxDrop: number | undefined; readonly strict: boolean };
  readonly force: boolean;
  readonly seed: number;
  readonly search: Pick<
    SearchOptions,
    "minutes" | "steps" | "purpose" | "targetSize" | "faster" | "techniques" | "front"
  >;
}

export interface OpenedSearch extends StepsTask {
  readonly model: Model;
  readonly options: SearchOptions & { readonly resumeFolder: string };
  readonly running: Partial<Context>;
}

/** @param given the recipes that will be run; unless given all combinations. */
export async function openSearch(
  input: SearchInput,
  targets: readonly RunTarget[],
  context: JobContext,
  given?: readonly Recipe[],
): Promise<OpenedSearch> {
  const model = await openModel(input.model, context);
  const engine = createEngine();
  const { techniques } = input.search;
  const recipes = given ?? candidatesFor(model, { target: input.targets, techniques }).map(({ recipe }) => recipe);
  const opened = await openStepsTask(engine, model, { ...input, recipes }, context);
  const { task, used } = opened;
  return {
    ...opened,
    model,
    running: contextOf(engine, input, context),
    options: {
      ...input.search,
      name: basename(input.model),
      goal: input.goal,
      force: input.force,
      batch: input.data.batch,
      output: input.output,
      preprocessing: task.preprocessing,
      seen: task.seen,
      available: used.test.available,
      resumeFolder: input.resumeFolder,
      bucket: await bucketOf(input),
      length: await tokensTimed(input.model),
      targets,
    },
  };
}

export const bucketOf = async ({ bucket }: Pick<SearchInput, "bucket">): Promise<Bucket | undefined> =>
  bucket === undefined ? undefined : openBucket(bucket);

/** Bytes that a process takes beside its model, about, and how many times its model. */
const [ofProcess, ofModel] = [400e6, 20];

/** Combinations in processes of their own, as many at a time as there is memory for. */
export function inProcesses(input: SearchInput, jobs: number, bytes: number): Ahead {
  const most = Math.max(1, Math.min(jobs, Math.floor(availableMemory() / (ofProcess + ofModel * bytes))));
  return new Pool({
    jobs: most,
    room: () => most,
    async tryOne(name, { stop: signal }) {
      const job = { ...input, combination: name };
      const options = { name, signal, keeps: true, isBackground: true };
      // The search tries again, and says what is wrong.
      await runJob<typeof combinationJob>(moduleOf("cli/jobs/combination"), job, options).catch(refusalIn);
      return true;
    },
  });
}

/** Combinations for the workers of a queue. @param shared the input as `shareInput` has it. */
export async function onQueue(queue: OpenedQueue<CombinationInput>, shared: SearchInput): Promise<Ahead> {
  await queue.look();
  return new Pool({
    jobs: Math.max(1, queue.room),
    // A round is queued whole: workers may come.
    room: (isOfRound) => (isOfRound ? Number.POSITIVE_INFINITY : queue.room),
    tryOne: (combination, work) => queue.doOne({ version, input: { ...shared, combination } }, work),
  });
}
