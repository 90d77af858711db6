/** Job of `pith bench`: measures the sizes of files, plain and compressed. */

import { open } from "../../../core/onnx/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type Size, size } from "../../../runtime/run/size.ts";
import { filesOfModel } from "../files/files.ts";

export default async function sizesJob(
  { models }: { readonly models: readonly string[] },
  context: JobContext,
): Promise<readonly Size[]> {
  context.stage("compress");
  const sizes: Size[] = [];
  for (const path of models) {
    sizes.push(await size(...filesOfModel(await open(path), path)));
    context.progress(sizes.length, models.length);
  }
  return sizes;
}
