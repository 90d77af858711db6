/** Job of `pith bench`: measures file sizes, plain and compressed. */
import { type Size, size } from "../../evaluate/index.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { filesOf } from "../files.ts";

export default async function sizesJob(
  { models }: { readonly models: readonly string[] },
  context: JobContext,
): Promise<readonly Size[]> {
  context.stage("compress");
  const found: Size[] = [];
  for (const [index, path] of models.entries()) {
    found.push(await size(...filesOf(await open(path), path)));
    context.progress(index + 1, models.length);
  }
  return found;
}
