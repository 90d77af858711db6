/** Chooses the settings of a step for a maximum download size (`limit.of: "download"`): the least lossy ones that fit. */
import { PithError, throwIfAborted } from "../../core/errors.ts";
import { bytes as bytesText } from "../../core/numbers.ts";
import { encodedSource } from "../../core/onnx/encode.ts";
import type { AnyPass, Context, OptionValues } from "../../core/pass/pass.ts";
import { brotliSize, measureSize } from "../../runtime/run/size.ts";
import { formatSettings } from "./precise-layers.ts";
import type { FallbackRequest, StepOutput } from "./precision-fallback.ts";

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
  let smallest = Number.POSITIVE_INFINITY;
  const result = await bisectSettings(settings, context, async (setting) => {
    const changedOptions = { ...options, ...setting };
    const output = await run(changedOptions);
    const file = await encodedSource(output.model);
    const { sampled, ...estimate } = await measureSize([file], context.signal);
    let brotli = estimate.brotli ?? Number.NaN;
    // The sizes of large files are estimates, but the maximum must hold for the whole file. Estimates are at most 5 % too large.
    if (sampled && brotli <= 1.05 * bytes) brotli = (await brotliSize(file, context.signal)) ?? Number.NaN;
    smallest = Math.min(smallest, brotli);
    return brotli <= bytes ? { output, options: changedOptions } : undefined;
  });
  if (result !== undefined) return result;
  throw new PithError(
    "E_UNSUPPORTED",
    `No setting fits a download of ${bytesText(bytes)}: the smallest has ${bytesText(smallest)}.`,
    { hint: "Remove channels first: pith prune --structured." },
  );
}

/**
 * Finds the first setting for which `evaluate` returns a result, by bisection: later settings are assumed to have results as well. @returns this
 * result; undefined if there is none. @throws PithError E_STOPPED on the signal.
 */
async function bisectSettings<T>(
  settings: readonly OptionValues[],
  { progress, signal }: Context,
  evaluate: (settings: OptionValues) => Promise<T | undefined>,
): Promise<T | undefined> {
  let [bestResult, attempts] = [undefined as T | undefined, 0];
  for (let [low, high] = [0, settings.length]; low < high; ) {
    const middle = Math.floor((low + high) / 2);
    const setting = settings[middle] ?? {};
    throwIfAborted(signal, "Stopped while settings were searched.");
    progress(attempts++, Math.ceil(Math.log2(settings.length + 1)), formatSettings(setting));
    const result = await evaluate(setting);
    if (result === undefined) low = middle + 1;
    else [bestResult, high] = [result, middle];
  }
  return bestResult;
}
