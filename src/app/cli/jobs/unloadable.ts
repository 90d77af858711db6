/** Results that do not load are never written, even with --force. */
import { PithError } from "../../../core/errors.ts";
import { ResultFails } from "../../../runtime/run/load-check.ts";

export async function refusingUnloadable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ResultFails) || !error.loading) throw error;
    throw new PithError(error.code, `${error.message} Nothing was written.`, {
      hint: "--force does not write it either, because it could not be loaded.",
      cause: error,
    });
  }
}
