/** Chooses the settings of a step for a maximum download size (`limit.of: "download"`): the least lossy ones that fit. */
import { encodedSource, PithError, throwIfAborted } from "#ir";
import type { AnyPass, Context, OptionValues } from "#pass";
import { bytes as bytesText } from "../../core/numbers.ts";
import { brotliSize, measureSize } from "../../runtime/run/size.ts";
import type { StepOutput } from "../steps/runner.ts";
import { formatSettings } from "./precise-layers.ts";
import { type FallbackRequest, searchFewest, settingErrors } from "./precision-fallback.ts";

/**
 * Finds the least lossy setting whose compressed file is small enough, by bisection: settings that lose more compress better. @param bytes maximum of
 * the compressed file (brotli). @throws PithError E_UNSUPPORTED if even the smallest file is larger; E_STOPPED on the signal.
 */
export async function fitToDownload(
  {
    pass,
    options,
    run,
  }: Pick<FallbackRequest, "options" | "run"> & { readonly pass: Pick<AnyPass, "downloadSettings"> },
  bytes: number,
  context: Context,
): Promise<{ readonly output: StepOutput; readonly options: OptionValues }> {
  const settings = (pass.downloadSettings?.(options) ?? []).toReversed();
  const attempts = Math.ceil(Math.log2(settings.length + 1));
  let [smallest, attemptCount] = [Number.POSITIVE_INFINITY, 0];
  const best = await searchFewest(settingErrors(settings), undefined, attempts, async (count) => {
    const setting = settings[count - 1] ?? {};
    throwIfAborted(context.signal, "Stopped while settings were searched.");
    context.progress(attemptCount++, attempts, formatSettings(setting));
    const changedOptions = { ...options, ...setting };
    const output = await run(changedOptions);
    const file = await encodedSource(output.model);
    const { sampled, ...estimate } = await measureSize([file], context.signal);
    let brotli = estimate.brotli ?? Number.NaN;
    // The sizes of large files are estimates, but the maximum must hold for the whole file. Estimates are at most 5 % too large.
    if (sampled && brotli <= 1.05 * bytes) brotli = (await brotliSize(file, context.signal)) ?? Number.NaN;
    smallest = Math.min(smallest, brotli);
    return { holds: brotli <= bytes ? "clearly" : "no", result: { output, options: changedOptions } };
  });
  if (best?.holds === "clearly") return best.result;
  throw new PithError(
    "E_UNSUPPORTED",
    `No setting fits a download of ${bytesText(bytes)}: the smallest has ${bytesText(smallest)}.`,
    { hint: "Remove channels first: pith prune --structured." },
  );
}
