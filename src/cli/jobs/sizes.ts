/** Job of `pith bench`: what models weigh, as they are and as a web server sends them. */
import { gzippedSize, type Size, size } from "../../evaluate/index.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { filesOf } from "../files.ts";

export interface Sizes extends Size {
  readonly gzip: number;
}

export default async function sizesJob(
  { models }: { readonly models: readonly string[] },
  context: JobContext,
): Promise<readonly Sizes[]> {
  context.stage("compress");
  const found: Sizes[] = [];
  for (const [index, path] of models.entries()) {
    const files = filesOf(await open(path), path);
    // Each reads the files in pieces of its own, in a thread of its own.
    const [weight, gzip] = await Promise.all([size(...files), gzippedSize(...files)]);
    found.push({ ...weight, gzip });
    context.progress(index + 1, models.length);
  }
  return found;
}
