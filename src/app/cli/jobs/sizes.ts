/** Job that measures the sizes of model files after gzip and brotli. */
import { open } from "#ir";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type Size, size } from "../../../runtime/run/model-size.ts";
import { filesOfModel } from "../files/file-paths.ts";

export default async function sizesJob(
  { models }: { readonly models: readonly string[] },
  context: JobContext,
): Promise<readonly Size[]> {
  context.stage("compressed size");
  return Promise.all(models.map(async (path) => size(...filesOfModel(await open(path), path))));
}
