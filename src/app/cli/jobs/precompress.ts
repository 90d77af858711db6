/** Job that writes compressed copies of files. It has a process, because a step of brotli can only be interrupted by ending the process. */
import type { Encoding } from "#platform";
import { type CopySizes, precompress } from "../../../core/files/compressed-copies.ts";
import type { JobContext } from "../../../runtime/job/job.ts";

export default function precompressJob(
  { files, encodings }: { readonly files: readonly string[]; readonly encodings: readonly Encoding[] },
  { signal }: JobContext,
): Promise<CopySizes> {
  return precompress(files, encodings, signal);
}
