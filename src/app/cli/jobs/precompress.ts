/** Job of a folder: writes compressed copies of files, because only the end of a process interrupts a step of brotli. */
import type { Encoding } from "#platform";
import { type CopySizes, precompress } from "../../../core/files/compressed-copies.ts";
import type { JobContext } from "../../../runtime/job/job.ts";

export default function precompressJob(
  { files, encodings }: { readonly files: readonly string[]; readonly encodings: readonly Encoding[] },
  { signal }: JobContext,
): Promise<CopySizes> {
  return precompress(files, encodings, signal);
}
