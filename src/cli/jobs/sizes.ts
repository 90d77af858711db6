/** Job of `pith bench`: measures file sizes, plain and compressed. */
import { shownSizes } from "../../evaluate/size.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { filesOf } from "../files.ts";

export default async function sizesJob(
  { models }: { readonly models: readonly string[] },
  context: JobContext,
): ReturnType<typeof shownSizes> {
  context.stage("compress");
  const files = await Promise.all(models.map(async (path) => filesOf(await open(path), path)));
  return shownSizes(files, (done) => context.progress(done, models.length));
}
